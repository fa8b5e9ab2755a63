"""Which files are restored for a test, and when each was.

All paths are in a hundred parts. In each run some of these have their turn, those first whose last
turn was the longest ago: so it comes to each file of each snapshot, whatever becomes of a run.

    FOLDER/.daily.tests   when each part had its turn, and when it was found to be restorable
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engine.command.files import read_state, write_atomically

PARTS = 100


def part_of(path: bytes) -> int:
    return zlib.crc32(path) % PARTS


def never() -> list[int]:
    return [0] * PARTS


@dataclass
class Rotation:
    """Times in seconds since 1970. begun: when the first test was. tried, tested: when the test of
    each part last began, and when it last found all of it as it was backed up; 0 for never."""

    begun: int
    tried: list[int] = field(default_factory=never)
    tested: list[int] = field(default_factory=never)

    def next(self, count: int) -> list[int]:
        return sorted(range(PARTS), key=lambda part: (self.tried[part], part))[:count]

    def age(self, now: int) -> int:
        """For how many seconds the parts that were not tested the longest have not been."""
        return now - min(tested or self.begun for tested in self.tested)

    def save(self, path: Path) -> None:
        write_atomically(path, json.dumps(asdict(self)))


def read_rotation(path: Path, now: int) -> tuple[Rotation, str]:
    """And what is wrong with the file, if anything is: then nothing counts as tested."""
    try:
        found = json.loads(read_state(path))
        tried, tested = (_times(found[name], now) for name in ("tried", "tested"))
        begun = _time(found["begun"], now) or now
        return Rotation(begun, tried, tested), ""
    except FileNotFoundError:
        return Rotation(now), ""
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        lost = "it is not known when files were restored for a test"
        return Rotation(now), f"{str(path)!r} is damaged ({error}): {lost}"


def _times(found: Sequence[Any], now: int) -> list[int]:
    if not isinstance(found, list) or len(found) != PARTS:
        raise ValueError(f"there are not {PARTS} times")
    return [_time(each, now) for each in found]


def _time(found: Any, now: int) -> int:
    """One that is yet to come, of a clock that was wrong, would be that of a part for ever."""
    if not isinstance(found, int):
        raise TypeError(f"{found!r} is no time")
    return found if 0 <= found <= now else 0
