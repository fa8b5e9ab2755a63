"""One list of files, copied by one rsync, or by several where a FIFO is in the way."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from engine.command.outcome import Refused
from engine.command.process import waits_at_fifo
from engine.command.text import PATH_SHOWN, shortened, shown
from engine.copying.output import parse_stats, printed_digests
from engine.tree.descent import TOP, opened
from engine.tree.walls import Root

# EFS has no ACLs and no extended attributes. Times are compared to the nanosecond: by whole
# seconds, a file rewritten within one second with the same size would look unchanged.
RSYNC_KEEP = ["-lptgoD", "--numeric-ids", "--modify-window=-1"]
RSYNC_COUNT = ["--no-human-readable", "--stats"]
# One line for each file; every rsync 3 has MD5, and so has Python.
RSYNC_DIGESTS = ["--checksum-choice=md5", "--out-format==%C %n"]
# All that a list may ask for: whoever is root on a machine that mounts the file system can change
# one, and rsync has options that write files anywhere and run programs.
RSYNC_KNOWN = frozenset(
    [
        *(*RSYNC_KEEP, *RSYNC_COUNT, *RSYNC_DIGESTS, "--from0", "--hard-links", "--inplace"),
        *("--ignore-missing-args", "--no-implied-dirs", "--sparse", "--whole-file"),
    ]
)
LOOK_SECONDS = 0.5  # between two looks at what a job waits for
STUCK = -1000  # no exit code


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
    """One list of files. names: where rsync finds it."""

    source: End
    target: End
    names: Path
    options: Sequence[str]


class Done(NamedTuple):
    """What one rsync made of a list. code: its exit code, or :data:`STUCK` if it was ended for
    waiting at a FIFO, and what it has said means nothing. digests: of what it has copied."""

    listed: list[bytes]
    code: int
    statistics: str
    messages: str
    digests: dict[bytes, bytes]

    @property
    def seen(self) -> int:
        """Files that it has found."""
        return self._figure("number of files") - self._figure("dir")

    @property
    def transferred(self) -> int:
        return self._figure("number of regular files transferred")

    @property
    def bytes(self) -> int:
        return self._figure("total transferred file size")

    def _figure(self, title: str) -> int:
        return parse_stats(self.statistics).get(title, 0)

    def is_clean(self) -> bool:
        """Whether it has copied all that it was given."""
        return self.code == 0 and self.seen >= len(self.listed)


Groups = list[list[bytes]]


def write_groups(path: Path, groups: Iterable[Iterable[bytes]]) -> None:
    """Relative paths, each followed by a NUL; those that have to be in one list are a group, after
    which follows another."""
    path.write_bytes(b"".join(b"".join(n + b"\0" for n in group) + b"\0" for group in groups))


def read_groups(path: Path) -> Groups:
    return parsed_groups(path.read_bytes())


def parsed_groups(text: bytes) -> Groups:
    return [group.split(b"\0") for group in text.split(b"\0\0")[:-1]]


def flat(groups: Groups) -> list[bytes]:
    return [*itertools.chain(*groups)]


def rsync_command(options: Sequence[str]) -> list[str]:
    return [*RSYNC_KEEP, *RSYNC_COUNT, *options, "--from0", *RSYNC_DIGESTS]


def find_rsync() -> str:
    program = shutil.which("rsync")
    if program is None:
        raise Refused("rsync is not installed; install the package rsync", "system")
    return program


class Rsync:
    """Runs the jobs of one process, from any of its threads.

    options: what :func:`rsync_command` returns.
    """

    def __init__(self, options: Sequence[str]) -> None:
        program = find_rsync()
        self.options = options
        self._program = program
        self._lock = threading.Lock()
        self._running: set[int] = set()

    def copy(self, job: Job, groups: Groups) -> Iterator[Done]:
        """Whoever can write to the source can put a FIFO in the place of a file between rsync's two
        looks at it; then it waits for a writer. What it waits for is found by cutting its list in
        two, and the parts again: no other file pays for it."""
        done = self._run(job, flat(groups))
        if done.code != STUCK or len(groups) == 1:
            yield done
            return
        # What is there already is copied once more: of its digest nothing is known.
        again = job._replace(options=[*job.options, "--ignore-times"])
        middle = len(groups) // 2
        for half in (groups[:middle], groups[middle:]):
            yield from self.copy(again, half)

    def _run(self, job: Job, listed: list[bytes]) -> Done:
        job.names.write_bytes(b"".join(name + b"\0" for name in listed))
        command = [self._program, *self.options, *job.options, f"--files-from={job.names}"]
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
            printed, messages, is_stuck = finished(process)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
        finally:
            with self._lock:
                self._running.remove(process.pid)
        for end in (job.source, job.target):
            messages = messages.replace(os.fsencode(end.path), end.name)
        digests, statistics = printed_digests(printed, job.target.top)
        return Done(
            listed,
            STUCK if is_stuck else process.returncode,
            statistics.decode(errors="replace").lstrip(),
            messages.decode(errors="backslashreplace"),
            digests,
        )

    def end(self) -> None:
        """A job that waits for an NFS server which is away hears nothing less than this."""
        with self._lock:
            for process in self._running:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process, signal.SIGKILL)


def finished(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes, bool]:
    """What it has printed on its two outputs, and whether it was ended for waiting at a FIFO."""
    looks = 0
    while looks < 2:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return (*process.communicate(timeout=LOOK_SECONDS), False)
        looks = looks + 1 if waits_at_fifo(process.pid) else 0
    os.killpg(process.pid, signal.SIGKILL)
    return (*process.communicate(), True)
