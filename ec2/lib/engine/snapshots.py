"""Where snapshots live and how they are renamed.

Everything here renames or removes whole snapshots; nothing writes into a published one.

    FOLDER/daily.0 …         published snapshots, newest first
    FOLDER/.daily.stage      the snapshot that is being made
    FOLDER/.daily.partial.N  stages of runs that did not finish; the next run links from them
    FOLDER/.daily.complete   a finished stage on its way to daily.0
    FOLDER/.daily.expired.N  snapshots on their way out
    FOLDER/.daily.dates      when each snapshot was made, by the inode of its directory
    FOLDER/.lock             held for the whole run
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from engine.files import locked, write_atomically
from engine.outcome import Refused


class SnapshotFolder:
    """The snapshots of one interval in one folder of the backup file system."""

    def __init__(self, path: Path, interval: str) -> None:
        self.path = path
        self.interval = interval
        self.stage = path / f".{interval}.stage"
        self._complete = path / f".{interval}.complete"
        self._dates_file = path / f".{interval}.dates"

    def snapshot(self, number: int) -> Path:
        return self.path / f"{self.interval}.{number}"

    def newest(self) -> Path | None:
        return self.snapshot(0) if self.snapshot(0).is_dir() else None

    def lock(self) -> None:
        """Keep every other run out of this folder until this process and its children end.

        Two runs would renumber each other's snapshots. The lock lies on the backup file system, so
        that it also holds between instances. Raises :class:`Refused` if another run has it.
        """
        if self.path.is_symlink() or (self.path.exists() and not self.path.is_dir()):
            raise Refused(f"{str(self.path)!r} exists and is not a directory")
        self.path.mkdir(exist_ok=True)
        if locked(self.path / ".lock") is None:
            raise Refused(
                f"another run is working on {str(self.path)!r}; wait until it has finished"
            )

    def begin_stage(self) -> list[Path]:
        """Make an empty stage; return the trees that it may link from, best first.

        The stage of a run that did not finish is kept to link from and never written to again: its
        files may share their inodes with published snapshots, so that changing one in place would
        change history.
        """
        if self.stage.is_dir():
            self.stage.rename(self._next(f".{self.interval}.partial"))
        self.stage.mkdir()
        newest = self.newest()
        partials = reversed(self._numbered(f".{self.interval}.partial"))
        return ([newest] if newest else []) + [path for _, path in partials]

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

    def expire(self, retain: int) -> list[str]:
        """Take every snapshot beyond the first ``retain`` out of sight; return their names."""
        expired = [(n, path) for n, path in self._numbered(self.interval) if n >= retain]
        for _, path in expired:
            path.rename(self._next(f".{self.interval}.expired"))
        return [path.name for _, path in expired]

    def leftovers(self) -> list[Path]:
        """What can go once a new snapshot is published: expired snapshots and unfinished stages."""
        kinds = (f".{self.interval}.expired", f".{self.interval}.partial")
        return [path for kind in kinds for _, path in self._numbered(kind)]

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
