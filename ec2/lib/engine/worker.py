"""One machine more for the copying of backups and restores."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from common.words import plural

from engine.command import arguments
from engine.command.execution import Result, RunOptions, execute
from engine.command.outcome import EngineError, Failed, Refused
from engine.command.process import StopSignals
from engine.copying.job import Done
from engine.copying.tally import RSYNC_VANISHED, Tally
from engine.tree.descent import DIRECTORY_FLAGS
from engine.tree.walls import Root, Walls, opened_path
from engine.workers.queue import AT_ONCE, Message, Queue, QueueError
from engine.workers.request import add_queue_options
from engine.workers.shared import Invitation, Malformed, NotOurs, NotWanted, OtherFormat
from engine.workers.work import HandedBack, Trees, Work

log = logging.getLogger(__name__)

DESCRIPTION = """\
Copy lists of files for backups and restores that were started with the same --workers-queue.
SOURCE and TARGET are what their --source and --backup are, or for restores their --backup and
--target: the same directories, mounted here. Any number of these can be started and ended at any
time; what one does not finish, others do.
"""
EXIT_STATUS = """\
Exit status: 0 there was nothing more to do, or a signal came, 1 failed, 2 refused. SIGTERM or
SIGINT has running jobs ended, and hands their lists back.
"""
MESSAGE_SECONDS = 10  # to wait for one, in one call
WAIT_SECONDS = 0.2
TRIES = 5  # at a queue that refuses, and with lists that cannot be copied, one after the other
PAUSE = 2
BEATS = 4  # in a lease
END_SECONDS = 10  # for what was killed; an rsync that waits for an NFS server does not end


@dataclass
class Options(RunOptions):
    source: Path
    target: Path
    workers_queue: str
    lease: int
    jobs: int
    idle: int
    name: str


@dataclass
class WorkerResult(Result):
    """What was copied; it may not all have been wanted any more."""

    name: str = ""
    number_of_lists: int = 0
    number_of_files: int = 0
    size: int = 0

    def headline(self) -> str:
        files = plural(self.number_of_files, "file")
        return f"{self.name}: {files} in {plural(self.number_of_lists, 'list')}"


def parse(words: list[str]) -> Options:
    parser = arguments.RunParser("efs-worker.sh", DESCRIPTION, EXIT_STATUS)
    jobs = 4 * (os.cpu_count() or 1)
    add = parser.add_argument
    add("--source", type=arguments.directory, required=True, metavar="DIR", help="to copy from")
    add("--target", type=arguments.directory, required=True, metavar="DIR", help="to copy to")
    add_queue_options(parser, is_required=True)
    add("--jobs", type=arguments.count, default=jobs, metavar="N", help=f"rsync jobs ({jobs})")
    add(
        "--idle",
        type=arguments.count,
        default=300,
        metavar="SECONDS",
        help="end when there was no list for so long (300)",
    )
    add(
        "--name",
        type=arguments.identifier,
        default=re.sub(r"[^A-Za-z0-9]+", "-", socket.gethostname()).strip("-")[:64] or "worker",
        metavar="NAME",
        help="what results call this machine (its host name)",
    )
    return Options(**vars(parser.parse_args(words)))


def run(options: Options, work: Path, stop: StopSignals, result: WorkerResult) -> None:
    result.name = options.name
    options.make_log_dir()
    options.source = arguments.readable_directory("--source", options.source)
    options.target = arguments.writable_directory("--target", options.target)
    with contextlib.ExitStack() as stack:
        walls = stack.enter_context(Walls(work.parent))
        source = stack.enter_context(opened_path(options.source))
        target = stack.enter_context(opened_path(options.target))
        roots = (
            walls.around(source, Root(options.source, options.source), read_only=True),
            walls.around(target, Root(options.target, options.target)),
        )
        tops = [os.open(root.path, DIRECTORY_FLAGS) for root in roots]
        for top in tops:
            stack.callback(os.close, top)
        trees = Trees(*roots, *tops)
        if walls.warning:
            result.warn(walls.warning)
        Service(options, trees, work, stop, result).run()


class Service:
    """Takes messages as long as there are some, and does their lists, several at a time."""

    def __init__(
        self, options: Options, trees: Trees, work: Path, stop: StopSignals, result: WorkerResult
    ) -> None:
        self._options, self._trees, self._scratch = options, trees, work
        self._stop, self._result = stop, result
        self._queue = Queue(options.workers_queue)
        self._lock = threading.Lock()
        self._keeping = threading.Lock()
        self._at_work: set[Work] = set()
        # Receipts: of what is to be deleted, many at once, as a call takes as long as a small list;
        # and of all of which the queue is still to be told, or is being told.
        self._over: list[str] = []
        self._unsettled: set[str] = set()
        self._tally = Tally()
        self._failures = 0  # lists in a row
        self._failure: EngineError | None = None
        self._is_over = threading.Event()
        self._last = time.monotonic()  # when a list was copied

    def run(self) -> None:
        # Of each other, as a queue that does not answer may take a minute to say so.
        in_thread(self._every, WAIT_SECONDS, self._look)
        in_thread(self._every, WAIT_SECONDS, self._delete)
        in_thread(self._every, self._options.lease / BEATS, self._beat)
        in_thread(self._every, self._options.lease / BEATS, self._keep)
        try:
            self._serve()
        finally:
            self._wait()
            self._is_over.set()
        if self._failure:
            raise self._failure
        self._result.outcome = "ended"

    def _serve(self) -> None:
        refusals = 0
        while not self._stop.received and not self._failure:
            if time.monotonic() - self._last > self._options.idle and not refusals:
                log.info("there was no list for %d seconds", self._options.idle)
                return
            free = self._options.jobs - len(self._at_work)
            if not free:
                time.sleep(WAIT_SECONDS)
                continue
            try:
                wait = min(MESSAGE_SECONDS, self._options.idle)
                messages = self._queue.receive(free, wait, self._options.lease)
                refusals = 0
            except QueueError as error:
                refusals += 1
                if refusals == TRIES:
                    raise Failed("queue", f"the queue gives no messages: {error}") from error
                log.warning("the queue gives no messages, trying again: %s", error)
                time.sleep(PAUSE)
                continue
            for message in messages:
                self._accept(message)

    def _wait(self) -> None:
        patience = END_SECONDS / WAIT_SECONDS
        while self._unsettled and patience > 0:
            patience -= not any(work.is_copying for work in self._works())
            time.sleep(WAIT_SECONDS)

    def _accept(self, message: Message) -> None:
        try:
            invitation = Invitation.parse(message.body)
        except OtherFormat as error:
            self._failure = Refused(f"the run is of another release than this worker: {error}")
            self._hand_back(message.receipt)
            return
        except Malformed as error:
            log.warning("a message makes no sense: %s", error)
            with self._lock:
                self._unsettled.add(message.receipt)
                self._over.append(message.receipt)
            return
        work = Work(message.receipt, invitation, self._trees, self._scratch)
        with self._lock:
            self._at_work.add(work)
            self._unsettled.add(work.receipt)
        in_thread(self._perform, work)

    def _perform(self, work: Work) -> None:
        is_over = True
        try:
            self._take_stock(work.perform(self._options.name))
        except NotWanted:
            log.info("a list is not wanted any more")
        except Malformed as error:
            log.warning("a list makes no sense: %s", error)
        except HandedBack:
            log.info("a list is handed back")
            is_over = False
        except Exception as error:  # others may do better
            log.warning("a list cannot be done: %s: %s", type(error).__name__, error)
            ours = f"--source {self._options.source} and --target {self._options.target}"
            what = f"are {ours} those of the run? " if isinstance(error, NotOurs) else ""
            self._count(False, f"{what}{error}")
            is_over = False
        with self._lock:
            self._at_work.remove(work)  # before it is settled, and cannot be kept any more
            if is_over:
                self._over.append(work.receipt)
                return
        self._hand_back(work.receipt)
        with self._lock:
            self._unsettled.discard(work.receipt)

    def _take_stock(self, done: list[Done]) -> None:
        with self._lock:
            self._tally.add_worker(self._options.name, done)
            sums = self._tally.workers[self._options.name]
            self._result.number_of_lists = sums["lists"]
            self._result.number_of_files = sums["files"]
            self._result.size = sums["bytes"]
            self._last = time.monotonic()
        is_well = all(each.code in (0, RSYNC_VANISHED) for each in done)
        self._count(is_well, "rsync says so")

    def _count(self, is_well: bool, why: str) -> None:
        """A machine on which nothing works would take lists from others that could do them."""
        self._failures = 0 if is_well else self._failures + 1
        if self._failures >= TRIES and not self._failure:
            self._failure = Failed("files", f"{TRIES} lists in a row could not be copied: {why}")

    def _delete(self, _: list[Work]) -> None:
        with self._lock:
            over, self._over = self._over, []
        try:
            self._queue.delete(over)
        except QueueError as error:  # they come again, and lead to no list
            log.warning("messages could not be deleted: %s", error)
        with self._lock:
            self._unsettled.difference_update(over)

    def _hand_back(self, receipt: str) -> None:
        with self._keeping:  # a call on its way could keep it after it is handed back
            pass
        try:
            self._queue.extend([receipt], 0)
        except QueueError as error:  # others get it after its lease
            log.warning("a message could not be handed back: %s", error)

    def _works(self) -> list[Work]:
        with self._lock:
            return [*self._at_work]

    def _every(self, seconds: float, do: Callable[[list[Work]], None]) -> None:
        while not self._is_over.wait(seconds):
            do(self._works())

    def _look(self, at_work: list[Work]) -> None:
        if any(work.is_copying for work in at_work):
            self._last = time.monotonic()
        if self._stop.received:
            for work in at_work:
                work.hand_back()

    def _beat(self, at_work: list[Work]) -> None:
        for work in at_work:
            try:
                work.beat()
            except OSError as error:
                log.warning("nobody can be told of a list at work: %s", error)

    def _keep(self, at_work: list[Work]) -> None:
        for start in range(0, len(at_work), AT_ONCE):
            with self._keeping:
                kept = {*self._works()}.intersection(at_work[start : start + AT_ONCE])
                try:
                    self._queue.extend([work.receipt for work in kept], self._options.lease)
                except QueueError as error:  # then somebody else gets it, too
                    log.warning("a message could not be kept: %s", error)


def in_thread(do: Callable[..., None], *arguments: object) -> None:
    """It ends with the process at the latest."""
    threading.Thread(target=do, args=arguments, daemon=True).start()


if __name__ == "__main__":
    sys.exit(execute(parse, run, WorkerResult("ended")))
