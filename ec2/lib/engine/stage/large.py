"""Large files of the source: each is copied for itself, over as many runs as it takes."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from engine.command.outcome import Failed
from engine.command.process import StopSignals
from engine.command.text import shown_path
from engine.copying.digests import UNKNOWN
from engine.copying.lists import Group
from engine.copying.parts import Copied, Parts, Unfinished
from engine.copying.rsync import WAIT_SECONDS
from engine.stage.report import Report, Trees, linked
from engine.tree.content import reader
from engine.tree.descent import GONE, opened

AT_ONCE = 4  # one stream alone does not reach what a file system can do


class LargeFiles:
    """Copies them in threads, beside the jobs of rsync. The first signal ends it: nothing is lost.

    from_size: in bytes, which files are taken.
    """

    def __init__(self, trees: Trees, parts: Parts, stop: StopSignals, from_size: int) -> None:
        self._trees = trees
        self._parts = parts
        self._stop = stop
        self._from_size = from_size
        self._executor = ThreadPoolExecutor(AT_ONCE)
        self._cancelled = False
        self._lock = threading.Lock()
        self._left = 0
        self._reports: list[Report] = []
        self._unsure: list[str] = []
        self._reasons: dict[str, str] = {}
        self._failure: BaseException | None = None

    def takes(self, group: Group) -> bool:
        """Have the names of one file copied, if it is a large one."""
        if group[0][1] < self._from_size:
            return False
        self._begin([path for path, _ in group])
        return True

    def _begin(self, paths: list[str]) -> None:
        with self._lock:
            self._left += 1
        self._executor.submit(self._perform, paths)

    def wait(self, on_tick: Callable[[], None]) -> Iterator[Report]:
        """Until nothing is under way; what became of the files. Raises :class:`Failed` if the
        backup did not take one."""
        while self._left:
            on_tick()
            time.sleep(WAIT_SECONDS)
        with self._lock:
            reports, self._reports = self._reports, []
        if self._failure:
            raise self._failure
        yield from reports

    def finish(self) -> None:
        self._cancelled = True
        self._executor.shutdown()

    def take_unsure(self) -> list[str]:
        """The names that were not copied, and are to be looked at. Only once."""
        unsure, self._unsure = self._unsure, []
        return unsure

    def why_not(self, path: str) -> str:
        """Why a name was not copied; empty if that is not known."""
        return self._reasons.get(path, "")

    @property
    def bytes_under_way(self) -> int:
        return self._parts.bytes_under_way

    def _is_stopping(self) -> bool:
        return self._cancelled or self._stop.received > 0

    def _perform(self, paths: list[str]) -> None:
        try:
            self._copy(paths)
        except BaseException as error:  # for the main thread
            self._failure = error
        with self._lock:
            self._left -= 1

    def _copy(self, paths: list[str]) -> None:
        reason = ""
        try:
            if not self._is_stopping() and self._copy_first(paths):
                return
        except Unfinished as error:
            reason = str(error)
        with self._lock:
            self._unsure += paths
            if reason:
                self._reasons.update(dict.fromkeys(paths, reason))

    def _copy_first(self, paths: list[str]) -> bool:
        """Returns whether there is still such a file, and its directory in the stage."""
        folder, name = os.path.split(paths[0])
        try:
            with opened(self._trees.source, folder) as directory:
                source = reader(name, directory)
        except OSError:
            return False  # it is looked into why
        with source:
            if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
                return False
            try:
                copied = self._parts.copy(paths[0], source.fileno(), self._is_stopping)
                return self._place(copied, paths)
            except OSError as error:
                where = shown_path(paths[0])
                raise Failed("files", f"the copy of {where} cannot be written: {error}") from error

    def _place(self, copied: Copied, paths: list[str]) -> bool:
        """Put the copy under all of its names."""
        report = Report()
        folder, name = os.path.split(paths[0])
        try:
            with opened(self._trees.stage, folder) as stage:
                os.rename(copied.place, name, dst_dir_fd=stage)
                placed = 1
                while placed < len(paths) and self._link(name, stage, paths[placed], report):
                    placed += 1
        except GONE:
            return False
        self._parts.finished(paths[0])
        if paths[placed:]:  # it can have no more names
            self._begin(paths[placed:])
        report.figures.number_of_files_transferred += placed
        report.figures.total_transferred_file_size += copied.transferred
        report.marks += [(copied.digest or UNKNOWN, path) for path in paths[:placed]]
        with self._lock:
            self._reports.append(report)
            for path in paths:
                self._reasons.pop(path, None)
        return True

    def _link(self, name: str, stage: int, path: str, report: Report) -> bool:
        folder, other = os.path.split(path)
        with opened(self._trees.stage, folder) as directory:
            return linked(name, stage, other, directory, report)
