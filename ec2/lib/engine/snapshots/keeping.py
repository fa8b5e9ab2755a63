"""What becomes of the snapshots of a folder by :mod:`engine.snapshots.retention`, carried out.

Each step is one rename. A run that is killed among them leaves each snapshot under the old name or
the new one, and the next run decides anew on what is there.
"""

from __future__ import annotations

import logging
from pathlib import Path

from engine.command.text import spoken
from engine.snapshots.folder import SnapshotFolder
from engine.snapshots.readers import Readers
from engine.snapshots.retention import HELD, Fate, Policy, Snapshot, decide

log = logging.getLogger(__name__)


def snapshots_in(folder: SnapshotFolder) -> list[Snapshot]:
    """All that are published, as the decision takes them."""
    return [_described(folder, folder.path / name, made) for name, made in folder.dated()]


def _described(folder: SnapshotFolder, path: Path, made: float) -> Snapshot:
    about = folder.register.of(path)
    is_partial = folder.is_partial(path)
    order = folder.order(path)
    if path.name.startswith(HELD):
        hold = path.name[len(HELD) :]
        return Snapshot(folder.interval, 0, made, order, is_partial, bool(order), hold)
    interval, _, number = path.name.partition(".")
    is_ours = bool(order) or (about is None and interval == folder.interval)
    return Snapshot(interval, int(number), made, order, is_partial, is_ours)


def retain(
    folder: SnapshotFolder, policy: Policy, keep_spare: bool, readers: Readers
) -> list[Fate]:
    """Have each snapshot promoted, renumbered or taken out of sight, as the policy says."""
    fates = decide(snapshots_in(folder), policy)
    for fate in fates:
        if fate.is_change:
            log.info("%s", fate)
    expired = [folder.path / fate.name for fate in fates if not fate.becomes]
    folder.expire(expired, keep_spare, readers)
    for fate in fates:
        if fate.becomes and fate.is_change:
            folder.move(folder.path / fate.name, folder.path / fate.becomes)
    return fates


def told(folder: SnapshotFolder, fates: list[Fate]) -> list[str]:
    """Each snapshot that there is now: its name, when it was made, and why it is kept."""
    why = {fate.becomes: fate.why for fate in fates}
    return [
        f"{each.name} {spoken(each.made)} {'partial' if each.is_partial else 'complete'}: "
        f"{why.get(each.name)}"
        for each in snapshots_in(folder)
    ]
