"""One directory of the stage after the other becomes as the source's."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Optional, Union

from engine.command.text import shown_path
from engine.stage.judging import Change, Verdict, judge
from engine.stage.memory import directory_mark
from engine.stage.report import (
    Failure,
    Report,
    Trees,
    drop,
    note_directory,
    reason_of,
    shared_name,
    unseen,
)
from engine.stage.settle import Entry, Folder, Gone, Settle, Settling
from engine.tree.attributes import Directory
from engine.tree.descent import (
    CHUNK,
    GONE,
    TOP,
    files_of,
    inodes_of,
    is_writable,
    join,
    opened,
)
from engine.tree.entries import DIRECTORY, File, Placed, attributes, file_of
from engine.tree.excluding import Sieve
from engine.tree.listings import side_by_side
from engine.tree.pool import Worker
from engine.tree.reserved import is_reserved

Compared = tuple[str, Union[File, OSError, None], Optional[File], Optional[Placed]]
"""A name, and what source, previous snapshot and stage have under it."""


class Visit(NamedTuple):
    """Make one directory of the stage as the source's, but for what has to be copied."""

    path: str
    in_previous: bool
    in_stage: bool  # else it is known to be empty

    def perform(self, worker: Worker) -> Report:
        report = Report()
        try:
            with report.failing(self.path), contextlib.ExitStack() as stack:
                Visiting(self, report, worker, stack).visit()
        except Unreadable as error:
            return Report(failures=[Failure(self.path, str(error), True)])
        return report


class Visiting:
    """Of one directory. stack: closes what is opened."""

    def __init__(
        self, task: Visit, report: Report, worker: Worker, stack: contextlib.ExitStack
    ) -> None:
        self._task, self._path = task, task.path
        self._trees: Trees = worker.context.trees
        self._report = report
        self._worker = worker
        self._stack = stack
        self._sieve = Sieve(worker.context.excludes, task.path)

    def visit(self) -> None:
        trees, path, report = self._trees, self._path, self._report
        try:
            source = self._opened(trees.source)
        except GONE:
            report.warnings.append(f"a directory vanished during the backup: {shown_path(path)}")
            self._discard()
            if self._task.in_previous:
                report.tasks.append(Removed(path))
            return
        except OSError as error:
            raise Unreadable(reason_of(error)) from error
        wanted = os.fstat(source)
        stage = self._opened(trees.stage)
        present = os.fstat(stage)
        known = self._worker.context.known
        mark = directory_mark(wanted.st_ino)
        note = known.to_note(path, mark)
        if note:
            report.marks.append((note, path))
        self._changed_since = trees.changed_since if known.was_in_previous(path, mark) else 0
        nothing = Settle(path, known.was_in_stage(path, mark), [], [], [])
        touched = False
        for settle, is_all in self._compare(source, stage, nothing):
            if not touched and not is_writable(present):
                os.fchmod(stage, 0o700)
            touched = True
            if is_all:
                Settling(settle, source, stage, report, self._worker).settle()
            else:
                report.tasks.append(settle)
        report.figures.number_of_directories += 1
        if touched or attributes(wanted) != attributes(present):
            only_time = attributes(wanted)[:3] == attributes(present)[:3] and is_writable(present)
            report.directories.append(Directory(path, only_time, *attributes(wanted)))

    def _opened(self, top: int) -> int:
        return self._stack.enter_context(opened(top, self._path))

    def _listings(self, source: int, stage: int) -> Iterator[Compared]:
        with contextlib.ExitStack() as stack:
            previous: Iterable[tuple[str, File]] = ()
            if self._task.in_previous and self._trees.previous is not None:
                previous = files_of(stack.enter_context(opened(self._trees.previous, self._path)))
            staged = inodes_of(stage) if self._task.in_stage else ()
            now = self._sieve.watching(source, listing(source))
            for name, found in side_by_side(self._worker.work, now, previous, staged):
                yield (name, *found)

    def _compare(self, source: int, stage: int, nothing: Settle) -> Iterator[tuple[Settle, bool]]:
        """What has to be done about the entries, in parts, and whether a part is all of it."""
        settle = nothing
        is_first = True
        for entry in self._report.in_parts(self._listings(source, stage), self._worker):
            if self._worker.stopping:
                return
            if settle is nothing:
                settle = nothing._replace(entries=[], folders=[], gone=[])
            self._judge(entry, settle)
            if settle.size >= CHUNK:
                yield settle, False
                settle, is_first = nothing, False
        if settle.size:
            yield settle, is_first

    def _judge(self, entry: Compared, settle: Settle) -> None:
        name, now, before, staged = entry
        report = self._report
        path = join(self._path, name)
        gone = Change.REMOVED
        reasons = self._sieve.reasons(name, now.mode if isinstance(now, File) else 0) if now else []
        if reasons:
            report.left_out(reasons, now.bytes if isinstance(now, File) else 0)
            now, gone = None, Change.EXCLUDED
        if isinstance(now, OSError):
            report.failures.append(unseen(path, now, before))
            return
        if now and self._path == TOP and is_reserved(name, now):
            report.warnings.append(f"left out, as a restore set it aside: {shown_path(name)}")
            now = None
        if now is None:
            if before:
                removed(path, before, report, gone)
            if staged is not None:
                settle.gone.append(Gone(name, staged))
            return
        is_directory = stat.S_ISDIR(now.mode)
        if before and stat.S_ISDIR(before.mode) != is_directory:
            removed(path, before, report)
            before = None
        if is_directory:
            visit = Visit(path, before is not None, staged is DIRECTORY)
            if staged is DIRECTORY:
                report.tasks.append(visit)
            else:
                settle.folders.append(Folder(name, staged, visit))
            return
        report.figures.number_of_files += 1
        report.figures.total_file_size += now.bytes
        verdict = judge(now, before, staged, self._changed_since)
        if verdict is not Verdict.KEEP:
            settle.entries.append(Entry(name, now, before, staged, verdict))
        elif now.links > 1 and isinstance(staged, int):
            report.shared.append(shared_name(now, staged, path))

    def _discard(self) -> None:
        """Take the directory itself out of the stage."""
        if self._path == TOP:
            raise FileNotFoundError("the source's top directory is gone")
        folder, name = os.path.split(self._path)
        with opened(self._trees.stage, folder) as directory:
            drop(self._trees, directory, name, DIRECTORY)
        note_directory(self._trees, folder, self._report)


class Unreadable(Exception):
    """The source does not let a directory be read."""


def listing(directory: int) -> Iterator[tuple[str, File | OSError]]:
    """What is in a directory of the source, which may change meanwhile; errors in place of
    attributes that cannot be had."""
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                try:
                    yield entry.name, file_of(entry.stat(follow_symlinks=False))
                except FileNotFoundError:
                    continue
                except OSError as error:
                    yield entry.name, error
    except OSError as error:
        raise Unreadable(reason_of(error)) from error


def removed(path: str, before: File, report: Report, change: Change = Change.REMOVED) -> None:
    """Report that the new snapshot lacks what the previous one has under ``path``."""
    if stat.S_ISDIR(before.mode):
        report.tasks.append(Removed(path, change))
    else:
        report.changed(change, before.bytes, path)


class Removed(NamedTuple):
    """Likewise, of all that is in a directory."""

    path: str
    change: Change = Change.REMOVED

    def perform(self, worker: Worker) -> Report:
        report = Report()
        trees: Trees = worker.context.trees
        if trees.previous is None:
            return report
        with report.failing(self.path), opened(trees.previous, self.path) as descriptor:
            for name, before in report.in_parts(files_of(descriptor), worker):
                removed(join(self.path, name), before, report, self.change)
        return report
