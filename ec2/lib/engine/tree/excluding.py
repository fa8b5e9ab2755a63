"""What is left out of snapshots: by patterns, and directories that say that they are caches.

Of a cache, which has a file CACHEDIR.TAG that begins as https://bford.info/cachedir/ says, only the
directory and that file are kept.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

from engine.command.text import shown
from engine.tree.descent import GONE, join, opened
from engine.tree.entries import File
from engine.tree.patterns import Patterns
from engine.tree.pool import Worker

TAG = "CACHEDIR.TAG"
SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"
CACHE = "in a cache"

Listed = TypeVar("Listed")


class Excludes(NamedTuple):
    """caches: whether what is in caches is left out, too."""

    patterns: Patterns = Patterns()
    caches: bool = False

    @classmethod
    def noted(cls, patterns: str, caches: bool) -> Excludes:
        """As :attr:`engine.snapshots.about.Note.excludes` has them."""
        return cls(Patterns(filter(None, patterns.split("\n"))), caches)

    @property
    def told(self) -> list[str]:
        """For people."""
        patterns = (shown(os.fsencode(text)) for text in self.patterns.texts)
        return [*patterns, *(["what is in caches"] if self.caches else [])]

    def __bool__(self) -> bool:
        return self.caches or bool(self.patterns.texts)

    def reasons(self, path: str, mode: int) -> list[str]:
        """Names of counters, one for each pattern that leaves out what is at ``path``."""
        numbers = self.patterns.matching(path, stat.S_ISDIR(mode))
        return [counter(number) for number in numbers]

    def leave_nothing(self, directory: int) -> bool:
        """Whether a top directory that is not empty would seem to be."""
        if self.caches and is_tag(directory):
            return True
        with os.scandir(directory) as entries:
            found = [self._leave_out(entry) for entry in entries]
        return bool(found) and all(found)

    def _leave_out(self, entry: os.DirEntry[str]) -> bool:
        is_directory = entry.is_dir(follow_symlinks=False)
        return bool(self.patterns.matching(entry.name, is_directory))


def counter(number: int) -> str:
    return f"pattern {number}"


def holds_excluded(excludes: Excludes, top: int, path: str, worker: Worker) -> bool:
    """Whether anything in the directory ``path`` below ``top`` is left out."""
    return any(True for _ in _holding(excludes, top, path, worker))


def holding(excludes: Excludes, top: int, path: str, worker: Worker) -> set[str]:
    """The directories, ``path`` and below it, in which anything is left out."""
    found: set[str] = set()
    for folder in _holding(excludes, top, path, worker):
        while folder not in found:
            found.add(folder)
            if folder != path:
                folder = os.path.dirname(folder)
    return found


def _holding(excludes: Excludes, top: int, path: str, worker: Worker) -> Iterator[str]:
    """Those that have something to be left out in themselves."""
    pending = [path]
    while pending and not worker.stopping:
        folder = pending.pop()
        try:
            with opened(top, folder) as directory, os.scandir(directory) as entries:
                if excludes.caches and is_tag(directory):
                    yield folder
                    continue
                is_holding = False
                for entry in entries:
                    inner = join(folder, entry.name)
                    is_directory = entry.is_dir(follow_symlinks=False)
                    if excludes.patterns.matching(inner, is_directory):
                        is_holding = True
                    elif is_directory:
                        pending.append(inner)
        except GONE:
            continue
        if is_holding:
            yield folder


class Sieve:
    """What is left out of one directory. is_cache: also if it lies in a cache."""

    def __init__(self, excludes: Excludes, path: str, is_cache: bool = False) -> None:
        self._excludes = excludes
        self._path = path
        self.is_cache = is_cache
        self._is_asked = bool(excludes)

    def watching(
        self, directory: int, listing: Iterable[tuple[str, Listed]]
    ) -> Iterable[tuple[str, Listed]]:
        """The listing, while it is looked for a tag. Ask for nothing else before it has ended."""
        return self._watched(directory, listing) if self._excludes.caches else listing

    def _watched(
        self, directory: int, listing: Iterable[tuple[str, Listed]]
    ) -> Iterator[tuple[str, Listed]]:
        for name, entry in listing:
            if name == TAG and isinstance(entry, File):
                self.is_cache |= stat.S_ISREG(entry.mode) and is_tag(directory)
            yield name, entry

    def reasons(self, name: str, mode: int) -> list[str]:
        """Why an entry is left out, as names of counters; none if it is not."""
        if not self._is_asked:
            return []
        if self.is_cache and name != TAG:
            return [CACHE]
        return self._excludes.reasons(join(self._path, name), mode)


def is_tag(directory: int) -> bool:
    """Whether a directory's tag is one. What cannot be read is none."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        with open(os.open(TAG, flags, dir_fd=directory), "rb") as file:
            is_file = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            return is_file and file.read(len(SIGNATURE)) == SIGNATURE
    except OSError:
        return False
