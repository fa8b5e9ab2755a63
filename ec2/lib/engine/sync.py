"""Copying a tree with fpsync: fpart cuts it into lists, rsync jobs copy those in parallel."""

from __future__ import annotations

import logging
import re
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from engine.outcome import Failed, Stopped
from engine.process import StopSignals
from engine.progress import Progress
from engine.safety import SAFETY_PREFIX

log = logging.getLogger(__name__)

# EFS has no ACLs and no extended attributes. Times are compared to the nanosecond: by whole
# seconds, a file rewritten within one second with the same size would look unchanged.
RSYNC_KEEP = ["-lptgoD", "--numeric-ids", "--sparse", "--modify-window=-1"]
RSYNC_COUNT = ["--no-human-readable", "--stats"]
RSYNC_VANISHED = 24  # files were gone before rsync could copy them
MAX_LINK_DEST = 20  # rsync's own limit

# Lists small enough to feed all jobs on a small tree, large enough to keep fpsync's queue cheap.
FILES_PER_JOB = "1000"
BYTES_PER_JOB = "1G"

PROGRESS_SECONDS = 10

# What a restore moved out of the way: a snapshot already has those files under their own names.
SAFETY_PATTERN = f"{SAFETY_PREFIX}*"

RSYNC_JOB = Path(__file__).parent / "rsync-job"


class TreeCopy:
    """One copy of ``source`` into the empty directory ``stage``.

    ``work`` is a private scratch directory; afterwards it holds the record of each job in ``jobs``
    (see rsync-job) and the logs.
    """

    def __init__(
        self, source: Path, stage: Path, work: Path, stop: StopSignals, progress: Progress
    ) -> None:
        self.source = source
        self.stage = stage
        self.work = work
        self.jobs = work / "jobs"
        self._fpsync = work / "fpsync"
        self._stop = stop
        self._progress = progress
        self._next_progress = time.monotonic() + PROGRESS_SECONDS

    def copy_files(self, jobs: int, link_from: Sequence[Path]) -> None:
        """Copy everything, linking what is unchanged since one of ``link_from`` (best first).

        Judged by the records of the jobs and by the flag that fpsync leaves once fpart has seen the
        whole tree, never by fpsync's own exit status: before 1.7.0 that ignores failed jobs. Raises
        :class:`Stopped` after a signal, :class:`Failed` if a part of the tree was not seen.
        """
        self.jobs.mkdir()
        self._fpsync.mkdir()
        self._stop.run(
            self._fpsync_command(jobs, link_from),
            log=self.work / "fpsync.log",
            # The first one drains, the second one ends the jobs. To fpsync alone: were it to hit
            # the `ps` by which fpsync looks for its jobs, fpsync would take them for finished.
            stop_with=signal.SIGINT,
            to_leader=True,
            environment={"EFS_JOBS": str(self.jobs)},
            on_tick=self._show_progress,
        )
        self._raise_if_stopped()
        if not self._crawled():
            raise Failed("fpsync", "fpart did not see the whole source; fpsync.log says why")
        if self._parts_done() != self._parts_total():
            raise Failed("fpsync", "fpsync lost a part of the work; fpsync.log says why")

    def _fpsync_command(self, jobs: int, link_from: Sequence[Path]) -> list[str]:
        options = [*RSYNC_KEEP, *RSYNC_COUNT, "--ignore-missing-args"]
        # fpsync pastes paths and options into shell code: it is only ever shown plain names.
        for number, tree in enumerate(link_from[:MAX_LINK_DEST]):
            options.append(f"--link-dest={self._plain_name(f'previous.{number}', tree)}")
        fpsync = shutil.which("fpsync")
        if fpsync is None:
            raise Failed("fpsync", "fpsync is not installed (install fpart)")
        # With bash: dash has no job control without a terminal, and then drains nothing.
        command = ["bash", fpsync, "-v", "-t", str(self._fpsync), "-T", str(RSYNC_JOB)]
        command += ["-n", str(jobs), "-f", FILES_PER_JOB, "-s", BYTES_PER_JOB]
        # In place of fpsync's default, which leaves out .zfs, .snapshot* and .ckpt. With -v, fpart
        # names what it leaves out.
        command += ["-O", f"-e|-v|-x|{SAFETY_PATTERN}", "-o", " ".join(options)]
        command += [self._plain_name("source", self.source), self._plain_name("stage", self.stage)]
        return command

    def _plain_name(self, name: str, target: Path) -> str:
        link = self.work / name
        link.symlink_to(target)
        return str(link)

    def copy_directories(self) -> tuple[list[str], list[str]]:
        """Create the empty directories and set the attributes of all; return (warnings, errors).

        Directories come last because creating a file in one changes its time. A directory that
        cannot be read fails here, which the lists of files alone would not show.
        """
        output = self.work / "directories.log"
        command = ["rsync", "-r", *RSYNC_KEEP, f"--exclude={SAFETY_PATTERN}"]
        command += ["--include=*/", "--exclude=*", "--"]
        command += [f"{self.source}/", f"{self.stage}/"]
        code = self._stop.run(command, log=output, stop_with=signal.SIGTERM)
        self._raise_if_stopped()
        if code == RSYNC_VANISHED:
            return ["a directory vanished during the backup"], []
        if code:
            messages = output.read_text(errors="backslashreplace").splitlines()
            return [], [f"copying the directories ended with exit code {code}", *messages[:20]]
        return [], []

    def left_out(self) -> list[str]:
        """The safety directories of restores that the crawl passed over, as warnings."""
        log_text = (self.work / "fpsync.log").read_text(errors="backslashreplace")
        names = re.findall(r"^Skipping \w+: '\./(.*)'$", log_text, re.MULTILINE)
        return [f"left out, as a restore set it aside: {name}" for name in dict.fromkeys(names)]

    def _raise_if_stopped(self) -> None:
        if self._stop.received:
            raise Stopped(
                "stopped before the snapshot was complete; the next run continues from it"
            )

    def _parts_total(self) -> int:
        # Since 1.7.0, each part.N has a part.N.meta beside it.
        return sum(
            1 for part in (self._fpsync / "parts").rglob("part.*") if part.suffix[1:].isdigit()
        )

    def _parts_done(self) -> int:
        return sum(1 for record in self.jobs.glob("*.exit"))

    def _crawled(self) -> bool:
        """Whether fpart has seen the whole tree: until then the number of parts grows."""
        return any(self._fpsync.rglob("fp_done"))

    def _show_progress(self) -> None:
        if self._progress.due():
            total = self._parts_total() if self._crawled() else None
            self._progress.update(self._parts_done(), total, "parts")
        if time.monotonic() >= self._next_progress:
            self._next_progress += PROGRESS_SECONDS
            log.info("%d of %d parts copied", self._parts_done(), self._parts_total())
