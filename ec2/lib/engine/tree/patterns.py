r"""Patterns that tell which paths are left out, in a subset of rsync's language.

    /a/b   a path from the top              *    anything but a slash
    a/b    the end of a path                **   anything
    b      a name, wherever it is           ?    one byte that is no slash
    b/     likewise, of directories only    [a]  one byte of several; also [!a], [a-z], [[:digit:]]
    b/***  a directory and all in it        \*   where there is a wildcard: the byte itself

Paths and patterns are bytes. What rsync reads as other things than something to exclude ("+ a",
"- a", "!") is refused, and so is what could never match. Nothing here touches a file system.

Whoever can make files chooses their names, so no pattern may take long for any name: what follows a
star is searched once, and never again further on (the groups below), which is right as long as
another star comes after it.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

SEPARATOR = "|"  # between patterns that are written as one text
WILDCARDS = re.compile(rb"[*?[]")
STAR, STARS, FOLDERS = b"*", b"**", b"**/"
ANY_BUT_SLASH = b"[^/]"
# What stands for nothing or for whole names, each with the slash after it, only follows a slash.
SHORTEST = {STARS: b".*?", FOLDERS: b"(?:.*?/)??"}
LONGEST = {STARS: b".*", FOLDERS: b"(?:.*/)?"}
# Who matches all of these excludes everything, or every directory.
PROBES = ("a", ".b", "\udcff 0")

CLASSES = {
    b"alnum": rb"[0-9A-Za-z]",
    b"alpha": rb"[A-Za-z]",
    b"blank": rb"[ \t]",
    b"cntrl": rb"[\x00-\x1f\x7f]",
    b"digit": rb"[0-9]",
    b"graph": rb"[!-~]",
    b"lower": rb"[a-z]",
    b"print": rb"[ -~]",
    b"punct": rb"[!-/:-@[-`{-~]",
    b"space": rb"[ \t-\r]",
    b"upper": rb"[A-Z]",
    b"xdigit": rb"[0-9A-Fa-f]",
}


class BadPattern(ValueError):
    """What is wrong with a pattern, to be said after it."""


class Rule(NamedTuple):
    """How a pattern is matched: with the last name of a path, or with all of it after a slash. The
    ends are those of regular expressions. A directory has a slash at its end."""

    is_of_name: bool
    file: bytes | None  # None: it matches no files
    directory: bytes


class Patterns:
    """Patterns, and what they match. Raises :class:`BadPattern`."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self.texts = tuple(texts)
        numbers = itertools.count()
        self._rules = [parsed(text, numbers) for text in self.texts]
        self._each = [
            {False: _any_of([rule.file]), True: _any_of([rule.directory])} for rule in self._rules
        ]
        of_names = [rule for rule in self._rules if rule.is_of_name]
        of_paths = [rule for rule in self._rules if not rule.is_of_name]
        # For directories or not, of names and of paths: nearly every entry matches none of them.
        self._any = {
            False: [_any_of(rule.file for rule in rules) for rules in (of_names, of_paths)],
            True: [_any_of(rule.directory for rule in rules) for rules in (of_names, of_paths)],
        }

    def matching(self, path: str, is_directory: bool) -> list[int]:
        """Which of the patterns match, by their places; mostly none. Those above are not asked."""
        if not self.texts:
            return []
        whole = b"/" + os.fsencode(path) + b"/" * is_directory
        name = whole[whole.rindex(b"/", 0, len(whole) - is_directory) + 1 :]
        of_name, of_path = self._any[is_directory]
        if not (of_name and of_name.match(name)) and not (of_path and of_path.match(whole)):
            return []
        texts = {True: name, False: whole}
        return [
            number
            for number, (rule, each) in enumerate(zip(self._rules, self._each))
            for pattern in [each[is_directory]]
            if pattern and pattern.match(texts[rule.is_of_name])
        ]

    @property
    def of_every_directory(self) -> list[str]:
        """Those that leave out all directories."""
        return [text for text in self.texts if _match_all(text, are_directories=True)]

    def covering(self, path: str) -> str:
        """The first pattern that leaves out ``path`` or a directory above it; empty if none does.
        ``path`` may be that of a directory."""
        parts = path.split("/")
        for depth in range(len(parts)):
            for number in self.matching("/".join(parts[: depth + 1]), True):
                return self.texts[number]
        return ""


def split(text: str) -> list[str]:
    """Patterns that are written as one text. Blanks around each are not part of it.

    >>> split("*.tmp | /scratch/")
    ['*.tmp', '/scratch/']
    """
    return [part for part in (part.strip(" ") for part in text.split(SEPARATOR)) if part]


def checked(text: str) -> str:
    """``text`` if it can be used. Raises :class:`BadPattern`."""
    if _match_all(text, are_directories=False):
        raise BadPattern("excludes everything")
    return text


def _match_all(text: str, are_directories: bool) -> bool:
    patterns = Patterns([text])
    return all(patterns.matching(probe, are_directories) for probe in PROBES)


def parsed(text: str, numbers: Iterator[int]) -> Rule:
    """``numbers`` name the groups."""
    pattern = os.fsencode(text)
    _check(text, pattern)
    is_for_directories = pattern.endswith(b"/")
    pattern = pattern.removesuffix(b"/")
    tokens = [*_tokens(pattern.removeprefix(b"/"))]
    is_of_name = b"/" not in pattern and STARS not in tokens
    if not is_of_name and pattern.startswith(b"/"):
        tokens = [b"/", *tokens]
    elif not is_of_name and not pattern.startswith(STARS):
        tokens = [b"/", FOLDERS, *tokens]
    body = whole(tokens, numbers)
    # "a/***" matches the slash after the directory, too.
    end = b"" if pattern.endswith(b"***") else b"/"
    return Rule(is_of_name, None if is_for_directories else body + rb"\Z", body + end + rb"\Z")


def _check(text: str, pattern: bytes) -> None:
    """Refuse what means something else to rsync, or nothing."""
    parts = pattern.strip(b"/").split(b"/")
    problems = [
        (not pattern.strip(b"/"), "names nothing"),
        (re.search(rb"[\x00-\x1f\x7f]", pattern), "contains a control character; '?' matches one"),
        (b".." in parts, "contains '..'; write it from the top of what is backed up, as /a/b"),
        (b"." in parts, "contains '.' as a name, which matches nothing"),
        (b"//" in pattern, "contains '//', which matches nothing"),
        (re.match(rb"[-+] ", pattern), "is a rule to rsync; write the pattern alone"),
        (pattern == b"!", "is a rule to rsync; '?' matches that name"),
    ]
    for found, problem in problems:
        if found:
            raise BadPattern(problem)


def _tokens(pattern: bytes) -> Iterator[bytes]:
    """Regular expressions of what always has one length, and stars. Backslashes count only where
    there is a wildcard."""
    if not WILDCARDS.search(pattern):
        yield re.escape(pattern)
        return
    place = 0
    while place < len(pattern):
        byte = pattern[place : place + 1]
        if byte == STAR:
            stars = re.compile(rb"\*+").match(pattern, place)
            assert stars
            yield STAR if len(stars[0]) == 1 else STARS
            place = stars.end()
        elif byte == b"[":
            wanted, place = _bytes_of(pattern, place + 1)
            yield _one_of(wanted)
        elif byte == b"?":
            yield ANY_BUT_SLASH
            place += 1
        elif byte == b"\\":
            if place + 1 == len(pattern):
                raise BadPattern("ends with a backslash")
            yield re.escape(pattern[place + 1 : place + 2])
            place += 2
        else:
            yield re.escape(byte)
            place += 1


def _bytes_of(pattern: bytes, place: int) -> tuple[set[int], int]:
    """What one byte can be by the brackets that are open at ``place``, and where these end."""
    is_negated = pattern[place : place + 1] in (b"!", b"^")
    place += is_negated
    found: set[int] = set()
    first, last = place, None
    while pattern[place : place + 1] != b"]" or place == first:
        named = re.compile(rb"\[:([a-z]*):\]").match(pattern, place)
        if named:
            if named[1] not in CLASSES:
                raise BadPattern(f"has no such class of bytes: {named[0].decode()}")
            found |= {each for each in range(256) if re.match(CLASSES[named[1]], bytes([each]))}
            place, last = named.end(), None
            continue
        is_range = pattern[place : place + 1] == b"-" and pattern[place + 1 : place + 2] != b"]"
        if is_range and last is not None:
            end, place = _byte_at(pattern, place + 1)
            found.update(range(last, end + 1))
            last = None
        else:
            last, place = _byte_at(pattern, place)
            found.add(last)
    everything = set(range(256))
    return (everything - found if is_negated else found) - set(b"/"), place + 1


def _byte_at(pattern: bytes, place: int) -> tuple[int, int]:
    """A byte between brackets, which may have a backslash before it, and where the next one is."""
    if pattern[place : place + 1] == b"\\":
        place += 1
    if place >= len(pattern) or pattern[place : place + 2] == b"[:":
        raise BadPattern("has no ']' for its '['; '\\[' is the bracket itself")
    if pattern[place : place + 1] == b"/":
        raise BadPattern("has '/' between brackets, which match no slash")
    return pattern[place], place + 1


def _one_of(wanted: set[int]) -> bytes:
    return (
        b"[" + b"".join(rb"\x%02x" % byte for byte in sorted(wanted)) + b"]" if wanted else b"(?!)"
    )


def whole(tokens: Iterable[bytes], numbers: Iterator[int]) -> bytes:
    """A regular expression, to be matched up to the end of a text. ``numbers`` name its groups."""
    (_, first), *others = _cut(tokens, STARS, FOLDERS)
    if not others:
        return _part(first, numbers, is_last=True)
    *middle, (star, last) = others
    found = [_part(first, numbers)]
    found += (_once(SHORTEST[each] + _part(part, numbers), numbers) for each, part in middle)
    return b"".join([*found, LONGEST[star], _part(last, numbers, is_last=True)])


def _part(tokens: Sequence[bytes], numbers: Iterator[int], is_last: bool = False) -> bytes:
    """Likewise, of what is between double stars."""
    first, *others = (b"".join(part) for _, part in _cut(tokens, STAR))
    last = [ANY_BUT_SLASH + b"*" + others.pop()] if is_last and others else []
    middle = (_once(ANY_BUT_SLASH + b"*?" + part, numbers) for part in others)
    return b"".join([first, *middle, *last])


def _cut(tokens: Iterable[bytes], *stars: bytes) -> list[tuple[bytes, list[bytes]]]:
    """In parts, each with the star before it; the first has none."""
    parts: list[tuple[bytes, list[bytes]]] = [(b"", [])]
    for token in tokens:
        if token in stars:
            parts.append((token, []))
        else:
            parts[-1][1].append(token)
    return parts


def _once(expression: bytes, numbers: Iterator[int]) -> bytes:
    """What is matched as early as it can be, and in no other way after that."""
    name = b"g%d" % next(numbers)
    return b"(?=(?P<%s>%s))(?P=%s)" % (name, expression, name)


def _any_of(expressions: Iterable[bytes | None]) -> re.Pattern[bytes] | None:
    """One for all."""
    found = b"|".join(b"(?:" + each + b")" for each in expressions if each)
    return re.compile(found, re.DOTALL) if found else None
