"""Restoring for a test: some parts of all files, from each snapshot that has a version of its own.

The files are fetched as for a restore, onto a disk of this machine, and their digests are compared
with those of when they were backed up. What the snapshots share is fetched once, from the oldest.
Nothing is written beside the snapshots but when it was.
"""

from __future__ import annotations

import itertools
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple, Protocol

from engine.command.files import nul_separated, sort_records
from engine.command.outcome import Failed
from engine.command.text import Messages, shown_path
from engine.copying.digests import Digested, DigestFiles
from engine.history.catalog import DamagedCatalog
from engine.history.members import Catalogs, Member, sources
from engine.history.search import grouped, versions
from engine.history.upkeep import InFolder, Tools, members_of
from engine.snapshots.folder import SnapshotFolder
from engine.snapshots.removal import remove_trees
from engine.target.fetch import Fetch
from engine.target.records import Wanted
from engine.target.rotation import part_of, read_rotation
from engine.tree.attributes import Directory
from engine.tree.descent import is_inner_path, names_in
from engine.tree.pool import Task
from engine.tree.walls import Root

FILES_AT_ONCE = 1000
BYTES_AT_ONCE = 1 << 30
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


class Told(Protocol):
    def warn(self, message: str) -> None: ...

    def take_trial(self, trial: Trial, age: int) -> None: ...


class Trial:
    """saved: gives the root of a snapshot. new, root: an empty directory on this machine's disk,
    open from before the workers were forked.

    counts: files that were restored, or only read as they are too large for the disk; their bytes;
    those without a digest to compare with; and failed.
    """

    def __init__(
        self,
        tools: Tools,
        saved: Callable[[Member], Root],
        new: int,
        root: Root,
        jobs: int,
        on_tick: Callable[[Counter[str]], None],
    ) -> None:
        self._tools = tools
        self._saved = saved
        self._new, self._root = new, root
        self._jobs = jobs
        self._on_tick = on_tick
        self.counts: Counter[str] = Counter()
        self.failures = Messages()

    def test(self, files: Iterable[File], tree: Member) -> None:
        """Those of one snapshot. Raises :class:`Stopped`, or :class:`Failed` for what has nothing
        to do with the snapshot."""
        room = self._free() // 2
        for batch in batches(files, min(room, BYTES_AT_ONCE)):
            if batch.size > room:
                self._read(batch.files, tree)
            else:
                self._restore(batch, tree)

    def _free(self) -> int:
        info = os.fstatvfs(self._new)
        return info.f_bavail * info.f_frsize

    def _restore(self, batch: Batch, tree: Member) -> None:
        tools = self._tools
        fetch = Fetch(batch, self._new, self._new, tools.pool, tools.work)

        def tick(files: int, size: int) -> None:
            self._on_tick(self.counts + Counter(restored=files, bytes=size))

        try:
            fetch.make(self._saved(tree), self._root, self._jobs, tools.stop, tick)
        except Failed as error:
            info = os.fstatvfs(self._new)
            if self._free() < batch.size or (info.f_files and not info.f_favail):
                raise Failed("space", "the disk of this machine is full") from error
            self.failures.add(f"{tree}: {line}" for line in fetch.errors or [str(error)])
        restored = dict(fetch.digests())
        for file in batch.files:
            self._judge(file, restored.get(file.path), "restored", tree)
        if errors := self._remove():
            raise Failed("system", f"what was restored could not be removed: {errors[0]}")

    def _remove(self) -> list[str]:
        folders = []
        for name in [*names_in(self._new)]:
            try:
                os.unlink(name, dir_fd=self._new)
            except IsADirectoryError:
                folders.append(name)
        return remove_trees(self._tools.pool, self._new, folders)

    def _read(self, files: Sequence[File], tree: Member) -> None:
        """What is too large for the disk."""
        paths = {f"{tree.name}/{os.fsdecode(file.path)}": file for file in files}

        def take(found: Iterable[Digested]) -> list[Task]:
            for each in found:
                self.failures.add([f"{tree}: {each.error}"] if each.error else [])
                self._judge(paths[each.path], each.digest, "read", tree)
            return []

        tools = self._tools
        tasks = [DigestFiles(tools.top, [(path, b"")]) for path in paths]
        tools.pool.run(tasks, take, lambda: self._on_tick(self.counts))

    def _judge(self, file: File, digest: bytes | None, what: str, tree: Member) -> None:
        is_right = bool(digest) and file.md5 in (digest, b"")
        self.counts[what if is_right else "failed"] += 1
        self.counts["bytes"] += file.size
        self.counts["without_digest"] += not file.md5
        if not is_right:
            reason = "is not what was backed up" if digest else f"could not be {what}"
            self.failures.add([f"{tree}: {shown_path(os.fsdecode(file.path))} {reason}"])


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


def take_turns(
    folder: SnapshotFolder, percent: int, trial: Trial, tools: Tools, result: Told
) -> None:
    """Test ``percent`` parts of a hundred. When each begins is noted first: a run that is killed
    does not hit upon the same one again."""
    now = int(time.time())
    rotation, problem = read_rotation(folder.tests, now)
    if problem:
        result.warn(problem)
    parts = rotation.next(percent)
    own = [each for each in members_of(folder, {}) if each.chain == folder.interval]
    try:
        records, trees, lost = select(own, InFolder(folder), parts, tools)
        if lost:
            names = ", ".join(map(str, lost))
            result.warn(f"not tested, as there is no catalog of it: {names}")
        for part, files in zip(parts, by_turn(records, len(parts))):
            rotation.tried[part] = now
            rotation.save(folder.tests)
            failed = trial.counts["failed"]
            for place, those in itertools.groupby(files, attrgetter("place")):
                trial.test(those, trees[place])
            if trial.counts["failed"] == failed and not lost:
                rotation.tested[part] = now
                rotation.save(folder.tests)
    finally:
        result.take_trial(trial, rotation.age(now))
