"""What people ask of single snapshots: to hold one, to release it, to remove one.

A held snapshot is called ``held.NAME``. That is all: no run, not even one of an earlier release or
of version 1.5, renumbers or expires what has no number, and no note has to be right for it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from engine.command.files import read_state, write_atomically
from engine.command.outcome import Refused
from engine.snapshots.about import Note
from engine.snapshots.choice import Snapshot, Wanted, find_snapshot, hold_name, wanted
from engine.snapshots.folder import SnapshotFolder
from engine.snapshots.keeping import snapshots_in
from engine.snapshots.readers import Readers
from engine.snapshots.retention import HELD, newest_complete

FEW = 1000  # files of which the share that was changed means nothing

ACTIONS = ("hold", "release", "remove")
VERIFY = "verify"
"""What a backup does, when it was asked for, after its own work."""


class Request(NamedTuple):
    """name: under which to hold it; empty for the other actions."""

    action: str
    snapshot: Wanted
    name: str = ""


def is_upheaval(gone: int, before: Note, percent: int) -> bool:
    """Whether so many files of the snapshot before were changed or removed that nobody may have
    meant it."""
    return bool(percent) and before.files >= FEW and 100 * gone > percent * before.files


def name_of_hold(newest: Path, started: int) -> str:
    """Under which to hold the newest snapshot, if it is not held already: by a run that was killed,
    or a person."""
    if newest.name.startswith(HELD):
        return newest.name
    return time.strftime(f"{HELD}change-%Y%m%dT%H%M%SZ", time.gmtime(started // 10**9))


def hold_previous(folder: SnapshotFolder, newest: Path, held: str, said: list[str]) -> None:
    """Hold the newest snapshot as ``held``; it stays the newest until the next is published.

    What is ``said`` of that is noted first. Whoever has told it removes the note; as long as nobody
    has, each run says it again.
    """
    write_atomically(folder.untold, json.dumps({"held": held, "said": said}))
    if newest.name != held:
        folder.move(newest, folder.path / held)


def untold(folder: SnapshotFolder) -> list[str]:
    """What an earlier run has said of a snapshot that is held still, and nobody was told."""
    if not folder.names.has(folder.untold):
        return []
    try:
        found = json.loads(read_state(folder.untold))
        held, said = found["held"], [str(line) for line in found["said"]]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        with contextlib.suppress(OSError):
            folder.untold.unlink()
        return [
            f"an earlier backup has held a snapshot, as most files were changed or removed before "
            f"it; what it noted of that is damaged ({error})"
        ]
    if held not in [path.name for path in folder.held()]:
        folder.untold.unlink()  # it was released, or never held
        return []
    return ["an earlier backup could not tell: " + said[0], *said[1:]] if said else []


class Told(Protocol):
    """What takes the answers."""

    requests: dict[str, str]

    def warn(self, message: str) -> None: ...


def obey_all(file: Path, folder: SnapshotFolder, result: Told) -> dict[str, Wanted]:
    """Do what was asked for from outside. What makes no sense is a warning, and the rest is done:
    no request keeps a backup from being made. Returns the snapshots to verify, when the new one is
    made, by the keys of the requests."""
    to_verify: dict[str, Wanted] = {}
    try:
        asked_for = json.loads(file.read_text())
        requests = sorted((str(key), dict(value)) for key, value in asked_for.items())
    except (OSError, ValueError, TypeError, AttributeError) as error:
        result.warn(f"the requests in {str(file)!r} cannot be read, and were not obeyed: {error}")
        return to_verify
    with Readers(folder.readers) as readers:
        for key, request in requests:
            asked = " ".join(str(each) for each in request.values())
            try:
                found = parsed(request)
                if found.action == VERIFY:
                    to_verify[key] = exact(folder, found.snapshot)
                else:
                    result.requests[key] = obey(folder, found, readers)
            except (Refused, OSError, argparse.ArgumentTypeError) as error:
                result.requests[key] = f"not obeyed: {asked}: {error}"
                result.warn(f"the request {asked!r} was not obeyed: {error}")
    return to_verify


def exact(folder: SnapshotFolder, which: Wanted) -> Wanted:
    """The snapshot by what the new one does not change: the second when it was made."""
    snapshot = find_snapshot(folder, which)
    return snapshot.path.name if is_held(snapshot) else (int(snapshot.made), int(snapshot.made) + 1)


def parsed(found: Mapping[str, Any]) -> Request:
    """From what was written elsewhere. Raises argparse's error for what makes no sense."""
    action, which, name = (str(found.get(key, "")) for key in ("Action", "Snapshot", "Name"))
    if action not in (*ACTIONS, VERIFY):
        raise Refused(f"{action!r} is none of: {', '.join((*ACTIONS, VERIFY))}")
    return Request(action, wanted(which), hold_name(name) if action == "hold" else "")


def obey(folder: SnapshotFolder, request: Request, readers: Readers) -> str:
    """Do it, in a folder that is locked; return what was done. Raises :class:`Refused`."""
    if request.action == "hold":
        return hold(folder, request.snapshot, request.name)
    if request.action == "release":
        return release(folder, request.snapshot)
    return remove(folder, request.snapshot, readers)


def hold(folder: SnapshotFolder, which: Wanted, name: str) -> str:
    snapshot = find_snapshot(folder, which)
    target = folder.path / f"{HELD}{name}"
    if snapshot.path == target:
        return f"{snapshot} is held already"
    if is_held(snapshot):
        raise Refused(f"{snapshot} is held already; release it first", "snapshot")
    if target.exists():
        raise Refused(f"another snapshot is held as {name!r}; give another name", "snapshot")
    folder.move(snapshot.path, target)
    return f"{snapshot} is held as {name}"


def is_held(snapshot: Snapshot) -> bool:
    return snapshot.path.name.startswith(HELD)


def release(folder: SnapshotFolder, which: Wanted) -> str:
    """Back among those that are numbered, where its age puts it: the next backup decides."""
    snapshot = find_snapshot(folder, which)
    if not is_held(snapshot):
        raise Refused(f"{snapshot} is not held", "snapshot")
    target = make_room(folder, snapshot)
    folder.move(snapshot.path, target)
    return f"{snapshot} is released and called {target.name}"


def make_room(folder: SnapshotFolder, snapshot: Snapshot) -> Path:
    """A number between those of newer and of older ones. Killed meanwhile, it leaves a gap there,
    which the next one uses."""
    dates = dict(folder.dated())
    own = folder.order(snapshot.path)
    before, number = -1, -1
    for number, path in folder.numbered():
        order = folder.order(path)
        if order < own if order and own else dates[path.name] < snapshot.made:
            break
        before = number
    else:
        return folder.snapshot(number + 1)
    if number - before > 1:
        return folder.snapshot(number - 1)
    end = number
    while folder.snapshot(end).exists():
        end += 1
    for each in reversed(range(number, end)):
        folder.move(folder.snapshot(each), folder.snapshot(each + 1))
    return folder.snapshot(number)


def remove(folder: SnapshotFolder, which: Wanted, readers: Readers) -> str:
    """Out of sight: what is left of it is removed with what expired."""
    snapshot = find_snapshot(folder, which)
    check_removable(folder, snapshot)
    if readers.have(snapshot.path):
        raise Refused(f"{snapshot} is being restored or verified; remove it later", "snapshot")
    about = folder.register.of(snapshot.path)
    folder.discard(snapshot.path)
    if about:
        folder.register.drop(about, folder.discard)
    return f"{snapshot} is removed"


def check_removable(folder: SnapshotFolder, snapshot: Snapshot) -> None:
    if is_held(snapshot):
        raise Refused(f"{snapshot} is held; release it first", "snapshot")
    if folder.names.has_tree(folder.stage) and snapshot.path == folder.newest():
        raise Refused(
            f"an unfinished backup goes on from {snapshot}; remove it after the next one",
            "snapshot",
        )
    newest = newest_complete(snapshots_in(folder))
    if newest and newest.name == snapshot.path.name:
        raise Refused(f"{snapshot} is the newest complete one and is not removed", "snapshot")
