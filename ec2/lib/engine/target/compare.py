"""What differs between a snapshot and the live tree: both are read side by side, one directory a
task. Nothing is changed."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.command.text import shown_path
from engine.target.figures import Effect, Figures
from engine.target.records import Record, Wanted, is_inside
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
from engine.tree.sharing import SharedName

NEVER = 1 << 63  # no inode changes that late


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

    lines: what becomes of which path, for people. doubts: paths of files whose content has to be
    compared. same: files that are as in the snapshot, by what a listing tells, and may share their
    inodes. skipped: what could not be compared, though nothing else is amiss.
    """

    figures: Figures = field(default_factory=Figures)
    record: Record | None = None
    wanted: list[Wanted] = field(default_factory=list)
    directories: list[Directory] = field(default_factory=list)
    same: list[SharedName] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    lines: list[tuple[Effect, str]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def tell(self, effect: Effect, path: str, file: File) -> None:
        """file: what comes to ``path``, or leaves it."""
        self.lines.append((effect, path))
        if not stat.S_ISDIR(file.mode):
            self.figures.count(effect, file.bytes)
        elif effect is not Effect.CREATED:
            self.tasks.append(Weigh(path, effect))

    def want(self, path: str, saved: File, sharing: SharingNames) -> None:
        if stat.S_ISDIR(saved.mode):
            self.tasks.append(Collect(path))
            return
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
            Comparison(self, saved, live, found, worker).make()
        return found


class Comparison:
    """Of one directory. saved, live: its descriptors on both sides."""

    def __init__(self, task: Compare, saved: int, live: int, found: Found, worker: Worker) -> None:
        self._path = task.path
        self._saved, self._live = saved, live
        self._found = found
        self._worker = worker
        self._sides: Sides = worker.context
        self._names = self._sides.names_in(task.path)
        self._sieve = Sieve(self._sides.excludes, task.path, task.is_in_cache)
        info = os.fstat(live)
        was = attributes(info)
        then = was if self._names is not None else attributes(os.fstat(saved))
        self._record = Record(task.path, info.st_ino, was, then)

    def make(self) -> None:
        found, both, sieve = self._found, (self._saved, self._live), self._sieve
        if self._names is not None and self._sides.excludes.caches:
            sieve.is_cache |= any(map(is_tag, both))  # the listings need not have its tag
        listings = (sieve.watching(each, listed(each, self._names)) for each in both)
        pairs = side_by_side(self._worker.work, *listings)
        for number, (name, (before, now)) in enumerate(pairs, start=1):
            if self._worker.stopping:
                return
            if now and self._path == TOP and is_reserved(name, now):
                now = None
            if before:
                self._restore(name, before, now)
            elif now and self._sides.removing and not sieve.is_cache:
                self._remove(name, now)
            if number % AT_ONCE == 0:
                found.record = self._record if len(self._record) else None
                found.hand_over(self._worker)
                self._record = self._record.blank()
        if len(self._record) or self._record.was != self._record.then:
            found.record = self._record

    def _restore(self, name: str, before: File, now: File | None) -> None:
        found, record, sides = self._found, self._record, self._sides
        path = join(self._path, name)
        is_tree = stat.S_ISDIR(before.mode)
        if now and is_tree and stat.S_ISDIR(now.mode):
            found.tasks.append(Compare(path, self._sieve.is_cache))
            return
        if now and not is_inside(path, sides.asked):
            found.skipped.append(
                f"{shown_path(path)} is no directory, so nothing in it is restored"
            )
            return
        if now and not is_tree and self._is_same(name, before, now):
            found.figures.number_of_files_unchanged += 1
            self._look_closer(path, before, now)
            return
        if now and self._keeps_excluded(path, now, self._sieve.is_cache):
            found.skipped.append(
                f"{shown_path(path)} is a directory with what was excluded from the backup, so it "
                "stays; move it away, and restore again"
            )
            return
        if now:
            record.moved.append(name)
        found.tell(Effect.REPLACED if now else Effect.CREATED, path, now or before)
        (record.trees if is_tree else record.files).append(name)
        found.want(path, before, sides.sharing)

    def _is_same(self, name: str, before: File, now: File) -> bool:
        """Regular files that may have other content all the same are looked at later."""
        if now.kept != before.kept:
            return False
        is_proof = not is_device(now.mode)
        if stat.S_ISLNK(now.mode):
            is_proof = now.ctime_ns < self._sides.doubtful_since
        return is_proof or same_content(self._saved, self._live, name, now.mode, self._worker)

    def _look_closer(self, path: str, before: File, now: File) -> None:
        sides = self._sides
        if stat.S_ISREG(now.mode) and now.ctime_ns >= sides.doubtful_since and now.size:
            self._found.doubts.append(path)
        if now.links > 1 or (before.links > 1 and sides.sharing.may_share(path)):
            name = SharedName(str(now.inode), before.bytes, before.inode, path)
            self._found.same.append(name)

    def _remove(self, name: str, now: File) -> None:
        """What only the live tree has goes, but for what the snapshot was made without."""
        path = join(self._path, name)
        if self._sides.excludes.reasons(path, now.mode):
            return
        if self._keeps_excluded(path, now):
            self._found.tasks.append(Thin(path))
            return
        self._record.moved.append(name)
        self._found.tell(Effect.REMOVED, path, now)

    def _keeps_excluded(self, path: str, now: File, is_in_cache: bool = False) -> bool:
        """Whether a live entry is a directory that has to stay for what is in it."""
        excludes = self._sides.excludes
        if not excludes or not stat.S_ISDIR(now.mode):
            return False
        is_itself = is_in_cache or bool(excludes.reasons(path, now.mode))
        return is_itself or holds_excluded(excludes, self._sides.live, path, self._worker)


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
        # What is gone by now need not be removed.
        with contextlib.suppress(*GONE), opened(sides.live, path) as live:
            if sides.excludes.caches and is_tag(live):
                return
            info = os.fstat(live)
            was = attributes(info)
            record = Record(path, info.st_ino, was, was)
            for part in chunks(listed(live), AT_ONCE):
                for name, now in part:
                    inner = join(path, name)
                    if inner not in staying and not sides.excludes.reasons(inner, now.mode):
                        record.moved.append(name)
                        found.tell(Effect.REMOVED, inner, now)
                found.record = record if len(record) else None
                found.hand_over(worker)
                record = record.blank()


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
                found.tell(Effect.CREATED, path, before)
                found.want(path, before, sides.sharing)
        return found


class Weigh(NamedTuple):
    """Count what is below a live directory that is going to be set aside."""

    path: str
    effect: Effect

    def perform(self, worker: Worker) -> Found:
        found = Found()
        try:
            with opened(worker.context.live, self.path) as live:
                for name, now in found.in_parts(listed(live), worker):
                    if stat.S_ISDIR(now.mode):
                        found.tasks.append(Weigh(join(self.path, name), self.effect))
                    else:
                        found.figures.count(self.effect, now.bytes)
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
                found.figures.number_of_files_unchanged -= 1
                found.tell(Effect.REPLACED, path, file)
                if self.is_wanted:
                    found.want(path, file, sides.sharing)
        return found
