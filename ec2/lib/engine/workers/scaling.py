"""How many workers a run wants, and the Auto Scaling group that is told so."""

from __future__ import annotations

import math
import subprocess
from typing import NamedTuple

from engine.command import text
from engine.workers.queue import QueueError

WORTH = 300  # seconds that a worker shall have something to do
IDLE = 120  # seconds without any list after which none is expected any more
CALL_SECONDS = 60


class Backlog(NamedTuple):
    """waiting: lists that nobody has begun, or that workers are at. idle: seconds for which there
    are none. seconds: that a list takes a job, as far as is known. jobs: of one machine at the same
    time."""

    waiting: int
    idle: float
    seconds: float
    jobs: int


def wanted(backlog: Backlog, asked: int, most: int, worth: int) -> int:
    """``asked`` is what was said last. More are wanted when each has enough to do: a machine comes
    after a minute or two, and is paid for from then on. Fewer only when there is nothing left, as
    the group would end any of them: those without work end by themselves."""
    if not backlog.waiting and backlog.idle > IDLE:
        return 0
    enough = backlog.waiting * backlog.seconds / (backlog.jobs * worth)
    return max(asked, min(most, math.floor(enough)))


class Group:
    """most: instances that it may have. worth: see :data:`WORTH`."""

    def __init__(self, name: str, most: int, worth: int) -> None:
        self._name = name
        self._most, self._worth = most, worth
        self._asked = 0

    def adapt(self, backlog: Backlog) -> None:
        """Raises :class:`QueueError` if that cannot be."""
        capacity = wanted(backlog, self._asked, self._most, self._worth)
        if capacity != self._asked:
            self._set(capacity)

    def _set(self, capacity: int) -> None:
        self._asked = capacity  # whatever comes of it: what is refused is not asked again and again
        command = ["aws", "autoscaling", "set-desired-capacity", "--auto-scaling-group-name"]
        command += [self._name, "--desired-capacity", str(capacity), "--no-honor-cooldown"]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=CALL_SECONDS,
                start_new_session=True,  # a terminal's Ctrl-C is not for it
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise QueueError(f"set-desired-capacity: {error}") from error
        if done.returncode:
            said = text.shown(done.stderr.strip().replace(b"\n", b" "))
            raise QueueError(said or f"set-desired-capacity: exit code {done.returncode}")
