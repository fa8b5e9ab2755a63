"""One restore run: a snapshot, or one subdirectory of it, back into a file system.

Everything that it replaces or removes is moved to a safety directory first, by renaming.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from engine.command.execution import Result, execute
from engine.command.outcome import Failed, Stopped
from engine.command.process import StopSignals
from engine.command.progress import Progress
from engine.command.text import shown
from engine.comparison import Kind, compare
from engine.copying.rsync import Copying
from engine.plan import Count, Place, Plan, is_reserved
from engine.restore_request import Options, check, parse
from engine.safety import SafetyDirectory, target_lock
from engine.sync import copy_directories
from engine.tree.walls import Root

log = logging.getLogger(__name__)


@dataclass
class RestoreResult(Result):
    id: str = ""
    mode: str = ""
    snapshot: str = ""
    target: str = ""
    number_of_files_created: int = 0
    number_of_files_replaced: int = 0
    number_of_files_removed: int = 0
    number_of_files_unchanged: int = 0
    size_created: int = 0
    size_replaced: int = 0
    size_removed: int = 0
    safety_directory: str = ""
    undo_command: str = ""
    delete_command: str = ""
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, plan: Plan) -> None:
        counts = {"create": plan.created, "replace": plan.replaced, "remove": plan.removed}
        self.examples = {name: count.examples for name, count in counts.items()}
        self.number_of_files_created, self.size_created = plan.created.files, plan.created.size
        self.number_of_files_replaced, self.size_replaced = plan.replaced.files, plan.replaced.size
        self.number_of_files_removed, self.size_removed = plan.removed.files, plan.removed.size
        self.number_of_files_unchanged = plan.unchanged


def restore(
    options: Options, place: Place, work: Path, stop: StopSignals, result: RestoreResult
) -> None:
    plan = Plan(place, options.mode, work)
    if not options.dry_run:
        make_root(place.root, place.snapshot)
    result.begin("plan")
    plan.write(stop)
    result.add(plan)
    if options.dry_run:
        result.outcome = "planned"
        return
    check_space(place.root, plan.bytes_needed)
    if not plan.changes_something:
        log.info("the target is as the snapshot already; nothing to do")
        return
    safety = SafetyDirectory(place.root, options.id)
    with untouched_way(place):
        safety.create(plan.journal)
        describe_way_back(options, place, safety, result)
        try:
            result.begin("set aside")
            for path in safety.move_aside(stop):
                result.warn(f"was gone before it could be set aside: {shown(os.fsencode(path))}")
            copy(options, place, plan, safety, work, stop, result)
        finally:
            safety.tidy()
            result.safety_directory = str(safety.path) if safety.path.exists() else ""
    check_restored(options, place, result)


def make_root(root: Path, snapshot: Path) -> None:
    """The prefix may not exist yet: it gets the attributes of the snapshot's top directory."""
    if not root.exists():
        root.mkdir(parents=True)
        copy_attributes(snapshot, root)


def copy_attributes(saved: Path, live: Path) -> None:
    info = saved.stat()
    os.chown(live, info.st_uid, info.st_gid)
    shutil.copystat(saved, live)


@contextlib.contextmanager
def untouched_way(place: Place) -> Iterator[None]:
    """Directories above the restored one keep their times, or look as they do in the snapshot if
    they had to be made."""
    parts = Path(place.inside).parts
    ways = [Path(*parts[:depth]) for depth in range(len(parts))]
    before = [(way, times_of(place.root / way)) for way in ways]
    try:
        yield
    finally:
        for way, times in reversed(before):
            path = place.root / way
            if times:
                os.utime(path, ns=times)
            elif path.exists():
                copy_attributes(place.snapshot / way, path)


def times_of(path: Path) -> tuple[int, int] | None:
    if not path.exists():
        return None
    info = path.stat()
    return info.st_atime_ns, info.st_mtime_ns


def check_space(root: Path, needed: int) -> None:
    """EFS has no limit and says so; other file systems have one."""
    info = os.statvfs(root)
    free = info.f_bavail * info.f_frsize
    if needed > free:
        raise Failed(
            "space", f"the restore needs {needed} bytes, but {str(root)!r} has only {free} free"
        )


def describe_way_back(
    options: Options, place: Place, safety: SafetyDirectory, result: RestoreResult
) -> None:
    if options.mode == "NewDirectory":
        result.delete_command = f"sudo rm -rf {shlex.quote(str(place.root))}"
        return
    result.undo_command = f"sudo python3 {shlex.quote(str(safety.undo / 'undo'))}"
    both = f"{shlex.quote(str(safety.path))} {shlex.quote(str(safety.undo))}"
    result.delete_command = f"sudo rm -rf {both}"


def copy(
    options: Options,
    place: Place,
    plan: Plan,
    safety: SafetyDirectory,
    work: Path,
    stop: StopSignals,
    result: RestoreResult,
) -> None:
    """Copy what the plan lists; then the directories, with their attributes.

    rsync never overwrites here: what should be replaced has been moved aside, so whatever is in the
    way has been written by someone else in the meantime, and stays.
    """
    result.begin("copy")
    place.live.mkdir(parents=True, exist_ok=True)
    options_of_rsync = ["--sparse", "--ignore-existing", f"--temp-dir={safety.scratch}"]
    copying = Copying(
        Root(place.saved, place.saved),
        Root(place.live, place.live),
        options_of_rsync,
        work,
        options.jobs,
    )
    for path in sorted(plan.lists.iterdir()):
        copying.add(path)
    copying.finish(stop, 1, lambda: show_progress(copying, result.progress))
    if stop.received:
        raise Stopped("stopped; start the restore again to finish it, or undo it")
    result.errors += copying.tally.errors
    safety.tidy()  # before the directories get their times
    result.begin("directories")
    warnings, errors = copy_directories(place.saved, place.live, work, stop)
    result.warnings += warnings
    result.errors += errors
    if result.errors:
        raise Failed("files", "some files could not be restored; start again, or undo it")


def show_progress(copying: Copying, progress: Progress) -> None:
    progress.update(copying.done, copying.submitted, "parts")


def check_restored(options: Options, place: Place, result: RestoreResult) -> None:
    """Compare again. What is there and differs was changed by someone else during the restore; what
    is missing was not restored."""
    result.begin("check")
    missing, differing = Count(), Count()
    for change in compare(os.fsencode(place.saved), os.fsencode(place.live), is_reserved):
        if change.kind is Kind.CREATE:
            missing.add(change.path, 1, 0)
        elif change.kind is Kind.REPLACE or (
            change.kind is Kind.REMOVE and options.mode != "Merge"
        ):
            differing.add(change.path, 1, 0)
    for path in differing.examples:
        result.warn(f"differs from the snapshot, as it was changed during the restore: {path}")
    if differing.files > len(differing.examples):
        result.warn(f"… and {differing.files - len(differing.examples)} more that differ")
    if missing.files:
        result.errors += [f"not restored: {path}" for path in missing.examples]
        raise Failed("files", f"{missing.files} files were not restored; start again, or undo it")


def run(options: Options, work: Path, stop: StopSignals, result: RestoreResult) -> None:
    result.id, result.mode = options.id, options.mode
    place = check(options)
    result.snapshot, result.target = str(place.saved), str(place.live)
    if options.log_dir:
        options.log_dir.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        if not options.dry_run:
            stack.enter_context(target_lock(options.target))
        restore(options, place, work, stop, result)
    log.info("%s %s", result.outcome, result.target)


if __name__ == "__main__":
    sys.exit(execute(parse, run, RestoreResult("restored")))
