"""The safety directory: where everything goes that a restore replaces or removes.

ROOT/.efs-restore-ID/          the moved entries, each under its own path
ROOT/.efs-restore-ID.undo/     journal, and the script that puts everything back; and as long as the
                               restore is at work, in ``new``, what it is going to put in place,
                               and ``workers``, see workers/shared.py
ROOT/.efs-restore-ID.damaged/  files that are not in the snapshot any more what they were
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from engine.command.outcome import Failed, Refused
from engine.target.undo import LOCK
from engine.tree.descent import DIRECTORY_FLAGS, exists, names_in, opened
from engine.tree.reserved import SAFETY_PREFIX

WORKERS = "workers"

UNDO_SCRIPT = Path(__file__).with_name("undo.py")


def restores_in(root: int) -> dict[str, bool]:
    """The restores that were made in a directory, and whether each is still at work, or was killed
    at it."""
    found = {}
    for name in names_in(root):
        if name.startswith(SAFETY_PREFIX) and name.endswith(".undo"):
            with contextlib.suppress(OSError), opened(root, name) as undo:
                found[name[: -len(".undo")]] = exists("new", undo)
    return found


class SafetyDirectory:
    """root: the restored directory, as a descriptor and as what people call it."""

    def __init__(self, root: int, path: Path, identifier: str) -> None:
        self.name = f"{SAFETY_PREFIX}{identifier}"
        self.path = path / self.name
        self.undo_path = path / f"{self.name}.undo"
        self.damaged_path = path / f"{self.name}.damaged"
        self._root = root
        self._open: list[int] = []

    def create(self, journal: Path) -> None:
        """Put the journal where it outlives this instance. Leaves nothing if there is no room."""
        with kept_times(self._root):
            self.undo = self._make(self.undo_path.name, self._root)
            try:
                self.new = self._make("new", self.undo)
                self._copy(UNDO_SCRIPT, "undo", 0o700)
                self._copy(journal, "journal.new", 0o600)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.rmdir("new", dir_fd=self.undo)
                self.discard()
                raise

    def make_work(self) -> Path:
        """For the run and its workers."""
        self._make(WORKERS, self.undo)
        return self.undo_path / WORKERS

    def scratch(self) -> list[str]:
        """What of ``undo`` is not needed any more when the restore is done."""
        return [name for name in ("new", WORKERS) if exists(name, self.undo)]

    def begin(self) -> None:
        """Before the first change: where there is a journal, there is something to undo."""
        os.rename("journal.new", "journal", src_dir_fd=self.undo, dst_dir_fd=self.undo)
        os.fsync(self.undo)
        os.fsync(self._root)

    def make_aside(self) -> None:
        """Where entries go that are moved out of the way."""
        with kept_times(self._root):
            self.aside = self._make(self.name, self._root)
            self.damaged = self._make(self.damaged_path.name, self._root)

    def _make(self, name: str, parent: int) -> int:
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            raise Refused(f"{name!r} exists already; start again with another --id") from None
        descriptor = os.open(name, DIRECTORY_FLAGS, dir_fd=parent)
        self._open.append(descriptor)
        info = os.fstat(descriptor)
        if info.st_uid != os.geteuid() or info.st_mode & 0o077:
            raise Failed("target", f"somebody put another directory in the place of {name!r}")
        return descriptor

    def _copy(self, source: Path, name: str, mode: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        descriptor = os.open(name, flags, mode, dir_fd=self.undo)
        with source.open("rb") as file, open(descriptor, "wb") as target:
            shutil.copyfileobj(file, target)
            target.flush()
            os.fsync(target.fileno())

    def discard_empty(self) -> list[Path]:
        """Remove what is empty; return what is left for people."""
        for name in (self.name, self.damaged_path.name):
            with contextlib.suppress(OSError):
                os.rmdir(name, dir_fd=self._root)
        paths = (self.path, self.damaged_path)
        return [path for path in paths if exists(path.name, self._root)]

    def discard(self) -> list[Path]:
        """As if there had been no restore; ``new`` is gone by now. Return what is left."""
        for name in ("journal", "journal.new", "undo"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self.undo)
        with contextlib.suppress(OSError):
            os.rmdir(self.undo_path.name, dir_fd=self._root)
        return [self.undo_path] if exists(self.undo_path.name, self._root) else []

    def close(self) -> None:
        for descriptor in self._open:
            os.close(descriptor)


@contextlib.contextmanager
def target_lock(target: int, path: Path) -> Iterator[None]:
    """Keep every other restore out of ``target``, a mounted file system's top directory.

    Raises :class:`Refused` if another one is at work. The lock file is removed, and the directory's
    times are kept, so that nothing is left of it.
    """
    with kept_times(target):
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            descriptor = os.open(LOCK, flags, 0o600, dir_fd=target)
        except OSError as error:
            raise Refused(f"{str(path / LOCK)!r} cannot be opened: {error.strerror}") from error
    with open(descriptor, "rb") as lock:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode) or info.st_uid != os.geteuid():
            raise Refused(f"{str(path / LOCK)!r} is not a restore's; remove it", "target")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(
                f"another restore is working on {str(path)!r}; wait until it has finished", "busy"
            ) from None
        if not _is_still(LOCK, target, info):
            raise Refused(f"another restore of {str(path)!r} has just ended; start again", "busy")
        os.set_inheritable(descriptor, True)  # it holds while a child outlives this process
        try:
            yield
        finally:
            # An open file that is removed over NFS has another name until it is closed, and then
            # nobody waits for the removal of that: by the second time it has happened.
            with kept_times(target), kept_times(target):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(LOCK, dir_fd=target)
                lock.close()


def _is_still(name: str, directory: int, info: os.stat_result) -> bool:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False).st_ino == info.st_ino
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def kept_times(directory: int) -> Iterator[None]:
    info = os.fstat(directory)
    yield
    os.utime(directory, ns=(info.st_atime_ns, info.st_mtime_ns))
