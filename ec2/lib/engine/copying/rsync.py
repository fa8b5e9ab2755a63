"""Copying lists of files with rsync, in several jobs at the same time, and on other machines."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Protocol

from engine.command.files import nul_separated
from engine.command.process import StopSignals
from engine.command.text import shown_path
from engine.copying.job import (
    STUCK,
    Done,
    End,
    Groups,
    Job,
    Rsync,
    flat,
    opened_end,
    read_groups,
    rsync_command,
)
from engine.copying.moving import Mover
from engine.copying.output import in_base
from engine.copying.tally import Tally
from engine.tree.descent import GONE, TOP
from engine.tree.walls import Root

RSYNC_LOG = "rsync.log"
WAIT_SECONDS = 0.05


class TakesDigests(Protocol):
    """Gets the digest of each file that is copied, from several threads."""

    def add(self, mark: bytes, paths: Iterable[bytes]) -> None: ...

    def save(self) -> None:
        """What was added so far outlives this process."""


class Listed(NamedTuple):
    """A list that is to be copied. names, base, options: see :meth:`Copying.add`."""

    number: int
    names: Path
    base: str
    options: Sequence[str]


class Helper(Protocol):
    """Has lists copied elsewhere, see :class:`engine.workers.fleet.Fleet`."""

    def begin(self, copying: Copying) -> None: ...

    def reclaim(self) -> Listed | None:
        """A list that nobody has begun, for a job of ours that has nothing else to do."""

    @property
    def is_busy(self) -> bool:
        """Whether it has any list."""

    def cancel(self) -> None:
        """Have no more lists begun."""

    def end(self) -> None:
        """Wait for none of those that are."""

    def close(self) -> None: ...


class Way(NamedTuple):
    """From where to where, and how. options: rsync's, besides what to keep and to count.
    has_doubts: rather than to judge a job that could not do all, list its files in
    :meth:`Copying.take_unsure`."""

    source: Root
    target: Root
    options: Sequence[str]
    has_doubts: bool = False


class Copying:
    """Copies by up to ``jobs`` rsync at a time.

    work: a scratch directory; rsync.log in it tells about each job. notes: get the digests of what
    is copied. helper: takes lists, too, if there is one.
    """

    def __init__(
        self, way: Way, work: Path, jobs: int, notes: TakesDigests, helper: Helper | None = None
    ) -> None:
        self.rsync = Rsync(rsync_command(way.options))
        self.notes = notes
        self._way = way
        self._executor = ThreadPoolExecutor(jobs)
        self.work, self.jobs = work, jobs
        self._at_work = 0
        self._waiting: deque[Listed] = deque()
        self._ours: deque[Listed] = deque()  # to be done by no worker
        self._failure: Exception | None = None
        self._cancelled = self._ended = False
        self._lock = threading.RLock()
        self._unsure = work / "unsure"
        self._log = (work / RSYNC_LOG).open("ab", buffering=0)
        self._mover = Mover()
        self._helper = helper
        self.tally = Tally()
        self.submitted = self.done = 0
        self._seconds, self._timed = 0.0, 0  # that our jobs took, and how many there were

    def add(self, names: Path, *options: str, base: str = TOP) -> None:
        """Have what the file ``names`` lists (see :func:`write_groups`) copied.

        base: the directory from which the names go, as rsync takes none above PATH_MAX. The list is
        removed afterwards.
        """
        self.notes.save()
        if self._helper and not self.submitted:
            self._helper.begin(self)
        self.submitted += 1
        self._waiting.append(Listed(self.submitted, names, base, options))
        self._executor.submit(self._perform)

    @property
    def has_room(self) -> bool:
        """Whether a job added now would begin at once."""
        return self.submitted - self.done < self.jobs

    @property
    def backlog(self) -> tuple[int, float, int]:
        """How many lists wait, the seconds that one took so far, and how many are done at once."""
        with self._lock:
            return len(self._waiting), self._seconds / max(1, self._timed), self.jobs

    def hand_out(self) -> Listed | None:
        """A list that nobody has begun, for the helper: it gives it to :meth:`take`, or back."""
        with self._lock:
            return None if self._cancelled or not self._waiting else self._waiting.popleft()

    def give_back(self, listed: Listed, is_begun: bool) -> None:
        """A list that was begun, and came to no end, is not handed out again."""
        with self._lock:
            (self._ours if is_begun else self._waiting).appendleft(listed)
            if not self._cancelled:
                self._executor.submit(self._perform)

    def look_again(self) -> None:
        """Have a job of ours look whether the helper has a list that nobody has begun, once more:
        each list has one, which may have come by while somebody was at it."""
        with self._lock:
            if not self._cancelled:
                self._executor.submit(self._perform)

    def fail(self, error: Exception) -> None:
        """For the main thread."""
        self._failure = error

    def _perform(self) -> None:
        with self._lock:
            if self._cancelled:
                return
            self._at_work += 1
            lists = self._ours or self._waiting
            listed = lists.popleft() if lists else None
        if not listed and self._helper:
            listed = self._helper.reclaim()
        if listed:
            self._settle(listed, self._copy)
        with self._lock:
            self._at_work -= 1

    def _settle(self, listed: Listed, by: Callable[[Listed], None]) -> None:
        try:
            by(listed)
            listed.names.unlink()
        except Exception as error:
            self.fail(error)
        with self._lock:
            self.done += 1

    def _copy(self, listed: Listed) -> None:
        groups, began = read_groups(listed.names), time.monotonic()
        with contextlib.ExitStack() as stack:
            source = self._opened_source(listed, groups, stack)
            if source:
                target = stack.enter_context(opened_end(self._way.target, listed.base))
                self._note(f"== rsync job {listed.number} begins\n")
                for done in self.rsync.copy(
                    Job(source, target, listed.names, listed.options), groups
                ):
                    self._take(listed, source, done)
        with self._lock:
            self._seconds += time.monotonic() - began
            self._timed += 1

    def _opened_source(
        self, listed: Listed, groups: Groups, stack: contextlib.ExitStack
    ) -> End | None:
        with contextlib.suppress(*GONE):
            return stack.enter_context(opened_end(self._way.source, listed.base))
        with self._lock:
            if self._way.has_doubts:
                self._doubt(listed.base, flat(groups))
            else:
                self.tally.add_vanished(flat(groups), listed.base)
        return None

    def take(self, listed: Listed, worker: str, done: list[Done], delivery: int) -> None:
        """Have at its place what a worker has copied into the directory ``delivery``, which nobody
        writes to any more. What is missing then is copied by a job of ours: so it is that which
        says what is wrong with a file, and no machine that may have troubles of its own."""
        self._note(f"== rsync job {listed.number} was done by {worker}\n")
        try:
            is_complete = self._move(listed, done, delivery)
        except Exception as error:
            self.fail(error)
            is_complete = False
        with self._lock:
            self.tally.add_worker(worker, done)
        if is_complete:
            self._settle(listed, lambda _: None)
        else:
            self.give_back(listed, is_begun=True)

    def _move(self, listed: Listed, done: list[Done], delivery: int) -> bool:
        """Returns whether that is all of the list."""
        groups = read_groups(listed.names)
        with contextlib.ExitStack() as stack:
            source = self._opened_source(listed, groups, stack)
            if not source:
                return True
            target = stack.enter_context(opened_end(self._way.target, listed.base))
            is_complete = self._mover.move(delivery, target.top, flat(groups))
            is_complete = is_complete and all(map(Done.is_clean, done))
            for each in done:
                if is_complete:
                    self._take(listed, source, each)
                elif each.code != STUCK:
                    self._take_some(listed, each)
        return is_complete

    def _take(self, listed: Listed, source: End, done: Done) -> None:
        names, base = done.listed, listed.base
        self._note(f"== rsync job {listed.number}, exit code {done.code}\n")
        if done.code == STUCK:
            self._take_stuck(names, base)
            return
        self._note(done.statistics + done.messages)
        with self._lock:
            if self._way.has_doubts and (self._ended or self.tally.doubt(done)):
                self._doubt(base, names)
            else:
                self.tally.add(listed.number, done, source.top, base)
        self._note_digests(listed, done)

    def _take_some(self, listed: Listed, done: Done) -> None:
        """Of a list that is not complete; the files are counted when it is."""
        with self._lock:
            self.tally.total_transferred_file_size += done.bytes
        self._note_digests(listed, done)

    def _note_digests(self, listed: Listed, done: Done) -> None:
        if not self._ended:
            for path, digest in done.digests.items():
                self.notes.add(digest, [os.fsencode(in_base(listed.base, path))])
            self.notes.save()

    def _take_stuck(self, names: list[bytes], base: str) -> None:
        if self._way.has_doubts:
            with self._lock:
                self._doubt(base, names)
        else:
            found = shown_path(in_base(base, names[0]))
            self.tally.errors.add([f"{found} is no file but a FIFO by now"])

    def _note(self, text: str) -> None:
        with self._lock:
            self._log.write(text.encode(errors="backslashreplace"))

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
        for listed in [*self._ours, *self._waiting]:
            names = flat(read_groups(listed.names))
            self._doubt(listed.base, names)
            count += len(names)
            listed.names.unlink()
        self._ours.clear()
        self._waiting.clear()
        return count

    def wait(
        self, stop: StopSignals, patience: int, on_tick: Callable[[], None] = lambda: None
    ) -> None:
        """Wait for all jobs; after a signal for those at work, which ``patience`` signals end."""
        while self._is_busy or (self.done < self.submitted and not self._cancelled):
            if stop.received or self._failure:
                self.cancel()
            if stop.received >= patience:
                self._end()
            on_tick()
            time.sleep(WAIT_SECONDS)
        if self._failure:
            raise self._failure

    @property
    def _is_busy(self) -> bool:
        return self._at_work > 0 or (self._helper is not None and self._helper.is_busy)

    def finish(
        self, stop: StopSignals, patience: int, on_tick: Callable[[], None] = lambda: None
    ) -> None:
        """Likewise, and that was all."""
        try:
            self.wait(stop, patience, on_tick)
        finally:
            self.cancel()
            if self._helper:
                self._helper.close()
            self._executor.shutdown()
            self._mover.close()
            self._log.close()

    def cancel(self) -> None:
        """Begin no more jobs."""
        with self._lock:
            self._cancelled = True
        if self._helper:
            self._helper.cancel()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _end(self) -> None:
        self._ended = True
        self.rsync.end()
        if self._helper:
            self._helper.end()
