"""Names that share an inode, brought together though a walk meets them apart."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from engine.command.files import nul_separated, sort_records
from engine.stage.report import AT_LIMIT, MISSING, SharedName


class SharedNames:
    """A file of all such names, sorted outside of memory: they may be as many as the files."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = self._path.open("wb")

    def add(self, names: Iterable[SharedName]) -> None:
        for name in names:
            line = f"{name.key} {name.size} {name.inode} {name.path}\0"
            self._file.write(os.fsencode(line))

    def groups(self) -> Iterator[list[SharedName]]:
        """The names of each inode."""
        self._file.close()
        sort_records(self._path)
        names = map(_parse, nul_separated(self._path))
        for _, group in itertools.groupby(names, lambda name: name.key):
            yield one_each(group)


def one_each(names: Iterable[SharedName]) -> list[SharedName]:
    """A name that was to be copied later has the last word on itself."""
    return [*{name.path: name for name in sorted(names, key=lambda name: -name.inode)}.values()]


def is_settled(names: list[SharedName]) -> bool:
    """Whether the stage has one inode for all of them."""
    return len({name.inode for name in names}) == 1 and names[0].inode not in (MISSING, AT_LIMIT)


def _parse(line: bytes) -> SharedName:
    key, size, inode, path = os.fsdecode(line).split(" ", 3)
    return SharedName(key, int(size), int(inode), path)
