"""What a run is doing at the moment, in a small file for whoever watches it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path

from engine.command.files import write_atomically

log = logging.getLogger(__name__)

WRITE_SECONDS = 3
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


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
        self._phase = ""
        self._next = clock()

    def begin(self, phase: str) -> None:
        """A new phase is written at once."""
        self._phase = phase
        self._next = self._clock()
        self.update(0)

    def due(self) -> bool:
        """Whether an update would be written now. Ask before counting what is dear to count."""
        return self._path is not None and self._clock() >= self._next

    def update(
        self, done: int, total: int | None = None, unit: str = "files", **counts: int
    ) -> None:
        """Write how far the phase is, unless that was done only a moment ago."""
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
