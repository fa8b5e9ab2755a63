"""Other machines that copy for a restore."""

from __future__ import annotations

import time
from pathlib import Path

from engine.snapshots.removal import remove_trees
from engine.target.request import Options
from engine.target.safety import WORKERS, SafetyDirectory
from engine.tree.descent import TOP
from engine.tree.pool import Pool
from engine.tree.walls import Root
from engine.workers.fleet import Fleet, Meeting
from engine.workers.queue import Queue

PATIENCE, PAUSE = 10, 0.5  # seconds, until a directory is gone into which a worker copies


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


def remove_scratch(pool: Pool, safety: SafetyDirectory) -> list[str]:
    """Return what went wrong. A worker whose list was taken back copies on until it sees that: what
    it makes and renames meanwhile comes in the way, and its rsync ends when its directory is gone.
    """
    deadline = time.monotonic() + PATIENCE
    while errors := remove_trees(pool, safety.undo, safety.scratch()):
        if WORKERS not in safety.scratch() or time.monotonic() > deadline:
            break
        time.sleep(PAUSE)
    return errors
