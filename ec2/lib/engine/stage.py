"""What the workers do to the stage, one directory at a time.

The stage's files may share their inodes with published snapshots. So a file in it is only ever
unlinked, linked or made anew; nothing is written to it, and no attribute of it is set. Directories
belong to one snapshot alone.

All is done relative to descriptors of directories, and no symbolic link is followed. What is on
disk is the truth: no task relies on what another run, or a person, may have left.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple, TypeVar

from engine.pool import Task, Worker
from engine.safety import SAFETY_PREFIX
from engine.walk import (
    DIRECTORY,
    Change,
    File,
    Verdict,
    change_between,
    file_of,
    judge,
    judge_staged,
)

TOP = ""
CHUNK = 200  # entries of one directory that one thread settles, each after the other
CHECK_BYTES = 1 << 20
LONG_PATH = 4000  # below PATH_MAX
GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)

_discarded = itertools.count()

Item = TypeVar("Item")


class Trees(NamedTuple):
    """Descriptors of the top directories, and the times that matter (in ns).

    previous: the newest snapshot, if there is one. trash: takes what is taken out of the stage.
    changed_since: see :func:`engine.walk.judge`. resumed: when the run that left the stage
    unfinished began, if there was one. margin: how far the clocks of source and backup may differ.
    """

    source: int
    previous: int | None
    stage: int
    trash: int
    changed_since: int | None
    resumed: int | None
    margin: int


class Directory(NamedTuple):
    """A directory of the stage and the attributes that it shall have in the end.

    only_time: it has all the others already.
    """

    path: str
    only_time: bool
    mode: int
    uid: int
    gid: int
    mtime_ns: int


class SharedName(NamedTuple):
    """A name in the source whose inode may have others.

    key: tells from all others what inode it is that they share. inode: in :attr:`Report.shared`,
    what the stage has under that name so far; in :attr:`Report.doubtful`, what the source has.
    """

    key: str
    size: int
    inode: int
    path: str


MISSING = 0  # an inode that has to be copied
AT_LIMIT = -1  # likewise, as the previous snapshot's cannot have one more name


def shared_name(now: File, inode: int, path: str) -> SharedName:
    # A number can be used again while the walk lasts, but not with the same time and size.
    key = f"{now.device}:{now.inode}:{now.mtime_ns}:{now.size}"
    return SharedName(key, now.bytes, inode, path)


class Changed(NamedTuple):
    change: Change
    size: int
    path: str


@dataclass
class Report:
    """What a task did, and what is left to do."""

    counts: Counter[str] = field(default_factory=Counter)
    tasks: list[Task] = field(default_factory=list)
    copies: list[tuple[str, int]] = field(default_factory=list)  # paths and sizes
    sparse: list[tuple[str, int]] = field(default_factory=list)  # likewise, of sparse files
    together: list[tuple[str, int]] = field(default_factory=list)  # likewise, as one inode
    shared: list[SharedName] = field(default_factory=list)  # by the source's inode
    doubtful: list[SharedName] = field(default_factory=list)  # by the previous snapshot's
    continued: list[str] = field(default_factory=list)  # what an unfinished run copied completely
    linked: list[str] = field(default_factory=list)  # names that were added to a file
    directories: list[Directory] = field(default_factory=list)
    changes: list[Changed] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def failing(self, path: str) -> Iterator[None]:
        """What the system refuses makes the run fail in the end, but not at once."""
        try:
            yield
        except OSError as error:
            self.errors.append(f"{shown_path(path)}: {error}")

    def changed(self, change: Change, size: int, path: str) -> None:
        self.counts[change.value] += 1
        self.counts[f"{change.value} bytes"] += size
        self.changes.append(Changed(change, size, path))


class Entry(NamedTuple):
    """One entry of a directory that something may have to be done about."""

    name: str
    now: File
    before: File | None
    staged: int | None
    verdict: Verdict


class Visit(NamedTuple):
    """Make one directory of the stage as the source's, but for what has to be copied."""

    trees: Trees
    path: str
    in_previous: bool
    in_stage: bool  # else it is known to be empty

    def perform(self, worker: Worker) -> Report:
        report = Report()
        with report.failing(self.path), contextlib.ExitStack() as stack:
            self._visit(report, worker, stack)
        return report

    def _visit(self, report: Report, worker: Worker, stack: contextlib.ExitStack) -> None:
        trees, path = self.trees, self.path
        try:
            source = stack.enter_context(opened(trees.source, path))
        except OSError as error:
            if error.errno not in GONE:
                raise
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
        entries = self._compare(source, stage, previous, staged, report)
        for name, before in previous.items():
            self._removed(name, before, report)
        touched = bool(entries or staged or report.counts["directories made"])
        if touched and not is_writable(present):
            os.fchmod(stage, 0o700)
        settle = Settle(trees, path, entries, [*staged.items()])
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
        report: Report,
    ) -> list[Entry]:
        """Enter the directories; return the other entries that something has to be done about.

        ``previous`` and ``staged`` lose what the source has too.
        """
        trees = self.trees
        pending = []
        files = size = 0
        with os.scandir(source) as entries:
            for entry in entries:
                name = entry.name
                try:
                    info = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if name.startswith(SAFETY_PREFIX):
                    where = shown_path(join(self.path, name))
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
                verdict = judge(now, before, inode, trees.changed_since)
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


class Settle(NamedTuple):
    """Put entries of one directory into the stage, as far as no data have to be copied, and take
    others out of it."""

    trees: Trees
    path: str
    entries: list[Entry]
    gone: list[tuple[str, int]]  # names and inodes

    def split(self) -> list[Task]:
        """Itself as several that can be performed at the same time."""
        return [
            *(self._replace(entries=part, gone=[]) for part in chunks(self.entries)),
            *(self._replace(entries=[], gone=part) for part in chunks(self.gone)),
        ]

    def perform(self, worker: Worker) -> Report:
        report = Report()
        with report.failing(self.path), contextlib.ExitStack() as stack:
            source = stack.enter_context(opened(self.trees.source, self.path))
            stage = stack.enter_context(opened(self.trees.stage, self.path))
            self.settle(source, stage, report, worker)
        return report

    def settle(self, source: int, stage: int, report: Report, worker: Worker) -> None:
        for name, inode in self.gone:
            if worker.stopping:
                return
            with report.failing(join(self.path, name)):
                drop(self.trees, stage, name, inode)
        previous = None
        with contextlib.ExitStack() as stack:
            if self.trees.previous is not None and any(e.before for e in self.entries):
                previous = stack.enter_context(opened(self.trees.previous, self.path))
            for entry in self.entries:
                if worker.stopping:
                    return
                with report.failing(join(self.path, entry.name)):
                    self._settle(entry, source, previous, stage, report, worker)

    def _settle(
        self,
        entry: Entry,
        source: int,
        previous: int | None,
        stage: int,
        report: Report,
        worker: Worker,
    ) -> None:
        name, now, before, staged, verdict = entry
        path = join(self.path, name)
        if verdict is Verdict.CHECK and previous is not None:
            report.counts["checked"] += 1
            same = same_content(source, previous, name, now.mode, worker)
            verdict = Verdict.LINK if same else Verdict.COPY
            if same and before:
                # Names that were one file in the previous snapshot may have become two files.
                name_of_two = SharedName(str(before.inode), now.bytes, now.inode, path)
                report.doubtful.append(name_of_two)
        inode = MISSING
        if verdict is Verdict.LINK and before and previous is not None:
            inode = before.inode
            if staged != inode:
                if staged is not None:
                    drop(self.trees, stage, name, staged)
                    staged = None
                if not linked(name, previous, name, stage, report):
                    inode = AT_LIMIT
        else:
            report.changed(change_between(now, before), now.bytes, path)
        if inode in (MISSING, AT_LIMIT):
            if staged is not None and not self._is_complete(entry, source, stage, report, worker):
                drop(self.trees, stage, name, staged)
                staged = None
            if staged is not None:
                inode = staged
                report.counts["continued"] += 1
                report.continued.append(path)
        if now.links > 1:
            report.shared.append(shared_name(now, inode, path))
        elif inode in (MISSING, AT_LIMIT):
            copies = report.sparse if now.is_sparse else report.copies
            copies.append((path, now.bytes))

    def _is_complete(
        self, entry: Entry, source: int, stage: int, report: Report, worker: Worker
    ) -> bool:
        """Whether the stage's entry is a copy that a run which did not finish has made."""
        name, now = entry.name, entry.now
        if self.trees.resumed is None or entry.staged == DIRECTORY:
            return False
        if entry.before and entry.staged == entry.before.inode:
            return False  # the previous snapshot's, which is known to differ by now
        present = file_of(os.stat(name, dir_fd=stage, follow_symlinks=False))
        verdict = judge_staged(present, now, self.trees.resumed, self.trees.margin)
        if verdict is Verdict.CHECK:
            report.counts["checked"] += 1
            return same_content(source, stage, name, now.mode, worker)
        return verdict is Verdict.KEEP


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


class Share(NamedTuple):
    """Give the names of one inode of the source one inode in the stage."""

    trees: Trees
    names: list[SharedName]

    def perform(self, worker: Worker) -> Report:
        report = Report()
        with report.failing(self.names[0].path):
            self._share(report)
        return report

    def _share(self, report: Report) -> None:
        there = [name for name in self.names if name.inode not in (MISSING, AT_LIMIT)]
        at_limit = any(name.inode == AT_LIMIT for name in self.names)
        if there and not at_limit and self._link_all(there[0], report):
            return
        for name in self.names:
            unlink(self.trees, name.path, report)
        report.together = [(name.path, name.size) for name in self.names]

    def _link_all(self, leader: SharedName, report: Report) -> bool:
        folder, first = os.path.split(leader.path)
        with opened(self.trees.stage, folder) as directory:
            for name in self.names:
                if name.inode == leader.inode:
                    continue
                unlink(self.trees, name.path, report)
                folder, other = os.path.split(name.path)
                with opened(self.trees.stage, folder) as its_directory:
                    if not linked(first, directory, other, its_directory, report):
                        return False
                report.linked.append(name.path)
        return True


class Separate(NamedTuple):
    """Have a file of the source copied that shares an inode in the stage with others by mistake."""

    trees: Trees
    names: list[SharedName]

    def perform(self, worker: Worker) -> Report:
        report = Report()
        with report.failing(self.names[0].path):
            for name in self.names:
                unlink(self.trees, name.path, report)
            report.together = [(name.path, name.size) for name in self.names]
        return report


class Recheck(NamedTuple):
    """Have files copied anew whose content turned out not to be the source's.

    paths: of files that the last run found to be so. Of a file with several names only a person can
    tell which to keep.
    """

    trees: Trees
    paths: list[str]

    def perform(self, worker: Worker) -> Report:
        report = Report()
        for path in self.paths:
            with report.failing(path):
                try:
                    self._recheck(path, report, worker)
                except OSError as error:
                    if error.errno not in GONE:
                        raise
        return report

    def _recheck(self, path: str, report: Report, worker: Worker) -> None:
        folder, name = os.path.split(path)
        with opened(self.trees.source, folder) as source, opened(self.trees.stage, folder) as stage:
            now = file_of(os.stat(name, dir_fd=source, follow_symlinks=False))
            staged = file_of(os.stat(name, dir_fd=stage, follow_symlinks=False))
            if now.links > 1 or now[:5] != staged[:5] or not stat.S_ISREG(now.mode):
                return
            report.counts["checked"] += 1
            if same_content(source, stage, name, now.mode, worker) or worker.stopping:
                return
        report.changed(Change.CHANGED, now.bytes, path)
        copies = report.sparse if now.is_sparse else report.copies
        copies.append((path, now.bytes))
        unlink(self.trees, path, report)


def unlink(trees: Trees, path: str, report: Report) -> None:
    """Unlink what the stage has under ``path``, if it has anything."""
    folder, name = os.path.split(path)
    with opened(trees.stage, folder) as directory:
        writable(directory)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=directory)
    note_directory(trees, folder, report)


class Finish(NamedTuple):
    """Give directories the attributes of the source's, now that nothing in them changes."""

    trees: Trees
    directories: list[Directory]

    def perform(self, worker: Worker) -> Report:
        report = Report()
        for directory in self.directories:
            try:
                set_attributes(self.trees.stage, directory)
            except FileNotFoundError:
                continue  # it vanished from the source after it had been noted
            except OSError as error:
                report.errors.append(f"{shown_path(directory.path)}: {error}")
        return report


def set_attributes(top: int, wanted: Directory) -> None:
    times = (wanted.mtime_ns, wanted.mtime_ns)
    if wanted.only_time and wanted.path and is_short(wanted.path):
        os.utime(wanted.path, ns=times, dir_fd=top, follow_symlinks=False)  # saves opening it
        return
    with opened(top, wanted.path) as descriptor:
        set_owner(descriptor, wanted)
        os.fchmod(descriptor, stat.S_IMODE(wanted.mode))
        os.utime(descriptor, ns=times)


def set_owner(descriptor: int, wanted: Directory) -> None:
    present = os.fstat(descriptor)
    if (present.st_uid, present.st_gid) != (wanted.uid, wanted.gid):
        if os.geteuid() == 0:
            os.fchown(descriptor, wanted.uid, wanted.gid)
        elif present.st_gid != wanted.gid:
            with contextlib.suppress(PermissionError):  # as rsync does
                os.fchown(descriptor, -1, wanted.gid)


def attributes(info: os.stat_result) -> tuple[int, int, int, int]:
    return info.st_mode, info.st_uid, info.st_gid, info.st_mtime_ns


@contextlib.contextmanager
def opened(top: int, path: str) -> Iterator[int]:
    """A descriptor of the directory ``path`` below ``top``; no link is followed at its end."""
    descriptor = top
    rest = path or "."
    while rest:
        part, rest = _cut(rest)
        try:
            deeper = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
        finally:
            if descriptor != top:
                os.close(descriptor)
        descriptor = deeper
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def is_short(path: str) -> bool:
    """Whether the kernel takes it in one call."""
    return len(path) * 4 <= LONG_PATH or len(os.fsencode(path)) <= LONG_PATH


def _cut(path: str) -> tuple[str, str]:
    """As much of a path as one call takes, and the rest."""
    if is_short(path):
        return path, ""
    end = path.rindex("/", 0, LONG_PATH // 4)
    return path[:end], path[end + 1 :]


def files_in(directory: int) -> dict[str, File]:
    with os.scandir(directory) as entries:
        return {entry.name: file_of(entry.stat(follow_symlinks=False)) for entry in entries}


def inodes_in(directory: int) -> dict[str, int]:
    """Without the attributes: an entry that is the previous snapshot's inode has them."""
    with os.scandir(directory) as entries:
        return {
            entry.name: DIRECTORY if entry.is_dir(follow_symlinks=False) else entry.inode()
            for entry in entries
        }


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
        report.counts["at link limit"] += 1
        return False
    report.counts["links"] += 1
    return True


def is_writable(info: os.stat_result) -> bool:
    return bool(info.st_mode & stat.S_IWUSR)


def writable(directory: int) -> None:
    """Let a user who is not root change a directory that its owner may not write to."""
    if not is_writable(os.fstat(directory)):
        os.fchmod(directory, 0o700)


def drop(trees: Trees, directory: int, name: str, inode: int) -> None:
    """Take the entry ``name`` of the stage's ``directory`` out of the stage."""
    if inode != DIRECTORY:
        os.unlink(name, dir_fd=directory)
        return
    with opened(directory, name) as itself:
        writable(itself)  # to move it changes its ".."
    unique = f"{os.getpid()}.{next(_discarded)}"
    os.rename(name, unique, src_dir_fd=directory, dst_dir_fd=trees.trash)


def note_directory(trees: Trees, path: str, report: Report) -> None:
    """Note that a directory of the stage, changed after its visit, needs its attributes again."""
    with contextlib.suppress(FileNotFoundError), opened(trees.source, path) as directory:
        report.directories.append(Directory(path, False, *attributes(os.fstat(directory))))


def same_content(one: int, other: int, name: str, mode: int, worker: Worker) -> bool:
    """Whether the entries ``name`` of two directories, equal in their attributes, are the same."""
    if stat.S_ISREG(mode):
        try:
            return _same_bytes(one, other, name, worker)
        except FileNotFoundError:
            return False
    if stat.S_ISLNK(mode):
        return os.readlink(name, dir_fd=one) == os.readlink(name, dir_fd=other)
    devices = [os.stat(name, dir_fd=fd, follow_symlinks=False).st_rdev for fd in (one, other)]
    return devices[0] == devices[1]


def _same_bytes(one: int, other: int, name: str, worker: Worker) -> bool:
    with reader(name, one) as file, reader(name, other) as reference:
        while not worker.stopping:
            data = file.read(CHECK_BYTES)
            if data != reference.read(CHECK_BYTES):
                return False
            if not data:
                return True
    return False  # stopped: nothing is published, and the next run looks again


def reader(name: str, directory: int) -> BinaryIO:
    """Reads what is on storage now, and not what this machine remembers of it."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(name, flags, dir_fd=directory)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    return open(descriptor, "rb")


def chunks(items: list[Item]) -> Iterator[list[Item]]:
    return (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))


def join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def shown_path(path: str) -> str:
    return repr(os.fsencode(path).decode(errors="backslashreplace")) if path else "the top"
