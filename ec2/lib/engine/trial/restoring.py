"""Restoring for a test: some parts of all files, from each snapshot that has a version of its own.

The files are fetched as for a restore, onto a disk of this machine, and their digests are compared
with those of when they were backed up. What the snapshots share is fetched once, from the oldest.
Nothing is written beside the snapshots but when it was.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Protocol

from engine.command.figures import Kind
from engine.command.outcome import Failed
from engine.command.text import Messages, shown_path
from engine.copying.digests import Digested, DigestFiles
from engine.history.members import Member
from engine.history.upkeep import InFolder, members_of
from engine.history.writing import Tools
from engine.snapshots.folder import SnapshotFolder
from engine.snapshots.removal import remove_trees
from engine.stage.figures import Figures
from engine.target.fetch import Fetch, copying_of
from engine.tree.descent import names_in
from engine.tree.pool import Task
from engine.tree.walls import Root
from engine.trial.files import Batch, File, batches, by_turn, select
from engine.trial.rotation import read_rotation

BYTES_AT_ONCE = 1 << 30


class Told(Protocol):
    def warn(self, message: str) -> None: ...

    def take_trial(self, figures: Figures, failures: Messages, age: int) -> None: ...


class Tested(Kind):
    """What became of a file."""

    RESTORED = "restored", "number_of_files_test_restored", "test_restored_file_size"
    READ = "read", "number_of_files_test_read", "test_restored_file_size"
    FAILED = "failed", "number_of_files_test_failed", "test_restored_file_size"


class Trial:
    """saved: gives the root of a snapshot. new, root: an empty directory on this machine's disk,
    open from before the workers were forked."""

    def __init__(
        self,
        tools: Tools,
        saved: Callable[[Member], Root],
        new: int,
        root: Root,
        jobs: int,
        on_tick: Callable[[Figures], None],
    ) -> None:
        self._tools = tools
        self._saved = saved
        self._new, self._root = new, root
        self._jobs = jobs
        self._on_tick = on_tick
        self.figures = Figures()
        self.failures = Messages()

    def test(self, files: Iterable[File], tree: Member) -> None:
        """Those of one snapshot. Raises :class:`Stopped`, or :class:`Failed` for what has nothing
        to do with the snapshot."""
        room = self._free() // 2
        for batch in batches(files, min(room, BYTES_AT_ONCE)):
            if batch.size > room:
                self._read(batch.files, tree)
            else:
                self._restore(batch, tree)

    def _free(self) -> int:
        info = os.fstatvfs(self._new)
        return info.f_bavail * info.f_frsize

    def _restore(self, batch: Batch, tree: Member) -> None:
        tools = self._tools
        copying = copying_of(self._saved(tree), self._root, tools.work, self._jobs)
        fetch = Fetch(batch, self._new, self._new, tools.pool, copying)
        reason = "the copying did not say why"

        def tick() -> None:
            found = replace(self.figures)
            found.add(Tested.RESTORED.files, fetch.tally.number_of_files_transferred)
            found.add(Tested.RESTORED.size, fetch.tally.total_transferred_file_size)
            self._on_tick(found)

        try:
            fetch.make(tick)
        except Failed as error:
            info = os.fstatvfs(self._new)
            if self._free() < batch.size or (info.f_files and not info.f_favail):
                raise Failed("space", "the disk of this machine is full") from error
            reason = fetch.errors[0] if fetch.errors else str(error)
        restored = dict(fetch.digests())
        for file in batch.files:
            if file.path in restored:
                self._judge(file, restored[file.path], Tested.RESTORED, tree)
        if errors := self._remove():
            raise Failed("system", f"what was restored could not be removed: {errors[0]}")
        self._find_fault([file for file in batch.files if file.path not in restored], tree, reason)

    def _find_fault(self, files: Sequence[File], tree: Member, reason: str) -> None:
        """Of those that were not restored: what can be read is as it was. This machine could not
        restore it then, as when something kills its processes."""
        failed = self.figures.number_of_files_test_failed
        self._read(files, tree)
        if self.figures.number_of_files_test_failed - failed < len(files):
            raise Failed("system", f"files that can be read could not be restored: {reason}")

    def _remove(self) -> list[str]:
        folders = []
        for name in [*names_in(self._new)]:
            try:
                os.unlink(name, dir_fd=self._new)
            except IsADirectoryError:
                folders.append(name)
        return remove_trees(self._tools.pool, self._new, folders)

    def _read(self, files: Sequence[File], tree: Member) -> None:
        """What is too large for the disk."""
        paths = {f"{tree.name}/{os.fsdecode(file.path)}": file for file in files}

        def take(found: Iterable[Digested]) -> list[Task]:
            for each in found:
                self.failures.add([f"{tree}: {each.error}"] if each.error else [])
                self._judge(paths[each.path], each.digest, Tested.READ, tree)
            return []

        tools = self._tools
        tasks = [DigestFiles(tools.top, [(path, b"")]) for path in paths]
        tools.pool.run(tasks, take, lambda: self._on_tick(self.figures))

    def _judge(self, file: File, digest: bytes | None, what: Tested, tree: Member) -> None:
        is_right = bool(digest) and file.md5 in (digest, b"")
        self.figures.count(what if is_right else Tested.FAILED, file.size)
        self.figures.number_of_files_test_without_digest += not file.md5
        if not is_right:
            reason = "is not what was backed up" if digest else f"could not be {what.word}"
            self.failures.add([f"{tree}: {shown_path(os.fsdecode(file.path))} {reason}"])


def take_turns(
    folder: SnapshotFolder, percent: int, trial: Trial, tools: Tools, result: Told
) -> None:
    """Test ``percent`` parts of a hundred. When each begins is noted first: a run that is killed
    does not hit upon the same one again."""
    now = int(time.time())
    rotation, problem = read_rotation(folder.tests, now)
    if problem:
        result.warn(problem)
    parts = rotation.next(percent)
    folder.names.look_again()  # what expired is removed by now
    own = [each for each in members_of(folder) if each.chain == folder.interval]
    try:
        records, trees, lost = select(own, InFolder(folder), parts, tools)
        if lost:
            names = ", ".join(map(str, lost))
            result.warn(f"not tested, as there is no catalog of it: {names}")
        for part, files in zip(parts, by_turn(records, len(parts))):
            rotation.tried[part] = now
            rotation.save(folder.tests)
            failed = trial.figures.number_of_files_test_failed
            for place, those in itertools.groupby(files, attrgetter("place")):
                trial.test(those, trees[place])
            if trial.figures.number_of_files_test_failed == failed and not lost:
                rotation.tested[part] = now
                rotation.save(folder.tests)
    finally:
        result.take_trial(trial.figures, trial.failures, rotation.age(now))
