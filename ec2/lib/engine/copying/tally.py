"""What the rsync jobs of a run did, from how they ended and from their statistics."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import dataclass, field

from common.words import plural

from engine.command.summary import Fact
from engine.command.text import Messages, shown_path, size
from engine.copying.job import Done
from engine.copying.output import in_base, look
from engine.tree.descent import TOP, is_gone

LINES_SHOWN = 20

RSYNC_PARTIAL = 23  # some files could not be copied
RSYNC_VANISHED = 24  # files were gone before rsync could copy them
# "Protocol incompatibility" of a program with itself: rsync 3.5 loses its place when it cannot
# read several names of one file.
RSYNC_CONFUSED = 2


@dataclass
class Tally:
    """Sums over all jobs. Sizes are bytes; files are everything that is not a directory.

    vanished: paths of files that were listed, and were gone before they could be copied. workers:
    what each has copied. warnings: what was wrong with them.
    """

    number_of_files: int = 0
    number_of_files_transferred: int = 0
    total_transferred_file_size: int = 0
    vanished: Messages = field(default_factory=Messages)
    errors: Messages = field(default_factory=Messages)
    messages: list[str] = field(default_factory=list)  # of jobs that leave doubts
    workers: dict[str, dict[str, int]] = field(default_factory=dict)
    warnings: Messages = field(default_factory=Messages)

    def add_worker(self, name: str, jobs: Iterable[Done]) -> None:
        """What it has made of one list."""
        copied = self.workers.setdefault(name, {"lists": 0, "files": 0, "bytes": 0})
        copied["lists"] += 1
        for done in jobs:
            copied["files"] += done.seen
            copied["bytes"] += done.bytes

    def add_vanished(self, names: list[bytes], base: str) -> None:
        self.vanished.add(shown_path(in_base(base, name)) for name in names)

    def doubt(self, done: Done) -> bool:
        """Whether some of the files that a job was given have to be looked at, each: it says that
        some could not be copied, or are gone, or passed over some in silence. Only what it said is
        added then."""
        is_silent = done.code == 0 and done.seen < len(done.listed)
        if is_silent or done.code in (RSYNC_PARTIAL, RSYNC_VANISHED, RSYNC_CONFUSED):
            self.messages = [*self.messages, *done.messages.splitlines()][-LINES_SHOWN:]
            return True
        return False

    def add(self, number: int, done: Done, source: int, base: str = TOP) -> None:
        """The rsync job ``number``, which was given names in the directory ``source``. base: the
        path of that directory, for people."""
        names = done.listed
        self.number_of_files += done.seen
        self.number_of_files_transferred += done.transferred
        self.total_transferred_file_size += done.bytes
        if done.code not in (0, RSYNC_VANISHED):
            self.errors.add([f"rsync job {number} ended with exit code {done.code}"])
            self.errors.add(done.messages.splitlines()[:LINES_SHOWN])
            return
        # rsync passes over missing names in silence: fewer files seen than listed means some
        # vanished.
        if done.code == RSYNC_VANISHED or done.seen < len(names):
            vanished = [name for name in names if is_gone(source, in_base(TOP, name))]
            changed = [name for name in names if _is_directory(source, in_base(TOP, name))]
            self.add_vanished(vanished, base)
            if done.seen + len(vanished) + len(changed) < len(names):
                self.errors.add([f"rsync job {number} passed over files that are there"])


def _is_directory(top: int, path: str) -> bool:
    info = look(top, path)
    return info is not None and stat.S_ISDIR(info.st_mode)


def of_workers(workers: dict[str, dict[str, int]]) -> list[Fact]:
    """For people; the field ``workers`` of results is what programs read."""
    lines = [
        f"{name}: {plural(done['files'], 'file')}, {size(done['bytes'])}"
        f" in {plural(done['lists'], 'list')}"
        for name, done in sorted(workers.items())
    ]
    return [Fact("Workers", f"{len(lines)}", lines)] if lines else []
