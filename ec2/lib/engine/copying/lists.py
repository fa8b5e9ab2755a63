"""Cutting what has to be copied into lists, while more of it is still being found."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from typing import NamedTuple

from engine.copying.job import write_groups
from engine.copying.rsync import Copying
from engine.tree.descent import TOP

FILES_PER_JOB = 1000
BYTES_PER_JOB = 1 << 30
LONGEST_NAME = 3000  # bytes; with what rsync puts before it, it stays below its limit of 4096
MOST_JOBS = 200
FEWEST_FILES = 25  # an rsync costs as much as copying a few files

Group = list[tuple[str, int]]  # paths and sizes; one list has them all


class Lists:
    """Hands what it is given to ``copying``, in lists that keep all of its jobs busy."""

    def __init__(self, copying: Copying, *options: str) -> None:
        self._shallow = Batch(copying, options)
        # What lies close together comes one after the other: one directory at a time is enough.
        self._deep = Batch(copying, options)

    def add(self, group: Group) -> None:
        """Have it copied; as several files if :func:`fits` says that it cannot be one."""
        if not fits(group):
            for file in group:
                self.add([file])
            return
        base, _ = cut(group[0][0])
        if base == TOP:
            self._shallow.add(group)
            return
        if base != self._deep.base:
            self._deep.finish()
            self._deep.base = base
        self._deep.add(group)

    def finish(self, apart: bool = False) -> None:
        """Begin the last jobs; see :meth:`Batch.finish`."""
        self._shallow.finish(apart)
        self._deep.finish(apart)


class ByKind(NamedTuple):
    """Lists for what rsync has to be told to keep: holes, and names that share an inode."""

    singles: Lists
    sparse: Lists
    groups: Lists

    @classmethod
    def of(cls, copying: Copying) -> ByKind:
        groups = Lists(copying, "--hard-links", "--sparse")
        return cls(Lists(copying), Lists(copying, "--sparse"), groups)

    def finish(self, apart: bool = False) -> None:
        for lists in self:
            lists.finish(apart)


def fits(group: Group) -> bool:
    """Whether one rsync can copy all of it: it has to run where all names are short."""
    bases = {cut(path)[0] for path, _ in group}
    return len(bases) == 1


def cut(path: str) -> tuple[str, str]:
    """A directory to run rsync in, and how ``path`` is called from there: short enough for it."""
    if len(path) * 4 <= LONGEST_NAME:
        return TOP, path
    names = os.fsencode(path)
    start = 0
    while len(names) - start > LONGEST_NAME:
        start = names.rindex(b"/", start, start + LONGEST_NAME) + 1
    return os.fsdecode(names[: max(start - 1, 0)]), os.fsdecode(names[start:])


class Batch:
    """Files below one directory, ``base``."""

    def __init__(self, copying: Copying, options: tuple[str, ...]) -> None:
        self.base = TOP
        self._copying = copying
        self._options = options
        self._groups: list[Group] = []
        self._files = self._bytes = 0

    def add(self, group: Group) -> None:
        size = sum(size for _, size in group)
        if self._files and self._bytes + size > BYTES_PER_JOB:
            self._begin(self._groups)
        self._groups.append(group)
        self._files += len(group)
        self._bytes += size
        idle = self._files >= FILES_PER_JOB // 10 and self._copying.has_room
        if self._files >= FILES_PER_JOB or idle:
            self._begin(self._groups)

    def finish(self, apart: bool = False) -> None:
        """As many jobs as can be at work at once, unless that is too few files each.

        apart: a job for each file, unless these are too many.
        """
        groups = self._groups
        length = max(math.ceil(len(groups) / self._copying.jobs), FEWEST_FILES)
        if apart and len(groups) <= MOST_JOBS:
            length = 1
        for start in range(0, len(groups), length):
            self._begin(groups[start : start + length])

    def _begin(self, groups: Iterable[Group]) -> None:
        path = self._copying.work / f"list.{self._copying.submitted}"
        # rsync takes a name that begins with '#' or ';' for a comment.
        names = ((b"./" + os.fsencode(cut(name)[1]) for name, _ in group) for group in groups)
        write_groups(path, names)
        self._copying.add(path, *self._options, base=self.base)
        self._groups = []
        self._files = self._bytes = 0
