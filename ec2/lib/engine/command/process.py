"""Child processes that can be stopped gracefully."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
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

    def run(
        self,
        command: Sequence[str],
        log: Path,
        stop_with: signal.Signals,
        environment: dict[str, str] | None = None,
        on_tick: Callable[[], None] = lambda: None,
        to_leader: bool = False,
    ) -> int:
        """Run ``command`` to its end, output to ``log``; return its exit code.

        Each stop signal is passed on to its process group as ``stop_with``, or with ``to_leader``
        to the command alone, which then ends its children as it likes; what is left of its group
        is ended after it. The descriptors of this process that are inheritable (the folder's lock)
        stay open in it.
        """
        with log.open("ab") as output:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                close_fds=False,
                start_new_session=True,
            )
            send = os.kill if to_leader else os.killpg
            self._pass_on = lambda: _send(send, child.pid, stop_with)
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
                    _send(os.killpg, child.pid, signal.SIGTERM)


def _send(send: Callable[[int, int], None], process: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended by itself in this moment
        send(process, number)


def waits_at_fifo(process: int) -> bool:
    """Whether it hangs in opening one until somebody opens the other end. A wait for an NFS server
    that is away has other names."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/wchan").read_text() in ("wait_for_partner", "fifo_open")
    return False
