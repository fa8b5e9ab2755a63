"""Which snapshot is meant: by its number, or by when it was made.

A number means another snapshot after every run, a date does not.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.command import arguments
from engine.command.execution import TIME_FORMAT
from engine.command.outcome import Refused
from engine.snapshots.folder import SnapshotFolder
from engine.snapshots.readers import Reading
from engine.tree.walls import opened_path


def add_snapshot_options(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--number", type=arguments.number, metavar="N", help="0 is the newest")
    which.add_argument(
        "--date",
        type=arguments.moment,
        metavar="WHEN",
        help="when it was made, in UTC: 2026-11-20, 2026-11-20T02:00 or 2026-11-20T02:00:11Z",
    )


@dataclass(frozen=True)
class Snapshot:
    """path: its name at the time of asking. made: seconds since 1970."""

    path: Path
    made: float

    @property
    def date(self) -> str:
        return spoken(self.made)

    def __str__(self) -> str:
        return f"{self.path.name} (made {self.date})"


def spoken(seconds: float) -> str:
    return time.strftime(TIME_FORMAT, time.gmtime(seconds))


def find_snapshot(
    folder: SnapshotFolder, number: int | None, date: tuple[int, int] | None
) -> Snapshot:
    """The one that is meant, by its number or the time when it was made."""
    if not folder.path.is_dir():
        folders = sorted(path.name for path in folder.path.parent.iterdir() if path.is_dir())
        raise Refused(
            f"the backup has no folder {folder.path.name!r}; "
            f"it has: {', '.join(folders) or 'none'}",
            "snapshot",
        )
    known = [Snapshot(folder.path / name, made) for name, made in folder.dated()]
    there = ", ".join(map(str, known)) or "none"
    if date is None:
        wanted = f"{folder.interval}.{number}"
        found = [snapshot for snapshot in known if snapshot.path.name == wanted]
        if not found:
            raise Refused(
                f"there is no snapshot {wanted} in {folder.path.name!r}; there are: {there}",
                "snapshot",
            )
        return found[0]
    begin, end = date
    found = [snapshot for snapshot in known if begin <= snapshot.made < end]
    when = spoken(begin) if end - begin == 1 else f"from {spoken(begin)} to {spoken(end)}"
    if not found:
        raise Refused(
            f"no snapshot in {folder.path.name!r} was made {when}; there are: {there}", "snapshot"
        )
    if len(found) > 1:
        those = ", ".join(map(str, found))
        raise Refused(
            f"several snapshots were made {when}: {those}; give the time of one", "snapshot"
        )
    return found[0]


@contextlib.contextmanager
def opened_snapshot(
    folder: SnapshotFolder, number: int | None, date: tuple[int, int] | None
) -> Iterator[tuple[Snapshot, int, Reading]]:
    """The one that is meant, open and known to be read. What is opened by a name may have got it
    after the name was looked up: so it has to be the answer afterwards, too."""
    while True:
        with contextlib.ExitStack() as stack:
            snapshot = find_snapshot(folder, number, date)
            try:
                top = stack.enter_context(opened_path(snapshot.path))
            except FileNotFoundError:
                continue
            reading = stack.enter_context(Reading(folder.readers, top))
            if find_snapshot(folder, number, date) == snapshot:
                yield snapshot, top, reading
                return
