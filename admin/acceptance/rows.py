"""What is tried, in this order; each row says what it found, and where the proof of it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from admin.acceptance import backups, protection, refusals, restores, storage
from admin.acceptance.found import Found
from admin.acceptance.scene import Scene
from admin.command import AdminError


@dataclass(frozen=True)
class Row:
    letter: str
    title: str
    expected: str
    check: Callable[[Scene], Found]
    launches: int = 0
    """Instances that are launched for it: what takes time, and costs."""
    by_default: bool = True
    needs_snapshot: bool = False
    """One more instance is launched where no row before has made one."""
    not_local: str = ""
    """Why an emulator cannot answer it."""


NO_CLOUD = "nothing is metered here"
COLD = Row("i", "Cold storage stays cold under linking (two visits, a day apart)",
    "what was in Infrequent Access before a backup still is after it", storage.stays_cold, 1,
    by_default=False, not_local="nothing becomes cold here")  # fmt: skip
ROWS = (
    Row("c", "Pseudo parameters in Rules",
        "a replica in the stack's own region is refused, before anything is made", refusals.rules),
    Row("d", "Patterns on list types",
        "a subnet of another form is refused, with the words of the template", refusals.patterns),
    Row("k", "Two backups of a hostile tree",
        "Success twice; the newest snapshot is the source, the one before what it was",
        backups.backups, 2),
    Row("b", "A third one is stopped at the end of its window, through SSM with an output bucket",
        "Incomplete, or Partial without the large file if all else was copied by then; and what "
        "the command said is in the log bucket", backups.stopped, 1),
    Row("a", "Who can write under ProtectSnapshots",
        "before, whoever connects; then only the backup, while a client still reads",
        protection.protection, 1, needs_snapshot=True),
    Row("e", "Policy and replica are removed with their parameters",
        "both are there, and then the backup file system has neither", protection.taken_back),
    Row("m", "Restores: a file, a directory, everything, undo",
        "Success, Success, Success, Undone; the source is again what was backed up",
        restores.restores, 4, needs_snapshot=True),
    Row("j", "What is metered", "a figure that make cost can be compared with", storage.metered,
        not_local=NO_CLOUD),
    Row("u", "A stack of version 1.5's shape is updated",
        "Success; its snapshot is what it was, and file system, bucket and topic are kept",
        backups.upgraded, 1),
    Row("g", "An instance that is killed while it works is replaced (MaxSize 1)",
        "Success by another instance", backups.replaced, 2, by_default=False),
    Row("h", "The lock of the killed instance of row g runs out",
        "the second one got it within the three minutes that it waits", backups.lock,
        by_default=False, not_local="a lock here ends with its process"),
    Row("f", "The instance of a restore ends early",
        "another one takes its place: Success", restores.replaced, 2, by_default=False,
        needs_snapshot=True),
)  # fmt: skip


def chosen(only: str) -> Iterator[Row]:
    """Raises AdminError for a letter that is none. `all` leaves out what takes two visits."""
    letters = [word.strip() for word in only.split(",") if word.strip()]
    known = {row.letter: row for row in (*ROWS, COLD)}
    if unknown := sorted(set(letters) - known.keys() - {"all"}):
        raise AdminError(f"ONLY takes {', '.join(known)}, or all; it has {', '.join(unknown)}")
    for row in ROWS:
        if row.letter in letters or "all" in letters or (not letters and row.by_default):
            yield row
    if COLD.letter in letters:
        yield COLD
