"""Which snapshot is meant: by its number, when it was made, or the name under which it is held.

A number means another snapshot after every run, a date does not.
"""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Union

from engine.command import arguments
from engine.command.outcome import Refused
from engine.command.text import spoken
from engine.snapshots.folder import SnapshotFolder
from engine.snapshots.readers import Reading
from engine.snapshots.retention import HELD, INTERVALS
from engine.tree.walls import opened_path

# A number in the interval, from one second to another, or a name.
Wanted = Union[int, tuple[int, int], str]

NUMBERED = re.compile(rf"({'|'.join(INTERVALS)})\.(0|[1-9][0-9]{{0,4}})", re.ASCII)
HOLD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
NAMES = "2026-11-20, 2026-11-20T02:00, daily.3 or the name under which it is held"


def add_snapshot_options(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    add = which.add_argument
    add("--number", type=arguments.number, metavar="N", dest="wanted", help="0 is the newest")
    add(
        "--date",
        type=arguments.moment,
        metavar="WHEN",
        dest="wanted",
        help="when it was made, in UTC: 2026-11-20, 2026-11-20T02:00 or 2026-11-20T02:00:11Z",
    )
    add("--snapshot", type=wanted, metavar="WHICH", dest="wanted", help=NAMES)


def wanted(value: str) -> Wanted:
    """What a person calls a snapshot."""
    if NUMBERED.fullmatch(value):
        return value
    with contextlib.suppress(argparse.ArgumentTypeError):
        return arguments.moment(value)
    name = value[len(HELD) :] if value.startswith(HELD) else value
    if not HOLD.fullmatch(name):
        raise argparse.ArgumentTypeError(f"{value!r} names no snapshot; give {NAMES}")
    return f"{HELD}{name}"


def hold_name(value: str) -> str:
    """A name under which to hold a snapshot; none that means another one."""
    if not HOLD.fullmatch(value):
        raise argparse.ArgumentTypeError(
            f"{value!r} must be letters, digits, dots, dashes and underscores, at most 100, and "
            "begin with a letter or a digit"
        )
    if value.startswith(HELD) or wanted(value) != f"{HELD}{value}":
        raise argparse.ArgumentTypeError(f"{value!r} means another snapshot; give a name like it-1")
    return value


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


def check_folder(path: Path) -> None:
    """Raises :class:`Refused` if the backup has no such folder."""
    if not path.is_dir():
        folders = sorted(each.name for each in path.parent.iterdir() if each.is_dir())
        raise Refused(
            f"the backup has no folder {path.name!r}; it has: {', '.join(folders) or 'none'}",
            "snapshot",
        )


def find_snapshot(folder: SnapshotFolder, wanted: Wanted) -> Snapshot:
    """The one that is meant. By its date, one of the folder's interval is preferred."""
    check_folder(folder.path)
    folder.names.look_again()
    known = [Snapshot(folder.path / name, made) for name, made in folder.dated()]
    there = ", ".join(map(str, known)) or "none"
    if not isinstance(wanted, tuple):
        name = f"{folder.interval}.{wanted}" if isinstance(wanted, int) else wanted
        found = [snapshot for snapshot in known if snapshot.path.name == name]
        if not found:
            called = f"{name.removeprefix(HELD)} or {name}" if name.startswith(HELD) else name
            raise Refused(
                f"there is no snapshot {called} in {folder.path.name!r}; there are: {there}",
                "snapshot",
            )
        return found[0]
    begin, end = wanted
    found = [snapshot for snapshot in known if begin <= snapshot.made < end]
    when = spoken(begin) if end - begin == 1 else f"from {spoken(begin)} to {spoken(end)}"
    if not found:
        near = ", ".join(map(str, nearest(known, begin, end))) or "none"
        raise Refused(
            f"no snapshot in {folder.path.name!r} was made {when}; the nearest: {near}; "
            f"there are: {there}",
            "snapshot",
        )
    own = [each for each in found if each.path.name.startswith(f"{folder.interval}.")]
    found = own or found
    if len(found) > 1:
        those = ", ".join(map(str, found))
        raise Refused(
            f"several snapshots were made {when}: {those}; give the time of one", "snapshot"
        )
    return found[0]


def nearest(known: Sequence[Snapshot], begin: float, end: float) -> list[Snapshot]:
    """The last one before, and the first one after."""
    before = [each for each in known if each.made < begin]
    after = [each for each in known if each.made >= end]
    found = [max(before, key=lambda each: each.made)] if before else []
    return [*found, min(after, key=lambda each: each.made)] if after else found


@contextlib.contextmanager
def opened_snapshot(
    folder: SnapshotFolder, wanted: Wanted
) -> Iterator[tuple[Snapshot, int, Reading]]:
    """The one that is meant, open and known to be read. What is opened by a name may have got it
    after the name was looked up: so it has to be the answer afterwards, too."""
    while True:
        with contextlib.ExitStack() as stack:
            snapshot = find_snapshot(folder, wanted)
            try:
                top = stack.enter_context(opened_path(snapshot.path))
            except FileNotFoundError:
                continue
            reading = stack.enter_context(Reading(folder.readers, top))
            if find_snapshot(folder, wanted) == snapshot:
                yield snapshot, top, reading
                return
