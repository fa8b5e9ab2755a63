"""Child processes that can be stopped gracefully."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

TICK_SECONDS = 0.5


class StopSignals:
    """SIGTERM and SIGINT of this process, counted and passed on to the child at work.

    The child runs in a session of its own: a terminal's Ctrl-C reaches it only through here.
    """

    def __init__(self) -> None:
        self.received = 0
        self._pass_on: Callable[[], None] = lambda: None

    def install(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.received += 1
        self._pass_on()

    def run(self, command: Sequence[str], on_tick: Callable[[], None]) -> int:
        """Run ``command`` to its end, in silence; return its exit code.

        A stop signal ends it with its process group. The descriptors of this process that are
        inheritable (the folder's lock) stay open in it.
        """
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            close_fds=False,
            start_new_session=True,
        )
        self._pass_on = lambda: _end(child.pid)
        try:
            if self.received:
                self._pass_on()
            while True:
                try:
                    return child.wait(timeout=TICK_SECONDS)
                except subprocess.TimeoutExpired:
                    on_tick()
        finally:
            self._pass_on = lambda: None
            if self.received:
                _end(child.pid)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, once. Who presses it again, while that is said and
    cleaned up after, ends the process in silence. What was started to ignore it does."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is interrupt:
            signal.signal(signal.SIGINT, before)


def _end(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended by itself in this moment
        os.killpg(group, signal.SIGTERM)


def waits_at_fifo(process: int) -> bool:
    """Whether it hangs in opening one until somebody opens the other end. A wait for an NFS server
    that is away has other names."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/wchan").read_text() in ("wait_for_partner", "fifo_open")
    return False
