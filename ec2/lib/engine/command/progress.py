"""What a run is doing at the moment: in a small file for whoever watches it from elsewhere, on a
line of the terminal, or once a minute in the log."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from common.times import utc_now

from engine.command.files import write_atomically
from engine.command.process import StopSignals
from engine.command.screen import ANSWER, Screen
from engine.command.text import duration, size

log = logging.getLogger(__name__)

WRITE_SECONDS = 3
LIVE_SECONDS = 0.2
LOG_SECONDS = 60
TITLES = {
    "copy": "copying",
    "directories": "finishing directories",
    "publish": "writing to storage",
    "catalog": "writing the catalog",
    "read back": "reading",
    "re-check": "reading",
    "expire": "tidying up",
    "restore test": "restoring as a test",
    "plan": "comparing",
    "fetch": "fetching",
    "swap": "putting in place",
    "check": "checking",
    "undo": "undoing",
    "hold": "holding",
    "release": "releasing",
    "remove": "removing",
}
STOPPING = "stopping when what is at work is done; a second Ctrl-C or SIGTERM ends that, too"
# What a line does without first if it is too long.
DISPENSABLE = ("speed", "rate", "share", "bytes", "copies", "left")


class Progress:
    """Writes ``path``, if there is one, as a JSON object: phase, done, total (if it is known),
    unit, updated (UTC), and whatever else is counted. Tells the ``screen``, if there is one.

    Watching must not disturb: a file that cannot be written is said once in the log and given up.
    """

    def __init__(
        self,
        path: Path | None = None,
        screen: Screen | None = None,
        stop: StopSignals | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._screen = screen
        self._stop = stop
        self._clock = clock
        self._phase = ""
        self._began = self._next = self._next_live = clock()
        self._next_log = clock() + LOG_SECONDS

    def begin(self, phase: str) -> None:
        """A new phase is written at once."""
        self._phase = phase
        self._began = self._next = self._next_live = self._clock()
        self.update(0)

    def due(self) -> bool:
        """Whether an update would be written now. Ask before counting what is dear to count."""
        return self._path is not None and self._clock() >= self._next

    def update(
        self, done: int, total: int | None = None, unit: str = "files", **counts: int
    ) -> None:
        """Tell how far the phase is, unless that was done only a moment ago."""
        if self._screen:
            self._tell_people(self._screen, done, total, unit, counts)
        if self._path is None or not self.due():
            return
        self._next = self._clock() + WRITE_SECONDS
        found: dict[str, str | int] = {"phase": self._phase, "done": done, "unit": unit, **counts}
        if total is not None:
            found["total"] = total
        found["updated"] = utc_now()
        try:
            write_atomically(self._path, json.dumps(found), durably=False)
        except OSError as error:
            log.warning("the progress cannot be written: %s", error)
            self._path = None

    def _tell_people(
        self, screen: Screen, done: int, total: int | None, unit: str, counts: Mapping[str, int]
    ) -> None:
        now = self._clock()
        if self._stop and self._stop.received:
            self._stop = None
            log.log(ANSWER, STOPPING)
        title = TITLES.get(self._phase, self._phase)
        state = State(title, now - self._began, done, total, unit, counts)
        if screen.is_live and now >= self._next_live:
            self._next_live = now + LIVE_SECONDS
            screen.draw(state.described((screen.columns or 0) - 1))
        if not screen.is_live and now >= self._next_log:
            self._next_log = now + LOG_SECONDS
            log.info("%s", state.described())


class State(NamedTuple):
    """seconds: since the phase began. counts: bytes, and of a phase that copies while it looks,
    copies; once all has been seen, also how many are listed to be copied."""

    title: str
    seconds: float
    done: int
    total: int | None = None
    unit: str = "files"
    counts: Mapping[str, int] = {}

    def described(self, columns: int | None = None) -> str:
        """One line: how far, how much, how fast, and how long the rest takes at this rate; of these
        what there is room for.

        >>> state = State("fetching", 10, 500, 2000, "files", {"bytes": 1 << 20})
        >>> state.described()
        'fetching: 500 of 2,000 files (25 %), 1.0 MiB, 50 files/s, 102.4 KiB/s, 30 s left'
        >>> state.described(40)
        'fetching: 500 of 2,000 files, 30 s left'
        """
        parts = self._parts()
        for name in DISPENSABLE:
            if columns is None or len("".join(parts.values())) <= columns:
                break
            parts.pop(name, None)
        return "".join(parts.values())[: None if columns is None else max(columns, 0)]

    def _parts(self) -> dict[str, str]:
        written = self.counts.get("bytes", 0)
        parts = {"far": self._far()}
        if self.total:
            parts["share"] = f" ({min(100 * self.done // self.total, 100)} %)"
        if self._is_copying:
            copies, listed = (self.counts[name] for name in ("copies", "listed"))
            parts["copies"] = f", {copies:,} of {listed:,} copied"
        if written:
            parts["bytes"] = f", {size(written)}"
        if self.seconds < 1:
            return parts
        if self.done:
            parts["rate"] = f", {self.done / self.seconds:,.0f} {self.unit}/s"
        if written:
            parts["speed"] = f", {size(round(written / self.seconds))}/s"
        if left := self._left():
            parts["left"] = f", {duration(left)} left"
        elif not self.done:
            parts["left"] = f", {duration(self.seconds)}"  # that something is done
        return parts

    def _far(self) -> str:
        if not self.done and not self.total:
            return self.title
        of = f" of {self.total:,}" if self.total else ""
        return f"{self.title}: {self.done:,}{of} {self.unit}"

    @property
    def _is_copying(self) -> bool:
        return self.counts.get("copies", 0) < self.counts.get("listed", 0)

    def _left(self) -> float:
        """In seconds; 0 if it is not known."""
        pairs = [(self.done, self.total or 0)]
        if self._is_copying:
            pairs.append((self.counts["copies"], self.counts["listed"]))
        times = [(whole - part) * self.seconds / part for part, whole in pairs if part]
        return max([each for each in times if each >= 1], default=0)
