"""The safety directory: where everything goes that a restore replaces or removes.

ROOT/.efs-restore-ID/          the moved entries, each under its own path
ROOT/.efs-restore-ID.undo/     journal, and the script that puts everything back
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from engine.command.files import locked
from engine.command.outcome import Refused, Stopped
from engine.command.process import StopSignals

# All that a restore leaves in the target begins with this; no other restore or backup touches it.
SAFETY_PREFIX = ".efs-restore-"

UNDO_SCRIPT = Path(__file__).parent / "undo.py"


class SafetyDirectory:
    def __init__(self, root: Path, identifier: str) -> None:
        self.path = root / f"{SAFETY_PREFIX}{identifier}"
        self.undo = root / f"{SAFETY_PREFIX}{identifier}.undo"
        self.scratch = self.undo / "tmp"
        self._root = root

    def create(self, journal: Path) -> None:
        """Put the journal where it outlives this instance, before anything is changed."""
        self.path.mkdir(mode=0o700)
        self.undo.mkdir(mode=0o700)
        self.scratch.mkdir(mode=0o700)
        shutil.copyfile(UNDO_SCRIPT, self.undo / "undo")
        (self.undo / "undo").chmod(0o700)
        with journal.open("rb") as source, (self.undo / "journal").open("xb") as target:
            shutil.copyfileobj(source, target)
            target.flush()
            os.fsync(target.fileno())

    def move_aside(self, stop: StopSignals) -> list[str]:
        """Move everything that the journal says; return the paths that were gone already.

        Raises :class:`Stopped` on a signal, between two moves.
        """
        gone = []
        for path in self._moves():
            if stop.received:
                raise Stopped("stopped; start the restore again to finish it, or undo it")
            target = self.path / path
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                os.rename(self._root / path, target)
            except FileNotFoundError:
                gone.append(path)
        return gone

    def _moves(self) -> Iterator[str]:
        with (self.undo / "journal").open() as journal:
            for line in journal:
                verb, path, *_ = json.loads(line)
                if verb == "move":
                    yield path

    def tidy(self) -> None:
        """Remove what is empty."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.path.rmdir()


@contextlib.contextmanager
def target_lock(target: Path) -> Iterator[None]:
    """Keep every other restore out of ``target``, a mounted file system's top directory.

    Raises :class:`Refused` if another one is at work. The lock file is removed, and the directory's
    times are kept, so that nothing is left of it.
    """
    path = target / f"{SAFETY_PREFIX}lock"
    with _kept_times(target):
        descriptor = locked(path)
    if descriptor is None:
        raise Refused(
            f"another restore is working on {str(target)!r}; wait until it has finished", "busy"
        )
    if not path.exists() or path.stat().st_ino != os.fstat(descriptor).st_ino:
        os.close(descriptor)
        raise Refused(f"another restore of {str(target)!r} has just ended; start again", "busy")
    try:
        yield
    finally:
        with _kept_times(target):
            path.unlink(missing_ok=True)
        os.close(descriptor)


@contextlib.contextmanager
def _kept_times(directory: Path) -> Iterator[None]:
    info = directory.stat()
    yield
    os.utime(directory, ns=(info.st_atime_ns, info.st_mtime_ns))
