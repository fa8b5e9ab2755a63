"""Re-checks a snapshot against the digests that were noted when its files were copied."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

from common.words import plural

from engine.command import arguments
from engine.command.execution import CommonOptions, Result, execute
from engine.command.files import nul_separated, sort_records
from engine.command.outcome import Failed, Refused, Stopped
from engine.command.process import StopSignals
from engine.command.progress import Progress
from engine.command.summary import Fact
from engine.command.text import Messages, shown_path, size
from engine.copying.digests import Digested, DigestFiles, Line, read_list
from engine.snapshots.choice import Snapshot, Wanted, add_snapshot_options, opened_snapshot
from engine.snapshots.folder import SnapshotFolder
from engine.tree.descent import TOP, chunks, join, opened
from engine.tree.pool import PROCESSES, Pool, Task, Worker

DESCRIPTION = """\
Read all regular files of the snapshot BACKUP/LABEL/INTERVAL.N, and compare their content with the
digests that were noted when they were copied. What has no content, as directories and symbolic
links, is not looked at, nor are owners, permissions and times. Nothing is changed.
"""
EXIT_STATUS = """\
Exit status: 0 everything is as it was copied, 1 it is not, or cannot be read, 2 refused, 3 stopped.
"""
NOT_LOOKED_AT = (
    "what has no content: directories, symbolic links, special files; owners, permissions, times"
)
FILES_PER_TASK = 20
FOUND_AT_ONCE = 1000  # of a directory that may have millions


@dataclass
class Options(CommonOptions):
    wanted: Wanted


@dataclass
class VerifyResult(Result):
    """not_listed: files without a digest. They were copied by version 1.5 and never since, or, if
    they are large, by several runs."""

    snapshot: str = ""
    snapshot_date: str = ""
    number_of_files_checked: int = 0
    size_checked: int = 0
    number_of_files_mismatched: int = 0
    number_of_files_missing: int = 0
    number_of_files_unreadable: int = 0
    number_of_files_not_listed: int = 0

    advice: ClassVar[dict[str, str]] = {
        "expired": "",
        "verification": "restore what is named above from another snapshot, or from the source if "
        "that still has it; see docs/verification.md",
    }

    def headline(self) -> str:
        name = self.snapshot.rpartition("/")[2]
        what = plural(self.number_of_files_checked, "regular file")
        return (
            f"{name}, made {self.snapshot_date}: {what} ({size(self.size_checked)}) checked in "
            f"{self.spent}, each is as it was when it was copied"
        )

    def facts(self) -> list[Fact]:
        if not self.snapshot_date:
            return []
        passed_over = [Fact("Not looked at", NOT_LOOKED_AT)]
        if not self.exit_code:
            return passed_over
        found = {
            "changed": self.number_of_files_mismatched,
            "missing": self.number_of_files_missing,
            "unreadable": self.number_of_files_unreadable,
        }
        counts = ", ".join(f"{number:,} {what}" for what, number in found.items())
        checked = plural(self.number_of_files_checked, "regular file")
        return [
            Fact("Checked", f"{checked} ({size(self.size_checked)}) in {self.spent}"),
            Fact("Found", counts),
            *passed_over,
        ]


def parse(words: list[str]) -> Options:
    parser = arguments.Parser("efs-verify.sh", DESCRIPTION, EXIT_STATUS, "daily")
    add_snapshot_options(parser)
    return Options(**vars(parser.parse_args(words)))


def run(options: Options, work: Path, stop: StopSignals, result: VerifyResult) -> None:
    backup = arguments.readable_directory("--backup", options.backup)
    options.make_log_dir()
    folder = SnapshotFolder(backup / options.folder, options.interval)
    try:
        verify(folder, options.wanted, work, stop, result)
    except Stopped:
        raise Stopped("stopped before all files were checked") from None


def verify(
    folder: SnapshotFolder, wanted: Wanted, work: Path, stop: StopSignals, result: VerifyResult
) -> Snapshot:
    """Returns it if it is as it was made. Raises the engine's errors."""
    with opened_snapshot(folder, wanted) as (snapshot, top, _):
        check_is_published(folder, top)
        result.snapshot, result.snapshot_date = str(snapshot.path), snapshot.date
        digests = folder.digests_of(Path(f"/proc/self/fd/{top}"))
        if digests is None or not digests.exists():
            raise Refused(
                f"{snapshot} has no list of digests: it was made by version 1.5, or nothing is "
                "known of it any more. The next backup makes one, of the files that it copies"
            )
        result.begin("re-check")
        try:
            with Pool(PROCESSES, stop, work) as pool:
                check_files(top, digests, pool, work, result)
            if result.errors:
                raise Failed("verification", f"{snapshot} is not as it was made")
        except Failed:  # also if the list, or a folder, went with the snapshot
            check_is_published(folder, top)
            raise
        return snapshot


def check_is_published(folder: SnapshotFolder, top: int) -> None:
    """What expired while it was read has other contents by now."""
    if not folder.publishes(top):
        raise Failed("expired", "the snapshot expired while it was checked; check a newer one")


def check_files(top: int, digests: Path, pool: Pool, work: Path, result: VerifyResult) -> None:
    """Compare all files below ``top`` with their digests; note the findings in ``result``."""
    errors = Messages()
    names, total = names_in(top, pool, work, result.progress)

    def on_result(found: list[Digested]) -> list[Task]:
        for file in found:
            result.number_of_files_checked += bool(file.digest)
            result.size_checked += file.size
            if file.is_missing:
                result.number_of_files_missing += 1
                errors.add([f"missing: {shown_path(file.path)}"])
            elif file.error:
                result.number_of_files_unreadable += 1
                errors.add([f"unreadable: {file.error}"])
            elif file.digest != file.expected:
                result.number_of_files_mismatched += 1
                errors.add([f"changed: {shown_path(file.path)}"])
        return []

    def on_tick() -> None:
        show(result.progress, result, total)

    def count(files: Iterable[Line]) -> Iterator[tuple[str, bytes]]:
        for path, digest in files:
            if digest is None:
                result.number_of_files_not_listed += 1
            else:
                yield os.fsdecode(path), digest

    try:
        files = count(joined(read_list(digests), nul_separated(names)))
        pool.run(
            (DigestFiles(top, part) for part in chunks(files, FILES_PER_TASK)), on_result, on_tick
        )
    finally:
        result.errors += errors.lines()
    if result.number_of_files_not_listed:
        unlisted = plural(result.number_of_files_not_listed, "file has", "files have")
        result.warn(f"{unlisted} no digest")


def show(progress: Progress, result: VerifyResult, total: int) -> None:
    progress.update(result.number_of_files_checked, total, bytes=result.size_checked)


def names_in(top: int, pool: Pool, work: Path, progress: Progress) -> tuple[Path, int]:
    """A file with the paths of all regular files below ``top``, sorted by their bytes, and how many
    there are."""
    path = work / "names"
    total = 0
    with path.open("wb") as file:

        def on_result(found: Found) -> list[Task]:
            nonlocal total
            if found.error:
                raise Failed(
                    "verification", f"the snapshot cannot be read as a whole: {found.error}"
                )
            file.write(b"".join(os.fsencode(name) + b"\0" for name in found.files))
            total += len(found.files)
            return found.tasks

        pool.run([FindFiles(top, TOP)], on_result, lambda: progress.update(total))
    sort_records(path)
    return path, total


class Found(NamedTuple):
    files: list[str]
    tasks: list[Task]
    error: str = ""


class FindFiles(NamedTuple):
    """The regular files of one directory, and what is to be done for those in it."""

    top: int
    path: str

    def perform(self, worker: Worker) -> Found:
        files: list[str] = []
        tasks: list[Task] = []
        try:
            with opened(self.top, self.path) as directory, os.scandir(directory) as entries:
                for entry in entries:
                    path = join(self.path, entry.name)
                    if entry.is_dir(follow_symlinks=False):
                        tasks.append(FindFiles(self.top, path))
                    elif entry.is_file(follow_symlinks=False):
                        files.append(path)
                    if len(files) + len(tasks) >= FOUND_AT_ONCE:
                        worker.emit(Found(files, tasks))
                        files, tasks = [], []
        except OSError as error:
            return Found(files, tasks, f"{shown_path(self.path)}: {error.strerror}")
        return Found(files, tasks)


def joined(listed: Iterator[Line], present: Iterator[bytes]) -> Iterator[Line]:
    """What the list names or the snapshot has: paths and digests, None for what is not listed."""
    line = next(listed, None)
    for path in present:
        while line and line[0] < path:
            yield line
            line = next(listed, None)
        if line and line[0] == path:
            yield line
            line = next(listed, None)
        else:
            yield path, None
    while line:
        yield line
        line = next(listed, None)


if __name__ == "__main__":
    sys.exit(execute(parse, run, VerifyResult("verified")))
