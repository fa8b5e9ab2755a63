"""What a run is doing at the moment: in a small file for whoever watches it from elsewhere, on a
line of the terminal, or once a minute in the log."""

from __future__ import annotations

import json
import logging
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from engine.command.files import write_atomically
from engine.command.text import TIME_FORMAT, size

log = logging.getLogger(__name__)

WRITE_SECONDS = 3
LIVE_SECONDS = 0.2
LOG_SECONDS = 60
CLEAR_LINE = "\r\x1b[K"


class Progress:
    """Writes ``path``, if there is one, as a JSON object: phase, done, total (if it is known),
    unit, updated (UTC), and whatever else is counted.

    Watching must not disturb: a file that cannot be written is said once in the log and given up.
    """

    def __init__(
        self, path: Path | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = path
        self._clock = clock
        self._is_live = path is None and sys.stderr.isatty()
        self._phase = ""
        self._began = self._next = self._next_live = clock()
        self._next_log = clock() + LOG_SECONDS
        self.logs = False  # whether the log is told, too

    def begin(self, phase: str) -> None:
        """A new phase is written at once."""
        self._phase = phase
        self._began = self._next = self._clock()
        self.update(0)

    def end(self) -> None:
        """Leave the terminal as a line of it was found."""
        if self._is_live:
            print(CLEAR_LINE, end="", file=sys.stderr, flush=True)

    def due(self) -> bool:
        """Whether an update would be written now. Ask before counting what is dear to count."""
        return self._path is not None and self._clock() >= self._next

    def update(
        self, done: int, total: int | None = None, unit: str = "files", **counts: int
    ) -> None:
        """Tell how far the phase is, unless that was done only a moment ago."""
        self._tell_people(done, total, unit, counts.get("bytes", 0))
        if self._path is None or not self.due():
            return
        self._next = self._clock() + WRITE_SECONDS
        found: dict[str, str | int] = {"phase": self._phase, "done": done, "unit": unit, **counts}
        if total is not None:
            found["total"] = total
        found["updated"] = time.strftime(TIME_FORMAT, time.gmtime())
        try:
            write_atomically(self._path, json.dumps(found), durably=False)
        except OSError as error:
            log.warning("the progress cannot be written: %s", error)
            self._path = None

    def _tell_people(self, done: int, total: int | None, unit: str, written: int) -> None:
        now = self._clock()
        if self._is_live and now >= self._next_live:
            self._next_live = now + LIVE_SECONDS
            width = shutil.get_terminal_size().columns - 1
            line = described(self._phase, done, total, unit, written, now - self._began)
            print(CLEAR_LINE + line[:width], end="", file=sys.stderr, flush=True)
        if self.logs and now >= self._next_log:
            self._next_log = now + LOG_SECONDS
            line = described(self._phase, done, total, unit, written, now - self._began)
            log.info("%s", line)


def described(
    phase: str, done: int, total: int | None, unit: str, written: int, seconds: float
) -> str:
    """One line: how far, how much, how fast, and how long the rest takes at this rate.

    >>> described("fetch", 500, 2000, "files", 1 << 20, 10)
    'fetch: 500 of 2,000 files, 1.0 MiB, 50 files/s, 30 s left'
    """
    words = [f"{phase}: {done:,}" + (f" of {total:,}" if total else "") + f" {unit}"]
    if written:
        words.append(size(written))
    if done and seconds >= 1:
        words.append(f"{done / seconds:,.0f} {unit}/s")
        if total and total > done:
            words.append(f"{duration((total - done) * seconds / done)} left")
    return ", ".join(words)


def duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} minutes"
