"""Making the stage a complete copy of the source: walk, copy what is new, then the directories."""

from __future__ import annotations

import gzip
import io
import itertools
import logging
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from engine.command.files import nul_separated
from engine.command.outcome import Stopped
from engine.command.process import StopSignals
from engine.command.progress import Progress
from engine.command.text import Messages, shown
from engine.copying.digests import CONTINUED, LINKED, VOID, Notes
from engine.copying.lists import Lists
from engine.copying.rsync import Copying
from engine.snapshots.catalog import CANDIDATES
from engine.stage.finish import Finish
from engine.stage.names import SharedNames, is_settled
from engine.stage.recheck import Recheck
from engine.stage.report import Report, Trees
from engine.stage.share import Separate, Share
from engine.stage.visit import Visit
from engine.tree.attributes import directory_line, parse_directory
from engine.tree.descent import TOP, chunks
from engine.tree.pool import STOPPED, Pool, Task

log = logging.getLogger(__name__)

# The names do not exist in the stage: what is copied goes straight to its name, which saves NFS the
# renaming. The directories are there already and get their attributes last.
RSYNC_OPTIONS = ["--ignore-missing-args", "--whole-file", "--inplace", "--no-implied-dirs"]

CHANGES_FILE = "changes.txt.gz"
DIRECTORIES_PER_TASK = 50
LOG_SECONDS = 60
SAVE_SECONDS = 10


class Filling:
    """One attempt to fill the stage. What it found is in its attributes, also if it fails.

    work: a scratch directory; afterwards, changes.txt.gz in it lists how the source differs from
    the previous snapshot. expected: the number of files in that, if it is known. sharing: gets the
    paths of the snapshot that share an inode with others of it.
    """

    def __init__(
        self,
        trees: Trees,
        pool: Pool,
        copying: Copying,
        notes: Notes,
        work: Path,
        jobs: int,
        progress: Progress,
        expected: int | None,
        sharing: Path,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.warnings = Messages()
        self.errors = Messages()
        self.changed: list[str] = []  # some of the paths
        self._trees = trees
        self._pool = pool
        self._copying = copying
        self._notes = notes
        self._singles = Lists(copying, work, jobs)
        self._sparse = Lists(copying, work, jobs, "--sparse")
        self._groups = Lists(copying, work, jobs, "--hard-links", "--sparse")
        self._shared = SharedNames(work / "shared")
        self._sharing = gzip.GzipFile(sharing, "wb", compresslevel=1, mtime=0)
        self._doubtful = SharedNames(work / "doubtful")
        self._directories = (work / "directories").open("wb")
        compressed = gzip.GzipFile(work / CHANGES_FILE, "wb", compresslevel=1)
        self._changes = io.TextIOWrapper(compressed, encoding="utf-8")
        self._progress = progress
        self._expected = expected
        self._started = time.monotonic()
        self._next_line = self._started + LOG_SECONDS
        self._next_save = self._started + SAVE_SECONDS

    def copy_files(self, stop: StopSignals, suspects: list[str]) -> None:
        """All but the directories' attributes. Raises :class:`Stopped` after a signal.

        suspects: see :class:`engine.stage.Recheck`.
        """
        in_previous = self._trees.previous is not None
        try:
            self._run([Visit(self._trees, TOP, in_previous, True)])
            self._notes.save()  # names that are linked may pass for copies of an earlier run
            self._run(self._to_share())
            self._run(self._to_separate())
            self._run(Recheck(self._trees, part) for part in chunks(suspects))
            self._singles.finish()
            self._sparse.finish()
            self._groups.finish()
        except BaseException:
            self._copying.cancel()
            raise
        finally:
            self._notes.save()  # for the next run, if this one is stopped
            self._copying.finish(stop, 2, self._show)
            self._changes.close()
            self._sharing.close()
            self._directories.close()
            self._show(last=True)
        if stop.received:
            raise Stopped(STOPPED)

    def finish_directories(self) -> None:
        self._run(self._to_finish())

    def _run(self, tasks: Iterable[Task]) -> None:
        self._pool.run(tasks, self._take, self._show)

    def _take(self, report: Report) -> list[Task]:
        """Note what a worker reports; return the tasks that follow."""
        self.counts.update(report.counts)
        self.warnings.add(report.warnings)
        self.errors.add(report.errors)
        # Before anything of it is copied.
        self._notes.add(VOID, (os.fsencode(change.path) for change in report.changes))
        self._notes.add(CONTINUED, map(os.fsencode, report.continued))
        self._notes.add(LINKED, map(os.fsencode, report.linked))
        for mark, path in report.marks:
            self._notes.add(mark, [os.fsencode(path)])
        # Also what did not change, for the link limit or its other names: it may vanish before.
        copies = (*report.copies, *report.sparse, *report.together)
        self._notes.add(VOID, (os.fsencode(path) for path, _ in copies))
        for file in report.copies:
            self._singles.add([file])
        for file in report.sparse:
            self._sparse.add([file])
        if report.together:
            self._groups.add(report.together)
        self._shared.add(report.shared)
        self._doubtful.add(report.doubtful)
        for directory in report.directories:
            self._directories.write(directory_line(directory))
        for change, size, path in report.changes:
            self._changes.write(f"{change.value}\t{size}\t{shown(os.fsencode(path))}\n")
            if len(self.changed) < CANDIDATES:
                self.changed.append(path)
        return report.tasks

    def _to_share(self) -> Iterator[Task]:
        for names in self._shared.groups():
            if len(names) > 1:
                self._sharing.writelines(os.fsencode(name.path) + b"\0" for name in names)
            if len(names) == 1:
                if not is_settled(names):
                    self._notes.add(VOID, [os.fsencode(names[0].path)])
                    self._singles.add([(names[0].path, names[0].size)])
            elif not is_settled(names):
                yield Share(self._trees, names)

    def _to_separate(self) -> Iterator[Task]:
        for names in self._doubtful.groups():
            for inode in {name.inode for name in names} - {names[0].inode}:
                yield Separate(self._trees, [name for name in names if name.inode == inode])

    def _to_finish(self) -> Iterator[Task]:
        lines = map(parse_directory, nul_separated(Path(self._directories.name)))
        while True:
            part = list(itertools.islice(lines, DIRECTORIES_PER_TASK))
            if not part:
                return
            yield Finish(self._trees, part)

    def _show(self, last: bool = False) -> None:
        """Write the progress, and once a minute a line to the log."""
        files, tally = self.counts["files"], self._copying.tally
        self._progress.update(
            files,
            self._expected,
            directories=self.counts["directories"],
            links=self.counts["links"],
            copies=tally.number_of_files_transferred,
            bytes=tally.total_transferred_file_size,
        )
        now = time.monotonic()
        if now >= self._next_save:
            self._notes.save()
            self._next_save = now + SAVE_SECONDS
        if last or now >= self._next_line:
            self._next_line = now + LOG_SECONDS
            seconds = now - self._started
            log.info(
                "%d files in %d directories seen%s, %d linked, %d copied (%d bytes), %d files/s%s",
                files,
                self.counts["directories"],
                f" of about {self._expected}" if self._expected else "",
                self.counts["links"],
                tally.number_of_files_transferred,
                tally.total_transferred_file_size,
                files / max(seconds, 1),
                "" if last else time_left(files, self._expected, seconds),
            )


def time_left(done: int, total: int | None, seconds: float) -> str:
    """What to say of the rest if it takes as long for each file as what is done."""
    if not total or not done or done >= total:
        return ""
    return f", about {round(seconds / done * (total - done) / 60)} minutes left"
