"""What differs between two snapshots, from their catalogs."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from engine.command.outcome import Refused
from engine.history.catalog import (
    DamagedCatalog,
    Difference,
    Version,
    changes,
    differences,
    entries,
)
from engine.history.members import Catalogs, Member, between
from engine.history.search import Matches, Pattern, matcher

Numbered = tuple[bytes, int, Difference]
PER_PAGE = 50
KINDS = ("added", "changed", "removed", "metadata")


class ChangedFile(NamedTuple):
    """kind: metadata if the content is the same. before, after: None where there is nothing."""

    kind: str
    path: bytes
    before: Version | None
    after: Version | None

    @property
    def size(self) -> int:
        version = self.after or self.before
        return version.size if version else 0


@dataclass
class Changes:
    """files and bytes: by kind; those of the newer state, and of what was removed. is_anything:
    False if it is known that neither has what was asked about."""

    files: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    bytes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    found: list[ChangedFile] = field(default_factory=list)
    is_anything: bool = True

    @property
    def total(self) -> int:
        return sum(self.files.values())


def compare(
    begin: Member,
    end: Member,
    members: Sequence[Member],
    catalogs: Catalogs,
    inside: str = "",
    page: int = 1,
    per_page: int = PER_PAGE,
) -> Changes:
    """From ``begin`` to ``end``, whichever is older. Raises :class:`Refused` if the catalog of one
    is missing or damaged."""
    matches = matcher([Pattern.path(inside)])
    newer, older = sorted((begin, end), key=members.index)
    damaged: set[Path] = set()
    while True:
        try:
            found = _differences(newer, older, members, catalogs, damaged)
            if begin == newer:
                found = ((path, new, old) for path, old, new in found)
            counted = _counted(found, matches, page, per_page)
            if matches and not counted.total:
                counted.is_anything = any(
                    has(each, matches, catalogs, damaged) for each in (newer, older)
                )
            return counted
        except DamagedCatalog as error:
            damaged.add(error.path)


def has(member: Member, matches: Matches, catalogs: Catalogs, damaged: set[Path]) -> bool:
    """Whether it has a file that matches, or may have one: its catalog is missing or damaged."""
    path = catalogs.catalog(member) if member.id else None
    return path is None or path in damaged or any(matches(name) for name, _ in entries(path))


def _differences(
    newer: Member,
    older: Member,
    members: Sequence[Member],
    catalogs: Catalogs,
    damaged: set[Path],
) -> Iterator[Difference]:
    paths = between(newer, older, members, catalogs, damaged)
    if paths is not None:
        return joined(map(changes, paths))
    wholes = [catalogs.catalog(each) if each.id else None for each in (older, newer)]
    for member, path in zip((older, newer), wholes):
        if not path or path in damaged:
            raise Refused(
                f"{member} cannot be compared: its catalog is missing or damaged. The next backup "
                "writes it anew",
                "catalog",
            )
    one, other = (path for path in wholes if path)
    return differences(one, other)


def joined(steps: Iterable[Iterator[Difference]]) -> Iterator[Difference]:
    """As one step; the steps are newest first."""

    def numbered(number: int, step: Iterator[Difference]) -> Iterator[Numbered]:
        return ((each[0], number, each) for each in step)

    every = heapq.merge(*(numbered(*each) for each in enumerate(steps)))
    for path, group in itertools.groupby(every, itemgetter(0)):
        those = [difference for _, _, difference in group]
        yield path, those[-1][1], those[0][2]


def _counted(
    found: Iterable[Difference], matches: Matches | None, page: int, per_page: int
) -> Changes:
    result = Changes()
    first = (page - 1) * per_page
    for difference in found:
        change = judged(difference) if not matches or matches(difference[0]) else None
        if change is None:
            continue
        if first <= result.total < first + per_page:
            result.found.append(change)
        result.files[change.kind] += 1
        result.bytes[change.kind] += change.size
    return result


def judged(difference: Difference) -> ChangedFile | None:
    path, old, new = difference
    before, after = (None if each is None else Version.parse(each) for each in (old, new))
    if before is None or after is None:
        if before is after:
            return None
        return ChangedFile("added" if before is None else "removed", path, before, after)
    if not before.has_content_of(after):
        return ChangedFile("changed", path, before, after)
    return None if before.is_like(after) else ChangedFile("metadata", path, before, after)
