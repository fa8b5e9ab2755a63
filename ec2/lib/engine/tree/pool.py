"""Tasks for a few processes with a few threads each.

Latency is hidden by tasks at the same time, but threads of one interpreter stand in each other's
way: 64 of them took ten times as long as four processes of 16.
"""

from __future__ import annotations

import logging
import mmap
import os
import pickle
import signal
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import IO, Any, Protocol

from engine.command.outcome import Failed, Stopped
from engine.command.process import StopSignals

# Enough to hide the latency of a file system; more processes than CPUs only wait for each other.
PROCESSES = min(max(os.cpu_count() or 1, 2), 8)
THREADS = 16
TASKS_IN_MEMORY = 500  # that wait, and as many again
SPOOL_BYTES = 1 << 20
TICK_SECONDS = 0.2


class Worker:
    """What a task is told by the process that performs it.

    context: what all tasks of the pool have to know. work: a directory for files. emit: for a part
    of the result, ahead of the rest; by the time it returns, that can be altered.
    """

    def __init__(
        self, emit: Callable[[Any], None], stop_flag: mmap.mmap, context: Any, work: Path
    ) -> None:
        self.context = context
        self.emit = emit
        self.work = work
        self._stop_flag = stop_flag

    @property
    def stopping(self) -> bool:
        """Whether to leave it at what has been done; a task that may take long looks at it."""
        return self._stop_flag[0] != 0


class Task(Protocol):
    def perform(self, worker: Worker) -> Any:
        """Do it; return the result, or None."""


class Waiting:
    """Tasks that wait, the newest on top. One directory may have made thousands of them, so most
    are in ``file``; the others are in memory as they are sent."""

    def __init__(self, file: IO[bytes]) -> None:
        self._newest: list[bytes] = []
        self._file = file
        self._places: list[int] = []  # of those before them

    def put(self, task: Task) -> None:
        self._newest.append(pickle.dumps(task, pickle.HIGHEST_PROTOCOL))
        if len(self._newest) == 2 * TASKS_IN_MEMORY:
            self._file.seek(0, os.SEEK_END)
            self._places.append(self._file.tell())
            pickle.dump(self._newest[:TASKS_IN_MEMORY], self._file)
            del self._newest[:TASKS_IN_MEMORY]

    def take(self) -> bytes | None:
        if not self._newest and self._places:
            place = self._places.pop()
            self._file.seek(place)
            self._newest = pickle.load(self._file)
            self._file.seek(place)
            self._file.truncate()
        return self._newest.pop() if self._newest else None


class Pool:
    """Workers that are forked at once: they know what the process knew by then.

    stop: the signals that end it. work: a directory for files.
    """

    def __init__(
        self,
        processes: int,
        stop: StopSignals,
        work: Path,
        context: Any = None,
        threads: int = THREADS,
        stopped: str = "stopped",
    ) -> None:
        """stopped: what is to be said after a signal."""
        self._context = context
        self._work = work
        self.stop = stop
        self._stopped = stopped
        self._threads = threads
        self._stop_flag = mmap.mmap(-1, 1)  # shared with the workers
        self._workers: dict[Connection, int] = {}  # tasks at work by connection
        self._processes: list[int] = []
        for _ in range(processes):
            self._fork()

    def _fork(self) -> None:
        ours, theirs = Pipe()
        process = os.fork()
        if process == 0:
            try:
                for other in (ours, *self._workers):
                    other.close()
                _work(theirs, self._threads, self._stop_flag, self._context, self._work)
            finally:
                os._exit(1)
        theirs.close()
        self._workers[ours] = 0
        self._processes.append(process)

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _tb: TracebackType | None,
    ) -> None:
        """End the workers: idle ones by themselves, others at once."""
        for connection in self._workers:
            connection.close()
        for process in self._processes:
            if kind is not None:
                os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)

    def go_on(self) -> None:
        """Although a signal was received, which is forgotten: there is a little left to do."""
        self.stop.received = 0
        self._stop_flag[0] = 0

    def run(
        self,
        tasks: Iterable[Task],
        on_result: Callable[[Any], Iterable[Task]],
        on_tick: Callable[[], None] = lambda: None,
    ) -> None:
        """Do ``tasks`` and those that ``on_result`` returns for a result, until none is left.

        The newest go first, so that few are waiting; ``tasks`` is only read as far as needed.
        Raises :class:`Stopped` after a signal, once what was at work is done, or at a second one;
        :class:`Failed` if a worker ends.
        """
        source = iter(tasks)
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES, dir=str(self._work)) as file:
            self._run(Waiting(file), source, on_result, on_tick)

    def _run(
        self,
        waiting: Waiting,
        source: Iterator[Task],
        on_result: Callable[[Any], Iterable[Task]],
        on_tick: Callable[[], None],
    ) -> None:
        while True:
            if self.stop.received:
                self._stop_flag[0] = 1
                if self.stop.received > 1 or not any(self._workers.values()):
                    raise Stopped(self._stopped)
            else:
                self._hand_out(waiting, source)
                if not any(self._workers.values()):
                    return
            for connection in wait([*self._workers], TICK_SECONDS):
                assert isinstance(connection, Connection)
                for result in self._receive(connection):
                    for task in on_result(result):
                        waiting.put(task)
            on_tick()

    def _hand_out(self, waiting: Waiting, source: Iterator[Task]) -> None:
        for depth in range(1, self._threads + 2):  # one more than can be at work at once
            for connection, at_work in self._workers.items():
                if at_work < depth:
                    task = waiting.take() or _next(source)
                    if task is None:
                        return
                    self._workers[connection] += 1
                    self._send(connection, task)

    def _send(self, connection: Connection, task: bytes) -> None:
        try:
            connection.send_bytes(task)
        except BrokenPipeError:
            raise _worker_lost() from None

    def _receive(self, connection: Connection) -> Iterator[Any]:
        try:
            done, result = connection.recv()
        except (EOFError, ConnectionResetError):
            raise _worker_lost() from None
        if isinstance(result, WorkerError):
            raise Failed("walk", f"an unforeseen error in a worker process: {result.trace}")
        if done:
            self._workers[connection] -= 1
        if result is not None:
            yield result


def _next(source: Iterator[Task]) -> bytes | None:
    for task in source:
        return pickle.dumps(task, pickle.HIGHEST_PROTOCOL)
    return None


def _worker_lost() -> Failed:
    return Failed("walk", "a worker process ended unexpectedly; was there too little memory?")


class WorkerError:
    def __init__(self, trace: str) -> None:
        self.trace = trace


def _work(
    connection: Connection, threads: int, stop_flag: mmap.mmap, context: Any, work: Path
) -> None:
    """A worker's life: tasks from the connection, until it is closed."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the process that forked this one decides
    logging.disable()  # and tells
    queue: SimpleQueue[Task] = SimpleQueue()
    lock = threading.Lock()

    def send(done: bool, result: Any) -> None:
        message = pickle.dumps((done, result), pickle.HIGHEST_PROTOCOL)
        with lock:
            connection.send_bytes(message)

    worker = Worker(lambda result: send(False, result), stop_flag, context, work)

    def loop() -> None:
        while True:
            task = queue.get()
            try:
                result = task.perform(worker)
            except Exception:
                result = WorkerError(traceback.format_exc())
            send(True, result)

    for _ in range(threads):
        threading.Thread(target=loop, daemon=True).start()
    try:
        while True:
            queue.put(connection.recv())
    except EOFError:
        os._exit(0)
