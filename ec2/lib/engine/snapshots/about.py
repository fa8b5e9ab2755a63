"""What is known of one snapshot, and how a small file says it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

SECOND = 10**9  # ns
LATEST = 253402300800  # the year 10000, which no calendar of ours has


class Damaged(Exception):
    """A small file that does not hold what was written to it."""


@dataclass(frozen=True)
class Note:
    """What the next runs have to know of the one that made a snapshot.

    started: by the clock of the backup file system, in ns. files: how many there are in it.
    changes: how many it has, or has no longer, other than the snapshot before. differed: how many
    files of the spare had to be replaced, when a stage was last made of one. differed_over: by how
    many runs that was older than the newest snapshot. apart: by how many the spare is now; 0 if
    that is not known. verified_to: where the next verification begins, see
    :class:`engine.stage.reading_back.Window`. source: see :func:`source_identity`. is_partial: it
    has older versions of some files, or lacks some. is_upheaval: many were changed or removed.
    excludes: the patterns of what was left out, a line each. excludes_caches: whether what is in
    caches was, too.
    """

    started: int
    files: int = 0
    changes: int = 0
    differed: int = 0
    verified_to: int = 0
    source: int = 0
    is_partial: bool = False
    apart: int = 0
    differed_over: int = 0
    is_upheaval: bool = False
    excludes: str = ""
    excludes_caches: bool = False

    def has_excludes_of(self, other: Note) -> bool:
        one, two = ((run.excludes, run.excludes_caches) for run in (self, other))
        return one == two


def source_identity(top: int) -> int:
    """What tells the directory that is open as ``top`` from other ones, as far as that can be told:
    a number from those of its file system and of itself. Not 0."""
    system = os.fstatvfs(top).f_fsid & 0xFFFFFFFF
    return (system << 64 | os.fstat(top).st_ino) + 1


class Witness(NamedTuple):
    """What a snapshot has at ``path``, by what every copy keeps; zeros if it has nothing there."""

    path: str
    mode: int = 0
    size: int = 0
    mtime_ns: int = 0
    uid: int = 0
    gid: int = 0

    def is_like(self, other: Witness) -> bool:
        """Some copies have no fractions of seconds."""
        second = other.mtime_ns // SECOND * SECOND
        return self in (other, other._replace(mtime_ns=second))


@dataclass(frozen=True)
class About:
    """sequence: higher for a later snapshot. run: None if version 1.5 made it. made: seconds since
    1970; None while it is a stage. interval: of the runs among which it was made."""

    id: str
    sequence: int
    inode: int
    origin: tuple[int, int]
    run: Note | None
    made: float | None = None
    witnesses: list[Witness] = field(default_factory=list)
    interval: str = ""


def inode_of(tree: Path) -> int:
    return tree.stat().st_ino


def parse(identifier: str, text: bytes) -> About:
    """Raises :class:`Damaged`. Fields that this version does not know are passed over."""
    try:
        found = json.loads(text)
        made, run = found["made"], found["run"]
        if made is not None and not 0 <= made < LATEST:
            raise ValueError(f"{made!r} is no time")
        return About(
            identifier,
            int(found["sequence"]),
            int(found["inode"]),
            (int(found["origin"][0]), int(found["origin"][1])),
            None if run is None else run_from(run),
            None if made is None else float(made),
            [Witness(str(path), *map(int, numbers)) for path, *numbers in found["witnesses"]],
        )
    except (ValueError, TypeError, KeyError, IndexError, RecursionError, OverflowError) as error:
        raise Damaged(str(error) or type(error).__name__) from error


def run_from(found: dict[str, Any]) -> Note:
    values = {each.name: found[each.name] for each in fields(Note) if each.name in found}
    for each in fields(Note):
        if type(values.get(each.name, each.default)).__name__ != each.type:
            raise TypeError(f"{each.name} is not of type {each.type}")
    return Note(**values)
