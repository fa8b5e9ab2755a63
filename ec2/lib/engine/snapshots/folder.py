"""Where snapshots live and how they are renamed.

Everything here renames or removes whole snapshots; nothing writes into a published one.

    FOLDER/daily.0 …         published snapshots, newest first
    FOLDER/.daily.spare      the snapshot that expired last; the next run makes its stage of it
    FOLDER/.daily.stage      the snapshot that is being made, also by a run that did not finish
    FOLDER/.daily.complete   a finished stage on its way to daily.0
    FOLDER/.daily.expired.N  snapshots on their way out, and what was taken out of a stage
    FOLDER/.daily.dates      when each snapshot was made, by the inode of its directory
    FOLDER/.daily.runs       likewise, what is known of the run that made it
    FOLDER/.daily.digests.N  the digests of the files of the snapshot whose directory has inode N
    FOLDER/.daily.sharing.N  likewise, paths in it that share an inode
    FOLDER/.daily.suspects   paths of files that the last run found not to be what the source has
    FOLDER/.daily.notes      what is known of the digests of the files in the stage
    FOLDER/.daily.readers    locked by those who read a snapshot, see readers.py
    FOLDER/.lock             held for the whole run
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from engine.command.files import locked, write_atomically
from engine.command.outcome import Refused, Stopped
from engine.command.process import TICK_SECONDS, StopSignals
from engine.snapshots.readers import Readers, readers_file

log = logging.getLogger(__name__)


# To make a spare that differs in more than this share of its files into the stage takes more calls
# than to link all files into an empty one. Measured on NFS, see docs/adr/0007.
SPARE_LIMIT = 0.7


@dataclass
class Run:
    """What the next runs have to know of the one that made a snapshot.

    started: by the clock of the backup file system, in ns. files: how many there are in it.
    changes: how many it has, or has no longer, other than the snapshot before. differed: how many
    files of the spare had to be replaced, when a stage was last made of one. verified_to: where the
    next verification begins, see :class:`engine.stage.reading_back.Window`. source: see
    :func:`source_identity`.
    """

    started: int
    files: int = 0
    changes: int = 0
    differed: int = 0
    verified_to: int = 0
    source: int = 0


def source_identity(top: int) -> int:
    """What tells the directory that is open as ``top`` from other ones, as far as that can be told:
    a number from those of its file system and of itself. Not 0."""
    system = os.fstatvfs(top).f_fsid & 0xFFFFFFFF
    return (system << 64 | os.fstat(top).st_ino) + 1


class Beginning(NamedTuple):
    """What the stage is at first: what a run that did not finish left, the spare, or empty."""

    unfinished: Run | None = None
    was_spare: bool = False


def is_spare_cheaper(runs: Sequence[Run]) -> bool:
    """Whether a stage made of the spare takes fewer calls than an empty one.

    ``runs`` made the snapshots that there are, newest first. The spare was the one before them: it
    differs by no more than what all of them changed. If that were the same files each time it
    differs by far less, so what was found when one was last used has a say, too.
    """
    newest = runs[0]
    limit = SPARE_LIMIT * newest.files
    return sum(run.changes for run in runs) <= limit or newest.differed <= limit


class SnapshotFolder:
    """The snapshots of one interval in one folder of the backup file system."""

    def __init__(self, path: Path, interval: str) -> None:
        self.path = path
        self.interval = interval
        self.stage = path / f".{interval}.stage"
        self.spare = path / f".{interval}.spare"
        self.notes = path / f".{interval}.notes"
        self.suspects = path / f".{interval}.suspects"
        self.readers = readers_file(path, interval)
        self._complete = path / f".{interval}.complete"
        self._dates_file = path / f".{interval}.dates"
        self._runs_file = path / f".{interval}.runs"

    def snapshot(self, number: int) -> Path:
        return self.path / f"{self.interval}.{number}"

    def newest(self) -> Path | None:
        return next((path for _, path in self._numbered(self.interval)), None)

    def lock(self, wait: int, stop: StopSignals) -> None:
        """Keep every other run out of this folder until this process and its children end.

        Two runs would renumber each other's snapshots. The lock lies on the backup file system, so
        that it also holds between instances. Raises :class:`Refused` if another run still has it
        after ``wait`` seconds: a machine that was killed keeps it until its lease on NFS ends.
        """
        if self.path.is_symlink() or (self.path.exists() and not self.path.is_dir()):
            raise Refused(f"{str(self.path)!r} exists and is not a directory")
        self.path.mkdir(exist_ok=True)
        working = f"another run is working on {str(self.path)!r}"
        deadline = time.monotonic() + wait
        is_waiting = False
        while locked(self.path / ".lock") is None:
            if time.monotonic() >= deadline:
                raise Refused(f"{working}; wait until it has finished")
            if stop.received:
                raise Stopped(f"stopped while {working}")
            if not is_waiting:
                log.info("%s; waiting for its lock for up to %d seconds", working, wait)
                is_waiting = True
            time.sleep(TICK_SECONDS)

    def now(self) -> int:
        """The time (in ns) by the clock of the backup file system."""
        lock = self.path / ".lock"
        os.utime(lock)
        return lock.stat().st_mtime_ns

    def begin_stage(self, started: int, readers: Readers) -> Beginning:
        """Have a stage.

        ``started`` is noted before the directory becomes the stage: a stage without a date does not
        pass for one that was begun long ago.
        """
        if self.stage.is_dir():
            unfinished = self.run_of(self.stage)
            if not unfinished:
                self.note_run(self.stage, Run(started))
            return Beginning(unfinished=unfinished)
        runs = [self.run_of(path) or Run(0) for _, path in self._numbered(self.interval)]
        if self.spare.is_dir() and readers.have(self.spare):
            log.info("the spare is being read: linking into an empty stage")
            self.spare.rename(self._next(f".{self.interval}.expired"))
        elif self.spare.is_dir() and runs and not is_spare_cheaper(runs):
            log.info("the spare differs too much: linking into an empty stage")
            self.spare.rename(self._next(f".{self.interval}.expired"))
        self.notes.unlink(missing_ok=True)
        was_spare = self.spare.is_dir()
        self.spare.mkdir(mode=0o700, exist_ok=True)
        self.note_run(self.spare, Run(started))
        self.spare.rename(self.stage)
        return Beginning(was_spare=was_spare)

    def make_trash(self) -> Path:
        """A directory for what is taken out of the stage, removed together with what expired."""
        path = self._next(f".{self.interval}.expired")
        path.mkdir(mode=0o700)
        return path

    def run_of(self, tree: Path) -> Run | None:
        found = self._runs().get(str(tree.stat().st_ino))
        return Run(**found) if found else None

    def note_run(self, tree: Path, run: Run) -> None:
        """Trees keep their inodes when they are renamed; what is gone is forgotten."""
        trees = [path for _, path in self._numbered(self.interval)] + [self.stage, self.spare]
        kept = {str(path.stat().st_ino) for path in trees if path.is_dir()}
        runs = {inode: run for inode, run in self._runs().items() if inode in kept}
        runs[str(tree.stat().st_ino)] = asdict(run)
        write_atomically(self._runs_file, json.dumps(runs))

    def _runs(self) -> dict[str, dict[str, int]]:
        try:
            runs: dict[str, dict[str, int]] = json.loads(self._runs_file.read_text())
        except FileNotFoundError:
            return {}
        return runs

    def publish(self, now: float) -> Path:
        """Turn the stage into snapshot 0, made at ``now`` (seconds since 1970).

        One rename decides (stage -> complete); all that follow are repeated by the next run if this
        one is killed among them.
        """
        self._note_date(self.stage, now)
        self.stage.rename(self._complete)
        self.finish_publishing()
        return self.snapshot(0)

    def finish_publishing(self) -> None:
        if not self._complete.is_dir():
            return
        gap = 0
        while os.path.lexists(self.snapshot(gap)):
            gap += 1
        for number in reversed(range(gap)):
            self.snapshot(number).rename(self.snapshot(number + 1))
        self._complete.rename(self.snapshot(0))

    def dated(self) -> list[tuple[str, float]]:
        """Names of the published snapshots, newest first, and when each was made.

        A snapshot of version 1.5 has no date noted; it was touched when it was made.
        """
        dates = self._dates()
        found = []
        for _, path in self._numbered(self.interval):
            info = path.stat()
            found.append((path.name, dates.get(str(info.st_ino), info.st_mtime)))
        return found

    def _dates(self) -> dict[str, float]:
        """Times by inode: a snapshot keeps its inode when it is renumbered."""
        try:
            dates: dict[str, float] = json.loads(self._dates_file.read_text())
        except FileNotFoundError:
            return {}
        return dates

    def _note_date(self, tree: Path, now: float) -> None:
        kept = {str(path.stat().st_ino) for _, path in self._numbered(self.interval)}
        dates = {inode: time for inode, time in self._dates().items() if inode in kept}
        dates[str(tree.stat().st_ino)] = now
        write_atomically(self._dates_file, json.dumps(dates))

    def expire(self, retain: int, keep_spare: bool, readers: Readers) -> list[str]:
        """Take every snapshot beyond the first ``retain`` out of sight; return their names.

        The newest of them becomes the spare: it differs least from the snapshots that stay.
        """
        expired = [path for n, path in self._numbered(self.interval) if n >= retain]
        if self.spare.is_dir() and (expired or not keep_spare):
            self.spare.rename(self._next(f".{self.interval}.expired"))
        for path in reversed(expired):
            is_spare = keep_spare and path == expired[0] and not readers.have(path)
            path.rename(self.spare if is_spare else self._next(f".{self.interval}.expired"))
        return [path.name for path in expired]

    def digests_of(self, tree: Path) -> Path:
        return self.path / f".{self.interval}.digests.{tree.stat().st_ino}.gz"

    def sharing_of(self, tree: Path) -> Path:
        """The list of the snapshot's paths that share an inode with others of it."""
        return self.path / f".{self.interval}.sharing.{tree.stat().st_ino}.gz"

    def forget_digests(self, readers: Readers) -> None:
        """Remove the lists of snapshots that are gone, and the notes for the newest."""
        trees = [path for _, path in self._numbered(self.interval)]
        expired = [path for _, path in self._numbered(f".{self.interval}.expired")]
        trees += [path for path in expired if readers.have(path)]
        kept = {list_of(path) for path in trees for list_of in (self.digests_of, self.sharing_of)}
        for kind in ("digests", "sharing"):
            for path in self.path.glob(f".{self.interval}.{kind}.*"):
                if path not in kept:
                    path.unlink()
        self.notes.unlink(missing_ok=True)

    def leftovers(self, readers: Readers) -> list[Path]:
        """What can go once a new snapshot is published; what is read goes in a later run."""
        expired = (path for _, path in self._numbered(f".{self.interval}.expired"))
        return [path for path in expired if not readers.have(path)]

    def _numbered(self, prefix: str) -> list[tuple[int, Path]]:
        """The directories ``prefix.NUMBER`` in ascending order; nothing else called alike."""
        pattern = re.compile(re.escape(prefix) + r"\.(0|[1-9][0-9]*)", re.ASCII)
        found = []
        with os.scandir(self.path) as entries:
            for entry in entries:
                match = pattern.fullmatch(entry.name)
                if match and entry.is_dir(follow_symlinks=False):
                    found.append((int(match[1]), self.path / entry.name))
        return sorted(found)

    def _next(self, prefix: str) -> Path:
        numbers = [number for number, _ in self._numbered(prefix)]
        return self.path / f"{prefix}.{max(numbers, default=-1) + 1}"
