"""Reading back a share of a new snapshot, and comparing it with the source."""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from engine.command.text import Messages, shown_path
from engine.stage.figures import Figures
from engine.stage.report import Trees
from engine.tree.content import reader, same_content
from engine.tree.descent import GONE, TOP, join, opened
from engine.tree.entries import File, file_of
from engine.tree.pool import Pool, Task, Worker

FILES_PER_TASK = 20
TASKS_AT_ONCE = 100  # of a directory that may have millions of entries
SUSPECTS_KEPT = 10_000


class Window(NamedTuple):
    """Which files are read back: those whose paths fall among ``percent`` places of 100, the first
    of which is ``begin``. As the window moves on from run to run, it comes to all of them."""

    begin: int
    percent: int

    def includes(self, path: str) -> bool:
        place = zlib.crc32(os.fsencode(path)) % 100
        return (place - self.begin) % 100 < self.percent

    @property
    def end(self) -> int:
        return (self.begin + self.percent) % 100


class Finding(Enum):
    """What a file turns out to be, by the figure that counts it."""

    VERIFIED = "number_of_files_verified"
    CHANGED_SINCE = "number_of_files_changed_since"
    MISMATCHED = "number_of_files_mismatched"


@dataclass
class Findings:
    """mismatched: paths of files that are not what the source has, though nothing tells of a
    change."""

    figures: Figures = field(default_factory=Figures)
    mismatched: list[str] = field(default_factory=list)
    errors: Messages = field(default_factory=Messages)
    tasks: list[Task] = field(default_factory=list)


class ReadDirectory(NamedTuple):
    """Compare the chosen files of one directory with the source's. changed_since: a change of the
    source's file at or after this time (ns) is one that the snapshot need not have."""

    path: str
    window: Window
    changed_since: int

    def perform(self, worker: Worker) -> Findings:
        found = Findings()
        chosen: list[str] = []
        trees: Trees = worker.context.trees
        try:
            with opened(trees.stage, self.path) as directory, os.scandir(directory) as entries:
                for entry in entries:
                    path = join(self.path, entry.name)
                    if entry.is_dir(follow_symlinks=False):
                        found.tasks.append(self._replace(path=path))
                    elif entry.is_file(follow_symlinks=False) and self.window.includes(path):
                        chosen.append(entry.name)
                    if len(chosen) == FILES_PER_TASK:
                        found.tasks.append(self._files(chosen))
                        chosen = []
                    if len(found.tasks) == TASKS_AT_ONCE:
                        worker.emit(found)
                        found = Findings()
        except OSError as error:
            found.errors.add([f"unreadable: {shown_path(self.path)}: {error.strerror}"])
        if chosen:
            found.tasks.append(self._files(chosen))
        return found

    def _files(self, names: list[str]) -> Task:
        return VerifyFiles(self.path, names, self.changed_since)


class VerifyFiles(NamedTuple):
    path: str
    names: list[str]
    changed_since: int

    def perform(self, worker: Worker) -> Findings:
        found = Findings()
        try:
            with opened(worker.context.trees.source, self.path) as source:
                self._compare(source, found, worker)
        except GONE:
            found.figures.number_of_files_changed_since += len(self.names)
        return found

    def _compare(self, source: int, found: Findings, worker: Worker) -> None:
        with opened(worker.context.trees.stage, self.path) as snapshot:
            for name in self.names:
                path = join(self.path, name)
                try:
                    finding = self._finding(source, snapshot, name, worker)
                except OSError as error:
                    found.errors.add([f"unreadable: {shown_path(path)}: {error.strerror}"])
                    continue
                if worker.stopping:
                    return
                found.figures.add(finding.value, 1)
                if finding is Finding.MISMATCHED:
                    found.mismatched.append(path)

    def _finding(self, source: int, snapshot: int, name: str, worker: Worker) -> Finding:
        saved = file_of(os.stat(name, dir_fd=snapshot, follow_symlinks=False))
        now = present(source, name)
        if now is None or now.kept != saved.kept:
            return Finding.CHANGED_SINCE
        if same_content(source, snapshot, name, saved.mode, worker):
            return Finding.VERIFIED
        after = present(source, name)
        if after is None or after.kept != now.kept or after.ctime_ns != now.ctime_ns:
            return Finding.CHANGED_SINCE
        is_newer = now.ctime_ns >= self.changed_since
        return Finding.CHANGED_SINCE if is_newer else Finding.MISMATCHED


def present(source: int, name: str) -> File | None:
    """The source's file as it is now: NFS asks the server when a file is opened."""
    try:
        if not stat.S_ISREG(os.stat(name, dir_fd=source, follow_symlinks=False).st_mode):
            return None
        with reader(name, source) as file:
            return file_of(os.fstat(file.fileno()))
    except GONE:
        return None


def read_back(
    window: Window, changed_since: int, pool: Pool, on_tick: Callable[[Figures], None]
) -> Findings:
    """Compare the chosen files of the snapshot, which was the stage, with the source's."""
    whole = Findings()

    def on_result(found: Findings) -> list[Task]:
        whole.figures.add_all(found.figures)
        whole.mismatched += found.mismatched[: SUSPECTS_KEPT - len(whole.mismatched)]
        whole.errors.add(
            f"differs from the source: {shown_path(path)}" for path in found.mismatched
        )
        whole.errors.add(found.errors)
        return found.tasks

    first = ReadDirectory(TOP, window, changed_since)
    pool.run([first], on_result, lambda: on_tick(whole.figures))
    return whole
