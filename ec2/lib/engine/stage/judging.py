"""What has to be done about one entry of a directory, decided from what three listings say.

Nothing here touches a file system.
"""

from __future__ import annotations

import stat
from enum import Enum

from engine.command.figures import Kind
from engine.tree.entries import File, Placed, is_device


class Verdict(Enum):
    KEEP = "keep"  # the stage has the previous snapshot's inode already
    LINK = "link"  # unchanged: a link to the previous snapshot's
    CHECK = "check"  # seems unchanged, but only its content can tell
    COPY = "copy"


class Change(Kind):
    """How an entry of the source differs from the previous snapshot's, for people."""

    ADDED = "added", "number_of_files_added", "size_added"
    CHANGED = "changed", "number_of_files_changed", "size_changed"
    # Mode or owner alone.
    METADATA = "metadata", "number_of_files_with_new_metadata", "size_with_new_metadata"
    REMOVED = "removed", "number_of_files_removed", "size_removed"
    # It is in the source still, perhaps.
    EXCLUDED = "excluded", "number_of_files_newly_excluded", "size_newly_excluded"


def judge(now: File, before: File | None, staged: Placed | None, changed_since: int) -> Verdict:
    """What becomes of the source's entry ``now``.

    before: the previous snapshot's entry of that name. staged: what the stage has.
    changed_since: from this time on (of the change of an inode, in ns), the modification time does
    not prove that the content is the same; 0 if that is so for all.
    """
    if before is None or now.kept != before.kept:
        return Verdict.COPY
    if now.ctime_ns >= changed_since or is_device(now.mode):
        return Verdict.CHECK
    return Verdict.KEEP if staged == before.inode else Verdict.LINK


def change_between(now: File, before: File | None) -> Change:
    """How ``now`` differs from ``before``, if it has to be copied."""
    if before is None:
        return Change.ADDED
    same_data = now.size == before.size and now.mtime_ns == before.mtime_ns
    same_type = stat.S_IFMT(now.mode) == stat.S_IFMT(before.mode)
    if same_data and same_type and now.kept != before.kept:
        return Change.METADATA
    return Change.CHANGED


def judge_staged(
    staged: File, now: File, stage_started: int, margin: int, is_same_directory: bool
) -> Verdict:
    """Whether the stage's entry is what a run that did not finish copied from the source's ``now``.

    rsync sets an entry's times after it has written and closed it, and leaves half a file with the
    present time or, if told to keep it, with 0. NFS has the data on storage when a file is closed.
    So equal times and sizes tell that all was copied, if that run made the entry itself (it is not
    older than the stage), and if the source did not change since the stage was begun, nor is in
    another directory now. If it did, only its content can tell.
    """
    is_its_own = staged.ctime_ns >= stage_started and staged.links <= now.links
    if staged.kept != now.kept or staged.mtime_ns == 0 or not is_its_own:
        return Verdict.COPY
    did_not_change = is_same_directory and now.ctime_ns < stage_started - margin
    return Verdict.KEEP if did_not_change else Verdict.CHECK
