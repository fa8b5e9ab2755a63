"""Other machines that copy for a restore."""

from __future__ import annotations

from pathlib import Path

from engine.target.request import Options
from engine.target.safety import SafetyDirectory
from engine.tree.descent import TOP
from engine.tree.walls import Root
from engine.workers.fleet import Fleet, Meeting
from engine.workers.queue import Queue


def fleet_of(
    options: Options, snapshot: Path, saved: int, safety: SafetyDirectory, undo: Root
) -> Fleet | None:
    """None if there are to be none. saved: the snapshot's top. undo: what
    they copy is moved inside of that wall, as links do not cross mounts."""
    if not options.workers_queue:
        return None
    work = safety.make_work()
    return Fleet(
        Meeting(
            Queue(options.workers_queue),
            options.group,
            options.lease,
            undo.path / work.name,
            str(work.relative_to(options.target)),
            TOP,
            options.target.stat().st_ino,
            str(snapshot.relative_to(options.backup)),
            saved,
        )
    )
