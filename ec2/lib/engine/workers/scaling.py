"""How many workers a run wants, and the Auto Scaling group that is told so."""

from __future__ import annotations

import math
import re
import subprocess
from typing import NamedTuple

from engine.command import text
from engine.workers.queue import QueueError

WORTH = 300  # seconds that a worker shall have something to do
IDLE = 120  # seconds without any list after which none is expected any more
CALL_SECONDS = 60
# Seconds after which the group is told again. A refusal may have taken all of a call, in which
# nothing else is looked at. Workers that cannot work come and leave as often as they are asked for.
REFUSED, LEFT = 2 * CALL_SECONDS, 600
TOO_MANY = re.compile(rb"above max value (\d+)")


class Backlog(NamedTuple):
    """waiting: lists that nobody has begun. idle: seconds for which there are none, nor any that
    workers are at. seconds: that a list takes a job, as far as is known. jobs: of one machine at
    the same time."""

    waiting: int
    idle: float
    seconds: float
    jobs: int


class Said(NamedTuple):
    """What the group was told. capacity: that it took last. at: when it was told anything."""

    capacity: int = 0
    at: float = -math.inf
    is_refused: bool = False


def enough(backlog: Backlog, most: int, worth: int) -> int:
    """How many have enough to do: a machine comes after a minute or two, and is paid for from then
    on."""
    return min(most, math.floor(backlog.waiting * backlog.seconds / (backlog.jobs * worth)))


def wanted(backlog: Backlog, asked: int, most: int, worth: int) -> int:
    """Fewer than ``asked`` only when there is nothing left, as the group would end any of them:
    those without work end by themselves."""
    return 0 if backlog.idle > IDLE else max(asked, enough(backlog, most, worth))


def is_due(capacity: int, said: Said, worthwhile: int, now: float) -> bool:
    """Whether the group shall be told ``capacity``. The same one again brings back those that have
    left, if there is enough for all of them (``worthwhile``, see :func:`enough`)."""
    if said.is_refused:
        return now >= said.at + REFUSED
    if capacity != said.capacity:
        return True
    return 0 < capacity <= worthwhile and now >= said.at + LEFT


class Group:
    """most: instances that it may have. worth: see :data:`WORTH`."""

    def __init__(self, name: str, most: int, worth: int) -> None:
        self._name = name
        self._most, self._worth = most, worth
        self._said = Said()

    def adapt(self, backlog: Backlog, now: float) -> None:
        """now: of a clock that never jumps. Raises :class:`QueueError` if that cannot be."""
        worthwhile = enough(backlog, self._most, self._worth)
        capacity = wanted(backlog, self._said.capacity, self._most, self._worth)
        if not is_due(capacity, self._said, worthwhile, now):
            return
        before = self._said
        self._said = Said(before.capacity, now, is_refused=True)
        refusal = self._set(capacity)
        if not refusal:
            self._said = Said(capacity, now)
        elif (most := TOO_MANY.search(refusal)) and int(most[1]) < capacity:
            # It was made smaller. As many as it may have now are asked for at the next look.
            self._most = int(most[1])
            self._said = before._replace(capacity=min(before.capacity, self._most))
        else:
            raise QueueError(text.shown(refusal))

    def _set(self, capacity: int) -> bytes:
        """Returns why the group refuses."""
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
        if not done.returncode:
            return b""
        said = done.stderr.strip().replace(b"\n", b" ")
        return said or b"set-desired-capacity: exit code %d" % done.returncode
