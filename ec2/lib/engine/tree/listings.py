"""What directories hold, side by side by name, in memory that does not grow with them.

READDIR gives no order, and one directory can have millions of entries: listings that are too large
to be looked up in memory are sorted in files.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import pickle
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

from engine.tree.descent import chunks

Item = TypeVar("Item")
Listed = tuple[str, Any]  # a name, and what a listing has under it

WIDE = 4_000  # entries of one listing: all threads of a worker may have so many in memory
SORTED_AT_ONCE = 10_000
READ_AT_ONCE = 10  # of each part that was sorted
NAME = itemgetter(0)


def side_by_side(work: Path, *listings: Iterable[Listed]) -> Iterator[tuple[str, Sequence[Any]]]:
    """Each name once, with what each of the listings has under it, or None.

    All are read to their ends before the first name comes, so what they list can be changed then.
    ``work``: a directory for files. A name that a listing has twice counts once.
    """
    rests = [iter(listing) for listing in listings]
    begins = [[*itertools.islice(rest, WIDE)] for rest in rests]
    if all(len(begin) < WIDE for begin in begins):
        yield from _looked_up([dict(begin) for begin in begins])
        return
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile(dir=work)) for _ in listings]
        yield from _merged(
            [
                in_order(itertools.chain(begin, rest), file)
                for begin, rest, file in zip(begins, rests, files)
            ]
        )


def _looked_up(listings: list[dict[str, Any]]) -> Iterator[tuple[str, Sequence[Any]]]:
    for name in dict.fromkeys(itertools.chain(*listings)):
        yield name, [listing.get(name) for listing in listings]


def _merged(listings: list[Iterator[Listed]]) -> Iterator[tuple[str, Sequence[Any]]]:
    """Of listings that are in order."""
    numbered = (
        ((name, number, item) for (name, item), number in zip(listing, itertools.repeat(number)))
        for number, listing in enumerate(listings)
    )
    for name, group in itertools.groupby(heapq.merge(*numbered, key=NAME), NAME):
        found: list[Any] = [None] * len(listings)
        for _, number, item in group:
            found[number] = item
        yield name, found


def in_order(listing: Iterable[Listed], file: IO[bytes]) -> Iterator[Listed]:
    """A listing by name, sorted in ``file``. It is read to its end at once."""
    parts = []
    for part in chunks(listing, SORTED_AT_ONCE):
        begin = file.seek(0, os.SEEK_END)
        for block in chunks(sorted(part, key=NAME), READ_AT_ONCE):
            pickle.dump(block, file, pickle.HIGHEST_PROTOCOL)
        parts.append((begin, file.tell()))
    return heapq.merge(*(_part(file, *ends) for ends in parts), key=NAME)


def _part(file: IO[bytes], begin: int, end: int) -> Iterator[Listed]:
    while begin < end:
        file.seek(begin)
        block = pickle.load(file)
        begin = file.tell()
        yield from block


class Beside(Generic[Item]):
    """What a list in the order of paths has at those that are asked for in the same order. It is
    read no further than need be."""

    def __init__(self, found: Iterator[tuple[bytes, Item]]) -> None:
        self._found = found
        self._next: tuple[bytes, Item] | None = None
        self._is_at_end = False

    def at(self, path: bytes) -> Item | None:
        while not self._is_at_end and (self._next is None or self._next[0] < path):
            self._next = next(self._found, None)
            self._is_at_end = self._next is None
        return self._next[1] if self._next and self._next[0] == path else None
