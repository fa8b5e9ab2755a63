"""Copying all that a restore is going to put in place, with its attributes, into the safety
directory. The live tree is untouched as long as this takes."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from engine.command.files import nul_separated, sort_records
from engine.command.outcome import Failed, Stopped
from engine.command.text import Messages, shown, shown_path
from engine.copying.digests import LENGTH
from engine.copying.lists import ByKind
from engine.copying.rsync import Copying, Helper, Way
from engine.target.contents import with_digests
from engine.target.records import Wanted
from engine.target.safety import kept_times
from engine.tree.attributes import Directory, set_attributes
from engine.tree.descent import chunks, make_directories, opened
from engine.tree.pool import Pool, Task, Worker
from engine.tree.walls import Root

# The names do not exist yet: what is copied goes straight to its name, which saves renaming it.
RSYNC_OPTIONS = ["--whole-file", "--inplace", "--no-implied-dirs"]
PER_TASK = 50
DIGESTS = "digests"  # a file


class Prepare(NamedTuple):
    """Make directories in the safety directory. Whatever is needed above them is made, too."""

    new: int
    paths: list[str]

    def perform(self, worker: Worker) -> list[str]:
        siblings = itertools.groupby(sorted(self.paths, key=os.path.split), os.path.dirname)
        return failures(((folder, [*paths]) for folder, paths in siblings), self._make_in_one)

    def _make_in_one(self, siblings: tuple[str, list[str]]) -> None:
        """Opening what they are in once saves a call for each."""
        folder, paths = siblings
        make_directories(self.new, folder)
        with opened(self.new, folder) as directory:
            for path in filter(None, paths):
                with contextlib.suppress(FileExistsError):
                    os.mkdir(os.path.basename(path), 0o700, dir_fd=directory)


class Link(NamedTuple):
    """Have second names of files that are in the live tree as they should be."""

    live: int
    new: int
    pairs: list[tuple[str, str]]  # the live path, and the other

    def perform(self, worker: Worker) -> list[str]:
        return failures(self.pairs, self._link)

    def _link(self, pair: tuple[str, str]) -> None:
        (folder, name), (other_folder, other_name) = map(os.path.split, pair)
        with opened(self.live, folder) as live, opened(self.new, other_folder) as new:
            os.link(name, other_name, src_dir_fd=live, dst_dir_fd=new, follow_symlinks=False)


class Finish(NamedTuple):
    """Give new directories their attributes, now that all is in them."""

    new: int
    directories: list[Directory]

    def perform(self, worker: Worker) -> list[str]:
        return failures(self.directories, lambda directory: set_attributes(self.new, directory))


def failures(items: Iterable[Any], do: Callable[[Any], object]) -> list[str]:
    """Do it with all of them; return what the system refused."""
    errors = []
    for item in items:
        try:
            do(item)
        except OSError as error:
            path = item if isinstance(item, str) else item[0]
            errors.append(f"{shown_path(path)}: {error}")
    return errors


class Wants(Protocol):
    """What to fetch; :class:`engine.target.plan.Plan` is it for a restore."""

    def folders(self) -> Iterable[str]:
        """Directories in which something is put, new or not."""

    def directories(self) -> Iterable[Directory]: ...

    def links(self) -> Iterable[tuple[str, str]]: ...

    def singles(self) -> Iterable[Wanted]: ...

    def groups(self) -> Iterable[list[Wanted]]: ...


class Digests:
    """The digests that rsync prints of what it copies, in a file."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._lock = threading.Lock()

    def add(self, mark: bytes, paths: Iterable[bytes]) -> None:
        with self._lock:
            self._file.writelines(mark + b"  " + path + b"\0" for path in paths)

    def save(self) -> None:
        with self._lock:
            self._file.flush()


def copying_of(
    saved: Root, new: Root, work: Path, jobs: int, helper: Helper | None = None
) -> Copying:
    """For one attempt."""
    way = Way(saved, new, RSYNC_OPTIONS)
    return Copying(way, work, jobs, Digests(work / DIGESTS), helper)


class Fetch:
    """One attempt. live, new: descriptors of the live tree, and of the directory that takes what is
    fetched."""

    def __init__(self, plan: Wants, live: int, new: int, pool: Pool, copying: Copying) -> None:
        self._plan = plan
        self._live = live
        self._new = new
        self._pool = pool
        self._copying = copying
        self._digests = copying.work / DIGESTS
        self._errors = Messages()
        self.damaged = Messages()
        self.tally = copying.tally

    def make(self, on_tick: Callable[[], None]) -> None:
        """Raises :class:`Failed` or :class:`Stopped` if not all has arrived."""
        try:
            self._prepare()
            self._copy()
        except BaseException:
            self._copying.cancel()
            raise
        finally:
            self._copying.finish(self._pool.stop, 1, on_tick)
        self._check_copied()
        self._run(Finish(self._new, part) for part in chunks(self._plan.directories(), PER_TASK))
        self._check("not all could be given its attributes")

    def _prepare(self) -> None:
        plan, new = self._plan, self._new
        paths = itertools.chain(plan.folders(), (each.path for each in plan.directories()))
        self._run(Prepare(new, part) for part in chunks(paths, PER_TASK))
        self._run(Link(self._live, new, part) for part in chunks(plan.links(), PER_TASK))
        self._check("not all could be prepared")

    def _copy(self) -> None:
        lists = ByKind.of(self._copying)
        for file in self._plan.singles():
            kind = lists.sparse if file.is_sparse else lists.singles
            kind.add([(file.path, file.size)])
        for group in self._plan.groups():
            lists.groups.add([(file.path, file.size) for file in group])
        lists.finish()

    def _check_copied(self) -> None:
        if self._pool.stop.received:
            raise Stopped("stopped while copying; nothing was changed")
        missing = [f"{path} is gone from the snapshot" for path in self.tally.vanished]
        self._errors.add([*self.tally.errors, *missing])
        self._check("some files could not be copied, so nothing was changed")

    def _check(self, otherwise: str) -> None:
        if self._errors:
            raise Failed("files", f"{otherwise}: {self._errors[0]}")

    def _run(self, tasks: Iterable[Task]) -> None:
        def take(errors: list[str]) -> list[Task]:
            self._errors.add(errors)
            return []

        self._pool.run(tasks, take)

    @property
    def errors(self) -> list[str]:
        return self._errors.lines()

    def set_damaged_aside(self, listed: Path | None, aside: int) -> None:
        """Keep out of the live tree, in the directory ``aside``, what is not what the list of
        digests says: it has changed in the backup since it was put there."""
        for path, digest, expected in self._copied(listed):
            if expected and digest != expected:
                name = os.fsdecode(path)
                folder, last = os.path.split(name)
                make_directories(aside, folder)
                with (
                    opened(self._new, folder) as new,
                    opened(aside, folder) as damaged,
                    kept_times(new),  # new directories have their attributes already
                ):
                    os.rename(last, last, src_dir_fd=new, dst_dir_fd=damaged)
                self.damaged.add([shown(path)])

    def _copied(self, listed: Path | None) -> Iterator[tuple[bytes, bytes, bytes | None]]:
        """Paths, in the order of their bytes, what they hold, and what they should."""
        sort_records(self._digests, f"--key=1.{LENGTH + 3}")
        ours, theirs = itertools.tee(self.digests())
        paths = (path for path, _ in theirs)
        for (path, digest), (_, expected) in zip(ours, with_digests(paths, listed)):
            yield path, digest, expected

    def digests(self) -> Iterator[tuple[bytes, bytes]]:
        """Paths of the files that were copied, and what they hold."""
        for record in nul_separated(self._digests):
            yield record[LENGTH + 2 :], record[:LENGTH]
