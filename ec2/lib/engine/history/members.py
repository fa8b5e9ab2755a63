"""The snapshots of a folder as a question is asked of them, newest first, and where their catalogs
are: beside them, or wherever these were brought to.

Snapshots that runs of one interval made follow one upon the other: each but the newest knows how
the next newer one differs. Whatever they are called by now, and whichever are gone, that holds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from engine.command.outcome import Refused
from engine.command.text import spoken
from engine.history.catalog import DamagedCatalog, Difference, Link, Version, changes, link_of
from engine.snapshots.about import LATEST
from engine.snapshots.retention import HELD

DATE = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\dZ)?)?", re.ASCII)
FEW_BYTES = 10_000  # compressed


@dataclass(frozen=True)
class Member:
    """id: in the names of its lists; empty if nothing is known of it. made: seconds since 1970.
    chain: the interval of the runs among which it was made. files, bytes, frees: None if that is
    not known. frees: what removing it would. why: it is kept."""

    id: str
    name: str
    made: float
    chain: str = ""
    is_partial: bool = False
    files: int | None = None
    bytes: int | None = None
    frees: int | None = None
    why: str = ""

    @property
    def date(self) -> str:
        return spoken(self.made)

    @property
    def is_held(self) -> bool:
        return self.name.startswith(HELD)

    def __str__(self) -> str:
        return f"{self.name} (made {self.date})"


class Catalogs(Protocol):
    """Where they are. None: there is none, or it cannot be had."""

    def catalog(self, member: Member) -> Path | None: ...

    def changes(self, member: Member) -> Path | None: ...


def to_json(members: Iterable[Member]) -> str:
    return json.dumps({"snapshots": [asdict(each) for each in members]}, indent=1)


def from_json(text: bytes) -> list[Member]:
    """Raises ValueError for what no run wrote."""
    try:
        return [_member(found) for found in json.loads(text)["snapshots"]]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"the list of snapshots is damaged: {error!r}") from error


def _member(found: dict[str, Any]) -> Member:
    member = Member(**{each.name: found[each.name] for each in fields(Member)})
    texts = (member.id, member.name, member.chain, member.why)
    numbers = (member.files, member.bytes, member.frees)
    if not all(isinstance(each, str) for each in texts):
        raise TypeError("a name is no text")
    if not all(each is None or isinstance(each, int) for each in numbers):
        raise TypeError("a number is none")
    if not 0 <= member.made < LATEST:
        raise ValueError(f"{member.made!r} is no time")
    return replace(member, made=float(member.made), is_partial=bool(member.is_partial))


def chosen(text: str, members: Sequence[Member]) -> Member:
    """The one that is meant by its name, that of its hold, or when it was made. Raises
    :class:`Refused`, and names the nearest."""
    named = [each for each in members if each.name in (text, f"{HELD}{text}")]
    dated = [each for each in members if DATE.fullmatch(text) and each.date.startswith(text)]
    found = named or dated
    if len(found) > 1:
        raise Refused(
            f"{text} means {' and '.join(map(str, found))}; give the time of one", "snapshot"
        )
    if found:
        return found[0]
    if DATE.fullmatch(text):
        before = [each for each in members if each.date < text][:1]
        after = [each for each in members if each.date >= text][-1:]
        near = ", ".join(map(str, sorted(before + after, key=lambda each: each.made)))
        raise Refused(f"no snapshot was made {text}; the nearest: {near or 'none'}", "snapshot")
    there = ", ".join(map(str, members)) or "none"
    raise Refused(f"there is no snapshot {text}; there are: {there}", "snapshot")


def unambiguous(member: Member, members: Iterable[Member]) -> str:
    """How to name it in a command that may be given later: by its date, unless others have it."""
    # By seconds, as the date tells them: to spell the date of each, for each, takes long.
    is_shared = any(int(each.made) == int(member.made) and each != member for each in members)
    return member.name if member.is_held or is_shared else member.date


@dataclass(frozen=True)
class Source:
    """What is read for one member: its catalog, or only its changes to the source before."""

    member: Member
    path: Path
    is_whole: bool


def sources(
    members: Iterable[Member], catalogs: Catalogs, damaged: set[Path]
) -> tuple[list[Source], list[Member]]:
    """As little as tells what each has; and those that cannot be searched."""
    found: list[Source] = []
    lost: list[Member] = []
    before: Member | None = None  # the next newer one of the chain, if it can be searched
    for member in members:
        changed = link = None
        if before and before.chain == member.chain and member.id:
            changed = catalogs.changes(member)
            link = link_of(changed) if changed not in damaged else None
        if before and changed and link and (link.snapshot, link.newer) == (member.id, before.id):
            found.append(Source(member, changed, False))
        else:
            path = catalogs.catalog(member) if member.id else None
            if not path or path in damaged:
                lost.append(member)
                before = None
                continue
            found.append(Source(member, path, True))
        before = member
    return found, lost


def with_sizes(
    members: Sequence[Member],
    catalogs: Catalogs,
    damaged: set[Path],
    known: Mapping[str, Link] = MappingProxyType({}),
) -> list[Member]:
    """With what the changes tell of files, bytes, and what removing each would free.

    known: what was read of some already, by identifiers. What turns out to be damaged is added.
    """
    found = []
    links = [known.get(each.id) or _link(each, catalogs) for each in members]
    read = _Read(catalogs)
    for number, member in enumerate(members):
        link = links[number]
        if link:
            member = replace(member, files=link.files, bytes=link.bytes)
            try:
                frees = _freed(number, members, links, read, link.bytes)
                member = replace(member, frees=frees)
            except DamagedCatalog as error:
                damaged.add(error.path)
        found.append(member)
    return found


def _link(member: Member, catalogs: Catalogs) -> Link | None:
    link = link_of(catalogs.changes(member)) if member.id else None
    return link if link and link.snapshot == member.id else None


class _Read:
    """The changes of one member after the other. Each is asked for twice in a row: so a few are
    read once."""

    def __init__(self, catalogs: Catalogs) -> None:
        self._catalogs = catalogs
        self._last: tuple[Member, list[Difference]] | None = None

    def __call__(self, member: Member) -> Iterable[Difference]:
        if self._last and self._last[0] is member:
            return self._last[1]
        path = self._catalogs.changes(member)
        assert path
        if path.stat().st_size > FEW_BYTES:
            return changes(path)
        self._last = (member, [*changes(path)])
        return self._last[1]


def _freed(
    number: int,
    members: Sequence[Member],
    links: Sequence[Link | None],
    changes_of: _Read,
    everything: int,
) -> int | None:
    """What neither of its neighbours has: nobody else has what these have not."""
    member = members[number]
    newer = members[number - 1] if number else None
    older = members[number + 1] if number + 1 < len(members) else None
    newer = newer if newer and newer.chain == member.chain else None
    older = older if older and older.chain == member.chain else None
    own, next_one = links[number], links[number + 1] if older else None
    if (newer and (not own or own.newer != newer.id)) or (
        older and (not next_one or next_one.newer != member.id)
    ):
        return None
    if not newer and not older:
        return everything
    sides = []
    if newer:
        sides.append((path, old) for path, old, _ in changes_of(member))
    if older:
        sides.append((path, new) for path, _, new in changes_of(older))
    return _sum(sides[0] if len(sides) == 1 else _in_both(*sides))


def _in_both(
    one: Iterator[tuple[bytes, bytes | None]], other: Iterator[tuple[bytes, bytes | None]]
) -> Iterator[tuple[bytes, bytes | None]]:
    second = next(other, None)
    for first in one:
        while second and second[0] < first[0]:
            second = next(other, None)
        if second and second[0] == first[0]:
            yield first


def _sum(found: Iterable[tuple[bytes, bytes | None]]) -> int:
    total = 0
    inodes: set[int] = set()
    for _, text in found:
        if text is not None:
            version = Version.parse(text)
            if version.shared not in inodes:
                total += version.size
            if version.shared:
                inodes.add(version.shared)
    return total


def between(
    newer: Member, older: Member, members: Sequence[Member], catalogs: Catalogs, damaged: set[Path]
) -> list[Path] | None:
    """The changes that lead from ``older`` to ``newer``, newest first; None if some are missing."""
    if newer.chain != older.chain:
        return None
    chain = [each for each in members if each.chain == newer.chain]
    part = chain[chain.index(newer) : chain.index(older) + 1]
    paths = []
    for before, member in zip(part, part[1:]):
        path = catalogs.changes(member)
        link = link_of(path)
        if not path or path in damaged or not link:
            return None
        if (link.snapshot, link.newer) != (member.id, before.id):
            return None
        paths.append(path)
    return paths
