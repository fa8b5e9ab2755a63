"""Names that are one inode in the snapshot become one inode in the target.

That a file has more than one link says nothing in a snapshot: others hold the same inode. So a list
beside each snapshot tells which of its names share one; where there is none, any file with more
than one link may.
"""

from __future__ import annotations

import itertools
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from engine.command.files import nul_separated, opened_gzip, sort_records
from engine.target.records import Same, Wanted

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


WANTED = 0  # it is to be copied
APART = -1  # likewise, as its inode is another file's, too


class Name(NamedTuple):
    """live: the inode that the target has under this name, if it is as in the snapshot; or one of
    the two below."""

    path: str
    size: int
    saved: int
    live: int


class Shared:
    """A file of all names that may share an inode: there may be as many as files."""

    def __init__(self, work: Path) -> None:
        self._same = (work / "same").open("wb")
        self._names = (work / "names").open("wb")

    def add_same(self, files: Iterable[Same]) -> None:
        for file in files:
            line = f"{file.live_inode} {file.saved_inode} {file.size} {file.path}\0"
            self._same.write(os.fsencode(line))

    def add_wanted(self, file: Wanted) -> None:
        self._add(Name(file.path, file.size, file.inode, WANTED))

    def _add(self, name: Name) -> None:
        line = f"{name.saved} {name.live} {name.size} {name.path}\0"
        self._names.write(os.fsencode(line))

    def groups(self, differing: Iterable[bytes]) -> Iterator[list[Name]]:
        """The names of each inode of the snapshot. ``differing``: paths, in the order of their
        bytes, of files that turned out not to be as in the snapshot."""
        self._same.close()
        for name in self._told_apart(differing):
            self._add(name)
        self._names.close()
        path = Path(self._names.name)
        sort_records(path)
        names = map(_parse, nul_separated(path))
        for _, group in itertools.groupby(names, lambda name: name.saved):
            yield list(group)

    def _told_apart(self, differing: Iterable[bytes]) -> Iterator[Name]:
        """Files that are one in the target and several in the snapshot: one may stay, the others
        have to be copied."""
        path = Path(self._same.name)
        sort_records(path, "--field-separator= ", "--key=4")
        rest = iter(differing)
        other = next(rest, None)
        marked = path.with_suffix(".marked")
        with marked.open("wb") as file:
            for line in nul_separated(path):
                name = line.split(b" ", 3)[3]
                while other is not None and other < name:
                    other = next(rest, None)
                if name != other:
                    file.write(line + b"\0")
                # One that differs is in the journal, and among the wanted files, already.
        sort_records(marked)
        lines = (os.fsdecode(line).split(" ", 3) for line in nul_separated(marked))
        for live_inode, group in itertools.groupby(lines, lambda values: values[0]):
            staying = ""
            for _, inode, bytes_, path_ in group:
                staying = staying or inode
                state = int(live_inode) if inode == staying else APART
                yield Name(path_, int(bytes_), int(inode), state)


def _parse(line: bytes) -> Name:
    saved, live, size, path = os.fsdecode(line).split(" ", 3)
    return Name(path, int(size), int(saved), int(live))
