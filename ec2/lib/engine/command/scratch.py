"""Directories for the time of one run. What a run that was killed has left goes with the next."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import subprocess
import tempfile
from pathlib import Path

from engine.command.logs import DIRECTORY, is_own

LISTS, WALLS = "efs-backup.", "efs-backup.walls."
NAME = re.compile(r"efs-backup\.(walls\.)?[a-z0-9_]{8}")  # as mkdtemp makes them


class Scratch:
    """One that is locked as long as this process lives, or a child that outlives it."""

    def __init__(self, parent: Path, prefix: str = LISTS) -> None:
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
            self._lock = os.open(self.path, DIRECTORY)
            os.set_inheritable(self._lock, True)
            with contextlib.suppress(OSError):  # a file system that knows no locks
                fcntl.flock(self._lock, fcntl.LOCK_EX)
            if self.path.exists():  # another run may have been faster, and taken it for left
                return
            os.close(self._lock)

    def remove(self) -> None:
        remove(self.path)
        os.close(self._lock)


def remove(path: Path) -> None:
    """By a program, as there may be a tree in it that is too deep for what Python has for this. On
    one for walls, something may be mounted: of that, what is empty goes."""
    with contextlib.suppress(OSError):
        if path.name.startswith(WALLS):
            for each in path.iterdir():
                each.rmdir()
            path.rmdir()
            return
        subprocess.run(
            ["rm", "-rf", "--one-file-system", "--", str(path)],
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a terminal's Ctrl-C is not for it
        )


def remove_left(parent: Path) -> None:
    """What this user's runs have left that were killed: nobody has it locked. Where something is
    mounted in it, or what it is cannot be told, it stays."""
    with contextlib.suppress(OSError):
        mounts = Path("/proc/self/mountinfo").read_text(errors="replace")
        for name in filter(NAME.fullmatch, os.listdir(parent)):
            if name not in mounts:
                with contextlib.suppress(OSError):
                    remove_if_dead(parent / name)


def remove_if_dead(path: Path) -> None:
    descriptor = os.open(path, DIRECTORY)
    try:
        if is_own(os.fstat(descriptor)):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove(path)
    finally:
        os.close(descriptor)
