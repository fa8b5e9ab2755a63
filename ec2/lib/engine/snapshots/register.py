"""What is known of each snapshot: a small file beside it, and what binds it to its directory.

    FOLDER/.daily.about.ID        what is known of one snapshot, as JSON
    FOLDER/.daily.digests.ID.gz   its list of digests
    FOLDER/.daily.sharing.ID.gz   its list of paths that share an inode with others of it
    FOLDER/.daily.directories.ID.gz   its list of the source's directories
    FOLDER/.daily.origin          an empty file that is written once

``daily`` is the interval of the run that made it, whatever the snapshot is called by now: it may
have become a weekly one, or be held. All of a folder are read, and a run writes those of its own.
Nothing can be put into a snapshot, which is as the source was. So the file names the inode of the
snapshot's directory, which survives renaming; and the inode and ctime of the origin, which are
others as soon as all of this was copied elsewhere, and the inodes with it. Then witnesses tell:
paths at which a snapshot differs from the one before it. See docs/adr/0011.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from engine.command.files import read_state, write_atomically
from engine.snapshots.about import About, Damaged, Note, parse
from engine.snapshots.names import Names
from engine.snapshots.recognition import holds, recognised, witnesses
from engine.snapshots.retention import INTERVALS

IF_NEWEST = "If that is the newest, this run compares every file by content"
LISTS = ("digests", "sharing", "directories", "catalog", "changes")


class Register:
    """What is known of the snapshots in ``folder``, for the runs of one interval.

    problems: what was found to be damaged, for people.
    """

    def __init__(self, folder: Path, interval: str, names: Names) -> None:
        self.problems: list[str] = []
        self._folder = folder
        self._names = names
        self._interval = interval
        self._known: list[About] = []
        self._bound: dict[int, About] = {}  # by the inode of the snapshot's directory

    def load(self, trees: Sequence[Path]) -> int:
        """Read what is known, for the snapshots ``trees``, newest first.

        Returns how many were recognised only by what is in them, as all of it was copied.
        """
        self.problems = []
        self._known = sorted(self._read_all(), key=lambda about: about.sequence, reverse=True)
        there = [each for each in INTERVALS if self._names.has(self._origin(each))]
        here = {interval: self._here(interval) for interval in there}
        ours = [about for about in self._known if about.origin == here.get(about.interval)]
        strangers = [about for about in self._known if about.origin != here.get(about.interval)]
        self._bound = {about.inode: about for about in reversed(ours)}
        unknown = [tree for tree in trees if not self.of(tree)]
        number = 0
        for interval in INTERVALS:
            those = [about for about in strangers if about.interval == interval]
            found = recognised([tree for tree in unknown if not self.of(tree)], those)
            self._bound.update({about.inode: about for about in found})
            number += len(found)
            for tree in unknown if len(found) < len(those) else []:
                if tree.name.startswith(f"{interval}.") and not self.of(tree):
                    self._say(tree, "was copied here, and what is in it does not tell which it is")
        return number

    def distrust(self, newest: Path) -> list[str]:
        """Whoever has changed a snapshot may have put another one, or nothing of ours, there. That
        matters where it is to prove that files did not change. Returns what to tell."""
        about = self.of(newest)
        if not about or not about.run or holds(newest, about.witnesses):
            return []
        note = Note(0, excludes=about.run.excludes, excludes_caches=about.run.excludes_caches)
        self.note(newest, run=note)
        what = f"{str(newest)!r} was changed after it was made"
        return [f"{what}: this run compares every file by content"]

    def _say(self, tree: Path, what: str) -> None:
        self.problems.append(f"{str(tree)!r} {what}. {IF_NEWEST}")

    def adopt(self, trees: Sequence[Path]) -> None:
        """Snapshots of version 1.5, newest first, in a folder in which no other run ever was."""
        for tree in reversed(trees):
            self.begin(tree, None)
            self.note(tree, made=tree.stat().st_mtime)

    def bind(self) -> None:
        """Have everything bound to where it is now, so that nothing has to be recognised again."""
        here = self._make_origin()
        for about in [*self._bound.values()]:
            if about.interval == self._interval and about.origin != here:
                self._write(replace(about, origin=here))

    def of(self, tree: Path) -> About | None:
        return self._bound.get(self._names.inode_of(tree))

    def list_of(self, tree: Path, kind: str) -> Path | None:
        """Where its list is, if there is one; None if nothing is known of ``tree``."""
        about = self.of(tree)
        return self._folder / f".{about.interval}.{kind}.{about.id}.gz" if about else None

    def begin(self, tree: Path, run: Note | None) -> None:
        """``tree`` is to become a snapshot: nothing that was known of it holds any more, nor of one
        that is gone and whose inode it has now. Else that would be what is left to be believed if
        the new note were lost."""
        sequence = max((about.sequence for about in self._known), default=0) + 1
        inode, origin = self._names.inode_of(tree), self._make_origin()
        for before in [about for about in self._known if about.inode == inode]:
            if before.origin == self._here(before.interval):
                with contextlib.suppress(FileNotFoundError):
                    self._names.unlink(self._file_of(before))
                self._known.remove(before)
        about = About(secrets.token_hex(8), sequence, inode, origin, run)
        self._write(replace(about, interval=self._interval))

    def note(self, tree: Path, **changes: Any) -> None:
        """Note fields of :class:`About` for a tree of which something is known."""
        self._write(replace(self._bound[self._names.inode_of(tree)], **changes))

    def conclude(
        self,
        stage: Path,
        newest: Path | None,
        compared: About | None,
        run: Note,
        made: float,
        changed: Iterable[str],
    ) -> None:
        """The stage becomes a snapshot. That nothing ``changed`` is true of the snapshot that it
        was ``compared`` with, which need not be the newest any more."""
        found = witnesses(stage, newest, changed)
        before = self.of(newest) if newest else None
        if before and compared and before.id == compared.id and not (found or run.changes):
            found = before.witnesses
        self.note(stage, run=run, made=made, witnesses=found)

    def forget(self, trees: Iterable[Path], discard: Callable[[Path], None]) -> None:
        """Discard what concerns none of ``trees``, and was of our runs."""
        inodes = {self._names.inode_of(tree) for tree in trees}
        self._bound = {inode: about for inode, about in self._bound.items() if inode in inodes}
        self._known = [*self._bound.values()]
        kept = {about.id for about in self._known}
        for prefix in (f".{self._interval}.{kind}." for kind in ("about", *LISTS)):
            for path in self._names.starting_with(prefix):
                identifier = path.name.removeprefix(prefix).removesuffix(".gz")
                if identifier not in kept:
                    discard(path)

    def drop(self, about: About, discard: Callable[[Path], None]) -> None:
        """Discard what was known of one snapshot that is gone."""
        self._known = [each for each in self._known if each.id != about.id]
        self._bound.pop(about.inode, None)
        for path in self._names.starting_with(f".{about.interval}."):
            if f".{about.id}" in path.name:
                discard(path)

    def _file_of(self, about: About) -> Path:
        return self._folder / f".{about.interval}.about.{about.id}"

    def _origin(self, interval: str) -> Path:
        return self._folder / f".{interval}.origin"

    def _here(self, interval: str) -> tuple[int, int] | None:
        with contextlib.suppress(FileNotFoundError):
            info = self._origin(interval).lstat()
            return info.st_ino, info.st_ctime_ns
        return None

    def _make_origin(self) -> tuple[int, int]:
        here = self._here(self._interval)
        if here is None:
            origin = self._origin(self._interval)
            os.close(os.open(origin, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            here = self._here(self._interval)
        assert here
        return here

    def _write(self, about: About) -> None:
        found = asdict(about)
        del found["id"], found["interval"]
        write_atomically(self._file_of(about), json.dumps(found))
        others = [other for other in self._known if other.id != about.id]
        self._known = [about, *others]
        self._bound[about.inode] = about

    def _read_all(self) -> Iterator[About]:
        paths = [
            (each, path)
            for each in INTERVALS
            for path in self._names.starting_with(f".{each}.about.")
        ]
        for interval, path in paths:
            if path.name.endswith(".new"):
                continue  # of a run that was killed
            try:
                about = parse(path.name.removeprefix(f".{interval}.about."), read_state(path))
                yield replace(about, interval=interval)
            except (OSError, Damaged) as error:
                if interval != self._interval:
                    continue  # its own runs say so
                said = error.strerror if isinstance(error, OSError) else error
                self.problems.append(
                    f"{str(path)!r} is damaged ({said}): nothing is known of the snapshot to which "
                    f"it belonged. {IF_NEWEST}"
                )
