"""Directories get their attributes last: what is made or moved in one changes its time."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import NamedTuple

from engine.tree.descent import is_short, opened


class Directory(NamedTuple):
    """A directory and the attributes that it shall have in the end.

    only_time: it has all the others already.
    """

    path: str
    only_time: bool
    mode: int
    uid: int
    gid: int
    mtime_ns: int


def set_attributes(top: int, wanted: Directory) -> None:
    times = (wanted.mtime_ns, wanted.mtime_ns)
    if wanted.only_time and wanted.path and is_short(wanted.path):
        os.utime(wanted.path, ns=times, dir_fd=top, follow_symlinks=False)  # saves opening it
        return
    with opened(top, wanted.path) as descriptor:
        set_owner(descriptor, wanted)
        os.fchmod(descriptor, stat.S_IMODE(wanted.mode))
        os.utime(descriptor, ns=times)


def set_owner(descriptor: int, wanted: Directory) -> None:
    present = os.fstat(descriptor)
    if (present.st_uid, present.st_gid) != (wanted.uid, wanted.gid):
        if os.geteuid() == 0:
            os.fchown(descriptor, wanted.uid, wanted.gid)
        elif present.st_gid != wanted.gid:
            with contextlib.suppress(PermissionError):  # as rsync does
                os.fchown(descriptor, -1, wanted.gid)
