"""System calls that Python has no function for, by their numbers (the same on every processor)."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from functools import cache

_OPEN_TREE, _MOVE_MOUNT, _OPENAT2, _MOUNT_SETATTR = 428, 429, 437, 442

_AT_EMPTY_PATH, _AT_RECURSIVE = 0x1000, 0x8000
_CLONE_NEWNS = 0x20000
_MNT_DETACH = 2
_MOUNT_ATTR_RDONLY, _MOUNT_ATTR_NOSYMFOLLOW = 0x1, 0x200000
_MOVE_MOUNT_F_EMPTY_PATH = 0x4
_MS_REC, _MS_SLAVE = 0x4000, 0x80000
_OPEN_TREE_CLONE = 1
_RESOLVE_NO_SYMLINKS, _RESOLVE_BENEATH = 0x4, 0x8


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(returned: int, path: bytes = b"") -> int:
    if returned < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fsdecode(path))
    return returned


def open_beneath(path: bytes, flags: int, directory: int) -> int:
    """Open ``path`` without leaving ``directory``, and without following any symbolic link.

    Raises :class:`NotImplementedError` where the kernel (before 5.6) or a filter does not know it.
    """
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, 0, _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS)
    while True:
        try:
            return _checked(_libc().syscall(_OPENAT2, directory, path, how, len(how)), path)
        except OSError as error:
            if error.errno in (errno.ENOSYS, errno.EPERM):
                raise NotImplementedError from error
            if error.errno not in (errno.EAGAIN, errno.EINTR):
                raise


def unshare_mounts() -> None:
    """From now on, what this process and its children mount is theirs alone."""
    _checked(_libc().unshare(_CLONE_NEWNS))
    _checked(_libc().mount(None, b"/", None, _MS_REC | _MS_SLAVE, None))


def mount_again(directory: int, place: bytes, read_only: bool) -> None:
    """Have what is at and below ``directory`` at ``place``, too, where no link is followed.

    Linux 5.12 or newer.
    """
    flags = _OPEN_TREE_CLONE | _AT_EMPTY_PATH | _AT_RECURSIVE | os.O_CLOEXEC
    tree = _checked(_libc().syscall(_OPEN_TREE, directory, b"", flags))
    try:
        attributes = _MOUNT_ATTR_NOSYMFOLLOW | (_MOUNT_ATTR_RDONLY if read_only else 0)
        wanted = struct.pack("QQQQ", attributes, 0, 0, 0)
        where = _AT_EMPTY_PATH | _AT_RECURSIVE
        _checked(_libc().syscall(_MOUNT_SETATTR, tree, b"", where, wanted, len(wanted)))
        flags = _MOVE_MOUNT_F_EMPTY_PATH
        _checked(_libc().syscall(_MOVE_MOUNT, tree, b"", -100, place, flags), place)
    finally:
        os.close(tree)


def unmount(place: bytes) -> None:
    """At once, and for what still uses it when that ends."""
    _checked(_libc().umount2(place, _MNT_DETACH), place)
