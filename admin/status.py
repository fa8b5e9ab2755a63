"""Shows the last runs of a backup stack: make status STACK=name [RUNS=10] [WATCH=no]

While a run is running, its progress is shown until it ends; WATCH=no shows everything once, as is
done where there is no terminal. Exit code 1: the newest run has not ended well.
"""

from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile
from typing import Any

from boto3.dynamodb.types import TypeDeserializer
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from admin import command
from admin.command import AdminError, Clients, Given, clients, console, printable, same_stack
from admin.stack import Stack

NEWEST_SNAPSHOT = "newest-snapshot"
POLL_SECONDS = 5
MESSAGE_LENGTH = 100
UNFINISHED = "unfinished"
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
class RunTable:
    """The DynamoDB table of a stack."""

    client: Any
    name: str

    def items(self) -> Iterator[Attributes]:
        for page in self.client.get_paginator("scan").paginate(TableName=self.name):
            yield from map(plain, page["Items"])

    def run(self, backup_id: str) -> Run:
        answer = self.client.get_item(TableName=self.name, Key={"BackupId": {"S": backup_id}})
        if "Item" not in answer:
            raise AdminError(f"The record of the run {backup_id} was removed from {self.name}")
        return Run(plain(answer["Item"]))


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


def main(given: Given) -> int:
    given.only("STACK", "REGION", "RUNS", "WATCH")
    name = given.required("STACK", "efs-backup")
    count = given.get("RUNS") or "10"
    if not count.isascii() or not count.isdigit():
        raise AdminError(f"RUNS is {count!r}; it must be a number")
    table = table_of(clients(given.get("REGION")), name)
    out = console()
    watch = given.yes("WATCH", default=out.is_terminal)
    items = list(table.items())
    runs = runs_of(items)
    now = datetime.now(UTC)
    if not runs:
        out.print(
            f"{name} has made no backup yet. To start one: make backup-now {same_stack(given)}"
        )
        return 0
    show(out, f"The last backups of {name}", runs[: int(count)], now)
    for sentence in (newest_snapshot(items, runs, now), partial_since(runs, now), undone(items)):
        if sentence:
            out.print(sentence)
    newest = runs[0]
    if newest.running and watch:
        newest = watch_run(out, table, newest)
        show(out, "It has ended", [newest], datetime.now(UTC))
    elif newest.running:
        out.print(str(Position.of(newest, now)))
    return int(newest.failed)


def table_of(connect: Clients, stack: str) -> RunTable:
    return RunTable(connect("dynamodb"), Stack.backup(connect, stack).resource("EFSDynamoDB"))


def newest_snapshot(items: Iterable[Attributes], runs: Iterable[Run], now: datetime) -> str:
    """A sentence about the age of the last complete one. Version 1.5 keeps no note of it."""
    noted = (i["Time"] for i in items if i["BackupId"] == NEWEST_SNAPSHOT and i.get("Run"))
    ends = [datetime.fromtimestamp(int(time), UTC) for time in noted]
    ends += [run.stopped for run in runs if run.status == "Success" and run.stopped]
    if not ends:
        return "No complete snapshot yet."
    return f"The newest complete snapshot is {spoken(now - max(ends))} old."


def partial_since(runs: Iterable[Run], now: datetime) -> str:
    """A sentence about a snapshot that is newer than the last complete one; empty if none is."""
    since = takewhile(lambda run: run.status != "Success", runs)
    for run in since:
        if run.status == "Partial" and (stopped := run.stopped):
            count = run.number("NumberOfFilesFailed")
            files = "some files" if count is None else f"{count:,} file(s)"
            age = spoken(now - stopped)
            return (
                f"The newest of all is partial: it is {age} old, and {files} could not be copied."
            )
    return ""


def undone(items: Iterable[Attributes]) -> str:
    """A sentence about what AWS refused when runs ended."""
    noted = [item for item in items if item["BackupId"] == UNFINISHED]
    steps = [set(value) for item in noted for key, value in item.items() if key != "BackupId"]
    if not steps:
        return ""
    what = ", ".join(sorted(set().union(*steps)))
    return (
        f"Of {len(steps)} run(s) that are over, AWS refused this, which is tried again each hour:"
        f" {what}. The log group of the function says why."
    )


def show(out: Console, title: str, runs: Iterable[Run], now: datetime) -> None:
    table = Table(title=title, title_justify="left", title_style="bold")
    for heading in ("Started (UTC)", "Status"):
        table.add_column(heading, no_wrap=True)
    for heading in ("Took", "Files", "Transferred", "Bytes"):
        table.add_column(heading, no_wrap=True, justify="right")
    table.add_column("Message")
    for run in runs:
        table.add_row(*row(run, now))
    out.print(table)


def row(run: Run, now: datetime) -> list[Text]:
    counts = [run.number(name) for name in ("NumberOfFiles", "NumberOfFilesTransferred")]
    size = run.number("TotalTransferredFileSize")
    return [
        Text(f"{run.started:%Y-%m-%d %H:%M}" if run.started else ""),
        Text(run.status, STYLES.get(run.status, "red")),
        Text(spoken(duration) if (duration := run.duration(now)) else ""),
        *(Text("" if count is None else f"{count:,}") for count in counts),
        Text("" if size is None else decimal(size)),
        Text(textwrap.shorten(run.message, MESSAGE_LENGTH, placeholder=" …")),
    ]


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
        if not progress:
            return cls(f"under way; {elapsed}", past.total_seconds(), run.window.total_seconds())
        done, total = (int(progress.get(name, 0)) for name in ("Done", "Total"))
        of = f" of {total:,}" if total else ""
        count = f", {done:,}{of} {progress.get('Unit', '')}" if done or total else ""
        return cls(f"{progress.get('Phase', '')}{count}; {elapsed}", done, total or None)

    def __str__(self) -> str:
        return f"It is running: {self.text}."


def watch_run(
    out: Console, table: RunTable, run: Run, pause: Callable[[float], None] = time.sleep
) -> Run:
    """Shows the progress of a run until it has ended; returns its last state."""
    columns = (SpinnerColumn(), BarColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=out, transient=True) as bar:
        task = bar.add_task("")
        while run.running:
            position = Position.of(run, datetime.now(UTC))
            bar.update(
                task, description=position.text, completed=position.done, total=position.total
            )
            pause(POLL_SECONDS)
            run = table.run(run.backup_id)
    return run


if __name__ == "__main__":
    sys.exit(command.run(main, "Interrupted. The backup goes on"))
