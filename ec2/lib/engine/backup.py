"""One backup run: a new snapshot of a directory beside the earlier ones."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from engine.command.execution import execute, keep_log
from engine.command.files import is_empty, nul_separated, write_atomically
from engine.command.outcome import EngineError, Failed, Stopped
from engine.command.process import StopSignals
from engine.command.text import shown_path
from engine.copying.digests import DamagedList, Notes, make_list
from engine.copying.parts import LARGE, Parts
from engine.copying.rsync import Copying
from engine.history.upkeep import Before, Tools, complete, export, write_newest
from engine.snapshots.about import Run, source_identity
from engine.snapshots.folder import Beginning, SnapshotFolder
from engine.snapshots.holds import hold_previous, is_upheaval, obey_all
from engine.snapshots.keeping import retain, told
from engine.snapshots.readers import Readers
from engine.snapshots.removal import remove_trees
from engine.stage.filling import CHANGES_FILE, RSYNC_OPTIONS, Filling
from engine.stage.large import LargeFiles
from engine.stage.memory import known, write_directories
from engine.stage.reading_back import Window, verify
from engine.stage.report import Context, Trees
from engine.stage.request import Options, check, check_something_is_left, parse
from engine.stage.result import PARTIAL, BackupResult
from engine.target.safety import restores_in
from engine.tree.descent import is_inner_path
from engine.tree.pool import PROCESSES, STOPPED, Pool
from engine.tree.walls import Root, Walls, opened_path

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
    if options.log_dir:
        options.log_dir.mkdir(parents=True, exist_ok=True)
    folder = SnapshotFolder(options.backup / options.folder, options.interval)
    folder.lock(options.lock_wait, stop)
    for problem in folder.recover():
        result.warn(problem)
    check_source_not_lost(options, folder)
    check_something_is_left(options)
    if options.requests:
        obey_all(options.requests, folder, result)
    started = folder.now()
    with contextlib.ExitStack() as stack:
        readers = stack.enter_context(Readers(folder.readers))
        beginning = folder.begin_stage(started, readers)
        walls = stack.enter_context(Walls(work.parent))
        roots = open_roots(options, walls)
        if walls.warning:
            result.warn(walls.warning)
        # What is opened before the workers are forked, they have too.
        top = descriptor(roots.inside(folder.path).path, stack)
        previous = Previous.of(folder)
        trees = open_trees(options, folder, previous, roots, started, beginning, stack)
        notes = Notes(folder.notes)
        directories = folder.directories_of(previous.path) if previous.path else None
        what_is_known = known(directories, notes, bool(beginning.unfinished), work)
        context = Context(what_is_known, options.excludes)
        pool = stack.enter_context(Pool(PROCESSES, stop, work, context))
        restores = restores_in(trees.source)
        before = Before.of(folder, previous.path, previous.run)
        parts = Parts(roots.inside(folder.parts).path, started, trees.margin)
        large = LargeFiles(trees, parts, stop, LARGE)
        changed = make_snapshot(
            options, folder, previous, roots, trees, notes, large, pool, work, stop, result
        )
        warn_of_restores(restores, restores_in(trees.source), result)
        note = note_of(options, started, beginning, previous, trees, result)
        note = hold_before_upheaval(options, folder, previous, note, changed, result)
        publish(folder, note, changed, stop, result)
        parts.tidy()
        if options.log_dir:
            keep_log(work / CHANGES_FILE, options.log_dir, result)
        are_sound = not options.verify_percent or verify_share(
            options, folder, trees, note, pool, result
        )
        tools = Tools(pool, top, work, stop)
        write_newest(folder, before, notes, trees.stage, tools, result)
        expire(options, folder, readers, tools, result)
        if not are_sound:
            raise Failed(
                "verification",
                f"{result.snapshot!r} is published, but files in it cannot be read or are not what "
                "the source has",
            )


class Previous(NamedTuple):
    """The newest snapshot when a run begins, and the run that made it; None if there is none, and
    no run for version 1.5."""

    path: Path | None
    run: Run | None

    @classmethod
    def of(cls, folder: SnapshotFolder) -> Previous:
        newest = folder.newest()
        return cls(newest, folder.run_of(newest) if newest else None)


class Roots(NamedTuple):
    """The walled tops of both file systems."""

    source: Root
    backup: Root

    def inside(self, path: Path) -> Root:
        """A directory of the backup."""
        place = self.backup.path / path.relative_to(self.backup.name)
        return replace(self.backup, path=place, name=path)


def open_roots(options: Options, walls: Walls) -> Roots:
    with opened_path(options.source) as source, opened_path(options.backup) as backup:
        return Roots(
            walls.around(source, Root(options.source, options.source), read_only=True),
            walls.around(backup, Root(options.backup, options.backup)),
        )


def descriptor(directory: Path, stack: contextlib.ExitStack) -> int:
    number = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    stack.callback(os.close, number)
    return number


def open_trees(
    options: Options,
    folder: SnapshotFolder,
    previous: Previous,
    roots: Roots,
    started: int,
    beginning: Beginning,
    stack: contextlib.ExitStack,
) -> Trees:
    margin = options.clock_skew * 10**9
    newest, run = previous
    return Trees(
        source=descriptor(roots.source.path, stack),
        previous=descriptor(roots.inside(newest).path, stack) if newest else None,
        stage=descriptor(roots.inside(folder.stage).path, stack),
        trash=descriptor(roots.inside(folder.make_trash()).path, stack),
        changed_since=changed_since(run.started, started, margin) if run else 0,
        started=started,
        resumed=beginning.unfinished.started if beginning.unfinished else None,
        margin=margin,
    )


def changed_since(last: int, now: int, margin: int) -> int:
    """A clock that was set back since the last run proves nothing of any file."""
    return last - margin if last <= now else 0


def make_snapshot(
    options: Options,
    folder: SnapshotFolder,
    previous: Previous,
    roots: Roots,
    trees: Trees,
    notes: Notes,
    large: LargeFiles,
    pool: Pool,
    work: Path,
    stop: StopSignals,
    result: BackupResult,
) -> list[str]:
    """Fill the stage with a complete copy of the source, or raise with nothing published.

    Returns some of the paths that changed.
    """
    newest, run = previous
    stage = roots.inside(folder.stage)
    copying = Copying(roots.source, stage, RSYNC_OPTIONS, work, options.jobs, notes, True)
    files = run.files or None if run else None
    sharing = folder.sharing_of(folder.stage)
    assert sharing  # begun with the stage
    filling = Filling(
        trees,
        pool,
        copying,
        large,
        notes,
        work,
        options.jobs,
        result.progress,
        files,
        sharing,
        options.max_failed_percent,
    )
    try:
        result.begin("copy")
        filling.copy_files(stop, suspects_in(folder.suspects))
        if not filling.errors and not copying.tally.errors:
            result.begin("directories")
            filling.finish_directories()
            digests = folder.digests_of(newest) if newest else None
            target = folder.digests_of(folder.stage)
            assert target  # begun with the stage
            try:
                make_list(target, digests, notes, pool, trees.stage, work)
            except DamagedList as error:
                result.warn(f"files that did not change have no digest any more: {error}")
                make_list(target, None, notes, pool, trees.stage, work)
            directories = folder.directories_of(folder.stage)
            assert directories
            write_directories(directories, notes, work)
    finally:
        result.add(filling, copying.tally)
    if result.errors:
        raise Failed("files", "some files could not be copied, so nothing was published")
    result.take_failures(filling)
    result.take_excluded(options.exclude, filling)
    return filling.changed


def warn_of_restores(before: dict[str, bool], after: dict[str, bool], result: BackupResult) -> None:
    """A restore that changed the source meanwhile may be half in the snapshot."""
    for name, is_at_work in sorted({**before, **after}.items()):
        if is_at_work or before.get(name, True):
            result.warn(
                f"the source was being restored meanwhile, or a restore was killed: {name}; the "
                "snapshot may hold a part of what it changed"
            )


def suspects_in(path: Path) -> list[str]:
    """What is no path was not written by a run."""
    if not path.exists():
        return []
    return [os.fsdecode(name) for name in nul_separated(path) if is_inner_path(name)]


def note_of(
    options: Options,
    started: int,
    beginning: Beginning,
    previous: Previous,
    trees: Trees,
    result: BackupResult,
) -> Run:
    before = previous.run or Run(0)
    replaced = result.number_of_files_linked + result.number_of_changes
    return Run(
        started,
        result.number_of_files,
        result.number_of_changes,
        differed=replaced if beginning.was_spare else before.differed,
        verified_to=before.verified_to,
        source=source_identity(trees.source),
        is_partial=result.outcome == PARTIAL,
        apart=before.apart + 1 if before.apart else 0,
        differed_over=before.apart if beginning.was_spare else before.differed_over,
        excludes="\n".join(options.exclude),
        excludes_caches=options.exclude_caches,
    )


def hold_before_upheaval(
    options: Options,
    folder: SnapshotFolder,
    previous: Previous,
    note: Run,
    changed: list[str],
    result: BackupResult,
) -> Run:
    """Keep the snapshot before most of the files were changed or removed, as by malware or by
    mistake, until somebody releases it. Of several such runs in a row, that before the first."""
    newest, before = previous
    gone = result.number_of_files_changed + result.number_of_files_removed
    if before and note.has_excludes_of(before):  # nobody asked for fewer files
        gone += result.number_of_files_newly_excluded
    if not newest or not before or not is_upheaval(gone, before, options.hold_on_change_percent):
        return note
    if not before.is_upheaval:
        result.held = hold_previous(folder, newest, note.started)
        result.warn(
            f"{gone} of {before.files} files were changed or removed since the snapshot before: "
            f"that is held as {result.held} until it is released"
        )
        result.mass_change = [result.warnings[-1], *map(shown_path, changed[:EXAMPLES])]
    return replace(note, is_upheaval=True)


def publish(
    folder: SnapshotFolder, run: Run, changed: list[str], stop: StopSignals, result: BackupResult
) -> None:
    result.begin("publish")
    if stop.run(["sync", "--file-system", str(folder.path)], Path(os.devnull), signal.SIGTERM):
        if stop.received:
            raise Stopped(STOPPED)
        raise Failed("system", f"{str(folder.path)!r} could not be synced to storage")
    result.snapshot = str(folder.publish(run, time.time(), changed))
    folder.suspects.unlink(missing_ok=True)  # they have been copied anew
    log.info("published %s", result.snapshot)


def verify_share(
    options: Options,
    folder: SnapshotFolder,
    trees: Trees,
    note: Run,
    pool: Pool,
    result: BackupResult,
) -> bool:
    """Read back a share of the snapshot, which is published by now: being stopped is a warning.

    What is not as it should be is copied anew by the next run. Returns whether there is nothing.
    """
    result.begin("verify")
    window = Window(note.verified_to, options.verify_percent)
    expected = note.files * options.verify_percent // 100

    def on_tick(counts: Counter[str]) -> None:
        result.progress.update(sum(counts.values()), expected)

    try:
        found = verify(trees, window, note.started - trees.margin, pool, on_tick)
        suspects = b"".join(os.fsencode(path) + b"\0" for path in found.mismatched)
        write_atomically(folder.suspects, suspects)
        folder.note_run(folder.snapshot(0), replace(note, verified_to=window.end))
    except (OSError, EngineError) as error:
        reason = "stopped" if isinstance(error, Stopped) else str(error)
        result.warn(f"the verification was not finished, and begins again next time: {reason}")
        return True
    result.number_of_files_verified = found.counts["verified"]
    result.number_of_files_changed_since = found.counts["changed since"]
    result.number_of_files_mismatched = found.counts["mismatched"]
    result.errors += found.errors.lines()
    return not found.errors


def expire(
    options: Options,
    folder: SnapshotFolder,
    readers: Readers,
    tools: Tools,
    result: BackupResult,
) -> None:
    """The new snapshot is safe by now: what goes wrong here is a warning, and is tried again.

    Removing can take hours, so a signal ends it; what is left is hidden.
    """
    result.begin("expire")
    try:
        fates = retain(folder, options.policy, options.spare, readers)
        result.take_fates(fates)
        result.snapshots = told(folder, fates)
        folder.forget(readers)
        complete(folder, tools, {fate.becomes: fate.why for fate in fates}, result)
        if options.catalogs:
            export(folder, options.catalogs, result)
        leftovers = [path.name for path in folder.leftovers(readers)]
        errors = remove_trees(tools.pool, tools.top, leftovers)
    except Stopped:
        errors = ["stopped"]
    except (OSError, EngineError) as error:
        errors = [str(error)]
    if errors:
        result.warn(f"expired snapshots are left for the next run: {errors[0]}")


if __name__ == "__main__":
    sys.exit(execute(parse, run, BackupResult("published")))
