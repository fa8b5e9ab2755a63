"""What a restore is going to do, as it is written to disk: memory does not grow with it."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

Attributes = tuple[int, int, int, int]
"""Of a directory: mode, owner, group, and modification time in ns."""


@dataclass
class Record:
    """What changes in one live directory, or a part of it: a line of the journal.

    inode: the directory's, by which it is told from another that was put in its place. was, then:
    its attributes before and after. moved: names of what is set aside. files, trees: names of what
    is put in place. Paths are relative to the directory that the restore is told of.
    """

    folder: str
    inode: int
    was: Attributes
    then: Attributes
    moved: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    trees: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Each once."""
        return [*dict.fromkeys([*self.moved, *self.files, *self.trees])]

    def __len__(self) -> int:
        return len(self.moved) + len(self.files) + len(self.trees)

    def blank(self) -> Record:
        """Another one of this directory."""
        return Record(self.folder, self.inode, self.was, self.then)

    def parts(self, size: int) -> Iterator[Record]:
        """Itself in parts that can be done at the same time, each with all about its names."""
        moved = set(self.moved)
        names = sorted(self.names)
        kinds = {**dict.fromkeys(self.files, "files"), **dict.fromkeys(self.trees, "trees")}
        for start in range(0, max(len(names), 1), size):
            part = self.blank()
            for name in names[start : start + size]:
                if name in moved:
                    part.moved.append(name)
                if name in kinds:
                    getattr(part, kinds[name]).append(name)
            yield part

    def line(self) -> str:
        values = (self.folder, self.inode, self.was, self.then, self.moved, self.files, self.trees)
        return json.dumps(values) + "\n"


def read_records(journal: Path) -> Iterator[Record]:
    with journal.open() as lines:
        for line in lines:
            folder, inode, was, then, *names = json.loads(line)
            yield Record(folder, inode, tuple(was), tuple(then), *names)


def folders(records: Iterable[Record]) -> Iterator[str]:
    """What they are about; the parts of one directory follow each other, mostly."""
    return (folder for folder, _ in itertools.groupby(record.folder for record in records))


class Wanted(NamedTuple):
    """A file of the snapshot that has to be copied.

    may_share: whether other names may share its inode.
    """

    path: str
    size: int
    blocks: int
    is_sparse: bool
    inode: int
    may_share: bool


def wanted_line(file: Wanted) -> bytes:
    numbers = f"{file.size} {file.blocks} {file.is_sparse:d} {file.inode} {file.may_share:d} "
    return os.fsencode(numbers + file.path) + b"\0"


def parse_wanted(line: bytes) -> Wanted:
    size, blocks, is_sparse, inode, may_share, path = os.fsdecode(line).split(" ", 5)
    return Wanted(path, int(size), int(blocks), is_sparse == "1", int(inode), may_share == "1")


def is_inside(path: str, asked: Iterable[str]) -> bool:
    """Whether ``path`` is, or is below, one of the paths that were asked for."""
    return any(not one or path == one or path.startswith(one + "/") for one in asked)
