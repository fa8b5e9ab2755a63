"""An entry of a directory, as a listing with attributes tells of it.

Nothing here touches a file system.
"""

from __future__ import annotations

import os
import stat
from enum import Enum
from typing import NamedTuple, Union


class NoInode(Enum):
    """In place of an inode's number, where that does not matter: directories are never linked."""

    DIRECTORY = "directory"


DIRECTORY = NoInode.DIRECTORY
Placed = Union[int, NoInode]
"""What a directory has under a name: a file's inode, or a directory."""


class File(NamedTuple):
    """An entry of a directory. The first five fields are what rsync keeps."""

    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int
    links: int
    blocks: int

    @property
    def kept(self) -> tuple[int, int, int, int, int]:
        """What a copy keeps of it, besides its content."""
        return self[:5]

    @property
    def is_sparse(self) -> bool:
        return self.blocks * 512 < self.size and stat.S_ISREG(self.mode)

    @property
    def bytes(self) -> int:
        """Its size as rsync counts it."""
        return self.size if stat.S_ISREG(self.mode) or stat.S_ISLNK(self.mode) else 0


def file_of(info: os.stat_result) -> File:
    return File(
        info.st_mode,
        info.st_uid,
        info.st_gid,
        info.st_size,
        info.st_mtime_ns,
        info.st_ctime_ns,
        info.st_ino,
        info.st_dev,
        info.st_nlink,
        info.st_blocks,
    )


def is_device(mode: int) -> bool:
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)


def attributes(info: os.stat_result) -> tuple[int, int, int, int]:
    return info.st_mode, info.st_uid, info.st_gid, info.st_mtime_ns
