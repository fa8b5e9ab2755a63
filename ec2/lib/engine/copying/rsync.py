"""Copying lists of files with rsync, in several jobs at the same time."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Protocol

from engine.command.files import nul_separated
from engine.command.outcome import Failed
from engine.command.process import StopSignals, waits_at_fifo
from engine.command.text import PATH_SHOWN, shortened, shown, shown_path
from engine.copying.tally import (
    Tally,
    add_vanished,
    in_base,
    judge_job,
    leaves_doubts,
    printed_digests,
)
from engine.tree.descent import GONE, TOP, opened
from engine.tree.walls import Root

# EFS has no ACLs and no extended attributes. Times are compared to the nanosecond: by whole
# seconds, a file rewritten within one second with the same size would look unchanged.
RSYNC_KEEP = ["-lptgoD", "--numeric-ids", "--modify-window=-1"]
RSYNC_LOG = "rsync.log"
WAIT_SECONDS = 0.05
LOOK_SECONDS = 0.5  # between two looks at what a job waits for
STUCK = -1000  # no exit code

RSYNC_COUNT = ["--no-human-readable", "--stats"]
# One line for each file; every rsync 3 has MD5, and so has Python.
RSYNC_DIGESTS = ["--checksum-choice=md5", "--out-format==%C %n"]


class TakesDigests(Protocol):
    """Gets the digest of each file that is copied, from several threads."""

    def add(self, mark: bytes, paths: Iterable[bytes]) -> None: ...

    def save(self) -> None:
        """What was added so far outlives this process."""


class End(NamedTuple):
    """A directory where an rsync begins or ends. top: a descriptor of it. path: by which rsync gets
    at it. name: what people call it."""

    top: int
    path: Path
    name: bytes


@contextlib.contextmanager
def opened_end(root: Root, base: str) -> Iterator[End]:
    """The directory ``base`` below ``root``."""
    top = os.open(root.path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if base == TOP:
            yield End(top, root.path, os.fsencode(root.name))
            return
        name = os.fsencode(root.name / shortened(shown(os.fsencode(base)), PATH_SHOWN))
        with opened(top, base) as deeper, root.deeper(deeper) as path:
            yield End(deeper, path, name)
    finally:
        os.close(top)


class Job(NamedTuple):
    """One list of files. names: where rsync finds it. base: see :meth:`Copying.add`."""

    number: int
    source: End
    target: End
    base: str
    names: Path
    options: Sequence[str]


Groups = list[list[bytes]]


def write_groups(path: Path, groups: Iterable[Iterable[bytes]]) -> None:
    """Relative paths, each followed by a NUL; those that have to be in one list are a group, after
    which follows another."""
    path.write_bytes(b"".join(b"".join(n + b"\0" for n in group) + b"\0" for group in groups))


def read_groups(path: Path) -> Groups:
    return [group.split(b"\0") for group in path.read_bytes().split(b"\0\0")[:-1]]


def finished(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes, bool]:
    """What it has printed on its two outputs, and whether it was ended for waiting at a FIFO."""
    looks = 0
    while looks < 2:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return (*process.communicate(timeout=LOOK_SECONDS), False)
        looks = looks + 1 if waits_at_fifo(process.pid) else 0
    os.killpg(process.pid, signal.SIGKILL)
    return (*process.communicate(), True)


class Copying:
    """Copies from ``source`` to ``target`` by up to ``jobs`` rsync at a time.

    options: rsync's, besides what to keep and to count. work: a scratch directory; rsync.log in it
    tells about each job. notes: get the digests of what is copied, if there are any. has_doubts:
    rather than to judge a job that could not do all, list its files in :meth:`take_unsure`.
    """

    def __init__(
        self,
        source: Root,
        target: Root,
        options: Sequence[str],
        work: Path,
        jobs: int,
        notes: TakesDigests | None = None,
        has_doubts: bool = False,
    ) -> None:
        rsync = shutil.which("rsync")
        if rsync is None:
            raise Failed("system", "rsync is not installed")
        self._command = [rsync, *RSYNC_KEEP, *RSYNC_COUNT, *options, "--from0"]
        if notes:
            self._command += RSYNC_DIGESTS
        self._notes = notes
        self._source, self._target = source, target
        self._executor = ThreadPoolExecutor(jobs)
        self._jobs = jobs
        self._running: set[int] = set()
        self._waiting: list[tuple[str, Path]] = []
        self._failure: Exception | None = None
        self._cancelled = self._ended = False
        self._lock = threading.Lock()
        self._has_doubts = has_doubts
        self._unsure = work / "unsure"
        self._log = (work / RSYNC_LOG).open("ab", buffering=0)
        self.tally = Tally()
        self.submitted = self.done = 0

    def add(self, names: Path, *options: str, base: str = TOP) -> None:
        """Have what the file ``names`` lists (see :func:`write_groups`) copied.

        base: the directory from which the names go, as rsync takes none above PATH_MAX. The list is
        removed afterwards.
        """
        if self._notes:
            self._notes.save()
        self.submitted += 1
        self._waiting.append((base, names))
        self._executor.submit(self._perform, self.submitted, names, options, base)

    @property
    def has_room(self) -> bool:
        """Whether a job added now would begin at once."""
        return self.submitted - self.done < self._jobs

    def _perform(self, number: int, names: Path, options: Sequence[str], base: str) -> None:
        try:
            self._copy(number, names, options, base)
        except Exception as error:  # for the main thread
            self._failure = error
        with self._lock:
            self.done += 1

    def _copy(self, number: int, names: Path, options: Sequence[str], base: str) -> None:
        self._waiting.remove((base, names))
        groups = read_groups(names)
        with contextlib.ExitStack() as stack:
            try:
                source = stack.enter_context(opened_end(self._source, base))
            except OSError as error:
                if error.errno not in GONE:
                    raise
                with self._lock:
                    if self._has_doubts:
                        self._doubt(base, itertools.chain(*groups))
                    else:
                        add_vanished(self.tally, [*itertools.chain(*groups)], base)
            else:
                target = stack.enter_context(opened_end(self._target, base))
                self._copy_between(Job(number, source, target, base, names, options), groups)
        names.unlink()

    def _copy_between(self, job: Job, groups: Groups) -> None:
        """Whoever can write to the source can put a FIFO in the place of a file between rsync's two
        looks at it; then it waits for a writer. What it waits for is found by cutting its list in
        two, and the parts again: no other file pays for it."""
        listed = [*itertools.chain(*groups)]
        job.names.write_bytes(b"".join(name + b"\0" for name in listed))
        code, printed, messages = self._run(job)
        if code != STUCK:
            self._take(job, listed, code, printed, messages)
        elif len(groups) > 1:
            # What is there already is copied once more: of its digest nothing is known.
            again = job._replace(options=[*job.options, "--ignore-times"])
            middle = len(groups) // 2
            for half in (groups[:middle], groups[middle:]):
                self._copy_between(again, half)
        elif self._has_doubts:
            with self._lock:
                self._doubt(job.base, listed)
        else:
            found = shown_path(in_base(job.base, listed[0]))
            self.tally.errors.add([f"{found} is no file but a FIFO by now"])

    def _run(self, job: Job) -> tuple[int, bytes, bytes]:
        """Perform one rsync. Returns its exit code, :data:`STUCK` if it was ended for waiting at a
        FIFO, and what it printed on its two outputs."""
        command = [*self._command, *job.options, f"--files-from={job.names}"]
        with self._lock:
            process = subprocess.Popen(
                [*command, f"{job.source.path}/", f"{job.target.path}/"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, "LC_ALL": "C"},
                close_fds=False,  # the lock lasts as long as a job does
                start_new_session=True,  # a terminal's Ctrl-C is not for it
            )
            self._running.add(process.pid)
        try:
            with self._lock:
                self._log.write(f"== rsync job {job.number} begins\n".encode())
            printed, messages, is_stuck = finished(process)
        except BaseException:  # also if the log's disk is full
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
        finally:
            with self._lock:
                self._running.remove(process.pid)
        for end in (job.source, job.target):
            messages = messages.replace(os.fsencode(end.path), end.name)
        return STUCK if is_stuck else process.returncode, printed, messages

    def _take(
        self, job: Job, listed: list[bytes], code: int, printed: bytes, messages: bytes
    ) -> None:
        digests, statistics = printed_digests(printed, job.target.top)
        with self._lock:
            self._log.write(f"== rsync job {job.number}, exit code {code}\n".encode())
            self._log.write(statistics.lstrip() + messages)
            said = statistics.decode(errors="replace"), messages.decode(errors="backslashreplace")
            if self._has_doubts and (
                self._ended or leaves_doubts(self.tally, code, *said, len(listed))
            ):
                self._doubt(job.base, listed)
            else:
                judge_job(self.tally, job.number, code, *said, listed, job.source.top, job.base)
        if self._notes and not self._ended:
            for path, digest in digests.items():
                self._notes.add(digest, [os.fsencode(in_base(job.base, path))])
            self._notes.save()

    def _doubt(self, base: str, names: Iterable[bytes]) -> None:
        with self._unsure.open("ab") as unsure:
            unsure.writelines(os.fsencode(in_base(base, name)) + b"\0" for name in names)

    def take_unsure(self) -> Iterator[bytes]:
        """The paths of files of which it is not known whether they were copied. Only once."""
        if self._unsure.exists():
            taken = self._unsure.replace(self._unsure.with_suffix(".taken"))
            yield from nul_separated(taken)

    def take_waiting(self) -> int:
        """Have the files of the jobs that were never begun among those; return how many."""
        count = 0
        for base, names in self._waiting:
            listed = [*itertools.chain(*read_groups(names))]
            self._doubt(base, listed)
            count += len(listed)
            names.unlink()
        self._waiting.clear()
        return count

    def wait(
        self, stop: StopSignals, patience: int, on_tick: Callable[[], None] = lambda: None
    ) -> None:
        """Wait for all jobs; after a signal for those at work, which ``patience`` signals end."""
        while self._running or (self.done < self.submitted and not self._cancelled):
            if stop.received or self._failure:
                self.cancel()
            if stop.received >= patience:
                self._end()
            on_tick()
            time.sleep(WAIT_SECONDS)
        if self._failure:
            raise self._failure

    def finish(
        self, stop: StopSignals, patience: int, on_tick: Callable[[], None] = lambda: None
    ) -> None:
        """Likewise, and that was all."""
        try:
            self.wait(stop, patience, on_tick)
        finally:
            self._executor.shutdown()
            self._log.close()

    def cancel(self) -> None:
        """Begin no more jobs."""
        self._cancelled = True
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _end(self) -> None:
        """A job that waits for an NFS server which is away hears nothing less than this."""
        self._ended = True
        with self._lock:
            for process in self._running:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process, signal.SIGKILL)
