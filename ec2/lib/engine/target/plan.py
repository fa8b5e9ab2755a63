"""The plan of a restore: everything it is going to do, written down before the first change."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from engine.command.files import nul_separated, sort_records
from engine.command.text import Messages, shown
from engine.copying.digests import Digested
from engine.target.compare import Demote, Found, Sides
from engine.target.contents import comparisons
from engine.target.figures import Effect, Figures
from engine.target.records import (
    Wanted,
    folders,
    parse_wanted,
    read_records,
    wanted_line,
)
from engine.target.sharing import Shared
from engine.tree.attributes import Directory, directory_line, parse_directory
from engine.tree.descent import CHUNK, TOP, chunks
from engine.tree.pool import Pool, Task
from engine.tree.sharing import Lack, SharedName

EXAMPLES = 20

Tick = Callable[[], None]


class Plan:
    """What was found is in its attributes, and in files in the scratch directory ``work``:

    journal: lines of :class:`engine.target.records.Record`. create.txt, replace.txt, remove.txt:
    the paths, for people. What is to be copied: see the iterators.
    """

    def __init__(self, sides: Sides, work: Path) -> None:
        self.figures = Figures()
        self.examples: dict[str, list[str]] = {}
        self.errors = Messages()
        self.skipped = Messages()
        self.bytes_needed = 0
        self.files_needed = self.files_to_copy = 0
        self.entries = 0  # of directories, that come or go
        self.journal = work / "journal"
        self._sides = sides
        self._work = work
        self._journal = self.journal.open("w")
        self._singles = (work / "singles").open("wb")
        self._groups = (work / "groups").open("wb")
        self._links = (work / "links").open("wb")
        self._directories = (work / "directories").open("wb")
        self._doubts = (work / "doubts").open("wb")
        self._differing = (work / "differing").open("wb")
        self._lines = {effect: (work / effect.word).open("wb") for effect in Effect}
        self._shared = Shared(work)
        self.changes_something = False
        self._has_top = False

    def make(self, pool: Pool, tasks: Iterable[Task], digests: Path | None, on_tick: Tick) -> None:
        """Compare, and write everything down. Raises :class:`engine.command.outcome.Stopped` on a
        signal."""
        pool.run(tasks, self._take, on_tick)
        self._compare_contents(pool, digests, on_tick)
        self._bring_together(pool, on_tick)
        if self.changes_something and not self._has_top:
            pool.run([Demote(TOP, [])], self._take)  # the safety directory lies there
        for file in (
            self._journal,
            self._singles,
            self._groups,
            self._links,
            self._directories,
            *self._lines.values(),
        ):
            file.close()
        for effect in Effect:
            self._write_for_people(effect)

    def _take(self, found: Found) -> list[Task]:
        self.figures.add_all(found.figures)
        self.errors.add(found.errors)
        self.skipped.add(found.skipped)
        if found.record is not None:
            self.changes_something = True
            self._has_top = self._has_top or found.record.folder == TOP
            self.entries += len(found.record)
            for part in found.record.parts(CHUNK):
                self._journal.write(part.line())
        for file in found.wanted:
            self._need(file)
            if file.may_share:
                self._shared.add_wanted(file)
            else:
                self._singles.write(wanted_line(file))
        self._shared.add_same(found.same)
        for directory in found.directories:
            self.files_needed += 1
            self._directories.write(directory_line(directory))
        if found.doubts:
            self._doubts.writelines(os.fsencode(path) + b"\0" for path in found.doubts)
        for effect, path in found.lines:
            self._lines[effect].write(os.fsencode(path) + b"\0")
        return found.tasks

    def _need(self, file: Wanted) -> None:
        self.bytes_needed += file.blocks * 512
        self.files_needed += 1
        self.files_to_copy += 1

    def _compare_contents(self, pool: Pool, digests: Path | None, on_tick: Tick) -> None:
        """Look into the files of which size and time prove nothing."""
        self._doubts.close()
        doubts = Path(self._doubts.name)
        sort_records(doubts)
        tasks = comparisons(self._sides.saved, self._sides.live, nul_separated(doubts), digests)

        def take(found: Iterable[Digested]) -> list[Task]:
            for file in found:
                self.figures.number_of_files_compared += 1
                if file.is_missing:
                    continue  # it is gone: the check at the end tells
                if file.error:
                    self.errors.add([file.error])
                elif file.digest != file.expected:
                    self._differing.write(os.fsencode(file.path) + b"\0")
            return []

        pool.run(tasks, take, on_tick)
        self._differing.close()
        differing = Path(self._differing.name)
        sort_records(differing)
        paths = map(os.fsdecode, nul_separated(differing))
        pool.run(demotions(paths, is_wanted=True), self._take, on_tick)

    def _bring_together(self, pool: Pool, on_tick: Tick) -> None:
        """Settle the names of each inode: some may be there already, others are linked to these, or
        all are copied as one."""
        apart = (self._work / "apart").open("wb")
        for names in self._shared.groups(nul_separated(Path(self._differing.name))):
            for name in self._settle(names):
                apart.write(os.fsencode(name.path) + b"\0")
        apart.close()
        path = Path(apart.name)
        sort_records(path)
        paths = map(os.fsdecode, nul_separated(path))
        pool.run(demotions(paths, is_wanted=False), self._take, on_tick)

    def _settle(self, names: list[SharedName]) -> list[SharedName]:
        """Have the names of one inode copied or linked; return those that seemed to be the same."""
        inodes = Counter(name.inode for name in names if isinstance(name.inode, int))
        leader = max(inodes, key=lambda inode: (inodes[inode], -inode), default=None)
        others = [name for name in names if name.inode != leader]
        if inodes:
            there = next(name for name in names if name.inode == leader)
            for name in others:
                self._links.write(os.fsencode(f"{there.path}\0{name.path}\0"))
        else:
            self._groups.writelines(wanted_line(as_wanted(name)) for name in names)
        return [name for name in others if name.inode is not Lack.MISSING]

    def _write_for_people(self, effect: Effect) -> None:
        path = Path(self._lines[effect].name)
        text = path.with_suffix(".txt")
        sort_records(path)
        with text.open("w", encoding="utf-8") as file:
            file.writelines(f"{shown(name)}\n" for name in nul_separated(path))
        with text.open(encoding="utf-8") as file:
            self.examples[effect.word] = [line[:-1] for line in itertools.islice(file, EXAMPLES)]

    def folders(self) -> Iterator[str]:
        """Directories in which something is put."""
        records = read_records(self.journal)
        return folders(record for record in records if record.files or record.trees)

    def singles(self) -> Iterator[Wanted]:
        return map(parse_wanted, nul_separated(Path(self._singles.name)))

    def groups(self) -> Iterator[list[Wanted]]:
        """Files that are names of one inode, and are to be so again; also such as may be alone."""
        files = map(parse_wanted, nul_separated(Path(self._groups.name)))
        for _, group in itertools.groupby(files, lambda file: file.inode):
            yield list(group)

    def links(self) -> Iterator[tuple[str, str]]:
        """A live path that is as in the snapshot, and another that is to become a name of it."""
        paths = map(os.fsdecode, nul_separated(Path(self._links.name)))
        return zip(paths, paths)

    def directories(self) -> Iterator[Directory]:
        """New ones, each after those above it."""
        return map(parse_directory, nul_separated(Path(self._directories.name)))


def as_wanted(name: SharedName) -> Wanted:
    return Wanted(name.path, name.size, 0, False, int(name.key), True)


def demotions(paths: Iterable[str], is_wanted: bool) -> Iterator[Task]:
    """``paths`` in the order of their bytes: names of one directory need not follow each other."""
    for folder, group in itertools.groupby(paths, os.path.dirname):
        names = (os.path.basename(path) for path in group)
        for part in chunks(names):
            yield Demote(folder, part, is_wanted)
