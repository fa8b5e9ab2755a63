"""How a run writes the catalog of a snapshot: from the one before and what the run noted, or from
the tree.

What the run noted of digests names every path at which the snapshot may differ from the one before,
so only these are looked at: a run in which nothing changed links the catalog. Without a catalog of
the snapshot before, all directories are listed with the attributes, once.
"""

from __future__ import annotations

import heapq
import itertools
import os
import shutil
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter
from pathlib import Path
from typing import IO, NamedTuple, Optional

from engine.command.files import anew, nul_separated, opened_gzip, sort_records
from engine.command.outcome import Stopped
from engine.command.text import shown_path
from engine.copying.digests import DamagedList, Notes, read_list
from engine.history.catalog import Version, blocks, entries, escaped, write_catalog
from engine.tree.descent import GONE, chunks, info_of, join, opened
from engine.tree.listings import Beside
from engine.tree.pool import Pool, Task, Worker

LISTED_AT_ONCE = 1000  # entries of a directory that may have millions
LOOK_EVERY = 4096  # lines
KINDS = {
    stat.S_IFREG: "f",
    stat.S_IFLNK: "l",
    stat.S_IFIFO: "p",
    stat.S_IFSOCK: "s",
    stat.S_IFCHR: "c",
    stat.S_IFBLK: "b",
}
NOTHING = "-"
# Anybody can give a file a time with more digits than programs for tables, or calendars, take.
LATEST = (1 << 63) - 1
EARLIEST = -LATEST

Found = tuple[bytes, Optional[Version]]  # a path, and what is there, if anything


class Tools(NamedTuple):
    """top: the folder's descriptor, from before the workers were forked. on_tick: called now and
    then."""

    pool: Pool
    top: int
    work: Path
    on_tick: Callable[[], None] = lambda: None

    def watcher(self) -> Callable[[], None]:
        """To be called for each line: it raises :class:`Stopped` after a signal."""
        seen = itertools.count(1)

        def look() -> None:
            if next(seen) % LOOK_EVERY:
                return
            self.on_tick()
            if self.pool.stop.received:
                raise Stopped("stopped")

        return look


class Lists(NamedTuple):
    """Of one snapshot."""

    digests: Path | None
    sharing: Path | None


class Unlisted(Exception):
    """A snapshot cannot be read as a whole."""


def record_of(path: str, info: os.stat_result | None) -> bytes:
    """Fields of fixed width before the path: so records can be sorted by it."""
    if info is None:
        numbers = (NOTHING, 0, 0, 0, 0, 0, 0)
    else:
        kind = KINDS.get(stat.S_IFMT(info.st_mode), NOTHING)
        mode = stat.S_IMODE(info.st_mode)
        mtime = min(max(info.st_mtime_ns, EARLIEST), LATEST)
        numbers = (kind, info.st_size, mtime, mode, info.st_uid, info.st_gid, info.st_ino)
    return (FORMAT % numbers).encode() + os.fsencode(path) + b"\0"


FORMAT = "%s%20d%21d%5o%11d%11d%21d"
START = len(FORMAT % (NOTHING, 0, 0, 0, 0, 0, 0))


def parse_record(record: bytes) -> Found:
    path = record[START:]
    if record[:1] == NOTHING.encode():
        return path, None
    size, mtime, uid, gid, inode = (
        int(record[begin:end]) for begin, end in ((1, 21), (21, 42), (47, 58), (58, 69), (69, 90))
    )
    mode = int(record[42:47], 8)
    return path, Version(record[:1].decode(), size, mtime, "", mode, uid, gid, inode)


class Looked(NamedTuple):
    """error: why there may be more."""

    records: list[bytes]
    tasks: list[Task]
    error: str = ""


class LookAt(NamedTuple):
    """Look at single paths below ``top``."""

    top: int
    paths: list[str]

    def perform(self, worker: Worker) -> Looked:
        found: list[bytes] = []
        for folder, paths in itertools.groupby(self.paths, os.path.dirname):
            if worker.stopping:
                break
            try:
                found += self._in(folder, [*paths])
            except OSError as error:
                return Looked(found, [], f"{shown_path(folder)}: {error.strerror}")
        return Looked(found, [])

    def _in(self, folder: str, paths: list[str]) -> list[bytes]:
        try:
            with opened(self.top, folder) as directory:
                names = ((path, os.path.basename(path)) for path in paths)
                return [record_of(path, info_of(name, directory)) for path, name in names]
        except GONE:
            return [record_of(path, None) for path in paths]


class ListAll(NamedTuple):
    """Look at everything in one directory of the tree that is called ``tree`` below ``top``."""

    top: int
    tree: str
    path: str

    def perform(self, worker: Worker) -> Looked:
        records: list[bytes] = []
        tasks: list[Task] = []
        try:
            place = join(self.tree, self.path) if self.path else self.tree
            with opened(self.top, place) as directory, os.scandir(directory) as found:
                for entry in found:
                    if worker.stopping:
                        break
                    path = join(self.path, entry.name)
                    if entry.is_dir(follow_symlinks=False):
                        tasks.append(ListAll(self.top, self.tree, path))
                    else:
                        records.append(record_of(path, entry.stat(follow_symlinks=False)))
                    if len(records) + len(tasks) >= LISTED_AT_ONCE:
                        worker.emit(Looked(records, tasks))
                        records, tasks = [], []
        except OSError as error:
            return Looked(records, tasks, f"{shown_path(self.path)}: {error.strerror}")
        return Looked(records, tasks)


def looked_at(tasks: Iterable[Task], tools: Tools) -> Path:
    """A file of records, by path. Raises :class:`Unlisted`; :class:`Stopped` after a signal."""
    target = tools.work / "catalog.records"

    def take(file: IO[bytes], looked: Looked) -> list[Task]:
        if looked.error:
            raise Unlisted(looked.error)
        file.writelines(looked.records)
        return looked.tasks

    with target.open("wb") as file:
        tools.pool.run(tasks, lambda looked: take(file, looked))
    sort_records(target, "--stable", f"--key=1.{START + 1}")
    return target


def digests_in(path: Path | None) -> Iterator[tuple[bytes, str]]:
    """As many as can be read: a catalog does without."""
    try:
        for name, digest in read_list(path) if path and path.exists() else ():
            yield name, (digest or b"").decode()
    except DamagedList:
        return


def shared_in(path: Path | None, target: Path) -> Iterator[tuple[bytes, bool]]:
    """The paths that share an inode with others of their snapshot, sorted in ``target``."""
    try:
        if path is None:
            return
        with opened_gzip(path) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file)
    except (OSError, EOFError, zlib.error):
        return
    sort_records(target)
    yield from ((name, True) for name in nul_separated(target))


def looked_for(
    notes: Notes, lists: Lists, previous_sharing: Path | None, work: Path
) -> Iterator[str]:
    """Each path once at which the snapshot may differ from the one before: also those that only got
    another name, or lost one."""
    noted = (path for path, _ in notes.by_path(work))
    before = shared_in(previous_sharing, work / "catalog.shared-before")
    now = shared_in(lists.sharing, work / "catalog.shared-now")
    both = heapq.merge(before, now)
    differing = (path for path, group in itertools.groupby(both, itemgetter(0)) if is_odd(group))
    for path, _ in itertools.groupby(heapq.merge(noted, differing)):
        yield os.fsdecode(path)


def is_odd(group: Iterable[object]) -> bool:
    return sum(1 for _ in group) % 2 == 1


def described(
    found: Iterable[Found],
    digests: Iterator[tuple[bytes, str]],
    shared: Iterator[tuple[bytes, bool]],
) -> Iterator[Found]:
    """With the digests; and without the inodes of files that have one name."""
    known, sharing = Beside(digests), Beside(shared)
    for path, version in found:
        if version:
            inode = version.shared if sharing.at(path) else 0
            version = version._replace(md5=known.at(path) or "", shared=inode)
        yield path, version


def merged(previous: Iterator[tuple[bytes, bytes]], fresh: Iterable[Found]) -> Iterator[bytes]:
    """The lines of ``previous`` with what is known better."""
    old = next(previous, None)
    for path, version in fresh:
        while old and old[0] < path:
            yield old[1]
            old = next(previous, None)
        if old and old[0] == path:
            old = next(previous, None)
        if version:
            yield escaped(path) + b"\t" + version.fields()
    while old:
        yield old[1]
        old = next(previous, None)


def write_from_previous(
    target: Path,
    previous: Path,
    notes: Notes,
    lists: Lists,
    previous_sharing: Path | None,
    top: int,
    tools: Tools,
) -> None:
    """Raises :class:`DamagedCatalog` if the previous one is, and :class:`Unlisted`."""
    if not notes.are_new:
        link(previous, target)
        return
    paths = looked_for(notes, lists, previous_sharing, tools.work)
    records = looked_at((LookAt(top, part) for part in chunks(paths)), tools)
    _write(target, entries(previous), records, lists, tools)


def link(previous: Path, target: Path) -> None:
    """The same catalog for one more snapshot, once it is known to be whole."""
    for _ in blocks(previous):
        pass
    try:
        anew(target, lambda: os.link(previous, target))
    except OSError:  # it has as many names as it can have
        new = target.with_name(target.name + ".new")
        new.unlink(missing_ok=True)
        with previous.open("rb") as source, new.open("xb") as copy:
            shutil.copyfileobj(source, copy)
            copy.flush()
            os.fsync(copy.fileno())
        new.replace(target)


def write_from_tree(target: Path, lists: Lists, tree: str, tools: Tools) -> None:
    records = looked_at([ListAll(tools.top, tree, "")], tools)
    _write(target, iter(()), records, lists, tools)


def _write(
    target: Path,
    previous: Iterator[tuple[bytes, bytes]],
    records: Path,
    lists: Lists,
    tools: Tools,
) -> None:
    watch = tools.watcher()
    found = map(parse_record, nul_separated(records))
    fresh = described(
        found, digests_in(lists.digests), shared_in(lists.sharing, tools.work / "catalog.shared")
    )

    def text() -> Iterator[bytes]:
        for line in merged(previous, fresh):
            watch()
            yield line

    write_catalog(target, text())
