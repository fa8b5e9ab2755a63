"""The logs that a failure leaves where all may write: the last few of each user."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import tempfile
from pathlib import Path

KEPT = 5
PREFIX = "efs-backup-logs."
NAME = re.compile(re.escape(PREFIX) + "[a-z0-9_]{8}")  # as mkdtemp makes them
LOG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\.(log|txt)")
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def new_directory(parent: Path) -> Path:
    """One for the logs of this run, in place of those of the oldest."""
    made = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    with contextlib.suppress(OSError):
        remove_older(made)
    return made


def remove_older(made: Path) -> None:
    """``made`` stays, although by the clock others may be newer. What may be another user's is not
    touched, no link is followed, and nothing but logs goes: a directory that only this user may
    write to has nothing in it that others have put there."""
    top = os.open(made.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        found = []
        for name in filter(NAME.fullmatch, os.listdir(top)):
            with contextlib.suppress(OSError):  # it is gone, or a mount that denies to be looked at
                info = os.stat(name, dir_fd=top, follow_symlinks=False)
                found += [(info.st_mtime_ns, name)] if is_own(info) and name != made.name else []
        for _, name in sorted(found)[: 1 - KEPT]:
            with contextlib.suppress(OSError):
                remove(name, top)
    finally:
        os.close(top)


def remove(name: str, top: int) -> None:
    directory = os.open(name, DIRECTORY, dir_fd=top)
    try:
        logs = os.listdir(directory)
        if is_own(os.fstat(directory)) and all(map(LOG.fullmatch, logs)):
            for each in logs:
                os.unlink(each, dir_fd=directory)
            os.rmdir(name, dir_fd=top)
    finally:
        os.close(directory)


def is_own(info: os.stat_result) -> bool:
    is_private = stat.S_ISDIR(info.st_mode) and stat.S_IMODE(info.st_mode) == 0o700
    return is_private and info.st_uid == os.geteuid()
