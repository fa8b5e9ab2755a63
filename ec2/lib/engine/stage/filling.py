"""Making the stage a complete copy of the source: walk, copy what is new, then the directories."""

from __future__ import annotations

import contextlib
import gzip
import io
import itertools
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from common.words import plural

from engine.command.files import nul_separated
from engine.command.outcome import GOES_ON, Failed, Stopped
from engine.command.text import Messages, shown, shown_path
from engine.copying.digests import CARRIED, CONTINUED, LINKED, VOID
from engine.copying.lists import ByKind, Lists, fits
from engine.copying.rsync import WAIT_SECONDS, Copying
from engine.snapshots.recognition import CANDIDATES
from engine.stage.failures import CHANGES, Again, Carry, CopyAgain, Examine
from engine.stage.figures import Figures
from engine.stage.finish import Finish
from engine.stage.judging import Change
from engine.stage.large import LargeFiles
from engine.stage.report import Failure, Report
from engine.stage.share import Join, Separate, Share
from engine.stage.suspects import CopyAnew
from engine.stage.visit import Visit
from engine.tree.attributes import directory_line, parse_directory
from engine.tree.descent import TOP, chunks
from engine.tree.pool import Pool, Task
from engine.tree.sharing import Lack, SharedName, SharedNames, are_one

log = logging.getLogger(__name__)

# The names do not exist in the stage: what is copied goes straight to its name, which saves NFS the
# renaming. The directories are there already and get their attributes last.
RSYNC_OPTIONS = ["--ignore-missing-args", "--whole-file", "--inplace", "--no-implied-dirs"]

CHANGES_FILE = "changes.txt.gz"
DIRECTORIES_PER_TASK = 50
PAUSES = (0.5, 2)  # before what could not be copied is tried again
FEW = 10  # files that are never too many to do without
FAILURES_KEPT = 200_000
MESSAGES_FIRST = 3  # of rsync's, which may say why; then which files
OLDER = "the older version of the snapshot before was kept"
NO_TIME = "there was no time to copy it"
NO_OLDER = "the snapshot before has no older version"
SAVE_SECONDS = 10


class Filling:
    """One attempt to fill the stage. What it found is in its attributes, also if it fails.

    Afterwards, changes.txt.gz in the work directory of ``copying`` lists how the source differs
    from the previous snapshot. sharing: gets the paths of the snapshot that share an inode with
    others of it. tell: is told how many files were seen, and more. max_failed_percent: more files
    than that, and more than a few, have to be copied or it fails.
    """

    def __init__(
        self,
        pool: Pool,
        copying: Copying,
        large: LargeFiles,
        sharing: Path,
        tell: Callable[..., None],
        max_failed_percent: int,
    ) -> None:
        self.figures = Figures()
        self.listed = 0  # files that are to be copied
        self.excluded_by: Counter[str] = Counter()
        self.warnings = Messages()
        self.errors = Messages()
        self.changed: list[str] = []  # some of the paths
        self.vanished = Messages()
        self.failures: list[Failure] = []  # at the end, those that have lasted
        self.lasting = Messages()
        self._failed = 0
        self._numbers = itertools.count()  # of files with several names that are copied apart
        self._is_seen = False  # all of the source
        self._is_late = False  # a signal came when all was seen and little was left to copy
        self._max_failed_percent = max_failed_percent
        self._pool, self._stop = pool, pool.stop
        self._copying = copying
        self._large = large
        self._notes = copying.notes
        self._lists = ByKind.of(copying)
        self._work = work = copying.work
        self._shared = SharedNames(work / "shared")
        self._sharing = gzip.GzipFile(sharing, "wb", compresslevel=1, mtime=0)
        self._doubtful = SharedNames(work / "doubtful")
        self._apart = SharedNames(work / "apart")
        self._directories = (work / "directories").open("wb")
        self._changes = self._open_changes("wb")
        self._tell = tell
        self._started = time.monotonic()
        self._next_save = self._started + SAVE_SECONDS

    def copy_files(self, suspects: list[str]) -> None:
        """All but the directories' attributes. Raises :class:`Stopped` after a signal.

        suspects: see :class:`engine.stage.suspects.CopyAnew`.
        """
        try:
            self._run([Visit(TOP, in_previous=True, in_stage=True)])
            self._is_seen = True
            self._notes.save()  # names that are linked may pass for copies of an earlier run
            self._run(self._to_separate())
            self._run(self._to_share())
            self._run(CopyAnew(part) for part in chunks(suspects))
            self._copy_the_rest()
            for pause in PAUSES:
                if not self.failures or self.are_too_many or self._is_late:
                    break
                self._try_again(pause)
            if self.failures and not self.are_too_many and not self.errors:
                self._carry_forward()
            if self.are_too_many:
                self._give_up()
            elif self._is_late:
                files = plural(self._failed, "file")
                log.info("stopped; what is there is complete but for %s", files)
        except BaseException:
            self._copying.cancel()
            raise
        finally:
            self._large.finish()
            self._copying.finish(self._stop, 2, self._show)
            with contextlib.suppress(OSError):
                self._notes.save()  # for the next run, if this one does not end well
            self._changes.close()
            self._sharing.close()
            self._directories.close()
            self._show()
            self._log()
        if self._stop.received:
            raise Stopped(GOES_ON)

    def _open_changes(self, mode: str) -> io.TextIOWrapper:
        compressed = gzip.GzipFile(self._work / CHANGES_FILE, mode, compresslevel=1)
        return io.TextIOWrapper(compressed, encoding="utf-8")

    @property
    def copied(self) -> int:
        return self._copying.tally.number_of_files + self.figures.number_of_files_transferred

    @property
    def copied_bytes(self) -> int:
        tally = self._copying.tally
        return tally.total_transferred_file_size + self.figures.total_transferred_file_size

    @property
    def messages(self) -> list[str]:
        """What rsync said last of files that it could not copy."""
        return self._copying.tally.messages

    @property
    def are_too_many(self) -> bool:
        """Whether too much could not be read or copied to call the rest a snapshot."""
        failed = max(self._failed, self.figures.number_of_files_failed)
        return self._is_too_much(failed) or (failed > 0 and self.figures.number_of_files == 0)

    def _is_too_much(self, failed: int) -> bool:
        limit = self._max_failed_percent * (self.figures.number_of_files + self._failed) // 100
        return failed > max(FEW, min(limit, FAILURES_KEPT))

    def _copy_the_rest(self, apart: bool = False) -> None:
        """Begin the last jobs, wait for all, and find out what has failed."""
        self._lists.finish(apart)
        self._copying.wait(self._stop, 2, self._show)
        for report in self._large.wait(self._show):
            self._take(report)
        if self._stop.received:
            self._settle_for_less()
        self._run(self._to_examine())

    def _settle_for_less(self) -> None:
        """The run is to stop. If no more is left than it could do without, the rest is a snapshot:
        or a file that takes longer than the window would be the end of all."""
        if self._is_too_much(self._copying.take_waiting()):
            raise Stopped(GOES_ON)
        self._is_late = True
        self._pool.go_on()

    def _try_again(self, pause: float) -> None:
        log.info("%d could not be read or copied; trying again", self._failed)
        end = time.monotonic() + pause
        while time.monotonic() < end and not self._stop.received:
            time.sleep(WAIT_SECONDS)
        failures, self.failures, self._failed = self.failures, [], 0
        self._shared = SharedNames(self._work / "shared")
        for task in (Again, CopyAgain):
            paths = (each.path for each in failures if each.is_counted is task.is_counted)
            self._run(task(part) for part in chunks(paths))
        self._run(self._to_share())
        # Each for itself: then a file that merely changes all the time does not pass for a failure.
        self._copy_the_rest(apart=True)

    def _carry_forward(self) -> None:
        for failure in self.failures:
            if failure.path == TOP:
                raise Failed("files", f"the source's top cannot be read: {failure.reason}")
        left = self._take_back({each.path for each in self.failures if each.is_counted})
        self._run(
            Carry(folder, [name], failure._replace(is_counted=failure.path in left))
            for failure in self.failures
            for folder, name in [os.path.split(failure.path)]
        )

    def _take_back(self, failed: set[str]) -> set[str]:
        """What the snapshot has not got is no change of it: it is taken from the figures as it was
        counted, whatever its size is by now. Returns those that are counted still, as they had not
        changed."""
        kinds = {each.word: each for each in (Change.ADDED, Change.CHANGED, Change.METADATA)}
        paths = {shown(os.fsencode(path)): path for path in failed}
        self._changes.close()
        with self._open_changes("rb") as lines:
            for word, size, name in (line[:-1].split("\t", 2) for line in lines):
                if word in kinds and name in paths:
                    failed.remove(paths.pop(name))
                    self.figures.count(kinds[word], int(size), -1)
                    self.figures.total_file_size -= int(size)
        self._changes = self._open_changes("ab")
        return failed

    def _give_up(self) -> None:
        if self._is_late:
            raise Stopped(GOES_ON)
        self.errors.add(self.messages[-MESSAGES_FIRST:])  # a full disk, above all
        self.errors.add(map(str, self.failures))

    def _to_examine(self) -> Iterator[Task]:
        ours = map(os.fsdecode, self._copying.take_unsure())
        paths = itertools.chain(ours, self._large.take_unsure())
        return (Examine(part) for part in chunks(paths))

    def finish_directories(self) -> None:
        joins = (Join(names) for names in self._apart.groups())
        self._pool.run(joins, self._take_joined, self._show)
        self._run(self._to_finish())

    def _take_joined(self, report: Report) -> list[Task]:
        self._notes.add(VOID, map(os.fsencode, report.linked))  # the digest of what it was before
        return self._take(report)

    def _run(self, tasks: Iterable[Task]) -> None:
        self._pool.run(tasks, self._take, self._show)

    def _take(self, report: Report) -> list[Task]:
        """Note what a worker reports; return the tasks that follow."""
        self._take_failures(report)
        self.figures.add_all(report.figures)
        self.listed += report.listed
        self.excluded_by.update(report.excluded_by)
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
        self.listed += len(copies)
        self._notes.add(VOID, (os.fsencode(path) for path, _ in copies))
        for file in report.copies:
            self._copy_single(file, self._lists.singles)
        for file in report.sparse:
            self._copy_single(file, self._lists.sparse)
        if report.together and not self._large.takes(report.together):
            self._lists.groups.add(report.together)
            if not fits(report.together):
                key = str(next(self._numbers))
                self._apart.add(
                    SharedName(key, size, Lack.MISSING, path) for path, size in report.together
                )
        self._shared.add(report.shared)
        self._doubtful.add(report.doubtful)
        for directory in report.directories:
            self._directories.write(directory_line(directory))
        for change, size, path in report.changes:
            self._changes.write(f"{change.word}\t{size}\t{shown(os.fsencode(path))}\n")
            if len(self.changed) < CANDIDATES:
                self.changed.append(path)
        return report.tasks

    def _copy_single(self, file: tuple[str, int], lists: Lists) -> None:
        if not self._large.takes([file]):
            lists.add([file])

    def _take_failures(self, report: Report) -> None:
        self._failed += len(report.failures)
        self.failures += report.failures[: FAILURES_KEPT - len(self.failures)]
        gone = (*report.vanished, *(failure.path for failure in report.failures))
        self._notes.add(VOID, map(os.fsencode, gone))
        self.vanished.add(f"vanished during the backup: {shown_path(p)}" for p in report.vanished)
        for path, may_share in report.carried:
            self._notes.add(CARRIED, [os.fsencode(path)])
            if may_share:
                self._sharing.write(os.fsencode(path) + b"\0")
        for failure, has_older in report.lasting:
            kept = OLDER if has_older else NO_OLDER
            reason = NO_TIME if self._is_late and failure.reason == CHANGES else failure.reason
            reason = self._large.why_not(failure.path) or reason
            self.lasting.add([f"{failure._replace(reason=reason)}; {kept}"])

    def _to_share(self) -> Iterator[Task]:
        for names in self._shared.groups():
            if len(names) > 1:
                self._sharing.writelines(os.fsencode(name.path) + b"\0" for name in names)
            if len(names) == 1:
                if not are_one(names):
                    self._notes.add(VOID, [os.fsencode(names[0].path)])
                    self._copy_single((names[0].path, names[0].size), self._lists.singles)
                    self.listed += 1
            elif not are_one(names):
                yield Share(names)

    def _to_separate(self) -> Iterator[Task]:
        for names in self._doubtful.groups():
            for inode in {name.inode for name in names} - {names[0].inode}:
                yield Separate([name for name in names if name.inode == inode])

    def _to_finish(self) -> Iterator[Task]:
        lines = map(parse_directory, nul_separated(Path(self._directories.name)))
        return (Finish(part) for part in chunks(lines, DIRECTORIES_PER_TASK))

    def _show(self) -> None:
        counts = {
            "directories": self.figures.number_of_directories,
            "links": self.figures.number_of_files_linked,
            "copies": self.copied,
            "bytes": self.copied_bytes + self._large.bytes_under_way,
        }
        if self._is_seen:
            counts["listed"] = self.listed
        self._tell(self.figures.number_of_files, **counts)
        now = time.monotonic()
        if now >= self._next_save:
            self._notes.save()
            self._next_save = now + SAVE_SECONDS

    def _log(self) -> None:
        seen, files = self.figures, self.figures.number_of_files
        anew = self.listed + seen.number_of_files_continued + seen.number_of_files_carried_forward
        log.info(
            "%d files in %d directories seen: %d unchanged (%d linked), %d continued, "
            "%d carried forward, %d of %d copied (%d bytes), %d files/s",
            files,
            seen.number_of_directories,
            files - anew,
            seen.number_of_files_linked,
            seen.number_of_files_continued,
            seen.number_of_files_carried_forward,
            self.copied,
            self.listed,
            self.copied_bytes,
            files / max(time.monotonic() - self._started, 0.001),
        )
