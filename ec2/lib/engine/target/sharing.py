"""Names that are one inode in the snapshot become one inode in the target.

That a file has more than one link says nothing in a snapshot: others hold the same inode. So a list
beside each snapshot tells which of its names share one; where there is none, any file with more
than one link may.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from engine.command.files import nul_separated, opened_gzip
from engine.target.records import Wanted
from engine.tree.sharing import Lack, SharedName, SharedNames

BITS = 1 << 27  # 16 MiB; with eight million names every 16th other seems to be one of them


class SharingNames:
    """Tells paths that share no inode from those that may. Takes the same memory for any number."""

    def __init__(self, paths: Iterable[bytes] | None) -> None:
        """``paths``: those that do share one, or None if that is not known."""
        self.are_known = paths is not None
        self._bits: bytearray | None = None
        for path in paths or ():
            self._bits = self._bits or bytearray(BITS // 8)
            place = zlib.crc32(path) % BITS
            self._bits[place // 8] |= 1 << place % 8

    def may_share(self, path: str) -> bool:
        if not self.are_known:
            return True
        if self._bits is None:
            return False
        place = zlib.crc32(os.fsencode(path)) % BITS
        return bool(self._bits[place // 8] >> place % 8 & 1)


def read_sharing(path: Path | None) -> SharingNames:
    """What the list of a snapshot says; one that is missing or damaged says nothing."""
    if path is None:
        return SharingNames(None)
    try:
        with opened_gzip(path) as file:
            return SharingNames(nul_separated(cast(BinaryIO, file)))
    except (OSError, EOFError, zlib.error):
        return SharingNames(None)


class Shared:
    """All names that may share an inode: there may be as many as files."""

    def __init__(self, work: Path) -> None:
        self._same = SharedNames(work / "same")  # by the live inode
        self._names = SharedNames(work / "names")  # by the snapshot's

    def add_same(self, names: Iterable[SharedName]) -> None:
        """By the live inode; which one the snapshot has."""
        self._same.add(names)

    def add_wanted(self, file: Wanted) -> None:
        self._names.add([SharedName(str(file.inode), file.size, Lack.MISSING, file.path)])

    def groups(self, differing: Iterable[bytes]) -> Iterator[list[SharedName]]:
        """By the snapshot's inode; which one the live tree has. ``differing``: paths, in the order
        of their bytes, of files that turned out not to be as in the snapshot."""
        self._same.forget(differing)  # they are in the journal, and among the wanted files, already
        for names in self._same.groups():
            for name in names:
                # Several in the snapshot: one may stay, the others have to be copied.
                stays = name.inode == names[0].inode
                live = int(name.key) if stays else Lack.APART
                self._names.add([SharedName(str(name.inode), name.size, live, name.path)])
        return self._names.groups()
