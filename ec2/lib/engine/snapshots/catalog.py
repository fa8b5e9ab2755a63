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
import itertools
import json
import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from engine.command.files import read_state, write_atomically
from engine.snapshots.retention import INTERVALS
from engine.tree.descent import opened

SECOND = 10**9  # ns
LATEST = 253402300800  # the year 10000, which no calendar of ours has
WITNESSES = 3
CANDIDATES = 50  # changed paths among which witnesses are looked for
IF_NEWEST = "If that is the newest, this run compares every file by content"
LISTS = ("digests", "sharing", "directories", "catalog", "changes")
LONGEST_PATH = 1000  # of a witness, in characters


class Damaged(Exception):
    """A small file that does not hold what was written to it."""


@dataclass(frozen=True)
class Run:
    """What the next runs have to know of the one that made a snapshot.

    started: by the clock of the backup file system, in ns. files: how many there are in it.
    changes: how many it has, or has no longer, other than the snapshot before. differed: how many
    files of the spare had to be replaced, when a stage was last made of one. differed_over: by how
    many runs that was older than the newest snapshot. apart: by how many the spare is now; 0 if
    that is not known. verified_to: where the next verification begins, see
    :class:`engine.stage.reading_back.Window`. source: see :func:`source_identity`. is_partial: it
    has older versions of some files, or lacks some. is_upheaval: many were changed or removed.
    excludes: the patterns of what was left out, a line each. excludes_caches: whether what is in
    caches was, too.
    """

    started: int
    files: int = 0
    changes: int = 0
    differed: int = 0
    verified_to: int = 0
    source: int = 0
    is_partial: bool = False
    apart: int = 0
    differed_over: int = 0
    is_upheaval: bool = False
    excludes: str = ""
    excludes_caches: bool = False

    def has_excludes_of(self, other: Run) -> bool:
        one, two = ((run.excludes, run.excludes_caches) for run in (self, other))
        return one == two


def source_identity(top: int) -> int:
    """What tells the directory that is open as ``top`` from other ones, as far as that can be told:
    a number from those of its file system and of itself. Not 0."""
    system = os.fstatvfs(top).f_fsid & 0xFFFFFFFF
    return (system << 64 | os.fstat(top).st_ino) + 1


class Witness(NamedTuple):
    """What a snapshot has at ``path``, by what every copy keeps; zeros if it has nothing there."""

    path: str
    mode: int = 0
    size: int = 0
    mtime_ns: int = 0

    def is_like(self, other: Witness) -> bool:
        """Some copies have no fractions of seconds."""
        second = other.mtime_ns // SECOND * SECOND
        return self[:3] == other[:3] and self.mtime_ns in (other.mtime_ns, second)


@dataclass(frozen=True)
class About:
    """sequence: higher for a later snapshot. run: None if version 1.5 made it. made: seconds since
    1970; None while it is a stage. interval: of the runs among which it was made."""

    id: str
    sequence: int
    inode: int
    origin: tuple[int, int]
    run: Run | None
    made: float | None = None
    witnesses: list[Witness] = field(default_factory=list)
    interval: str = ""


class Catalog:
    """What is known of the snapshots in ``folder``, for the runs of one interval.

    problems: what was found to be damaged, for people.
    """

    def __init__(self, folder: Path, interval: str) -> None:
        self.problems: list[str] = []
        self._folder = folder
        self._interval = interval
        self._known: list[About] = []
        self._bound: dict[int, About] = {}  # by the inode of the snapshot's directory

    def load(self, trees: Sequence[Path]) -> int:
        """Read what is known, for the snapshots ``trees``, newest first.

        Returns how many were recognised only by what is in them, as all of it was copied.
        """
        self.problems = []
        self._known = sorted(self._read_all(), key=lambda about: about.sequence, reverse=True)
        here = {interval: self._here(interval) for interval in INTERVALS}
        ours = [about for about in self._known if about.origin == here[about.interval]]
        strangers = [about for about in self._known if about.origin != here[about.interval]]
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

    def distrust(self, trees: Iterable[Path]) -> None:
        """Whoever has changed a snapshot may have put another one, or nothing of ours, there."""
        for tree in trees:
            about = self.of(tree)
            if about and about.interval != self._interval:
                continue
            if about and about.run and not holds(tree, about.witnesses):
                run = Run(0, excludes=about.run.excludes, excludes_caches=about.run.excludes_caches)
                self.note(tree, run=run)
                self._say(tree, "was changed after it was made")

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
        return self._bound.get(inode_of(tree))

    def list_of(self, tree: Path, kind: str) -> Path | None:
        """Where its list is, if there is one; None if nothing is known of ``tree``."""
        about = self.of(tree)
        return self._folder / f".{about.interval}.{kind}.{about.id}.gz" if about else None

    def begin(self, tree: Path, run: Run | None) -> None:
        """``tree`` is to become a snapshot: nothing that was known of it holds any more."""
        sequence = max((about.sequence for about in self._known), default=0) + 1
        origin = self._make_origin()
        about = About(secrets.token_hex(8), sequence, inode_of(tree), origin, run)
        self._write(replace(about, interval=self._interval))

    def note(self, tree: Path, **changes: Any) -> None:
        """Note fields of :class:`About` for a tree of which something is known."""
        self._write(replace(self._bound[inode_of(tree)], **changes))

    def forget(self, trees: Iterable[Path], discard: Callable[[Path], None]) -> None:
        """Discard what concerns none of ``trees``, and was of our runs."""
        inodes = {inode_of(tree) for tree in trees}
        self._bound = {inode: about for inode, about in self._bound.items() if inode in inodes}
        self._known = [*self._bound.values()]
        kept = {about.id for about in self._known}
        for prefix in (f".{self._interval}.{kind}." for kind in ("about", *LISTS)):
            for path in self._folder.glob(f"{prefix}*"):
                identifier = path.name.removeprefix(prefix).removesuffix(".gz")
                if identifier not in kept:
                    discard(path)

    def drop(self, about: About, discard: Callable[[Path], None]) -> None:
        """Discard what was known of one snapshot that is gone."""
        self._known = [each for each in self._known if each.id != about.id]
        self._bound.pop(about.inode, None)
        for path in self._folder.glob(f".{about.interval}.*.{about.id}*"):
            discard(path)

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
        path = self._folder / f".{about.interval}.about.{about.id}"
        write_atomically(path, json.dumps(found))
        others = [other for other in self._known if other.id != about.id]
        self._known = [about, *others]
        self._bound[about.inode] = about

    def _read_all(self) -> Iterator[About]:
        paths = [
            (each, path) for each in INTERVALS for path in self._folder.glob(f".{each}.about.*")
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


def inode_of(tree: Path) -> int:
    return tree.stat().st_ino


def parse(identifier: str, text: bytes) -> About:
    """Raises :class:`Damaged`. Fields that this version does not know are passed over."""
    try:
        found = json.loads(text)
        made, run = found["made"], found["run"]
        if made is not None and not 0 <= made < LATEST:
            raise ValueError(f"{made!r} is no time")
        return About(
            identifier,
            int(found["sequence"]),
            int(found["inode"]),
            (int(found["origin"][0]), int(found["origin"][1])),
            None if run is None else run_from(run),
            None if made is None else float(made),
            [Witness(str(path), *map(int, numbers)) for path, *numbers in found["witnesses"]],
        )
    except (ValueError, TypeError, KeyError, IndexError, RecursionError, OverflowError) as error:
        raise Damaged(str(error) or type(error).__name__) from error


def run_from(found: dict[str, Any]) -> Run:
    values = {each.name: found[each.name] for each in fields(Run) if each.name in found}
    for each in fields(Run):
        if type(values.get(each.name, each.default)).__name__ != each.type:
            raise TypeError(f"{each.name} is not of type {each.type}")
    return Run(**values)


def witnesses(tree: Path, before: Path | None, changed: Iterable[str]) -> list[Witness]:
    """A few of the paths ``changed`` at which ``tree`` visibly differs from ``before``."""
    differing = (
        there
        for path in itertools.islice(changed, CANDIDATES)
        if len(path) <= LONGEST_PATH
        for there in [witness(tree, path)]
        if before is None or there != witness(before, path)
    )
    return [*itertools.islice(differing, WITNESSES)]


def witness(tree: Path, path: str) -> Witness:
    folder, name = os.path.split(path)
    top = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        with opened(top, folder) as directory:
            info = os.stat(name, dir_fd=directory, follow_symlinks=False)
            return Witness(path, info.st_mode, info.st_size, info.st_mtime_ns)
    except (FileNotFoundError, NotADirectoryError):
        return Witness(path)
    finally:
        os.close(top)


def holds(tree: Path, expected: Iterable[Witness]) -> bool:
    """Whether ``tree`` has what all of its witnesses say."""
    try:
        return all(witness(tree, each.path).is_like(each) for each in expected)
    except OSError:
        return False


class Alike(NamedTuple):
    """Snapshots, newest first, of which all hold the same witnesses, and only their order tells."""

    witnesses: list[Witness]
    abouts: list[About]

    def of(self, trees: Sequence[Path]) -> list[About]:
        """What is known of which of ``trees``, which hold the witnesses. They may be fewer if that
        makes no difference: if nothing had changed between any of the snapshots."""
        are_same = all(about.witnesses == self.witnesses for about in self.abouts)
        if len(trees) > len(self.abouts) or (len(trees) < len(self.abouts) and not are_same):
            return []
        return [replace(about, inode=inode_of(tree)) for tree, about in zip(trees, self.abouts)]


def recognised(trees: Sequence[Path], abouts: Sequence[About]) -> list[About]:
    """What is known of which tree, by what is in them; both newest first.

    A tree is a snapshot if it holds its witnesses and not those of the next one. A snapshot that
    has none shows no difference to the one before it: it has older versions of all that changed, or
    only the content is another. Where there are more trees than snapshots that they can be, nothing
    is claimed: some are others.
    """
    groups: list[Alike] = []  # oldest first
    for about in reversed(abouts):
        if groups and about.witnesses in ([], groups[-1].witnesses):
            groups[-1].abouts.insert(0, about)
        elif about.witnesses:
            groups.append(Alike(about.witnesses, [about]))
    fits = [_fitting(tree, groups) for tree in trees]
    claimed_by = claims(fits, [len(group.abouts) for group in groups])
    claimed = (
        [tree for tree, group in zip(trees, claimed_by) if group == n] for n in range(len(groups))
    )
    return [about for group, those in zip(groups, claimed) for about in group.of(those)]


def _fitting(tree: Path, groups: Sequence[Alike]) -> set[int]:
    held = [holds(tree, group.witnesses) for group in groups]
    return {
        number
        for number, is_held in enumerate(held)
        if is_held and True not in held[number + 1 : number + 2]
    }


def claims(fits: Sequence[set[int]], sizes: Sequence[int]) -> list[int | None]:
    """The one group that each tree fits. What fits several is none of those of which each has a
    tree already that is nothing else."""
    left = [*fits]
    while True:
        certain = Counter(group for groups in left if len(groups) == 1 for group in groups)
        full = {group for group, number in certain.items() if number == sizes[group]}
        fewer = [groups - full if len(groups) > 1 else groups for groups in left]
        if fewer == left:
            return [min(groups) if len(groups) == 1 else None for groups in left]
        left = fewer
