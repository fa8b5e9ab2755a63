"""One backup run: a new snapshot of a directory beside the earlier ones."""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from engine import arguments
from engine.outcome import EngineError, Failed, Refused
from engine.process import StopSignals
from engine.snapshots import SnapshotFolder, is_empty
from engine.sync import TreeCopy
from engine.tally import Tally, tally_jobs, vanished_warnings

log = logging.getLogger(__name__)

TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"

DESCRIPTION = """\
Make the snapshot BACKUP/LABEL/INTERVAL.0 of SOURCE, renumber the older ones, and keep N of them.
Files that did not change are hard links to the snapshot before. A snapshot never changes again.
"""
EXIT_STATUS = """\
Exit status: 0 published (warnings are in the result), 1 failed, 2 refused with nothing touched,
3 stopped before completion. SIGTERM or SIGINT lets running jobs finish; a second one ends them.
"""


@dataclass
class Options:
    source: Path
    backup: Path
    folder: str
    interval: str
    retain: int
    jobs: int
    allow_empty: bool
    log_dir: Path | None
    result: Path | None


@dataclass
class Result:
    """What a run did, as written to ``--result``. Times are UTC, sizes are bytes."""

    outcome: str = "published"
    exit_code: int = 0
    cause: str = ""
    message: str = ""
    snapshot: str = ""
    number_of_files: int = 0
    number_of_files_transferred: int = 0
    total_file_size: int = 0
    total_transferred_file_size: int = 0
    number_of_files_vanished: int = 0
    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    expired: list[str] = field(default_factory=list)
    phases: dict[str, dict[str, str]] = field(default_factory=dict)

    def warn(self, message: str) -> None:
        log.warning("%s", message)
        self.warnings.append(message)

    def begin(self, phase: str) -> None:
        self.end_phase()
        self.phases[phase] = {"start": utc_now()}

    def end_phase(self) -> None:
        for times in self.phases.values():
            times.setdefault("stop", utc_now())

    def add(self, tally: Tally) -> None:
        self.number_of_files = tally.number_of_files
        self.number_of_files_transferred = tally.number_of_files_transferred
        self.total_file_size = tally.total_file_size
        self.total_transferred_file_size = tally.total_transferred_file_size
        self.number_of_files_vanished = len(tally.vanished)
        self.warnings += vanished_warnings(tally.vanished)
        self.errors += tally.errors


def utc_now() -> str:
    return time.strftime(TIME_FORMAT, time.gmtime())


def parse(words: list[str]) -> Options:
    parser = arguments.Parser(
        prog="efs-backup-fpsync.sh",
        description=DESCRIPTION,
        epilog=EXIT_STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    jobs = 4 * (os.cpu_count() or 1)
    add = parser.add_argument
    add("--source", type=Path, required=True, metavar="DIR", help="what to back up")
    add("--backup", type=Path, required=True, metavar="DIR", help="where the snapshots live")
    add("--folder", type=arguments.folder_label, required=True, metavar="LABEL")
    add("--interval", type=arguments.interval, required=True, metavar="daily|weekly|monthly")
    add("--retain", type=arguments.count, required=True, metavar="N", help="snapshots to keep")
    add("--jobs", type=arguments.count, default=jobs, metavar="N", help=f"rsync jobs ({jobs})")
    add("--allow-empty", action="store_true", help="accept that the source is empty now")
    add("--log-dir", type=Path, metavar="DIR", help="keep the logs of fpsync and rsync there")
    add("--result", type=Path, metavar="FILE", help="write what was done as JSON")
    return Options(**vars(parser.parse_args(words)))


def check(options: Options) -> Options:
    options.source = arguments.readable_directory("--source", options.source)
    options.backup = arguments.writable_directory("--backup", options.backup)
    arguments.check_apart(options.source, options.backup)
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
    options: Options, folder: SnapshotFolder, work: Path, stop: StopSignals, result: Result
) -> None:
    """Fill the stage with a complete copy of the source, or raise with nothing published."""
    folder.finish_publishing()
    check_source_not_lost(options, folder)
    link_from = folder.begin_stage()
    copy = TreeCopy(options.source, folder.stage, work, stop)
    try:
        result.begin("copy")
        copy.copy_files(options.jobs, link_from)
        result.begin("directories")
        warnings, errors = copy.copy_directories()
        result.warnings += warnings
        result.errors += errors
    finally:
        result.add(tally_jobs(copy.jobs, options.source))
    if result.errors:
        raise Failed("files", "some files could not be copied, so nothing was published")


def publish(folder: SnapshotFolder, stop: StopSignals, result: Result) -> None:
    result.begin("publish")
    if stop.run(["sync", "--file-system", str(folder.path)], Path(os.devnull), signal.SIGTERM):
        raise Failed("system", f"{str(folder.path)!r} could not be synced to storage")
    result.snapshot = str(folder.publish())
    log.info("published %s", result.snapshot)


def expire(options: Options, folder: SnapshotFolder, stop: StopSignals, result: Result) -> None:
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


def run(options: Options, work: Path, stop: StopSignals, result: Result) -> None:
    check(options)
    if options.log_dir:
        options.log_dir.mkdir(parents=True, exist_ok=True)
    folder = SnapshotFolder(options.backup / options.folder, options.interval)
    folder.lock()
    make_snapshot(options, folder, work, stop, result)
    publish(folder, stop, result)
    expire(options, folder, stop, result)


def conclude(error: EngineError, result: Result) -> None:
    log.error("%s: %s", error.outcome, error)
    result.outcome, result.exit_code, result.message = error.outcome, error.exit_code, str(error)
    result.cause = error.cause if isinstance(error, Failed) else ""


def write_result(path: Path, result: Result) -> None:
    """A reader sees the old file or the whole new one."""
    text = json.dumps(asdict(result), indent=2, ensure_ascii=False)
    new = path.with_name(path.name + ".new")
    new.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
    new.replace(path)


def keep_logs(work: Path, log_dir: Path) -> None:
    for name in ("fpsync.log", "directories.log"):
        if (work / name).exists():
            shutil.copyfile(work / name, log_dir / name)
    with (log_dir / "rsync.log").open("wb") as output:
        for record in sorted((work / "jobs").glob("*.exit"), key=lambda path: int(path.stem)):
            output.write(f"== rsync job {record.stem}, exit code ".encode() + record.read_bytes())
            output.write(record.with_suffix(".stats").read_bytes().lstrip())
            output.write(record.with_suffix(".stderr").read_bytes())


def main(words: list[str]) -> int:
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(format="%(asctime)s  %(message)s", datefmt=TIME_FORMAT, level="INFO")
    try:
        options = parse(words)
    except Refused as error:
        log.error("refused: %s", error)
        return error.exit_code
    stop = StopSignals()
    stop.install()
    result = Result()
    with tempfile.TemporaryDirectory(prefix="efs-backup.", dir=scratch_directory()) as scratch:
        work = Path(scratch)
        try:
            run(options, work, stop, result)
        except EngineError as error:
            conclude(error, result)
        except OSError as error:
            conclude(Failed("system", str(error)), result)
        result.end_phase()
        if options.log_dir and options.log_dir.is_dir():
            keep_logs(work, options.log_dir)
    if options.result:
        write_result(options.result, result)
    return result.exit_code


def scratch_directory() -> str:
    """Where the lists of names go: they are as many as the files, too many for a tmpfs."""
    return os.environ.get("TMPDIR", "/var/tmp")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
