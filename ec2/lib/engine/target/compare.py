"""What differs between a snapshot and the live tree: both are read side by side, one directory a
task. Nothing is changed."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.command.text import shown_path
from engine.target.records import Record, Same, Wanted, is_inside
from engine.target.sharing import SharingNames
from engine.tree.attributes import Directory
from engine.tree.content import same_content
from engine.tree.descent import GONE, TOP, chunks, join, listed, opened
from engine.tree.entries import File, attributes, file_of, is_device
from engine.tree.excluding import Excludes, Sieve, holding, holds_excluded, is_tag
from engine.tree.listings import side_by_side
from engine.tree.pool import Worker
from engine.tree.report import AT_ONCE, TaskReport
from engine.tree.reserved import is_reserved

NEVER = 1 << 63  # no inode changes that late
CHANGES = ("created", "replaced", "removed")


class Sides(NamedTuple):
    """What is compared, and how.

    saved, live: descriptors of the tops. asked: paths that are restored, in both. removing: whether
    what only the live tree has is removed. doubtful_since: from this time on (of the change of a
    live inode, in ns), size and time do not prove that the content is the same. excludes: what the
    snapshot was made without; that stays as it is in the live tree.
    """

    saved: int
    live: int
    asked: tuple[str, ...]
    removing: bool
    doubtful_since: int
    sharing: SharingNames
    excludes: Excludes

    def names_in(self, folder: str) -> frozenset[str] | None:
        """The names that are asked for in a directory, if not all of it is."""
        if is_inside(folder, self.asked):
            return None
        start = f"{folder}/" if folder else ""
        below = (path[len(start) :] for path in self.asked if path.startswith(start))
        return frozenset(rest.split("/")[0] for rest in below)


@dataclass
class Found(TaskReport):
    """What a task found, and what is left to do.

    lines: kind of change and path, for people. doubts: paths of files whose content has to be
    compared. skipped: what could not be compared, though nothing else is amiss.
    """

    counts: Counter[str] = field(default_factory=Counter)
    record: Record | None = None
    wanted: list[Wanted] = field(default_factory=list)
    directories: list[Directory] = field(default_factory=list)
    same: list[Same] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    lines: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def count(self, kind: str, size: int) -> None:
        self.counts[kind] += 1
        self.counts[f"{kind} bytes"] += size

    def want(self, path: str, saved: File, sharing: SharingNames) -> None:
        may_share = saved.links > 1 and sharing.may_share(path)
        blocks = saved.blocks if stat.S_ISREG(saved.mode) else 0
        self.wanted.append(
            Wanted(path, saved.bytes, blocks, saved.is_sparse, saved.inode, may_share)
        )


class Compare(NamedTuple):
    """Compare one directory that both sides have."""

    path: str
    is_in_cache: bool = False

    def perform(self, worker: Worker) -> Found:
        found = Found()
        sides: Sides = worker.context
        with found.failing(self.path), contextlib.ExitStack() as stack:
            saved = stack.enter_context(opened(sides.saved, self.path))
            try:
                live = stack.enter_context(opened(sides.live, self.path))
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                    raise
                found.skipped.append(
                    f"{shown_path(self.path)} is no directory any more since the restore began"
                )
                return found
            self._compare(saved, live, found, worker)
        return found

    def _compare(self, saved: int, live: int, found: Found, worker: Worker) -> None:
        sides: Sides = worker.context
        names = sides.names_in(self.path)
        info = os.fstat(live)
        was = attributes(info)
        then = was if names is not None else attributes(os.fstat(saved))
        record = Record(self.path, info.st_ino, was, then)
        is_top = self.path == TOP
        sieve = Sieve(sides.excludes, self.path, self.is_in_cache)
        if names is not None and sides.excludes.caches:  # the listings need not have its tag
            sieve.is_cache |= is_tag(saved) or is_tag(live)
        both = (sieve.watching(each, listed(each, names)) for each in (saved, live))
        pairs = side_by_side(worker.work, *both)
        for number, (name, (before, now)) in enumerate(pairs, start=1):
            if worker.stopping:
                return
            if now and is_top and is_reserved(name, now):
                now = None
            if before:
                self._pair(name, before, now, record, found, (saved, live), sieve.is_cache, worker)
            elif now and sides.removing and not sieve.is_cache:
                remove(name, now, record, found, worker)
            if number % AT_ONCE == 0:
                found.record = record if len(record) else None
                found.hand_over(worker)
                record = Record(self.path, info.st_ino, was, then)
        if len(record) or was != then:
            found.record = record

    def _pair(
        self,
        name: str,
        before: File,
        now: File | None,
        record: Record,
        found: Found,
        directories: tuple[int, int],
        is_in_cache: bool,
        worker: Worker,
    ) -> None:
        sides: Sides = worker.context
        path = join(self.path, name)
        is_tree = stat.S_ISDIR(before.mode)
        if now and is_tree and stat.S_ISDIR(now.mode):
            found.tasks.append(Compare(path, is_in_cache))
            return
        if now and not is_inside(path, sides.asked):
            found.skipped.append(
                f"{shown_path(path)} is no directory, so nothing in it is restored"
            )
            return
        if now and not is_tree and self._is_same(name, before, now, directories, worker):
            found.counts["unchanged"] += 1
            self._look_closer(path, before, now, found, sides)
            return
        if now and keeps_excluded(path, now, worker, is_in_cache):
            found.skipped.append(
                f"{shown_path(path)} is a directory with what was excluded from the backup, so it "
                "stays; move it away, and restore again"
            )
            return
        if now:
            record.moved.append(name)
            leaves("replaced", path, now, found)
        else:
            found.lines.append(("created", path))
            if not is_tree:
                found.count("created", before.bytes)
        if is_tree:
            record.trees.append(name)
            found.tasks.append(Collect(path))
        else:
            record.files.append(name)
            found.want(path, before, sides.sharing)

    def _is_same(
        self, name: str, before: File, now: File, directories: tuple[int, int], worker: Worker
    ) -> bool:
        """Regular files that may have other content all the same are looked at later."""
        if now.kept != before.kept:
            return False
        if stat.S_ISLNK(now.mode):
            is_proof = now.ctime_ns < worker.context.doubtful_since
            return is_proof or same_content(*directories, name, now.mode, worker)
        return not is_device(now.mode) or same_content(*directories, name, now.mode, worker)

    def _look_closer(self, path: str, before: File, now: File, found: Found, sides: Sides) -> None:
        if stat.S_ISREG(now.mode) and now.ctime_ns >= sides.doubtful_since and now.size:
            found.doubts.append(path)
        if now.links > 1 or (before.links > 1 and sides.sharing.may_share(path)):
            found.same.append(Same(path, before.bytes, before.inode, now.inode))


def remove(name: str, now: File, record: Record, found: Found, worker: Worker) -> None:
    """What only the live tree has goes, but for what the snapshot was made without."""
    path = join(record.folder, name)
    if worker.context.excludes.reasons(path, now.mode):
        return
    if keeps_excluded(path, now, worker):
        found.tasks.append(Thin(path))
        return
    record.moved.append(name)
    leaves("removed", path, now, found)


def keeps_excluded(path: str, now: File, worker: Worker, is_in_cache: bool = False) -> bool:
    """Whether a live entry is a directory that has to stay for what is in it."""
    sides: Sides = worker.context
    if not sides.excludes or not stat.S_ISDIR(now.mode):
        return False
    is_itself = is_in_cache or bool(sides.excludes.reasons(path, now.mode))
    return is_itself or holds_excluded(sides.excludes, sides.live, path, worker)


def leaves(kind: str, path: str, now: File, found: Found) -> None:
    found.lines.append((kind, path))
    if stat.S_ISDIR(now.mode):
        found.tasks.append(Weigh(path, kind))
    else:
        found.count(kind, now.bytes)


@contextlib.contextmanager
def vanishing() -> Iterator[None]:
    """What is gone by now need not be removed."""
    try:
        yield
    except OSError as error:
        if error.errno not in GONE:
            raise


class Thin(NamedTuple):
    """Remove what is in a directory that only the live tree has, and that has to stay."""

    path: str

    def perform(self, worker: Worker) -> Found:
        found = Found()
        sides: Sides = worker.context
        with found.failing(self.path):
            staying = holding(sides.excludes, sides.live, self.path, worker)
            for path in staying:
                self._thin(path, staying, found, worker)
        return found

    def _thin(self, path: str, staying: set[str], found: Found, worker: Worker) -> None:
        sides: Sides = worker.context
        with vanishing(), opened(sides.live, path) as live:
            if sides.excludes.caches and is_tag(live):
                return
            info = os.fstat(live)
            was = attributes(info)
            for part in chunks(listed(live), AT_ONCE):
                record = Record(path, info.st_ino, was, was)
                for name, now in part:
                    inner = join(path, name)
                    if inner not in staying and not sides.excludes.reasons(inner, now.mode):
                        record.moved.append(name)
                        leaves("removed", inner, now, found)
                found.record = record if len(record) else None
                found.hand_over(worker)


class Collect(NamedTuple):
    """Want all that is at and below a directory which only the snapshot has."""

    path: str

    def perform(self, worker: Worker) -> Found:
        found = Found()
        sides: Sides = worker.context
        with found.failing(self.path), opened(sides.saved, self.path) as saved:
            directory = Directory(self.path, False, *attributes(os.fstat(saved)))
            found.directories.append(directory)
            entries = listed(saved, sides.names_in(self.path))
            for name, before in found.in_parts(entries, worker):
                path = join(self.path, name)
                found.lines.append(("created", path))
                if stat.S_ISDIR(before.mode):
                    found.tasks.append(Collect(path))
                else:
                    found.count("created", before.bytes)
                    found.want(path, before, sides.sharing)
        return found


class Weigh(NamedTuple):
    """Count what is below a live directory that is going to be set aside."""

    path: str
    kind: str

    def perform(self, worker: Worker) -> Found:
        found = Found()
        try:
            with opened(worker.context.live, self.path) as live:
                for name, now in found.in_parts(listed(live), worker):
                    if stat.S_ISDIR(now.mode):
                        found.tasks.append(Weigh(join(self.path, name), self.kind))
                    else:
                        found.count(self.kind, now.bytes)
        except OSError:
            pass  # it is moved as a whole, whatever it holds
        return found


class Demote(NamedTuple):
    """Have names of one live directory replaced that seemed to be as in the snapshot."""

    folder: str
    names: list[str]
    is_wanted: bool = False  # else it is known already where they come from

    def perform(self, worker: Worker) -> Found:
        found = Found()
        sides: Sides = worker.context
        with found.failing(self.folder), contextlib.ExitStack() as stack:
            saved = stack.enter_context(opened(sides.saved, self.folder))
            live = stack.enter_context(opened(sides.live, self.folder))
            info = os.fstat(live)
            was = attributes(info)
            is_whole = is_inside(self.folder, sides.asked)
            then = attributes(os.fstat(saved)) if is_whole else was
            found.record = Record(self.folder, info.st_ino, was, then, self.names, self.names)
            for name in self.names:
                path = join(self.folder, name)
                file = file_of(os.stat(name, dir_fd=saved, follow_symlinks=False))
                found.counts["unchanged"] -= 1
                found.count("replaced", file.bytes)
                found.lines.append(("replaced", path))
                if self.is_wanted:
                    found.want(path, file, sides.sharing)
        return found
