"""One directory of the stage after the other becomes as the source's."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from engine.command.text import shown_path
from engine.stage.judging import Change, Verdict, judge
from engine.stage.memory import Known, directory_mark
from engine.stage.report import (
    Failure,
    Report,
    Trees,
    drop,
    note_directory,
    reason_of,
    shared_name,
)
from engine.stage.settle import Entry, Settle
from engine.target.safety import is_reserved
from engine.tree.attributes import Directory
from engine.tree.descent import (
    CHUNK,
    GONE,
    TOP,
    files_in,
    inodes_in,
    is_writable,
    join,
    opened,
    writable,
)
from engine.tree.entries import DIRECTORY, File, attributes, file_of
from engine.tree.pool import Worker


class Visit(NamedTuple):
    """Make one directory of the stage as the source's, but for what has to be copied."""

    trees: Trees
    path: str
    in_previous: bool
    in_stage: bool  # else it is known to be empty

    def perform(self, worker: Worker) -> Report:
        report = Report()
        try:
            with report.failing(self.path), contextlib.ExitStack() as stack:
                self._visit(report, worker, stack)
        except Unreadable as error:
            return Report(failures=[Failure(self.path, str(error))])
        return report

    def _visit(self, report: Report, worker: Worker, stack: contextlib.ExitStack) -> None:
        trees, path = self.trees, self.path
        try:
            source = stack.enter_context(opened(trees.source, path))
        except OSError as error:
            if error.errno not in GONE:
                raise Unreadable(reason_of(error)) from error
            report.warnings.append(f"a directory vanished during the backup: {shown_path(path)}")
            self._discard(report)
            if self.in_previous:
                report.tasks.append(Removed(trees, path))
            return
        wanted = os.fstat(source)
        stage = stack.enter_context(opened(trees.stage, path))
        present = os.fstat(stage)
        previous: dict[str, File] = {}
        if self.in_previous and trees.previous is not None:
            with opened(trees.previous, path) as descriptor:
                previous = files_in(descriptor)
        staged = inodes_in(stage) if self.in_stage else {}
        known: Known = worker.context
        mark = directory_mark(wanted.st_ino)
        note = known.to_note(path, mark)
        if note:
            report.marks.append((note, path))
        changed_since = trees.changed_since if known.was_in_previous(path, mark) else 0
        entries = self._compare(source, stage, previous, staged, changed_since, report)
        for name, before in previous.items():
            self._removed(name, before, report)
        touched = bool(entries or staged or report.counts["directories made"])
        if touched and not is_writable(present):
            os.fchmod(stage, 0o700)
        is_same = known.was_in_stage(path, mark)
        settle = Settle(trees, path, entries, [*staged.items()], is_same)
        if len(entries) + len(staged) <= CHUNK:
            settle.settle(source, stage, report, worker)
        else:
            report.tasks += settle.split()
        if touched or attributes(wanted) != attributes(present):
            only_time = attributes(wanted)[:3] == attributes(present)[:3] and is_writable(present)
            report.directories.append(Directory(path, only_time, *attributes(wanted)))

    def _compare(
        self,
        source: int,
        stage: int,
        previous: dict[str, File],
        staged: dict[str, int],
        changed_since: int,
        report: Report,
    ) -> list[Entry]:
        """Enter the directories; return the other entries that something has to be done about.

        ``previous`` and ``staged`` lose what the source has too.
        """
        pending = []
        files = size = 0
        for name, info in listing(source):
            if isinstance(info, OSError):
                previous.pop(name, None)
                staged.pop(name, None)
                report.failures.append(Failure(join(self.path, name), reason_of(info)))
                continue
            if self.path == TOP and is_reserved(name, file_of(info)):
                where = shown_path(name)
                report.warnings.append(f"left out, as a restore set it aside: {where}")
                continue
            before = previous.pop(name, None)
            inode = staged.pop(name, None)
            if stat.S_ISDIR(info.st_mode):
                self._enter(stage, name, before, inode, report)
                continue
            now = file_of(info)
            files += 1
            size += now.bytes
            if before and stat.S_ISDIR(before.mode):
                self._removed(name, before, report)
                before = None
            verdict = judge(now, before, inode, changed_since)
            if verdict is not Verdict.KEEP:
                pending.append(Entry(name, now, before, inode, verdict))
            elif now.links > 1 and inode is not None:
                report.shared.append(shared_name(now, inode, join(self.path, name)))
        report.counts["files"] += files
        report.counts["bytes"] += size
        report.counts["directories"] += 1
        return pending

    def _enter(
        self, stage: int, name: str, before: File | None, inode: int | None, report: Report
    ) -> None:
        path = join(self.path, name)
        was_directory = before is not None and stat.S_ISDIR(before.mode)
        if before and not was_directory:
            self._removed(name, before, report)
        if inode != DIRECTORY:
            writable(stage)
            if inode is not None:
                os.unlink(name, dir_fd=stage)
            os.mkdir(name, 0o700, dir_fd=stage)
            report.counts["directories made"] += 1
        report.tasks.append(Visit(self.trees, path, was_directory, inode == DIRECTORY))

    def _discard(self, report: Report) -> None:
        """Take the directory itself out of the stage."""
        if self.path == TOP:
            raise FileNotFoundError("the source's top directory is gone")
        folder, name = os.path.split(self.path)
        with opened(self.trees.stage, folder) as directory:
            drop(self.trees, directory, name, DIRECTORY)
        note_directory(self.trees, folder, report)

    def _removed(self, name: str, before: File, report: Report) -> None:
        path = join(self.path, name)
        if stat.S_ISDIR(before.mode):
            report.tasks.append(Removed(self.trees, path))
        else:
            report.changed(Change.REMOVED, before.bytes, path)


class Unreadable(Exception):
    """The source does not let a directory be read."""


def listing(directory: int) -> Iterator[tuple[str, os.stat_result | OSError]]:
    """What is in a directory of the source, which may change meanwhile; errors in place of
    attributes that cannot be had."""
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                try:
                    yield entry.name, entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    yield entry.name, error
    except OSError as error:
        raise Unreadable(reason_of(error)) from error


class Removed(NamedTuple):
    """Report what the previous snapshot has in a directory that the source has no longer."""

    trees: Trees
    path: str

    def perform(self, worker: Worker) -> Report:
        report = Report()
        if self.trees.previous is None:
            return report
        with report.failing(self.path), opened(self.trees.previous, self.path) as descriptor:
            for name, before in files_in(descriptor).items():
                path = join(self.path, name)
                if stat.S_ISDIR(before.mode):
                    report.tasks.append(Removed(self.trees, path))
                else:
                    report.changed(Change.REMOVED, before.bytes, path)
        return report
