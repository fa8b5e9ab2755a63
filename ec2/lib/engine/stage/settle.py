"""Putting entries of one directory into the stage."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from engine.stage.judging import Verdict, change_between, judge_staged
from engine.stage.memory import compared_mark
from engine.stage.report import (
    Failure,
    Report,
    Trees,
    drop,
    linked,
    reason_of,
    shared_name,
)
from engine.tree.content import same_content
from engine.tree.descent import GONE, join, opened
from engine.tree.entries import File, Placed, file_of
from engine.tree.pool import Task, Worker
from engine.tree.sharing import Inode, Lack, SharedName


class Entry(NamedTuple):
    """One entry of a directory that something may have to be done about."""

    name: str
    now: File
    before: File | None
    staged: Placed | None
    verdict: Verdict


class Folder(NamedTuple):
    """A directory to be made, and what to do then. staged: what is in its place."""

    name: str
    staged: Placed | None
    task: Task


class Gone(NamedTuple):
    """What must not stay in the stage."""

    name: str
    staged: Placed


class Settle(NamedTuple):
    """Put entries of one directory into the stage, as far as no data have to be copied, and take
    others out of it."""

    path: str
    is_same_directory: bool  # as that of which runs that did not finish made copies
    entries: list[Entry]
    folders: list[Folder]
    gone: list[Gone]

    @property
    def size(self) -> int:
        return len(self.entries) + len(self.folders) + len(self.gone)

    def perform(self, worker: Worker) -> Report:
        report = Report()
        trees: Trees = worker.context.trees
        with report.failing(self.path), contextlib.ExitStack() as stack:
            stage = stack.enter_context(opened(trees.stage, self.path))
            try:
                source = stack.enter_context(opened(trees.source, self.path))
            except OSError as error:
                gone = [*self.gone, *self._give_up(error, report)]
                rest = self._replace(entries=[], folders=[], gone=gone)
                Settling(rest, stage, stage, report, worker).settle()
            else:
                Settling(self, source, stage, report, worker).settle()
        return report

    def _give_up(self, error: OSError, report: Report) -> list[Gone]:
        """The directory was there when it was listed. Returns what must not stay of it."""
        has_vanished = isinstance(error, GONE)
        for entry in self.entries:
            path = join(self.path, entry.name)
            report.figures.number_of_files -= 1
            report.figures.total_file_size -= entry.now.bytes
            if has_vanished:
                report.vanished.append(path)
            else:
                report.failures.append(Failure(path, reason_of(error)))
        if not has_vanished:
            report.failures += (
                Failure(join(self.path, folder.name), reason_of(error), True)
                for folder in self.folders
            )
            return []
        found: list[Entry | Folder] = [*self.entries, *self.folders]
        return [Gone(each.name, each.staged) for each in found if each.staged is not None]


class Settling:
    """Of one directory. source, stage: its descriptors."""

    def __init__(
        self, task: Settle, source: int, stage: int, report: Report, worker: Worker
    ) -> None:
        self._task = task
        self._trees: Trees = worker.context.trees
        self._source, self._stage = source, stage
        self._previous: int | None = None
        self._report = report
        self._worker = worker

    def settle(self) -> None:
        task, previous = self._task, self._trees.previous
        self._each(task.gone, lambda gone: drop(self._trees, self._stage, *gone))
        self._each(task.folders, self._enter)
        with contextlib.ExitStack() as stack:
            if previous is not None and any(entry.before for entry in task.entries):
                self._previous = stack.enter_context(opened(previous, task.path))
            self._each(task.entries, self._settle)

    def _each(self, items: Iterable[Entry | Folder | Gone], settle: Callable[[Any], None]) -> None:
        for item in items:
            if self._worker.stopping:
                return
            with self._report.failing(join(self._task.path, item.name)):
                settle(item)

    def _enter(self, folder: Folder) -> None:
        if folder.staged is not None:
            os.unlink(folder.name, dir_fd=self._stage)
        os.mkdir(folder.name, 0o700, dir_fd=self._stage)
        self._report.tasks.append(folder.task)

    def _settle(self, entry: Entry) -> None:
        name, now, before, staged, verdict = entry
        report, previous = self._report, self._previous
        path = join(self._task.path, name)
        if verdict is Verdict.CHECK and before and previous is not None:
            same = self._is_same(entry, previous, before.inode)
            if not same and self._worker.stopping:
                return
            verdict = Verdict.LINK if same else Verdict.COPY
            if same:
                # Names that were one file in the previous snapshot may have become two files.
                name_of_two = SharedName(str(before.inode), now.bytes, now.inode, path)
                report.doubtful.append(name_of_two)
        inode: Inode = Lack.MISSING
        if verdict is Verdict.LINK and before and previous is not None:
            inode = before.inode
            if staged != inode:
                if staged is not None:
                    drop(self._trees, self._stage, name, staged)
                    staged = None
                if not linked(name, previous, name, self._stage, report):
                    inode = Lack.AT_LIMIT
        else:
            report.changed(change_between(now, before), now.bytes, path)
        if isinstance(inode, Lack):
            if staged is not None and not self._is_complete(entry):
                drop(self._trees, self._stage, name, staged)
                staged = None
            if isinstance(staged, int):
                inode = staged
                report.figures.number_of_files_continued += 1
                report.continued.append(path)
        if now.links > 1:
            report.shared.append(shared_name(now, inode, path))
        elif isinstance(inode, Lack):
            report.to_copy(path, now)

    def _is_complete(self, entry: Entry) -> bool:
        """Whether the stage's entry is a copy that a run which did not finish has made."""
        name, now = entry.name, entry.now
        resumed, margin = self._trees.resumed, self._trees.margin
        if resumed is None or not isinstance(entry.staged, int):
            return False
        if entry.before and entry.staged == entry.before.inode:
            return False  # the previous snapshot's, which is known to differ by now
        present = file_of(os.stat(name, dir_fd=self._stage, follow_symlinks=False))
        verdict = judge_staged(present, now, resumed, margin, self._task.is_same_directory)
        if verdict is Verdict.CHECK:
            return self._is_same(entry, self._stage, present.inode)
        return verdict is Verdict.KEEP

    def _is_same(self, entry: Entry, other: int, inode: int) -> bool:
        """Whether the entry holds what that of the backup's directory ``other`` does. Not compared
        again if a run that did not finish has done that, and the file did not change since."""
        name, now, worker = entry.name, entry.now, self._worker
        path = join(self._task.path, name)
        mark = compared_mark(now, inode)
        if worker.context.known.was_in_stage(path, mark):
            return True
        self._report.figures.number_of_files_checked += 1
        try:
            same = same_content(self._source, other, name, now.mode, worker)
        except OSError:
            return False  # it is copied, if it can be read at all
        if same and now.ctime_ns < self._trees.started - self._trees.margin:
            self._report.marks.append((mark, path))
        return same
