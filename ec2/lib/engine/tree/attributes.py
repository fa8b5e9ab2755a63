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


def directory_line(directory: Directory) -> bytes:
    path, *numbers = directory
    return os.fsencode(" ".join([*map(str, map(int, numbers)), path])) + b"\0"


def parse_directory(line: bytes) -> Directory:
    *numbers, path = os.fsdecode(line).split(" ", 5)
    only_time, mode, uid, gid, mtime_ns = map(int, numbers)
    return Directory(path, bool(only_time), mode, uid, gid, mtime_ns)


def set_attributes(top: int, wanted: Directory) -> None:
    times = (wanted.mtime_ns, wanted.mtime_ns)
    if wanted.only_time and wanted.path and is_short(wanted.path):
        os.utime(wanted.path, ns=times, dir_fd=top, follow_symlinks=False)  # saves opening it
        return
    with opened(top, wanted.path) as descriptor:
        set_attributes_of(descriptor, wanted)


def set_attributes_of(descriptor: int, wanted: Directory) -> None:
    present = os.fstat(descriptor)
    is_owned = (present.st_uid, present.st_gid) == (wanted.uid, wanted.gid)
    if not is_owned:
        set_owner(descriptor, present, wanted)
    # With the owner, bits of the mode may have changed.
    if not is_owned or stat.S_IMODE(present.st_mode) != stat.S_IMODE(wanted.mode):
        os.fchmod(descriptor, stat.S_IMODE(wanted.mode))
    os.utime(descriptor, ns=(wanted.mtime_ns, wanted.mtime_ns))


def set_owner(descriptor: int, present: os.stat_result, wanted: Directory) -> None:
    if os.geteuid() == 0:
        os.fchown(descriptor, wanted.uid, wanted.gid)
    elif present.st_gid != wanted.gid:
        with contextlib.suppress(PermissionError):  # as rsync does
            os.fchown(descriptor, -1, wanted.gid)
