"""The files whose turn it is to be restored for a test: each version, from the oldest snapshot that
has it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from engine.command.files import nul_separated, sort_records
from engine.history.catalog import DamagedCatalog
from engine.history.members import Catalogs, Member, sources
from engine.history.search import grouped, versions
from engine.history.writing import Tools
from engine.target.records import Wanted
from engine.tree.attributes import Directory
from engine.tree.descent import is_inner_path
from engine.trial.rotation import part_of

FILES_AT_ONCE = 1000
FORMAT = b"%02d%06d%020d%32b"  # of a file; its path follows
START = 60


class File(NamedTuple):
    """A version of a file. turn: in which it is tested. place: its snapshot's, of which 0 is the
    oldest. md5: of what it held; empty if nobody knows."""

    turn: int
    place: int
    size: int
    md5: bytes
    path: bytes

    def record(self) -> bytes:
        return FORMAT % self[:4] + self.path + b"\0"

    @classmethod
    def parse(cls, record: bytes) -> File:
        turn, place, size = (int(record[begin:end]) for begin, end in ((0, 2), (2, 8), (8, 28)))
        return cls(turn, place, size, record[28:START].strip(), record[START:])


class Batch(NamedTuple):
    """Files of one snapshot, as they are fetched: each for itself, into an empty directory."""

    files: Sequence[File]

    def folders(self) -> Iterable[str]:
        return dict.fromkeys(os.path.dirname(os.fsdecode(file.path)) for file in self.files)

    def directories(self) -> Iterable[Directory]:
        return ()

    def links(self) -> Iterable[tuple[str, str]]:
        return ()

    def singles(self) -> Iterable[Wanted]:
        for file in self.files:
            yield Wanted(os.fsdecode(file.path), file.size, 0, False, 0, False)

    def groups(self) -> Iterable[list[Wanted]]:
        return ()

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


def select(
    members: Sequence[Member], catalogs: Catalogs, parts: Sequence[int], tools: Tools
) -> tuple[Path, list[Member], list[Member]]:
    """The files whose turn it is: a file of records, by turn, snapshot and path. Also the snapshots
    that have them, oldest first, and those whose catalogs are missing.

    members: those of one chain, newest first.
    """
    target = tools.work / "turns"
    turn_of = {part: turn for turn, part in enumerate(parts)}
    watch = tools.watcher()
    damaged: set[Path] = set()

    def matches(path: bytes) -> bool:
        watch()
        return part_of(path) in turn_of

    while True:
        those, lost = sources(members, catalogs, damaged)
        wholes = [number for number, source in enumerate(those) if source.is_whole]
        try:
            with target.open("wb") as file:
                for path, events in grouped(those, matches):
                    for fields, ranges in versions(events, wholes, len(those), bytes):
                        if fields[:1] == b"f" and is_inner_path(path):
                            turn = turn_of[part_of(path)]
                            places = (len(those) - end for _, end in ranges)
                            file.writelines(record_of(turn, each, fields, path) for each in places)
        except DamagedCatalog as error:
            damaged.add(error.path)
            continue
        sort_records(target, "--key=1.1,1.8", f"--key=1.{START + 1}")
        return target, [source.member for source in reversed(those)], lost


def record_of(turn: int, place: int, fields: bytes, path: bytes) -> bytes:
    _, size, _, md5, _ = fields.split(b"\t", 4)
    return File(turn, place, int(size), md5, path).record()


def batches(files: Iterable[File], most: int) -> Iterator[Batch]:
    """One that is larger than ``most`` (in bytes) has one file."""
    batch: list[File] = []
    size = 0
    for file in files:
        if batch and (len(batch) == FILES_AT_ONCE or size + file.size > most):
            yield Batch(batch)
            batch, size = [], 0
        batch.append(file)
        size += file.size
    if batch:
        yield Batch(batch)


def by_turn(records: Path, count: int) -> Iterator[Iterator[File]]:
    """The files of each of ``count`` turns; there may be none of one."""
    groups = itertools.groupby(map(File.parse, nul_separated(records)), attrgetter("turn"))
    group = next(groups, None)
    for turn in range(count):
        if group and group[0] == turn:
            yield group[1]
            group = next(groups, None)
        else:
            yield iter(())
