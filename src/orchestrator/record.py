"""The items of the DynamoDB table: the runs' records, the lock, and the newest snapshot."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from common.dynamodb import plain_item, tagged_item
from common.records import Item as RunItem
from common.table import LOCK_KEY, NEWEST_KEY, key_of
from common.times import moment, timestamp

# The attribute of a record that names the steps of the run's end that are not done yet.
UNDONE = "Undone"

# What the orchestrator writes when it closes a run that did not report.
CLOSING = ("BackupStatus", "Message", "WhatToDo", "BackupStopTime")

# The lists are the instance's warnings and errors, one line each; the map is its progress.
Value = str | int | float | list[str] | dict[str, str | int | float]
Item = dict[str, dict[str, Any]]


class Hook(StrEnum):
    """A moment of a run at which a function of the user's is called: the attribute of the record
    that says what came of it."""

    BEFORE = "BeforeBackup"
    AFTER = "AfterBackup"


DONE = "done"
"""What the attribute says of a function that answered; of any other it says why not."""


class Record(RunItem):
    """One backup run. Attributes carry their names in the table; the instance adds its own."""

    attributes: Mapping[str, Value]

    @property
    def message(self) -> str:
        return str(self.attributes.get("Message", ""))

    @property
    def started(self) -> str:
        return str(self.attributes.get("BackupStartTime", "an unknown time"))

    def time(self, name: str) -> datetime | None:
        """The time in this attribute; None if there is none that can be read."""
        return moment(self.attributes.get(name))

    def number(self, name: str) -> int | float | None:
        value = self.attributes.get(name)
        return value if isinstance(value, int | float) else None

    @property
    def instance(self) -> str:
        """The instance that works on this run, '' if none has said so."""
        return str(self.attributes.get("InstanceId", ""))

    @property
    def booted(self) -> bool:
        """Whether an instance ever reported that it works on this run."""
        return bool(self.instance)

    def failed(self, hook: Hook) -> str:
        """Why the function for this moment did not do it; '' if it did, or was not called yet."""
        said = str(self.attributes.get(hook, DONE))
        return "" if said == DONE else said

    def closed(self, status: str, message: str, what_to_do: str, now: datetime) -> "Record":
        """This record with a final status, as the orchestrator closes it."""
        end = (status, message, what_to_do, timestamp(now))
        return Record({**self.attributes, **dict(zip(CLOSING, end, strict=True))})

    def to_item(self) -> Item:
        return tagged_item(self.attributes)

    @classmethod
    def from_item(cls, item: Item) -> "Record":
        return cls(plain_item(item))


@dataclass(frozen=True)
class Lock:
    """The one active run, and when its window ends."""

    run: str
    until: datetime

    def to_item(self) -> Item:
        until = str(int(self.until.timestamp()))
        return {**key_of(LOCK_KEY), "Run": {"S": self.run}, "Until": {"N": until}}

    @classmethod
    def from_item(cls, item: Item) -> "Lock":
        return cls(item["Run"]["S"], datetime.fromtimestamp(int(item["Until"]["N"]), UTC))


@dataclass(frozen=True)
class NewestSnapshot:
    """The run that made the newest snapshot, '' if none has yet, and when it ended.

    Without any snapshot the time is when somebody first asked: so long the deployment has none.
    """

    run: str
    time: datetime

    def to_item(self) -> Item:
        time = str(int(self.time.timestamp()))
        return {**key_of(NEWEST_KEY), "Time": {"N": time}, "Run": {"S": self.run}}

    @classmethod
    def from_item(cls, item: Item) -> "NewestSnapshot":
        return cls(item["Run"]["S"], datetime.fromtimestamp(int(item["Time"]["N"]), UTC))


class Step(StrEnum):
    """What there is to do when a run has ended, in the order in which it is tried again.

    The status comes last: what is said of a run may have to be said anew when it is closed late.
    """

    CAPACITY = "capacity"
    WORKERS = "workers"
    NEWEST = "newest snapshot"
    NOTIFICATION = "notification"
    EVENT = "event"
    STATUS = "status"


Unfinished = Mapping[str, frozenset[Step]]
"""Runs that are over, by backup id, and what a service refused to do when they ended."""


def unfinished_from_item(item: Item) -> Unfinished:
    """Each run has an attribute of its own, so that no writer overwrites another."""
    known = frozenset(Step)
    noted = {run: known & set(value.get("SS", ())) for run, value in item.items()}
    return {run: frozenset(map(Step, steps)) for run, steps in noted.items() if steps}
