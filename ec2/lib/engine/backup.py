"""One backup run: a new snapshot of a directory beside the earlier ones."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from engine.asked import verify_asked
from engine.command.execution import execute, keep_log, write_result_so_far
from engine.command.files import is_empty, write_atomically
from engine.command.outcome import GOES_ON, EngineError, Failed, Stopped
from engine.command.process import StopSignals
from engine.command.text import shown_path
from engine.copying.digests import DamagedList, Notes, make_list
from engine.copying.parts import LARGE, Parts
from engine.copying.rsync import RSYNC_LOG, Copying, Way
from engine.history.members import Member
from engine.history.upkeep import Before, complete, export, failing, write_newest
from engine.history.writing import Tools
from engine.snapshots.about import Note, source_identity
from engine.snapshots.folder import SnapshotFolder
from engine.snapshots.holds import hold_previous, is_upheaval, name_of_hold, obey_all, untold
from engine.snapshots.keeping import retain, told
from engine.snapshots.readers import Readers
from engine.snapshots.removal import remove_trees
from engine.stage.figures import Figures
from engine.stage.filling import CHANGES_FILE, RSYNC_OPTIONS, Filling
from engine.stage.helping import fleet_of
from engine.stage.large import LargeFiles
from engine.stage.memory import known, write_directories
from engine.stage.reading_back import Window, read_back
from engine.stage.report import Context, Trees
from engine.stage.request import Options, check, check_something_is_left, parse
from engine.stage.result import PARTIAL, BackupResult
from engine.stage.roots import open_roots
from engine.stage.suspects import suspects_in
from engine.target.safety import restores_in
from engine.tree.pool import PROCESSES, Pool
from engine.tree.walls import Root, Walls
from engine.trial.restoring import Trial, take_turns

log = logging.getLogger(__name__)

EXAMPLES = 10  # of what was changed or removed


def check_source_not_lost(options: Options, folder: SnapshotFolder) -> None:
    """An unmounted file system looks like an empty one; publishing it would push real ones out."""
    newest = folder.newest()
    if options.allow_empty or newest is None:
        return
    if is_empty(options.source) and not is_empty(newest):
        raise Failed(
            "empty-source",
            f"the source {str(options.source)!r} is empty, but the newest snapshot is not; "
            "is it mounted? (--allow-empty accepts it)",
        )


def run(options: Options, work: Path, stop: StopSignals, result: BackupResult) -> None:
    check(options)
    options.make_log_dir()
    folder = SnapshotFolder(options.backup / options.folder, options.interval)
    folder.lock(options.lock_wait, stop)
    for problem in folder.recover():
        result.warn(problem)
    check_source_not_lost(options, folder)
    for warning in check_something_is_left(options):
        result.warn(warning)
    result.mass_change = untold(folder)
    for line in result.mass_change[:1]:
        result.warn(line)
    to_verify = obey_all(options.requests, folder, result) if options.requests else {}
    with contextlib.ExitStack() as stack:
        backup = Backup(options, folder, work, stop, result, stack)
        restores = restores_in(backup.trees.source)
        changed = backup.copy()
        warn_of_restores(restores, restores_in(backup.trees.source), result)
        note = backup.hold_before_upheaval(backup.note(), changed)
        backup.publish(note, changed)
        if options.log_dir:
            keep_log(work / CHANGES_FILE, options.log_dir, result)
        are_sound = not options.verify_percent or backup.read_back(note)
        backup.expire()
        if not are_sound:
            raise Failed(
                "verification",
                f"{result.snapshot!r} is published, but files in it cannot be read or are not what "
                "the source has",
            )
        if options.restore_test_percent:
            backup.test_restores()
        if not options.result:  # it was said here
            folder.untold.unlink(missing_ok=True)
    verify_asked(to_verify, folder, work, stop, result, options.result)


class Backup:
    """One run in a folder that is locked: what it works on, and its steps in their order.

    What is opened here, before the workers are forked, they have too; ``stack`` closes it.
    """

    def __init__(
        self,
        options: Options,
        folder: SnapshotFolder,
        work: Path,
        stop: StopSignals,
        result: BackupResult,
        stack: contextlib.ExitStack,
    ) -> None:
        self.options, self.folder = options, folder
        self.work, self.stop, self.result = work, stop, result
        self.started = folder.now()
        self.readers = stack.enter_context(Readers(folder.readers))
        self.previous = previous = Previous.of(folder, result)
        self.beginning = folder.begin_stage(self.started, self.readers)
        walls = stack.enter_context(Walls(work.parent))
        self.walls = walls
        self.roots = open_roots(options, walls)
        if walls.warning:
            result.warn(walls.warning)
        top = descriptor(self.roots.inside(folder.path).path, stack, os.O_PATH)
        self.trees = self._open_trees(stack)
        self.disk = work / "restored"
        self.disk.mkdir()
        self.on_disk = descriptor(self.disk, stack)
        self.notes = Notes(folder.notes)
        directories = folder.directories_of(previous.path) if previous.path else None
        what_is_known = known(directories, self.notes, bool(self.beginning.unfinished), work)
        context = Context(self.trees, what_is_known, options.excludes)
        self.pool = stack.enter_context(Pool(PROCESSES, stop, work, context, stopped=GOES_ON))
        self.tools = Tools(self.pool, top, work, self._tick)
        self.before = Before.of(folder, previous.path, previous.run)
        parts = self.roots.inside(folder.parts).path
        self.parts = Parts(parts, self.started, self.trees.margin)

    def _open_trees(self, stack: contextlib.ExitStack) -> Trees:
        folder, inside = self.folder, self.roots.inside
        margin = self.options.clock_skew * 10**9
        newest, run = self.previous
        unfinished = self.beginning.unfinished
        return Trees(
            source=descriptor(self.roots.source.path, stack),
            previous=descriptor(inside(newest).path, stack, os.O_PATH) if newest else None,
            stage=descriptor(inside(folder.stage).path, stack, os.O_PATH),
            trash=descriptor(inside(folder.make_trash()).path, stack, os.O_PATH),
            changed_since=changed_since(run.started, self.started, margin) if run else 0,
            started=self.started,
            resumed=unfinished.started if unfinished else None,
            margin=margin,
        )

    def copy(self) -> list[str]:
        """Fill the stage with a complete copy of the source, or raise with nothing published.

        Returns some of the paths that changed.
        """
        options, folder, result = self.options, self.folder, self.result
        stage = self.roots.inside(folder.stage)
        way = Way(self.roots.source, stage, RSYNC_OPTIONS, has_doubts=True)
        fleet = fleet_of(options, folder, self.roots, self.trees)
        copying = Copying(way, self.work, options.jobs, self.notes, fleet)
        for list_of in (folder.digests_of, folder.sharing_of, folder.directories_of):
            path = list_of(folder.stage)
            if path and folder.names.has(path):  # of a run that was killed, or a way elsewhere
                folder.discard(path)
        expected = self.previous.run.files or None if self.previous.run else None
        sharing = folder.sharing_of(folder.stage)
        assert sharing  # begun with the stage
        filling = Filling(
            self.pool,
            copying,
            LargeFiles(self.trees, self.parts, self.stop, LARGE),
            sharing,
            partial(result.progress.update, total=expected),
            options.max_failed_percent,
        )
        try:
            result.begin("copy")
            filling.copy_files(suspects_in(folder))
            if not filling.errors and not copying.tally.errors:
                result.begin("directories")
                filling.finish_directories()
                self._write_lists()
        finally:
            result.take(filling, copying.tally)
            if fleet:
                folder.discard(folder.work)
        if result.errors:
            raise Failed("files", "something could not be copied, so nothing was published")
        result.take_failures(filling)
        result.take_excluded(options.exclude, filling)
        return filling.changed

    def _write_lists(self) -> None:
        """What the next runs, verifications and restores have to know of the stage."""
        folder, newest = self.folder, self.previous.path
        digests = folder.digests_of(newest) if newest else None
        target = folder.digests_of(folder.stage)
        directories = folder.directories_of(folder.stage)
        assert target  # begun with the stage
        assert directories
        try:
            make_list(target, digests, self.notes, self.pool, self.trees.stage, self.work)
        except DamagedList as error:
            self.result.warn(f"files that did not change have no digest any more: {error}")
            make_list(target, None, self.notes, self.pool, self.trees.stage, self.work)
        write_directories(directories, self.notes, self.work)

    def note(self) -> Note:
        """What the next runs have to know of this one."""
        before, result = self.previous.run or Note(0), self.result
        replaced = result.number_of_files_linked + result.number_of_changes
        was_spare = self.beginning.was_spare
        return Note(
            self.started,
            result.number_of_files,
            result.number_of_changes,
            differed=replaced if was_spare else before.differed,
            verified_to=before.verified_to,
            source=source_identity(self.trees.source),
            is_partial=result.outcome == PARTIAL,
            apart=before.apart and before.apart + (not was_spare),  # the next is mostly as far
            differed_over=before.apart if was_spare else before.differed_over,
            excludes="\n".join(self.options.exclude),
            excludes_caches=self.options.exclude_caches,
        )

    def hold_before_upheaval(self, note: Note, changed: list[str]) -> Note:
        """Keep the snapshot before most of the files were changed or removed, as by malware or by
        mistake, until somebody releases it. Of several such runs in a row, that before the first.
        """
        (newest, before), result = self.previous, self.result
        gone = result.number_of_files_changed + result.number_of_files_removed
        if before and note.has_excludes_of(before):  # nobody asked for fewer files
            gone += result.number_of_files_newly_excluded
        percent = self.options.hold_on_change_percent
        if not newest or not before or not is_upheaval(gone, before, percent):
            return note
        if not before.is_upheaval:
            result.held = name_of_hold(newest, note.started)
            result.warn(
                f"{gone} of {before.files} files were changed or removed since the snapshot "
                f"before: that is held as {result.held} until it is released"
            )
            result.mass_change = [result.warnings[-1], *map(shown_path, changed[:EXAMPLES])]
            hold_previous(self.folder, newest, result.held, result.mass_change)
        return replace(note, is_upheaval=True)

    def publish(self, note: Note, changed: list[str]) -> None:
        folder, stop = self.folder, self.stop
        self.result.begin("publish")
        sync = ["sync", "--file-system", str(folder.path)]
        if stop.run(sync, self._tick):
            if stop.received:
                raise Stopped(GOES_ON)
            raise Failed("system", f"{str(folder.path)!r} could not be synced to storage")
        self.result.snapshot = str(folder.publish(note, time.time(), changed))
        if folder.names.has(folder.suspects):  # they have been copied anew
            folder.discard(folder.suspects)
        log.info("published %s", self.result.snapshot)
        if folder.names.has(folder.parts):
            self.parts.tidy()

    def read_back(self, note: Note) -> bool:
        """Read back a share of the snapshot, which is published by now: being stopped is a warning.

        What is not as it should be is copied anew by the next run. Returns whether there is
        nothing.
        """
        folder, result, percent = self.folder, self.result, self.options.verify_percent
        result.begin("read back")
        window = Window(note.verified_to, percent)
        expected = note.files * percent // 100

        def on_tick(figures: Figures) -> None:
            result.progress.update(figures.number_of_files_read_back, expected)

        try:
            since = note.started - self.trees.margin
            found = read_back(window, since, self.pool, on_tick)
            suspects = b"".join(os.fsencode(path) + b"\0" for path in found.mismatched)
            write_atomically(folder.suspects, suspects)
            folder.write_note(folder.snapshot(0), replace(note, verified_to=window.end))
        except (OSError, EngineError) as error:
            reason = "stopped" if isinstance(error, Stopped) else str(error)
            result.warn(f"reading back was not finished, and begins again next time: {reason}")
            return True
        finally:
            folder.names.look_again()
        result.add_all(found.figures)
        result.errors += found.errors.lines()
        return not found.errors

    def expire(self) -> None:
        """The new snapshot is safe by now: what goes wrong here is a warning, and is tried again.

        Removing can take hours, so a signal ends it; what is left is hidden.
        """
        folder, tools, result, options = self.folder, self.tools, self.result, self.options
        result.progress.begin("catalog")
        write_newest(folder, self.before, self.notes, self.trees.stage, tools, result)
        result.begin("expire")
        try:
            fates = retain(folder, options.policy, options.spare, self.readers)
            result.take_fates(fates)
            result.snapshots = told(folder, fates)
            folder.forget(self.readers)
            complete(folder, tools, {fate.becomes: fate.why for fate in fates}, result)
            if options.catalogs:
                export(folder, options.catalogs, result)
            leftovers = [path.name for path in folder.leftovers(self.readers)]
            errors = remove_trees(tools.pool, tools.top, leftovers, self._tick)
        except Stopped:
            errors = ["stopped"]
        except (OSError, EngineError) as error:
            errors = [str(error)]
        if errors:
            result.warn(f"expired snapshots are left for the next run: {errors[0]}")

    def test_restores(self) -> None:
        """Restore some files of the snapshots to this machine's disk."""
        options, result = self.options, self.result
        result.begin("restore test")
        write_result_so_far(options.result, result, "the restore test")

        def saved(member: Member) -> Root:
            return self.roots.inside(self.folder.path / member.name)

        def on_tick(found: Figures) -> None:
            files = found.number_of_files_test_restored + found.number_of_files_test_read
            result.progress.update(files, bytes=found.test_restored_file_size)

        work = self.work / "trial"
        with failing("the restore test", result):
            work.mkdir()
            root = self.walls.around(self.on_disk, Root(self.disk, self.disk))
            tools = self.tools._replace(work=work)
            trial = Trial(tools, saved, self.on_disk, root, options.jobs, on_tick)
            take_turns(self.folder, options.restore_test_percent, trial, tools, result)
        if (work / RSYNC_LOG).exists():
            (work / RSYNC_LOG).replace(self.work / "restore-test.log")

    def _tick(self) -> None:
        self.result.progress.update(0)


class Previous(NamedTuple):
    """The newest snapshot when a run begins, and the run that made it; None if there is none, and
    no run for version 1.5."""

    path: Path | None
    run: Note | None

    @classmethod
    def of(cls, folder: SnapshotFolder, result: BackupResult) -> Previous:
        """When nothing that was asked for removes it any more."""
        newest = folder.newest()
        if newest is None:
            return cls(None, None)
        for problem in folder.distrust(newest):
            result.warn(problem)
        return cls(newest, folder.note_of(newest))


def descriptor(directory: Path, stack: contextlib.ExitStack, flags: int = os.O_RDONLY) -> int:
    number = os.open(directory, flags | os.O_DIRECTORY)
    stack.callback(os.close, number)
    return number


def changed_since(last: int, now: int, margin: int) -> int:
    """A clock that was set back since the last run proves nothing of any file."""
    return last - margin if last <= now else 0


def warn_of_restores(before: dict[str, bool], after: dict[str, bool], result: BackupResult) -> None:
    """A restore that changed the source meanwhile may be half in the snapshot."""
    for name, is_at_work in sorted({**before, **after}.items()):
        if is_at_work or before.get(name, True):
            result.warn(
                f"the source was being restored meanwhile, or a restore was killed: {name}; the "
                "snapshot may hold a part of what it changed"
            )


if __name__ == "__main__":
    sys.exit(execute(parse, run, BackupResult("published")))
