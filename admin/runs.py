"""The records of a stack's runs, as its table holds them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

from admin.command import AdminError, Clients, printable
from admin.stack import Stack

LOCK = "lock"
NEWEST_SNAPSHOT = "newest-snapshot"
STYLES = {"Success": "green", "Running": "cyan", "Partial": "yellow", "Incomplete": "yellow"}

Attributes = Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """A run's item in the table; version 1.5's have the same attributes, but no status at first."""

    attributes: Attributes

    @property
    def backup_id(self) -> str:
        return str(self.attributes["BackupId"])

    @property
    def status(self) -> str:
        return str(self.attributes.get("BackupStatus", "Unknown"))

    @property
    def running(self) -> bool:
        return self.status == "Running"

    @property
    def failed(self) -> bool:
        return self.status not in ("Running", "Success")

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
        return timedelta(minutes=int(self.attributes.get("BackupWindow", 0)))

    @property
    def message(self) -> str:
        return printable(str(self.attributes.get("Message", "")))

    def number(self, name: str) -> int | None:
        """An attribute that counts something, if the run has come so far as to count it."""
        try:
            return int(self.attributes[name])
        except (KeyError, ValueError):
            return None


@dataclass(frozen=True)
class Active:
    """The run that holds the lock, and when its window ends."""

    run: Run
    until: datetime


@dataclass(frozen=True)
class RunTable:
    """The DynamoDB table of a stack."""

    client: Any
    name: str

    def items(self) -> Iterator[Attributes]:
        for page in self.client.get_paginator("scan").paginate(TableName=self.name):
            yield from map(plain, page["Items"])

    def run(self, backup_id: str) -> Run:
        if (item := self._item(backup_id)) is None:
            raise AdminError(f"The record of the run {backup_id} was removed from {self.name}")
        return Run(item)

    def active(self) -> Active | None:
        """The run that is under way. Of version 1.5's nobody knows."""
        lock = self._item(LOCK)
        record = self._item(str(lock["Run"])) if lock else None
        if not lock or not record or not Run(record).running:
            return None
        return Active(Run(record), datetime.fromtimestamp(int(lock["Until"]), UTC))

    def _item(self, key: str) -> Attributes | None:
        answer = self.client.get_item(
            TableName=self.name, Key={"BackupId": {"S": key}}, ConsistentRead=True
        )
        return plain(answer["Item"]) if "Item" in answer else None


def plain(item: Mapping[str, Any]) -> Attributes:
    deserialize = TypeDeserializer().deserialize
    return {name: deserialize(value) for name, value in item.items()}


def runs_of(items: Iterable[Attributes]) -> list[Run]:
    """The runs among the items, the newest first."""
    runs = [Run(item) for item in items if "BackupStartTime" in item]
    oldest = datetime.min.replace(tzinfo=UTC)
    return sorted(runs, key=lambda run: run.started or oldest, reverse=True)


def moment(text: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)  # version 1.5 leaves the Z out


def table_of(connect: Clients, stack: Stack) -> RunTable:
    return RunTable(connect("dynamodb"), stack.resource("EFSDynamoDB"))


def newest_complete(items: Iterable[Attributes], runs: Iterable[Run]) -> datetime | None:
    """When the newest complete snapshot was made. Version 1.5 keeps no note of it."""
    noted = (i["Time"] for i in items if i["BackupId"] == NEWEST_SNAPSHOT and i.get("Run"))
    ends = [datetime.fromtimestamp(int(time), UTC) for time in noted]
    ends += [run.stopped for run in runs if run.status == "Success" and run.stopped]
    return max(ends, default=None)


def spoken(duration: timedelta) -> str:
    """A duration in its two largest units: 3 d 4 h, 12 min 30 s."""
    seconds = max(0, round(duration.total_seconds()))
    for (unit, size), (smaller, part) in pairwise(
        (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    ):
        if seconds >= size:
            rest = seconds % size // part
            return f"{seconds // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{seconds} s"
