"""Where snapshots live and how they are renamed.

Everything here renames or removes whole snapshots; nothing writes into a published one.

    FOLDER/daily.0 …         published snapshots, newest first
    FOLDER/weekly.0 …        likewise; they were daily ones, see retention.py
    FOLDER/held.NAME         a snapshot that stays until it is released
    FOLDER/.daily.spare      the snapshot that expired last; the next run makes its stage of it
    FOLDER/.daily.stage      the snapshot that is being made, also by a run that did not finish
    FOLDER/.daily.complete   a finished stage on its way to daily.0
    FOLDER/.daily.expired.N  snapshots on their way out, and what was taken out of a stage
    FOLDER/.daily.about.ID   what is known of a snapshot; .daily.digests.ID.gz,
                             .daily.sharing.ID.gz and .daily.directories.ID.gz are its lists of
                             digests, of paths that share an inode, and of the directories that the
                             source had; see register.py, also for what binds them to it
                             .daily.catalog.ID.gz names its files, and .daily.changes.ID.gz how the
                             next newer one differs, see history/
    FOLDER/.daily.snapshots  all that there are, as the last run has left them
    FOLDER/.daily.suspects   paths of files that the last run found not to be what the source has
    FOLDER/.daily.tests      when which files were restored for a test, see trial/rotation.py
    FOLDER/.daily.untold     a mass change of which nobody has been told yet, see holds.py
    FOLDER/.daily.notes      what is known of the digests of the files in the stage
    FOLDER/.daily.parts      copies of large files that are continued by the next run
    FOLDER/.daily.work.ID    what a run and its workers leave for each other, see workers/shared.py
    FOLDER/.readers          locked by those who read a snapshot, see readers.py
    FOLDER/.lock             held for the whole run
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import re
import secrets
import stat
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from engine.command.files import locked, sync_directory
from engine.command.outcome import Refused, Stopped
from engine.command.process import TICK_SECONDS, StopSignals
from engine.snapshots.about import About, Note
from engine.snapshots.names import Names
from engine.snapshots.readers import Readers, readers_file
from engine.snapshots.register import Register
from engine.snapshots.retention import HELD, INTERVALS
from engine.snapshots.spare import is_spare_cheaper

log = logging.getLogger(__name__)

LOOKS = 3  # for a snapshot that is being given another number


class Beginning(NamedTuple):
    """What the stage is at first: what a run that did not finish left, the spare, or empty."""

    unfinished: Note | None = None
    was_spare: bool = False


class SnapshotFolder:
    """The snapshots of one interval in one folder of the backup file system."""

    def __init__(self, path: Path, interval: str) -> None:
        self.path = path
        self.interval = interval
        self.stage = path / f".{interval}.stage"
        self.spare = path / f".{interval}.spare"
        self.notes = path / f".{interval}.notes"
        self.suspects = path / f".{interval}.suspects"
        self.untold = path / f".{interval}.untold"
        self.tests = path / f".{interval}.tests"
        self.readers = readers_file(path)
        self.listed = path / f".{interval}.snapshots"
        self.parts = path / f".{interval}.parts"
        # A name of its own: NFS clients remember for up to a minute what an old one led to.
        self.work = path / f".{interval}.work.{secrets.token_hex(8)}"
        self.names = Names(path)
        self._lock = path / ".lock"
        self._complete = path / f".{interval}.complete"
        self._register = Register(path, interval, self.names)
        self._is_loaded = False
        self._compared: About | None = None  # the newest snapshot when the stage was begun

    def snapshot(self, number: int) -> Path:
        return self.path / f"{self.interval}.{number}"

    def newest(self) -> Path | None:
        """Of those that runs of this interval have made; one that is held may be it."""
        numbered = next((path for _, path in self.numbered()), None)
        known = [(order, path) for path in self.held() if (order := self.order(path))]
        latest, held = max(known, default=(0, None))
        if not numbered or not held:
            return numbered or held
        about = self.register.of(numbered)
        return held if about and about.sequence < latest else numbered

    def held(self) -> list[Path]:
        """All of the folder, by name."""
        return sorted(filter(self.names.has_tree, self.names.starting_with(HELD)))

    def trees(self) -> list[Path]:
        """All that are published, by any run, newest first; then those that are held."""
        others = [each for each in INTERVALS if each != self.interval]
        return [path for _, path in self._numbered(self.interval, *others)] + self.held()

    def numbered(self) -> list[tuple[int, Path]]:
        """Those of this interval with their numbers, newest first."""
        return self._numbered(self.interval)

    def lock(self, wait: int, stop: StopSignals) -> None:
        """Keep every other run out of this folder until this process and its children end.

        Two runs would renumber each other's snapshots. The lock lies on the backup file system, so
        that it also holds between instances. Raises :class:`Refused` if another run still has it
        after ``wait`` seconds: a machine that was killed keeps it until its lease on NFS ends.
        """
        if self.path.is_symlink() or (self.path.exists() and not self.path.is_dir()):
            raise Refused(f"{str(self.path)!r} exists and is not a directory")
        if not self.path.exists():
            self.path.mkdir(exist_ok=True)
        working = f"another run is working on {str(self.path)!r}"
        deadline = time.monotonic() + wait
        is_waiting = False
        lock = self._lock
        if os.path.lexists(lock) and not stat.S_ISREG(lock.lstat().st_mode):
            raise Refused(f"{str(lock)!r} is not a plain file, as it should be; remove it")
        while locked(lock) is None:
            if time.monotonic() >= deadline:
                raise Refused(f"{working}; wait until it has finished")
            if stop.received:
                raise Stopped(f"stopped while {working}")
            if not is_waiting:
                log.warning("%s; waiting for its lock for up to %d seconds", working, wait)
                is_waiting = True
            time.sleep(TICK_SECONDS)
        self.names.is_ours = True

    def now(self) -> int:
        """The time (in ns) by the clock of the backup file system."""
        os.utime(self._lock)
        return self._lock.stat().st_mtime_ns

    def begin_stage(self, started: int, readers: Readers) -> Beginning:
        """Have a stage.

        ``started`` is noted before the directory becomes the stage: a stage without a date does not
        pass for one that was begun long ago.
        """
        names = self.names
        newest = self.newest()
        self._compared = self.register.of(newest) if newest else None
        if names.has_tree(self.stage):
            about = self.register.of(self.stage)
            if not about:
                self.register.begin(self.stage, Note(started))
            return Beginning(unfinished=about.run if about else None)
        runs = [self.note_of(path) or Note(0) for _, path in self.numbered()]
        was_spare = names.has_tree(self.spare)
        why_not = ""
        if was_spare and readers.have(self.spare):
            why_not = "is being read"
        elif was_spare and runs and not is_spare_cheaper(runs):
            why_not = "differs too much"
        if why_not:
            log.info("the spare %s: linking into an empty stage", why_not)
            self.discard(self.spare)
            was_spare = False
        if names.has(self.notes):
            self.discard(self.notes)
        if not was_spare:
            names.make_tree(self.spare)
        self.register.begin(self.spare, Note(started))
        names.rename_tree(self.spare, self.stage)
        return Beginning(was_spare=was_spare)

    def make_trash(self) -> Path:
        """A directory for what is taken out of the stage, removed together with what expired."""
        path = self._next_expired()
        self.names.make_tree(path)
        return path

    def note_of(self, snapshot: Path) -> Note | None:
        """The run that made it; None for version 1.5. One of which nothing is known proves nothing:
        it seems to be of a time before everything."""
        about = self.register.of(snapshot)
        return about.run if about else Note(0)

    def write_note(self, tree: Path, run: Note) -> None:
        self.register.note(tree, run=run)

    @property
    def register(self) -> Register:
        """What is known of the snapshots that there are."""
        if not self._is_loaded:
            self._register.load(self.trees())
            self._is_loaded = True
        return self._register

    def recover(self) -> list[str]:
        """Put right what killed runs, copying and accidents left here; return what to tell.

        To be called once, when the folder is locked.
        """
        is_new = not self.names.starting_with(f".{self.interval}.")
        self._clear()
        self.finish_publishing()
        if is_new:
            self._register.adopt([path for _, path in self.numbered()])
            self.names.look_again()
        snapshots = self.trees()
        recognised = self._register.load(snapshots)
        self._is_loaded = True
        self._register.bind()
        if recognised:
            text = "the snapshots were copied here: %d of %d were recognised by what is in them"
            log.info(text, recognised, len(snapshots))
        return self._register.problems

    def distrust(self, newest: Path) -> list[str]:
        """What to tell of the newest snapshot if it is not as it was made: it proves nothing."""
        return self._register.distrust(newest)

    def _clear(self) -> None:
        """What no run makes is in the way, and what workers were told by a run that was killed."""
        for path in self.names.starting_with(f".{self.interval}.work."):
            self.discard(path)
        trees = (self.stage, self.spare, self.parts, self._complete)
        plain = (self.notes, self.suspects, self.untold, self.tests, self.readers, self.listed)
        for kind, paths in ((stat.S_IFDIR, trees), (stat.S_IFREG, plain)):
            for path in paths:
                if self.names.is_other_than(kind, path):
                    self.discard(path)

    def discard(self, path: Path) -> None:
        """A directory goes with what expired. What was listed may be gone by now."""
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISDIR(path.lstat().st_mode):
                self.names.rename_tree(path, self._next_expired())
            else:
                self.names.unlink(path)

    def move(self, snapshot: Path, target: Path) -> None:
        """A rename alone would replace an empty directory."""
        if os.path.lexists(target):
            raise FileExistsError(f"{str(target)!r} is in the way of {snapshot.name}; move it away")
        self.names.rename_tree(snapshot, target)

    def publish(self, run: Note, now: float, changed: Iterable[str]) -> Path:
        """Turn the stage into snapshot 0, made by ``run`` at ``now`` (seconds since 1970).

        changed: paths at which it differs from the newest snapshot, if any; a few are enough.

        One rename decides (stage -> complete); all that follow are repeated by the next run if this
        one is killed among them.
        """
        self.names.look_again()  # the copying took its time
        newest = self.newest()
        self.register.conclude(self.stage, newest, self._compared, run, now, changed)
        self.names.rename_tree(self.stage, self._complete)
        self.finish_publishing()
        sync_directory(self.path)
        return self.snapshot(0)

    def finish_publishing(self) -> None:
        if not self.names.has_tree(self._complete):
            return
        gap = 0
        while self.names.has(self.snapshot(gap)):
            gap += 1
        for number in reversed(range(gap)):
            self.names.rename_tree(self.snapshot(number), self.snapshot(number + 1))
        self.names.rename_tree(self._complete, self.snapshot(0))

    def dated(self) -> list[tuple[str, float]]:
        """Names of the published snapshots, of each interval newest first, and when it was made.

        A snapshot of version 1.5 has no date noted; it was touched when it was made. So was none of
        which the note was lost: it is not taken to be newer than the one that came after it.
        """
        for _ in range(LOOKS - 1):
            try:
                return self._dated()
            except FileNotFoundError:
                self.names.look_again()
        return self._dated()

    def _dated(self) -> list[tuple[str, float]]:
        found = []
        latest, before = math.inf, ""
        for path in self.trees():
            about = self.register.of(path)
            made = about.made if about else None
            interval, _, _ = path.name.partition(".")
            latest = latest if interval == before and f"{interval}." != HELD else math.inf
            latest, before = min(path.stat().st_mtime, latest) if made is None else made, interval
            found.append((path.name, latest))
        return found

    def publishes(self, top: int) -> bool:
        """Whether the directory that is open as ``top`` is one of the snapshots. While a run
        renumbers them, one look from name to name can miss it."""
        inode = os.fstat(top).st_ino
        for _ in range(LOOKS):
            self.names.look_again()
            for path in self.trees():
                with contextlib.suppress(FileNotFoundError):
                    if path.stat().st_ino == inode:
                        return True
        return False

    def expire(self, expired: Sequence[Path], keep_spare: bool, readers: Readers) -> None:
        """Take them out of sight. The one that was made last becomes the spare: it differs least
        from the snapshots that stay. But what was a spare and is left over is nearer than one that
        leaves a longer interval."""
        spare = self._best_spare(expired, readers) if keep_spare else None
        if self.names.has_tree(self.spare) and (spare or not keep_spare):
            self.discard(self.spare)
        for path in expired:
            if path == spare:
                self._note_distance(path)
                self.names.rename_tree(path, self.spare)
            else:
                self.discard(path)

    def _best_spare(self, expired: Sequence[Path], readers: Readers) -> Path | None:
        own = [path for path in expired if path.name.startswith(f"{self.interval}.")]
        candidates = own if self.names.has_tree(self.spare) else expired
        free = [path for path in candidates if not readers.have(path)]
        return max(reversed(free), key=self.order, default=None)

    def _note_distance(self, spare: Path) -> None:
        newest = self.newest()
        run = self.note_of(newest) if newest else None
        if newest and run and self.register.of(newest):
            since = self.order(newest) - self.order(spare) if self.order(spare) else 0
            if max(0, since) != run.apart:
                self.write_note(newest, replace(run, apart=max(0, since)))

    def order(self, snapshot: Path) -> int:
        """Higher for one of our runs that was made later; 0 if that is not known."""
        about = self.register.of(snapshot)
        return about.sequence if about and about.interval == self.interval else 0

    def is_partial(self, snapshot: Path) -> bool:
        run = self.note_of(snapshot)
        return run is not None and run.is_partial

    def digests_of(self, tree: Path) -> Path | None:
        """Where its list is, if there is one; None if nothing is known of ``tree``."""
        return self.register.list_of(tree, "digests")

    def sharing_of(self, tree: Path) -> Path | None:
        """Likewise, of the snapshot's paths that share an inode with others of it."""
        return self.register.list_of(tree, "sharing")

    def directories_of(self, tree: Path) -> Path | None:
        """Likewise, of the source's directories, see :mod:`engine.stage.memory`."""
        return self.register.list_of(tree, "directories")

    def forget(self, readers: Readers) -> None:
        """Remove what was known of snapshots that are gone, and the notes for the newest."""
        snapshots = self.trees()
        known = (path for _, path in self._expired() if self.register.of(path))
        snapshots += filter(readers.have, known)
        self.register.forget(snapshots, self.discard)
        self.notes.unlink(missing_ok=True)

    def leftovers(self, readers: Readers) -> list[Path]:
        """What can go once a new snapshot is published; what is read goes in a later run. What is
        empty, as what was taken out of the stage mostly is, goes here."""
        found = [path for _, path in self._expired() if not readers.have(path)]
        return [path for path in found if not self.names.remove_empty(path)]

    def _numbered(self, *prefixes: str) -> list[tuple[int, Path]]:
        """The directories ``PREFIX.NUMBER`` in ascending order, of one prefix after the other;
        nothing else called alike."""
        pattern = re.compile(rf"({'|'.join(map(re.escape, prefixes))})\.(0|[1-9][0-9]*)", re.ASCII)
        found = []
        for name, entry in self.names.all().items():
            match = pattern.fullmatch(name)
            if match and entry.kind == stat.S_IFDIR:
                place = prefixes.index(match[1]), int(match[2])
                found.append((place, self.path / name))
        return [(number, path) for (_, number), path in sorted(found)]

    def _expired(self) -> list[tuple[int, Path]]:
        return self._numbered(f".{self.interval}.expired")

    def _next_expired(self) -> Path:
        number = max((number for number, _ in self._expired()), default=-1) + 1
        return self.path / f".{self.interval}.expired.{number}"
