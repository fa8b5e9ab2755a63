"""What the records of a stack's runs say, as its table holds them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from common.statuses import RUNNING, SUCCESS, UNKNOWN
from common.table import KEY, NEWEST_KEY
from common.times import moment
from common.words import plural

LONGEST_WINDOW = 1_000_000  # minutes; what is longer nobody has set

Attributes = Mapping[str, Any]


@dataclass(frozen=True)
class Item:
    """A run's item in the table; version 1.5's have the same attributes, but no status at first."""

    attributes: Attributes

    @property
    def backup_id(self) -> str:
        return str(self.attributes[KEY])

    @property
    def status(self) -> str:
        return str(self.attributes.get("BackupStatus", UNKNOWN))

    @property
    def running(self) -> bool:
        return self.status == RUNNING


class Run(Item):
    """As people look at it."""

    @property
    def failed(self) -> bool:
        return self.status not in (RUNNING, SUCCESS)

    @property
    def started(self) -> datetime | None:
        return moment(self.attributes.get("BackupStartTime"))

    @property
    def stopped(self) -> datetime | None:
        return moment(self.attributes.get("BackupStopTime"))

    def duration(self, now: datetime) -> timedelta | None:
        end = now if self.running else self.stopped
        return end - self.started if end and self.started else None

    @property
    def window(self) -> timedelta:
        minutes = self.number("BackupWindow") or 0
        return timedelta(minutes=minutes if 0 <= minutes <= LONGEST_WINDOW else 0)

    @property
    def message(self) -> str:
        text = str(self.attributes.get("Message", ""))
        if workers := self.number("NumberOfWorkers"):
            text += f"; {plural(workers, 'worker')} helped to copy"
        return "".join(c if c.isprintable() else " " for c in text)

    def number(self, name: str) -> int | None:
        """An attribute that counts something, if the run has come so far as to count it."""
        return number(self.attributes.get(name))


def number(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def runs_of(items: Iterable[Attributes]) -> list[Run]:
    """The runs among the items, the newest first."""
    runs = [Run(item) for item in items if "BackupStartTime" in item]
    oldest = datetime.min.replace(tzinfo=timezone.utc)
    return sorted(runs, key=lambda run: run.started or oldest, reverse=True)


def newest_complete(items: Iterable[Attributes], runs: Iterable[Run]) -> datetime | None:
    """When the newest complete snapshot was made. Version 1.5 keeps no note of it."""
    noted = (i["Time"] for i in items if i[KEY] == NEWEST_KEY and i.get("Run"))
    ends = [datetime.fromtimestamp(int(time), timezone.utc) for time in noted]
    ends += [run.stopped for run in runs if run.status == SUCCESS and run.stopped]
    return max(ends, default=None)


def spoken(duration: timedelta) -> str:
    """A duration in its two largest units: 3 d 4 h, 12 min 30 s."""
    seconds = max(0, round(duration.total_seconds()))
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    for (unit, size), (smaller, part) in zip(units, units[1:]):
        if seconds >= size:
            rest = seconds % size // part
            return f"{seconds // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{seconds} s"


@dataclass(frozen=True)
class Position:
    """How far a run is: in its own words, or by its window until it says something."""

    text: str
    done: float
    total: float | None

    @classmethod
    def of(cls, run: Run, now: datetime) -> Position:
        past = run.duration(now) or timedelta()
        elapsed = f"{spoken(past)} of the window of {spoken(run.window)}"
        progress = run.attributes.get("Progress")
        if not isinstance(progress, Mapping) or not progress:
            return cls(f"under way; {elapsed}", past.total_seconds(), run.window.total_seconds())
        done, total = (number(progress.get(name)) or 0 for name in ("Done", "Total"))
        of = f" of {total:,}" if total else ""
        count = f", {done:,}{of} {progress.get('Unit', '')}" if done or total else ""
        return cls(f"{progress.get('Phase', '')}{count}; {elapsed}", done, total or None)

    def __str__(self) -> str:
        return f"It is running: {self.text}."
