"""Other machines that copy for a backup."""

from __future__ import annotations

from engine.snapshots.folder import SnapshotFolder
from engine.stage.report import Trees
from engine.stage.request import Options
from engine.stage.roots import Roots
from engine.tree.descent import TOP
from engine.workers.fleet import Fleet, Meeting
from engine.workers.queue import Queue


def fleet_of(options: Options, folder: SnapshotFolder, roots: Roots, trees: Trees) -> Fleet | None:
    """None if there are to be none."""
    if not options.workers_queue:
        return None
    folder.work.mkdir(mode=0o700)
    return Fleet(
        Meeting(
            Queue(options.workers_queue),
            options.group,
            options.lease,
            roots.inside(folder.work).path,
            str(folder.work.relative_to(options.backup)),
            str(folder.path.relative_to(options.backup)),
            folder.path.stat().st_ino,
            TOP,
            trees.source,
        )
    )
