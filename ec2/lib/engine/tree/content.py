"""Reading what files hold, past what this machine remembers of it."""

from __future__ import annotations

import os
import stat
from typing import BinaryIO

from engine.tree.pool import Worker

CHECK_BYTES = 1 << 20


def same_content(one: int, other: int, name: str, mode: int, worker: Worker) -> bool:
    """Whether the entries ``name`` of two directories, equal in their attributes, are the same."""
    if stat.S_ISREG(mode):
        try:
            return _same_bytes(one, other, name, worker)
        except FileNotFoundError:
            return False
    if stat.S_ISLNK(mode):
        return os.readlink(name, dir_fd=one) == os.readlink(name, dir_fd=other)
    devices = [os.stat(name, dir_fd=fd, follow_symlinks=False).st_rdev for fd in (one, other)]
    return devices[0] == devices[1]


def _same_bytes(one: int, other: int, name: str, worker: Worker) -> bool:
    with reader(name, one) as file, reader(name, other) as reference:
        while not worker.stopping:
            data = file.read(CHECK_BYTES)
            if data != reference.read(CHECK_BYTES):
                return False
            if not data:
                return True
    return False  # stopped: nothing is published, and the next run looks again


def reader(name: str, directory: int) -> BinaryIO:
    """Reads what is on storage now, and not what this machine remembers of it."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(name, flags, dir_fd=directory)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        return open(descriptor, "rb")
    except OSError:  # it is a FIFO by now, or a directory
        os.close(descriptor)
        raise
