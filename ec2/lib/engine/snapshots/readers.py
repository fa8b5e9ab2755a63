"""Who reads a snapshot says so, that no run makes its stage of it, or removes it, meanwhile.

A shared lock on one byte of a file beside the snapshots: the byte whose number is the inode of the
snapshot's directory. It holds between machines, and on a file system that is mounted read-only.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path


def readers_file(folder: Path) -> Path:
    return folder / ".readers"


class Reading:
    """For the time in which the snapshot whose top is open as ``top`` is read.

    is_locked: False if there is nothing to lock, as no run since that knows of it has made one:
    then the reader has to look at the end whether the snapshot is still published.
    """

    def __init__(self, file: Path, top: int) -> None:
        self.is_locked = False
        self._descriptor: int | None = None
        with contextlib.suppress(OSError):
            self._descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            inode = os.fstat(top).st_ino
            fcntl.lockf(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, inode)
            self.is_locked = True

    def __enter__(self) -> Reading:
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)  # and with it the lock


class Readers:
    """For the run that works on the folder: tells of what is read."""

    def __init__(self, file: Path) -> None:
        self._free: set[int] = set()
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        self._descriptor = os.open(file, flags, 0o600)

    def __enter__(self) -> Readers:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def have(self, tree: Path) -> bool:
        """Whether anybody reads ``tree``. If not, nobody can begin to before the run ends."""
        inode = tree.stat().st_ino
        if inode in self._free:
            return False
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, inode)
        except (BlockingIOError, PermissionError):  # POSIX allows either for a lock that is held
            return True
        self._free.add(inode)
        return False
