"""Names that share an inode, brought together though they are met apart."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import NamedTuple, Union

from engine.command.files import nul_separated, sort_records
from engine.tree.listings import Beside


class Lack(Enum):
    """Why there is no inode under a name: it has to be copied."""

    MISSING = "missing"
    APART = "apart"  # as its inode is another file's, too
    AT_LIMIT = "unlinkable"  # as its inode cannot have one more name

    def __str__(self) -> str:
        return self.value


Inode = Union[int, Lack]


class SharedName(NamedTuple):
    """key: tells from all others what inode it is that names share. inode: what another tree has
    under the name."""

    key: str
    size: int
    inode: Inode
    path: str


def are_one(names: list[SharedName]) -> bool:
    """Whether there is one inode under all of them."""
    return len({name.inode for name in names}) == 1 and isinstance(names[0].inode, int)


class SharedNames:
    """A file of all such names, sorted outside of memory: they may be as many as the files."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb")

    def add(self, names: Iterable[SharedName]) -> None:
        for name in names:
            line = f"{name.key} {name.size} {name.inode} {name.path}\0"
            self._file.write(os.fsencode(line))

    def forget(self, paths: Iterable[bytes]) -> None:
        """``paths``: in the order of their bytes. Nothing is added any more."""
        self._file.close()
        sort_records(self._path, "--field-separator= ", "--key=4")
        gone = Beside((path, True) for path in paths)
        kept = self._path.with_suffix(".kept")
        with kept.open("wb") as file:
            for line in nul_separated(self._path):
                if not gone.at(line.split(b" ", 3)[3]):
                    file.write(line + b"\0")
        kept.replace(self._path)

    def groups(self) -> Iterator[list[SharedName]]:
        """The names of each inode; each once, and without an inode if it lacks one anywhere."""
        self._file.close()
        sort_records(self._path)
        names = map(_parse, nul_separated(self._path))
        for _, group in itertools.groupby(names, lambda name: name.key):
            yield [*{name.path: name for name in group}.values()]  # words come after numbers


def _parse(line: bytes) -> SharedName:
    key, size, inode, path = os.fsdecode(line).split(" ", 3)
    return SharedName(key, int(size), int(inode) if inode.isdigit() else Lack(inode), path)
