"""What a task does to the stage, and what it reports of it."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.command.text import shown_path
from engine.stage.figures import Figures
from engine.stage.judging import Change
from engine.stage.memory import Known
from engine.tree.attributes import Directory
from engine.tree.descent import opened, writable
from engine.tree.entries import DIRECTORY, File, Placed, attributes
from engine.tree.excluding import Excludes
from engine.tree.pool import Worker
from engine.tree.report import TaskReport
from engine.tree.sharing import Inode, SharedName


class Trees(NamedTuple):
    """Descriptors of the top directories, and the times that matter (in ns).

    previous: the newest snapshot, if there is one. trash: takes what is taken out of the stage.
    changed_since: see :func:`engine.stage.judging.judge`. started: when this run began. resumed:
    when the run that left the stage unfinished began, if there was one. margin: how far the clocks
    of source and backup may differ.
    """

    source: int
    previous: int | None
    stage: int
    trash: int
    changed_since: int
    started: int
    resumed: int | None
    margin: int


class Context(NamedTuple):
    """What all tasks know."""

    trees: Trees
    known: Known
    excludes: Excludes


def shared_name(now: File, inode: Inode, path: str) -> SharedName:
    """A name in the source whose inode may have others. inode: what the stage has so far."""
    # A number can be used again while the walk lasts, but not with the same time and size.
    key = f"{now.device}:{now.inode}:{now.mtime_ns}:{now.size}"
    return SharedName(key, now.bytes, inode, path)


class Failure(NamedTuple):
    """An entry of the source that could not be read or copied.

    is_counted: its size, and that it is a change if it is one, are in the figures."""

    path: str
    reason: str
    is_directory: bool = False
    is_counted: bool = False

    def __str__(self) -> str:
        what = "the directory " if self.is_directory and self.path else ""
        return f"{what}{shown_path(self.path)}: {self.reason}"


def unseen(path: str, error: OSError, before: File | None) -> Failure:
    """What cannot be looked at: the snapshot before tells whether it was a directory."""
    return Failure(path, reason_of(error), before is not None and stat.S_ISDIR(before.mode))


class Changed(NamedTuple):
    change: Change
    size: int
    path: str


def reason_of(error: OSError) -> str:
    return error.strerror or str(error)


@dataclass
class Report(TaskReport):
    """What a task did, and what is left to do.

    listed: files that are to be copied. excluded_by: how often, by what counts for a pattern.
    """

    figures: Figures = field(default_factory=Figures)
    listed: int = 0
    excluded_by: Counter[str] = field(default_factory=Counter)

    copies: list[tuple[str, int]] = field(default_factory=list)  # paths and sizes
    sparse: list[tuple[str, int]] = field(default_factory=list)  # likewise, of sparse files
    together: list[tuple[str, int]] = field(default_factory=list)  # likewise, as one inode
    shared: list[SharedName] = field(default_factory=list)  # by the source's inode
    # By the previous snapshot's inode; which one the source has.
    doubtful: list[SharedName] = field(default_factory=list)
    continued: list[str] = field(default_factory=list)  # what an unfinished run copied completely
    linked: list[str] = field(default_factory=list)  # names that were added to a file
    directories: list[Directory] = field(default_factory=list)
    marks: list[tuple[bytes, str]] = field(default_factory=list)  # for engine.stage.memory
    changes: list[Changed] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)  # to be tried again
    # Those that are not, and whether the previous snapshot has an older version.
    lasting: list[tuple[Failure, bool]] = field(default_factory=list)
    # The previous snapshot's files that took their place, and whether they may have more names.
    carried: list[tuple[str, bool]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def to_copy(self, path: str, now: File) -> None:
        """A file that has no other names."""
        copies = self.sparse if now.is_sparse else self.copies
        copies.append((path, now.bytes))

    def left_out(self, reasons: Iterable[str], size: int) -> None:
        """By patterns. A directory counts as one, as nobody looks into it."""
        self.figures.number_of_files_excluded += 1
        self.figures.excluded_file_size += size
        self.excluded_by.update(reasons)

    def changed(self, change: Change, size: int, path: str) -> None:
        self.figures.count(change, size)
        self.changes.append(Changed(change, size, path))


class EachPath(NamedTuple):
    """A task for some paths. What is wrong with one of them costs no other."""

    paths: list[str]

    def perform(self, worker: Worker) -> Report:
        report = Report()
        for path in self.paths:
            with report.failing(path):
                self.look(path, report, worker)
        return report

    def look(self, path: str, report: Report, worker: Worker) -> None:
        raise NotImplementedError


def linked(name: str, directory: int, new_name: str, new_directory: int, report: Report) -> bool:
    """Make a link; return False if the inode has as many as it can have."""
    try:
        os.link(
            name,
            new_name,
            src_dir_fd=directory,
            dst_dir_fd=new_directory,
            follow_symlinks=False,
        )
    except OSError as error:
        if error.errno != errno.EMLINK:
            raise
        report.figures.number_of_files_at_link_limit += 1
        return False
    report.figures.number_of_files_linked += 1
    return True


_discarded = itertools.count()


def unique_name() -> str:
    """In the trash."""
    return f"{os.getpid()}.{next(_discarded)}"


def drop(trees: Trees, directory: int, name: str, what: Placed) -> None:
    """Take the entry ``name`` of the stage's ``directory`` out of the stage."""
    if what is not DIRECTORY:
        os.unlink(name, dir_fd=directory)
        return
    with opened(directory, name) as itself:
        writable(itself)  # to move it changes its ".."
    os.rename(name, unique_name(), src_dir_fd=directory, dst_dir_fd=trees.trash)


def unlink(trees: Trees, path: str, report: Report) -> None:
    """Unlink what the stage has under ``path``, if it has anything."""
    folder, name = os.path.split(path)
    with opened(trees.stage, folder) as directory:
        writable(directory)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=directory)
    note_directory(trees, folder, report)


def note_directory(trees: Trees, path: str, report: Report) -> None:
    """Note that a directory of the stage, changed after its visit, needs its attributes again."""
    # What has gone needs none, and what cannot be read has those of its listing.
    with contextlib.suppress(OSError), opened(trees.source, path) as directory:
        report.directories.append(Directory(path, False, *attributes(os.fstat(directory))))
