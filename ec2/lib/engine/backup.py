"""One backup run: a new snapshot of a directory beside the earlier ones."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from engine import arguments
from engine.command import CommonOptions, Result, execute
from engine.files import is_empty
from engine.outcome import Failed
from engine.process import StopSignals
from engine.snapshots import SnapshotFolder
from engine.sync import TreeCopy
from engine.tally import Tally, tally_jobs, vanished_warnings

log = logging.getLogger(__name__)

DESCRIPTION = """\
Make the snapshot BACKUP/LABEL/INTERVAL.0 of SOURCE, renumber the older ones, and keep N of them.
Files that did not change are hard links to the snapshot before. A snapshot never changes again.
"""
EXIT_STATUS = """\
Exit status: 0 published (warnings are in the result), 1 failed, 2 refused with nothing touched,
3 stopped before completion. SIGTERM or SIGINT lets running jobs finish; a second one ends them.
"""


@dataclass
class Options(CommonOptions):
    source: Path
    retain: int
    allow_empty: bool


@dataclass
class BackupResult(Result):
    snapshot: str = ""
    number_of_files: int = 0
    number_of_files_transferred: int = 0
    total_file_size: int = 0
    total_transferred_file_size: int = 0
    number_of_files_vanished: int = 0
    expired: list[str] = field(default_factory=list)

    def add(self, tally: Tally) -> None:
        self.number_of_files = tally.number_of_files
        self.number_of_files_transferred = tally.number_of_files_transferred
        self.total_file_size = tally.total_file_size
        self.total_transferred_file_size = tally.total_transferred_file_size
        self.number_of_files_vanished = len(tally.vanished)
        self.warnings += vanished_warnings(tally.vanished)
        self.errors += tally.errors


def parse(words: list[str]) -> Options:
    parser = arguments.Parser("efs-backup-fpsync.sh", DESCRIPTION, EXIT_STATUS)
    add = parser.add_argument
    add("--source", type=Path, required=True, metavar="DIR", help="what to back up")
    add("--retain", type=arguments.count, required=True, metavar="N", help="snapshots to keep")
    add("--allow-empty", action="store_true", help="accept that the source is empty now")
    return Options(**vars(parser.parse_args(words)))


def check(options: Options) -> Options:
    options.source = arguments.readable_directory("--source", options.source)
    options.backup = arguments.writable_directory("--backup", options.backup)
    arguments.check_apart("source", options.source, options.backup)
    return options


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


def make_snapshot(
    options: Options, folder: SnapshotFolder, work: Path, stop: StopSignals, result: BackupResult
) -> None:
    """Fill the stage with a complete copy of the source, or raise with nothing published."""
    folder.finish_publishing()
    check_source_not_lost(options, folder)
    link_from = folder.begin_stage()
    copy = TreeCopy(options.source, folder.stage, work, stop, result.progress)
    try:
        result.begin("copy")
        copy.copy_files(options.jobs, link_from)
        for line in copy.left_out():
            result.warn(line)
        result.begin("directories")
        warnings, errors = copy.copy_directories()
        result.warnings += warnings
        result.errors += errors
    finally:
        result.add(tally_jobs(copy.jobs, options.source))
    if result.errors:
        raise Failed("files", "some files could not be copied, so nothing was published")


def publish(folder: SnapshotFolder, stop: StopSignals, result: BackupResult) -> None:
    result.begin("publish")
    if stop.run(["sync", "--file-system", str(folder.path)], Path(os.devnull), signal.SIGTERM):
        raise Failed("system", f"{str(folder.path)!r} could not be synced to storage")
    result.snapshot = str(folder.publish(time.time()))
    log.info("published %s", result.snapshot)


def expire(
    options: Options, folder: SnapshotFolder, stop: StopSignals, result: BackupResult
) -> None:
    """The new snapshot is safe by now: what goes wrong here is a warning, and is tried again.

    Removing can take hours, so a signal ends it at once; what is left is hidden.
    """
    result.begin("expire")
    try:
        result.expired = folder.expire(options.retain)
        for path in folder.leftovers():
            command = ["rm", "-rf", "--one-file-system", "--", str(path)]
            if stop.received or stop.run(command, Path(os.devnull), signal.SIGTERM):
                raise OSError(f"{path.name} is not removed completely")
    except OSError as error:
        result.warn(f"expired snapshots are left for the next run: {error}")


def run(options: Options, work: Path, stop: StopSignals, result: BackupResult) -> None:
    check(options)
    if options.log_dir:
        options.log_dir.mkdir(parents=True, exist_ok=True)
    folder = SnapshotFolder(options.backup / options.folder, options.interval)
    folder.lock()
    make_snapshot(options, folder, work, stop, result)
    publish(folder, stop, result)
    expire(options, folder, stop, result)


if __name__ == "__main__":
    sys.exit(execute(parse, run, BackupResult("published")))
