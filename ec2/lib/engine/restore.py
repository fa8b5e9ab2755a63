"""One restore run: a snapshot, or paths of it, back into a file system.

Plan, fetch, swap, directories, check. What the first two do can be thrown away at any moment: the
live tree has not changed by then. What comes after is renames, and can be undone.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from common.words import plural

from engine.command.execution import execute
from engine.command.outcome import EngineError, Failed
from engine.command.process import StopSignals
from engine.command.text import Messages, as_root, command_line, size
from engine.copying.tally import Tally
from engine.snapshots.about import source_identity
from engine.snapshots.choice import Snapshot, opened_snapshot
from engine.snapshots.folder import SnapshotFolder
from engine.snapshots.removal import RemoveEmpty
from engine.target.compare import NEVER, Collect, Compare, Sides
from engine.target.fetch import Fetch, copying_of
from engine.target.figures import Effect
from engine.target.helping import fleet_of, remove_scratch
from engine.target.plan import Plan
from engine.target.records import Attributes, folders, read_records
from engine.target.request import (
    Options,
    check,
    check_in_snapshot,
    check_way_in,
    excludes_of,
    find_root,
    parse,
)
from engine.target.result import RestoreResult
from engine.target.safety import SafetyDirectory, target_lock
from engine.target.sharing import read_sharing
from engine.target.swap import Done, Settle, Swap, Tops
from engine.tree.attributes import Directory, set_attributes_of
from engine.tree.descent import TOP
from engine.tree.entries import attributes
from engine.tree.pool import PROCESSES, Pool, Task
from engine.tree.walls import Root, Walls, opened_path

log = logging.getLogger(__name__)


class Restore:
    """What one run knows.

    saved, live: descriptors of the snapshot's top and of the directory that corresponds to it;
    ``live`` is -1 if that does not exist, in a dry run. made: the directories that the run made for
    it, outermost first.
    """

    def __init__(
        self, options: Options, work: Path, stop: StopSignals, result: RestoreResult
    ) -> None:
        self.options = options
        self.work = work
        self.stop = stop
        self.result = result
        self.folder = SnapshotFolder(options.backup / options.folder, options.interval)
        self.live = -1
        self.made: list[Path] = []

    def run(self, stack: contextlib.ExitStack) -> None:
        options, result = self.options, self.result
        walls = stack.enter_context(Walls(self.work.parent))
        snapshot = self._open_snapshot(stack)
        for path in options.paths:
            check_in_snapshot(self.saved, path, str(snapshot), self.excludes.patterns)
        self.root = find_root(options)
        check_way_in(self.root, options.asked)
        result.snapshot, result.target = str(snapshot.path), str(self.root)
        result.paths = [f"/{path}" for path in options.asked]
        if options.asked != ("",) and len(options.asked) == 1:
            result.snapshot, result.target = (
                os.path.join(place, options.asked[0]) for place in (result.snapshot, result.target)
            )
        log.info("restoring %s into %s", snapshot, self.root)
        if options.dry_run:
            if self.root.exists():
                self.live = stack.enter_context(opened_path(self.root))
            self._plan()
            result.outcome = "planned"
            result.repeat_command = self._repeat_command(snapshot)
            return
        target = stack.enter_context(opened_path(options.target))
        stack.enter_context(target_lock(target, options.target))
        with self._removed_if_nothing_changed():
            self._make_root()
            self.live = stack.enter_context(opened_path(self.root))
            plan = self._plan()
            if not plan.changes_something:
                self.made.clear()
                return self._end()
            self._check_space(plan)
            safety = SafetyDirectory(self.live, self.root, options.id)
            stack.callback(safety.close)
            self._carry_out(plan, safety, walls)
        self._end()

    def _open_snapshot(self, stack: contextlib.ExitStack) -> Snapshot:
        """Once, by its name or date; from now on it is this one, whatever it is called."""
        options = self.options
        snapshot, self.saved, self.reading = stack.enter_context(
            opened_snapshot(self.folder, options.wanted)
        )
        self._check_published()
        self.snapshot = snapshot.path
        self.result.snapshot_name = snapshot.path.name
        self.result.snapshot_date = snapshot.date
        here = Path(f"/proc/self/fd/{self.saved}")
        self.digests = existing(self.folder.digests_of(here))
        self.sharing = read_sharing(self.folder.sharing_of(here))
        self.run_of_snapshot = self.folder.note_of(here)
        self.excludes = excludes_of(self.folder, here, options.mode, self.result)
        return snapshot

    def _check_published(self) -> None:
        if not self.folder.publishes(self.saved):
            raise Failed("expired", "the snapshot expired meanwhile; restore a newer one")

    def _make_root(self) -> None:
        """The prefix may not exist yet: it gets the attributes of the snapshot's top directory."""
        missing = [path for path in (self.root, *self.root.parents) if not path.exists()]
        for path in reversed(missing):
            path.mkdir()
            self.made.append(path)
            with opened_path(path) as descriptor:
                wanted = attributes(os.fstat(self.saved))
                set_attributes_of(descriptor, Directory(TOP, False, *wanted))

    @contextlib.contextmanager
    def _removed_if_nothing_changed(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            if not self.result.undo_command and not self.result.delete_command:
                for path in reversed(self.made):
                    with contextlib.suppress(OSError):
                        path.rmdir()
            raise

    def _plan(self) -> Plan:
        result = self.result
        result.begin("plan")
        sides = Sides(
            self.saved,
            self.live,
            self.options.asked,
            self.options.mode != "Merge",
            self._doubtful_since(),
            self.sharing,
            self.excludes,
        )
        plan = Plan(sides, self.work)
        stopped = "stopped while comparing; nothing was changed"
        with Pool(PROCESSES, self.stop, self.work, sides, stopped=stopped) as pool:
            first: Task = Compare(TOP) if self.live >= 0 else Collect(TOP)
            plan.make(pool, [first], self.digests, lambda: self._show_plan(plan))
        result.take_plan(plan)
        if plan.errors:
            result.errors += plan.errors.lines()
            raise Failed("files", "not all could be compared, so nothing was changed")
        return plan

    def _doubtful_since(self) -> int:
        """From which change of a live file on its content has to be compared (in ns)."""
        run = self.run_of_snapshot
        if self.options.check == "quick":
            return NEVER
        if self.options.check == "all" or self.live < 0 or run is None or not run.source:
            return 0
        if run.source != source_identity(self.live):
            return 0  # it is not the directory that the snapshot was made of
        return run.started - self.options.clock_skew * 10**9

    def _check_space(self, plan: Plan) -> None:
        """EFS has no limit and says so; other file systems have one."""
        info = os.fstatvfs(self.live)
        free = info.f_bavail * info.f_frsize
        where = str(self.root)
        if plan.bytes_needed > free:
            raise Failed(
                "space",
                f"the restore needs {size(plan.bytes_needed)}, but {where!r} has only {size(free)} "
                "free",
            )
        if info.f_files and plan.files_needed > info.f_favail:
            raise Failed(
                "space",
                f"the restore needs {plural(plan.files_needed, 'inode')}, but {where!r} has only "
                f"{info.f_favail:,} free",
            )

    def _carry_out(self, plan: Plan, safety: SafetyDirectory, walls: Walls) -> None:
        result = self.result
        fetch = None
        was = attributes(os.fstat(self.live))
        result.begin("fetch")
        safety.create(plan.journal)
        try:
            here = Path(f"/proc/self/fd/{self.saved}")
            saved = walls.around(self.saved, Root(here, Path(result.snapshot)), read_only=True)
            undo = walls.around(safety.undo, Root(safety.undo_path, safety.undo_path))
            new = replace(undo, path=undo.path / "new", name=safety.undo_path / "new")
            if walls.warning:
                result.warn(walls.warning)
            stopped = "stopped while copying; nothing was changed"
            with Pool(PROCESSES, self.stop, self.work, stopped=stopped) as pool:
                fleet = fleet_of(self.options, self.snapshot, self.saved, safety, undo)
                copying = copying_of(saved, new, self.work, self.options.jobs, fleet)
                fetch = Fetch(plan, self.live, safety.new, pool, copying)
                fetch.make(lambda: self._show_fetch(plan, copying.tally))
            self._check_still_the_same()
            safety.make_aside()
            fetch.set_damaged_aside(self.digests, safety.damaged)
            safety.begin()
        except BaseException:
            if fetch:
                result.errors += fetch.errors
            self._discard(safety, was)
            raise
        finally:
            if fetch:
                result.take_workers(fetch.tally)
        self._note_damaged(fetch)
        self._describe_way_back(safety)
        tops = Tops(self.saved, self.live, safety.aside, safety.new)
        stopped = "stopped; start the restore again to finish it, or undo it"
        with Pool(PROCESSES, self.stop, self.work, tops, stopped=stopped) as pool:
            try:
                self._swap(plan, pool)
            finally:
                self._tidy(safety, pool)
                left = safety.discard_empty()
                result.safety_directory = str(safety.path) if safety.path in left else ""
                result.damaged_directory = (
                    str(safety.damaged_path) if safety.damaged_path in left else ""
                )
                if self.options.mode != "NewDirectory":
                    result.delete_command = delete_command([*left, safety.undo_path])
            self._settle(pool)

    def _check_still_the_same(self) -> None:
        if not self.reading.is_locked:
            self._check_published()

    def _discard(self, safety: SafetyDirectory, was: Attributes) -> None:
        """Nothing has changed yet, and nothing of the attempt shall be left."""
        try:
            with Pool(PROCESSES, StopSignals(), self.work) as pool:
                remove_scratch(pool, safety)
            left = [*safety.discard_empty(), *safety.discard()]
            set_attributes_of(self.live, Directory(TOP, False, *was))
        except (OSError, EngineError) as error:
            self.result.warn(f"what was copied so far could not be removed: {error}")
            left = [safety.undo_path]
        if left:
            self.result.delete_command = delete_command(left)

    def _note_damaged(self, fetch: Fetch) -> None:
        result = self.result
        result.number_of_files_damaged = fetch.damaged.total
        for path in fetch.damaged.lines():
            result.errors.append(f"damaged in the backup, and not put in place: {path}")

    def _describe_way_back(self, safety: SafetyDirectory) -> None:
        """Before the first change: it holds also if this is killed at the next moment."""
        options, result = self.options, self.result
        if options.mode == "NewDirectory":
            result.delete_command = delete_command([self.root])
            return
        result.undo_command = as_root(["python3", str(safety.undo_path / "undo")])
        kept = [safety.path, safety.undo_path]
        if result.number_of_files_damaged:
            kept.append(safety.damaged_path)
        result.delete_command = delete_command(kept)

    def _swap(self, plan: Plan, pool: Pool) -> None:
        """Raises :class:`Stopped` after a signal, with a part of it done."""
        result = self.result
        result.begin("swap")
        swapped = (self.work / "swapped").open("w")
        entries = 0
        not_moved, warnings = Messages(), Messages()

        def take(done: Done) -> list[Task]:
            nonlocal entries
            swapped.write(done.record.line())
            entries += len(done.record)
            result.add_all(done.figures)
            not_moved.add(f"not restored, it stays as it was: {line}" for line in done.not_moved)
            warnings.add(done.warnings)
            return []

        def tick() -> None:
            result.progress.update(entries, plan.entries, "entries")

        try:
            pool.run(map(Swap, read_records(plan.journal)), take, tick)
        finally:
            swapped.close()
            result.errors += not_moved.lines()
            result.warnings += warnings.lines()

    def _tidy(self, safety: SafetyDirectory, pool: Pool) -> None:
        """What has been fetched and is not needed. Most of its directories are empty by now: to try
        that first saves listing them."""
        errors: list[str]
        swapped = read_records(self.work / "swapped")
        new = folders(record for record in swapped if record.files or record.trees)
        try:
            empty = (RemoveEmpty(safety.new, folder) for folder in new if folder)
            pool.run(empty, lambda _: [])
            errors = remove_scratch(pool, safety)
        except EngineError as error:
            errors = [str(error)]
        if errors:
            self.result.warn(f"{str(safety.undo_path / 'new')!r} is left: {errors[0]}")

    def _settle(self, pool: Pool) -> None:
        """The directories, and a look at all that was touched."""
        result = self.result
        result.begin("directories")
        missing, warnings = Messages(), Messages()

        def take(done: Done) -> list[Task]:
            missing.add(f"not restored: {path}" for path in done.missing)
            missing.add(done.not_moved)
            warnings.add(done.warnings)
            return []

        pool.run(map(Settle, read_records(self.work / "swapped")), take)
        result.begin("check")
        result.warnings += warnings.lines()
        result.errors += missing.lines()

    def _end(self) -> None:
        result = self.result
        if result.number_of_files_damaged:
            files = plural(result.number_of_files_damaged, "file was", "files were")
            raise Failed(
                "verification",
                f"{files} kept out, no longer what was backed up; see "
                f"{result.damaged_directory!r}. All others are restored",
            )
        if result.errors:
            raise Failed("files", "not all could be restored; see the errors, and start again")

    def _repeat_command(self, snapshot: Snapshot) -> str:
        """With the date: the number means another snapshot after the next run."""
        options = self.options
        words = ["--backup", str(options.backup)]
        words += ["--folder", options.folder, "--interval", options.interval]
        words += ["--date", snapshot.date, "--target", str(options.target)]
        if options.prefix:
            words += ["--prefix", f"/{options.prefix}"]
        for path in options.paths:
            words += ["--path", f"/{path}"]
        words += ["--mode", options.mode, "--check", options.check]
        return command_line("efs-restore.sh", words)

    def _show_plan(self, plan: Plan) -> None:
        figures = plan.figures
        self.result.progress.update(figures.number_of_files_unchanged + figures.files_of(Effect))

    def _show_fetch(self, plan: Plan, tally: Tally) -> None:
        files, size = tally.number_of_files_transferred, tally.total_transferred_file_size
        self.result.progress.update(files, plan.files_to_copy, bytes=size)


def delete_command(paths: list[Path]) -> str:
    return as_root(["rm", "-rf", *map(str, paths)])


def existing(path: Path | None) -> Path | None:
    return path if path and path.exists() else None


def run(options: Options, work: Path, stop: StopSignals, result: RestoreResult) -> None:
    result.id, result.mode = options.id, options.mode
    check(options)
    options.make_log_dir()
    with contextlib.ExitStack() as stack:
        Restore(options, work, stop, result).run(stack)


if __name__ == "__main__":
    sys.exit(execute(parse, run, RestoreResult("restored")))
