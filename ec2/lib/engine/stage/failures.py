"""What could not be copied: it is tried again, and in the end an older version takes its place.

One file that cannot be read, or changes faster than that, must not cost the others their snapshot.
Only what the *source* refuses is treated so: what the backup refuses fails the run.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from engine.stage.judging import Change, change_between
from engine.stage.memory import DOUBTFUL
from engine.stage.report import (
    EachPath,
    Failure,
    Report,
    Trees,
    drop,
    linked,
    note_directory,
    reason_of,
    shared_name,
    unseen,
)
from engine.stage.visit import Visit, removed
from engine.tree.attributes import Directory, set_attributes_of
from engine.tree.content import CHECK_BYTES, reader
from engine.tree.descent import CHUNK, GONE, TOP, chunks, inodes_of, join, opened, writable
from engine.tree.entries import DIRECTORY, File, file_of
from engine.tree.excluding import TAG, is_tag
from engine.tree.listings import side_by_side
from engine.tree.pool import Worker
from engine.tree.report import AT_ONCE
from engine.tree.sharing import Lack

CHANGES = "it changed while it was read, or cannot be read to its end"
FOREIGN = "this user cannot give the copy its owner or group; run the backup as root"


class Examine(EachPath):
    """Find out what became of files that an rsync job was given which was not done with all."""

    def look(self, path: str, report: Report, worker: Worker) -> None:
        trees: Trees = worker.context.trees
        folder, name = os.path.split(path)
        try:
            with opened(trees.source, folder) as source:
                now = file_of(os.stat(name, dir_fd=source, follow_symlinks=False))
        except GONE:
            vanished(trees, path, report)
            return
        except OSError as error:
            self._fail(trees, path, reason_of(error), report)
            return
        staged = entry_of(trees.stage, path)
        if stat.S_ISDIR(now.mode):
            vanished(trees, path, report)  # it is another thing now
        elif staged and staged.kept == now.kept:
            report.linked.append(path)  # its digest is not known if the job was killed
            report.figures.number_of_files_transferred += 1
            report.figures.total_transferred_file_size += now.bytes
        else:
            is_file = stat.S_ISREG(now.mode)
            reason = why_unreadable(trees, path) if is_file else CHANGES
            if reason == CHANGES and os.geteuid() and staged and is_foreign(now, staged):
                reason = FOREIGN
            self._fail(trees, path, reason, report)

    def _fail(self, trees: Trees, path: str, reason: str, report: Report) -> None:
        """It is not in the snapshot, so it is no file of it, until it is there after all."""
        take_out(trees, path)
        note_directory(trees, os.path.dirname(path), report)
        report.figures.number_of_files -= 1
        report.listed -= 1
        report.failures.append(Failure(path, reason, is_counted=True))


class Again(EachPath):
    """Begin anew with what could not be read."""

    is_counted = False

    def look(self, path: str, report: Report, worker: Worker) -> None:
        trees: Trees = worker.context.trees
        folder, name = os.path.split(path)
        try:
            with opened(trees.source, folder) as source:
                now = file_of(os.stat(name or ".", dir_fd=source, follow_symlinks=False))
        except GONE:
            report.figures.number_of_files += 1
            report.listed += 1
            vanished(trees, path, report)
            return
        except OSError as error:
            failure = unseen(path, error, entry_of(trees.previous, path))
            report.failures.append(failure._replace(is_counted=self.is_counted))
            return
        reasons = worker.context.excludes.reasons(path, now.mode)
        if reasons:  # it is another thing than before
            take_out(trees, path)
            note_directory(trees, folder, report)
            report.left_out(reasons, now.bytes)
            return
        if stat.S_ISDIR(now.mode):
            before = entry_of(trees.previous, path)
            make_directory(trees, path)
            was_directory = before is not None and stat.S_ISDIR(before.mode)
            report.tasks.append(Visit(path, was_directory, True))
            return
        take_out(trees, path)
        report.figures.number_of_files += 1
        if not self.is_counted:
            self._count(trees, path, now, report)
        if now.links > 1:
            report.shared.append(shared_name(now, Lack.MISSING, path))
        else:
            report.to_copy(path, now)

    def _count(self, trees: Trees, path: str, now: File, report: Report) -> None:
        report.figures.total_file_size += now.bytes
        before = entry_of(trees.previous, path)
        if before and stat.S_ISDIR(before.mode):
            before = None
        if not before or before.kept != now.kept:
            report.changed(change_between(now, before), now.bytes, path)


class CopyAgain(Again):
    """With what could not be copied: it may have another size by now, and counts as it did."""

    is_counted = True


class Carry(NamedTuple):
    """Have in the stage what the previous snapshot has under ``names`` in ``folder``, or nothing.

    failure: what it is done for, if these are not below it.
    """

    folder: str
    names: list[str]
    failure: Failure | None = None

    def perform(self, worker: Worker) -> Report:
        report = Report()
        trees: Trees = worker.context.trees
        for name in self.names:
            if worker.stopping:
                break
            path = join(self.folder, name)
            with report.failing(path):
                before = entry_of(trees.previous, path)
                if before and worker.context.excludes.reasons(path, before.mode):
                    removed(path, before, report, Change.EXCLUDED)
                    before = None
                if self.failure:
                    report.figures.number_of_files_failed += 1
                    if before and self.failure.is_counted:
                        report.figures.total_file_size -= before.bytes
                    report.figures.number_of_directories_failed += self.failure.is_directory
                    report.lasting.append((self.failure, before is not None))
                if before is None:
                    take_out(trees, path)
                elif stat.S_ISDIR(before.mode):
                    self._carry_directory(path, before, report, worker)
                else:
                    self._carry(trees, path, before, report)
        if self.failure:
            note_directory(trees, self.folder, report)
        return report

    def _carry_directory(self, path: str, before: File, report: Report, worker: Worker) -> None:
        trees: Trees = worker.context.trees
        make_directory(trees, path)
        assert trees.previous is not None
        with opened(trees.previous, path) as previous, opened(trees.stage, path) as stage:
            sides = side_by_side(worker.work, inodes_of(previous), inodes_of(stage))
            names: Iterator[str] = (name for name, _ in sides)
            if worker.context.excludes.caches and is_tag(previous):
                names = self._out_of_cache(trees, names, path, report)
            for part in chunks(names):
                report.tasks.append(Carry(path, part))
                if len(report.tasks) * CHUNK >= AT_ONCE:
                    report.hand_over(worker)
        report.figures.number_of_directories += 1
        report.marks.append((DOUBTFUL, path))
        attributes = (before.mode, before.uid, before.gid, before.mtime_ns)
        report.directories.append(Directory(path, False, *attributes))

    def _out_of_cache(
        self, trees: Trees, names: Iterable[str], path: str, report: Report
    ) -> Iterator[str]:
        """The one name that is kept. The previous snapshot may have been made with all of them."""
        for name in names:
            if name == TAG:
                yield name
                continue
            take_out(trees, join(path, name))
            before = entry_of(trees.previous, join(path, name))
            if before:
                removed(join(path, name), before, report, Change.EXCLUDED)

    def _carry(self, trees: Trees, path: str, before: File, report: Report) -> None:
        name = os.path.basename(path)
        staged = entry_of(trees.stage, path)
        if not staged or staged.inode != before.inode:
            take_out(trees, path)
            assert trees.previous is not None
            with (
                opened(trees.previous, self.folder) as previous,
                opened(trees.stage, self.folder) as stage,
            ):
                writable(stage)
                if not linked(name, previous, name, stage, report):
                    copy(name, previous, stage, before)
        report.figures.number_of_files_failed += not self.failure
        report.figures.number_of_files_carried_forward += 1
        report.figures.number_of_files += 1
        report.figures.total_file_size += before.bytes
        report.carried.append((path, before.links > 1))
        if self.failure and not differs(trees, path, before):
            # Nothing but the content tells that this is not what the source has.
            report.marks.append((DOUBTFUL, self.folder))


def differs(trees: Trees, path: str, before: File) -> bool:
    """Whether the source tells that it has another one."""
    try:
        now = entry_of(trees.source, path)
    except OSError:
        return False
    return now is not None and now.kept != before.kept


def entry_of(top: int | None, path: str) -> File | None:
    """What a tree has under ``path``, if it has anything."""
    if top is None:
        return None
    folder, name = os.path.split(path)
    try:
        with opened(top, folder) as directory:
            return file_of(os.stat(name or ".", dir_fd=directory, follow_symlinks=False))
    except GONE:
        return None


def take_out(trees: Trees, path: str) -> None:
    """Take ``path`` out of the stage, if it is there."""
    folder, name = os.path.split(path)
    staged = entry_of(trees.stage, path)
    if staged is None:
        return
    with opened(trees.stage, folder) as directory:
        writable(directory)
        drop(trees, directory, name, DIRECTORY if stat.S_ISDIR(staged.mode) else staged.inode)


def vanished(trees: Trees, path: str, report: Report) -> None:
    """It was seen and listed, and was never copied."""
    take_out(trees, path)
    note_directory(trees, os.path.dirname(path), report)
    report.figures.number_of_files -= 1
    report.listed -= 1
    report.vanished.append(path)


def make_directory(trees: Trees, path: str) -> None:
    """Have a directory at ``path`` in the stage, in which all is as it was if there was one."""
    staged = entry_of(trees.stage, path)
    if path == TOP or (staged and stat.S_ISDIR(staged.mode)):
        return
    take_out(trees, path)
    folder, name = os.path.split(path)
    with opened(trees.stage, folder) as directory:
        writable(directory)
        os.mkdir(name, 0o700, dir_fd=directory)


def is_foreign(now: File, staged: File) -> bool:
    """Whether all was copied of it, but whose it is."""
    return staged.size == now.size and (staged.uid, staged.gid) != (now.uid, now.gid)


def why_unreadable(trees: Trees, path: str) -> str:
    """What the system says when the source's file is read from its beginning."""
    folder, name = os.path.split(path)
    try:
        with opened(trees.source, folder) as source, reader(name, source) as file:
            file.read(1)
    except OSError as error:
        return reason_of(error)
    return CHANGES


def copy(name: str, previous: int, stage: int, before: File) -> None:
    """For a file that can have no more names."""
    with reader(name, previous) as source:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with open(os.open(name, flags, 0o600, dir_fd=stage), "wb") as target:
            while data := source.read(CHECK_BYTES):
                target.write(data)
            target.flush()
            wanted = Directory(name, False, before.mode, before.uid, before.gid, before.mtime_ns)
            set_attributes_of(target.fileno(), wanted)
