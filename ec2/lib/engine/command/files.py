"""Small things to do with files and directories."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import gzip
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar

from engine.command.outcome import Failed
from engine.command.text import shown

NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
Made = TypeVar("Made")


def is_empty(directory: Path) -> bool:
    with os.scandir(directory) as entries:
        return next(entries, None) is None


def write_atomically(path: Path, text: str | bytes, durably: bool = True) -> None:
    """A reader sees the old file or the whole new one, ``durably`` also after a power cut."""
    if isinstance(text, str):
        text = (text + "\n").encode(errors="backslashreplace")
    new = path.with_name(path.name + ".new")
    descriptor = anew(new, lambda: os.open(new, NEW_FILE, 0o644))
    with open(descriptor, "wb") as file:
        file.write(text)
        file.flush()
        if durably:
            os.fsync(descriptor)
    new.replace(path)
    if durably:
        sync_directory(path.parent)


def anew(path: Path, make: Callable[[], Made]) -> Made:
    """What ``make`` makes at ``path``, where nothing may be: not even a look is taken before."""
    try:
        return make()
    except FileExistsError:
        path.unlink()  # that of a run that was killed, or a link that leads elsewhere
        return make()


def sync_directory(path: Path) -> None:
    """Have what was made, renamed and removed in it on storage."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def locked(path: Path) -> int | None:
    """Lock the file ``path``, making it if need be; its descriptor, or None if another has it.

    The descriptor is inherited by child processes: the lock also holds while one of them outlives
    this process.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    os.set_inheritable(descriptor, True)
    return descriptor


def sort_records(path: Path, *options: str) -> None:
    """Sort the NUL-terminated records of a file by their bytes, outside of memory."""
    if not path.stat().st_size:
        return
    command = ["sort", "--zero-terminated", "--buffer-size=50M", f"--output={path}", *options]
    command += [f"--temporary-directory={path.parent}", str(path)]
    done = subprocess.run(
        command,
        stderr=subprocess.PIPE,
        env={**os.environ, "LC_ALL": "C"},
        start_new_session=True,  # a terminal's Ctrl-C is not for it
    )
    if done.returncode:
        said = shown(done.stderr.strip())
        raise Failed("system", f"a list could not be sorted: {said or done.returncode}")


def opened_state(path: Path) -> BinaryIO:
    """To read a file beside the snapshots, or whatever took its place: raises OSError if that is no
    plain file. No link is followed, and no FIFO waited for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no plain file")
    return open(descriptor, "rb")


def read_state(path: Path) -> bytes:
    """All of it; see :func:`opened_state`."""
    with opened_state(path) as file:
        return file.read()


@contextlib.contextmanager
def opened_gzip(path: Path) -> Iterator[gzip.GzipFile]:
    """Likewise. A file without even gzip's header, which could be read as an empty one, is damaged,
    too: raises OSError."""
    with opened_state(path) as packed:
        if not os.fstat(packed.fileno()).st_size:
            raise OSError(errno.EIO, "it is empty")
        with gzip.GzipFile(fileobj=packed) as file:
            yield file


def nul_separated(source: Path | BinaryIO) -> Iterator[bytes]:
    """The items of a file in which a NUL byte follows each; as little of it in memory as may be."""
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(opened_state(source)) if isinstance(source, Path) else source
        rest = b""
        while True:
            block = file.read(1 << 16)
            if not block:
                return
            *items, rest = (rest + block).split(b"\0")
            yield from items
