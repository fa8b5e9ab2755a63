"""Which files match, in which versions, and which snapshots hold each of them.

The catalogs are read side by side, each to its end: of millions of lines only those are looked at
that have the letters of the pattern, and memory does not grow with what is found.
"""

from __future__ import annotations

import heapq
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple, Optional

from engine.command.outcome import Refused
from engine.history.catalog import (
    DamagedCatalog,
    Version,
    blocks,
    checked,
    failing,
    older_in,
    unescaped,
)
from engine.history.members import Catalogs, Member, Source, sources
from engine.tree.patterns import FOLDERS, STAR, STARS, whole

PLAIN = re.compile(r"[^*?\[\]\\/\x00-\x1f\x7f\udc80-\udcff]+")
PER_PAGE = 20  # files

# The number of a source, and what its snapshot has: fields, or None.
Event = tuple[int, Optional[bytes]]
Hit = tuple[bytes, int, Optional[bytes]]
Matches = Callable[[bytes], bool]


class Pattern:
    """What paths are asked for.

    Without a slash: the name. With one at its beginning: the path from the top; with one elsewhere:
    the end of the path. What is below a directory that matches such a path does, too.
    """

    def __init__(
        self, regex: str, letters: bytes, is_of_name: bool = False, is_of_all: bool = False
    ) -> None:
        self.letters = letters  # in the line of each path that matches
        self.is_of_all = is_of_all
        self._match = re.compile(regex, re.DOTALL).fullmatch
        self._is_of_name = is_of_name

    @classmethod
    def glob(cls, text: str) -> Pattern:
        stripped = text.strip("/")
        if stripped in ("", "*", "**"):
            return cls("", b"", is_of_all=True)
        tokens = [*_tokens(stripped)]
        letters = longest_plain(stripped)
        if "/" not in text and STARS not in tokens:
            return cls(_expression(tokens), letters, is_of_name=True)
        start = [b"/"] if text.startswith("/") else [b"/", FOLDERS]
        below = "(?:/.*)?" if "/" in text else ""
        return cls(_expression([*start, *tokens]) + below, letters)

    @classmethod
    def path(cls, text: str) -> Pattern:
        """One path from the top, in which nothing has a meaning, and what is below it."""
        parts = [part for part in text.split("/") if part]
        if {".", ".."} & {*parts}:
            raise Refused(f"{text!r} has '.' or '..' in it; write the path from the top, as /a/b")
        stripped = "/".join(parts)
        regex = f"/{re.escape(stripped)}(?:/.*)?"
        return cls(regex, longest_plain(stripped), is_of_all=not stripped)

    def matches(self, path: bytes) -> bool:
        if self.is_of_all:
            return True
        text = path[path.rfind(b"/") + 1 :] if self._is_of_name else b"/" + path
        return self._match(os.fsdecode(text)) is not None


def _expression(tokens: Iterable[bytes]) -> str:
    return os.fsdecode(whole(tokens, itertools.count()))


def _tokens(glob: str) -> Iterator[bytes]:
    """Regular expressions of what always has one length, and stars; see
    :mod:`engine.tree.patterns`."""
    before = "/"
    for number, part in enumerate(re.split(r"(\*{2,}/?|\*|\?|\[[!^]?\]?[^\]]*\]|\\.)", glob)):
        if part.startswith("**") and number % 2:
            is_folders = part.endswith("/") and before.endswith("/")
            yield FOLDERS if is_folders else STARS
            if part.endswith("/") and not is_folders:
                yield b"/"
        elif part == "*":
            yield STAR
        elif part:
            yield os.fsencode(_one(part) if number % 2 else re.escape(part))
        before = part or before


def _one(part: str) -> str:
    """What stands for one letter."""
    if part == "?":
        return "[^/]"
    if part.startswith("\\"):
        return re.escape(part[1])
    inner = part[1:-1]
    negated = inner[:1] in ("!", "^") and len(inner) > 1
    letters = re.sub(r"([\\\[\]^&~|])", r"\\\1", inner[negated:])
    regex = f"(?!/)[{'^' if negated else ''}{letters}]"
    try:
        re.compile(regex)
    except re.error as error:
        raise Refused(f"the pattern's {part!r} is no set of letters: {error.msg}") from error
    return regex


def longest_plain(text: str) -> bytes:
    """The longest part that stands in the catalog as it stands here."""
    without = re.sub(r"\[[!^]?\]?[^\]]*\]|\\.", "*", text)
    return max(PLAIN.findall(without), key=len, default="").encode()


def matcher(patterns: Sequence[Pattern]) -> Matches | None:
    """None if all paths match."""
    if any(pattern.is_of_all for pattern in patterns):
        return None
    if len(patterns) == 1:
        return patterns[0].matches
    return lambda path: any(pattern.matches(path) for pattern in patterns)


class OutOfTime(Exception):
    """Nobody waits any longer."""


def no_hurry() -> None:
    pass


class Question(NamedTuple):
    """pace: called again and again while catalogs are read; ends it by raising OutOfTime."""

    patterns: Sequence[Pattern]
    page: int = 1
    per_page: int = PER_PAGE
    pace: Callable[[], None] = no_hurry


class Range(NamedTuple):
    """Snapshots one after the other, newest first."""

    members: Sequence[Member]


@dataclass
class Held:
    """One version of a file, and where it is."""

    version: Version
    ranges: list[Range]

    @property
    def newest(self) -> Member:
        """Of all: a folder may have snapshots of two intervals, whose ranges follow each other."""
        members = (member for part in self.ranges for member in part.members)
        return max(members, key=lambda member: member.made)


@dataclass
class File:
    """versions: newest first. gone: the oldest snapshot that has it no more, and after which no
    other has it; None if the newest has it."""

    path: bytes
    versions: list[Held]
    gone: Member | None


@dataclass
class Answer:
    """files and versions: how many match; found: those of the page. is_cut: time was up before all
    was read, and there may be more."""

    files: int = 0
    versions: int = 0
    found: list[File] = field(default_factory=list)
    searched: list[Member] = field(default_factory=list)
    lost: list[Member] = field(default_factory=list)
    is_cut: bool = False


def search(members: Sequence[Member], catalogs: Catalogs, question: Question) -> Answer:
    """A catalog that turns out to be damaged is done without, and all is read again."""
    damaged: set[Path] = set()
    while True:
        those, lost = sources(members, catalogs, damaged)
        answer = Answer(searched=[source.member for source in those], lost=lost)
        try:
            _fill(answer, those, question)
        except OutOfTime:
            answer.is_cut = True
        except DamagedCatalog as error:
            damaged.add(error.path)
            continue
        return answer


def _fill(answer: Answer, those: list[Source], question: Question) -> None:
    first = (question.page - 1) * question.per_page
    wholes = [number for number, source in enumerate(those) if source.is_whole]
    asked = question.patterns
    for path, group in grouped(those, matcher(asked), needle_of(asked), question.pace):
        if not first <= answer.files < first + question.per_page:
            count = counted(group)
            answer.files += count > 0
            answer.versions += count
        elif held := versions(group, wholes, len(those)):
            answer.files += 1
            answer.versions += len(held)
            answer.found.append(described(path, held, those))


def counted(events: Sequence[Event]) -> int:
    """How many versions there are: most paths have one, and most others two."""
    if len(events) == 1:
        return events[0][1] is not None
    return len({content_of(fields) for _, fields in events if fields is not None})


def needle_of(patterns: Iterable[Pattern]) -> re.Pattern[bytes] | None:
    """What is in each line of a path that matches, if anything is."""
    letters = [pattern.letters for pattern in patterns]
    return re.compile(b"|".join(map(re.escape, letters))) if all(letters) else None


def grouped(
    those: Sequence[Source],
    matches: Matches | None,
    needle: re.Pattern[bytes] | None = None,
    pace: Callable[[], None] = no_hurry,
) -> Iterator[tuple[bytes, list[Event]]]:
    """Each path that matches, in order, and what the sources say of it. matches: None if all do.

    The first source is the newest catalog, which has most of them: so it is merged by itself.
    """
    if not those:
        return
    newest, *others = (hits_in(n, each, needle, matches, pace) for n, each in enumerate(those))
    groups = itertools.groupby(heapq.merge(*others), itemgetter(0))
    group = next(groups, None)
    for name, number, fields in newest:
        while group and group[0] < name:
            yield group[0], [hit[1:] for hit in group[1]]
            group = next(groups, None)
        if group and group[0] == name:
            yield name, [(number, fields), *(hit[1:] for hit in group[1])]
            group = next(groups, None)
        else:
            yield name, [(number, fields)]
    while group:
        yield group[0], [hit[1:] for hit in group[1]]
        group = next(groups, None)


def hits_in(
    number: int,
    source: Source,
    needle: re.Pattern[bytes] | None,
    matches: Matches | None,
    pace: Callable[[], None],
) -> Iterator[Hit]:
    """Of a whole catalog the fields; of changes what the older snapshot has."""
    last = b""
    with failing(source.path):
        for line in candidates(source, needle, pace):
            name, _, rest = line.partition(b"\t")
            if b"\\" in name:
                name = unescaped(name)
            if matches and not matches(name):
                continue
            if name <= last:
                raise ValueError(f"{line[:100]!r} is not in order")
            yield name, number, checked(rest) if source.is_whole else older_in(rest)
            last = name


def candidates(
    source: Source, needle: re.Pattern[bytes] | None, pace: Callable[[], None]
) -> Iterator[bytes]:
    """Lines that may match."""
    for block in blocks(source.path) if source.is_whole else blocks(source.path, None):
        pace()
        if needle is None:
            yield from block[:-1].split(b"\n")
            continue
        end = 0
        while found := needle.search(block, end):
            begin = block.rfind(b"\n", 0, found.start()) + 1
            end = block.index(b"\n", found.start())
            yield block[begin:end]


def content_of(fields: bytes) -> tuple[bytes, ...]:
    """What is the same for the same content: kind, size, and digest, or time if it has none."""
    kind, size, mtime, md5, _ = fields.split(b"\t", 4)
    return kind, size, md5 or mtime


def versions(
    events: Iterable[Event],
    wholes: Iterable[int],
    count: int,
    key: Callable[[bytes], object] = content_of,
) -> list[tuple[bytes, list[tuple[int, int]]]]:
    """Each version's fields, newest first, and which of ``count`` sources have it, from one to
    before another. key: what the same version has in common.

    What each source says holds until the next one says something else; of what a whole catalog does
    not name there is nothing.
    """
    known: dict[int, bytes | None] = dict.fromkeys(wholes)
    known.update(events)
    starts = sorted(known)
    found: dict[object, tuple[bytes, list[tuple[int, int]]]] = {}
    for start, end in zip(starts, [*starts[1:], count]):
        fields = known[start]
        if fields is None:
            continue
        _, ranges = found.setdefault(key(fields), (fields, []))
        if ranges and ranges[-1][1] == start:
            ranges[-1] = (ranges[-1][0], end)
        else:
            ranges.append((start, end))
    return [*found.values()]


def described(
    path: bytes, found: list[tuple[bytes, list[tuple[int, int]]]], those: Sequence[Source]
) -> File:
    held = []
    for fields, ranges in found:
        with failing(those[ranges[0][0]].path):
            version = Version.parse(fields)
        parts = [Range([source.member for source in those[a:b]]) for a, b in ranges]
        held.append(Held(version, parts))
    return File(path, held, gone(held, [source.member for source in those]))


def gone(held: Sequence[Held], searched: Iterable[Member]) -> Member | None:
    newest = max(each.newest.made for each in held)
    later = (member for member in searched if member.made > newest)
    return min(later, key=lambda member: member.made, default=None)
