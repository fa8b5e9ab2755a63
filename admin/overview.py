"""Every backup stack of a region in one table: make status STACK=all"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from botocore.exceptions import ClientError
from common.records import Attributes, Run, newest_complete, runs_of, spoken
from rich.console import Console
from rich.table import Table
from rich.text import Text

from admin.command import Clients, explained, needed, say
from admin.runs import STYLES, table_of
from admin.stack import Stack


@dataclass(frozen=True)
class Line:
    """A stack, its newest run, and when its newest complete snapshot was made; or why nobody
    knows."""

    stack: Stack
    newest: Run | None = None
    complete: datetime | None = None
    error: str = ""

    @classmethod
    def of(cls, connect: Clients, stack: Stack) -> Line:
        """One stack that cannot be read does not hide the others."""
        try:
            return cls.read(stack, list(table_of(connect, stack).items()))
        except ClientError as error:
            return cls(stack, error=explained(error))

    @classmethod
    def read(cls, stack: Stack, items: list[Attributes]) -> Line:
        runs = runs_of(items)
        return cls(stack, runs[0] if runs else None, newest_complete(items, runs))

    @property
    def well(self) -> bool:
        return not self.error and not (self.newest and self.newest.failed)

    def cells(self, now: datetime) -> list[Text]:
        status = "no run yet" if self.newest is None else self.newest.status
        if self.error:
            status = "not known"
        begun = self.newest.started if self.newest else None
        return [
            Text(self.stack.name),
            Text(self.stack.outputs["SourceEFS"]),
            Text(f"{begun:%Y-%m-%d %H:%M}" if begun else ""),
            Text(status, STYLES.get(status, "" if self.newest is None else "red")),
            Text(f"{spoken(now - self.complete)} old" if self.complete else "none"),
        ]


def show_all(out: Console, connect: Clients, now: datetime) -> int:
    """Exit code 1: some newest run has not ended well, or is not known."""
    region = connect("cloudformation").meta.region_name
    lines = [Line.of(connect, stack) for stack in Stack.backups(connect)]
    if not lines:
        say(f"There is no backup stack in {region}.")
        return 0
    title = f"The backup stacks of {region}"
    found = table(title, lines, now)
    if needed(out, found) > out.width:
        found = table(title, lines, now, with_source=False)
    # What is still wider, the terminal breaks itself: that way, a name is copied as a whole.
    out.width = max(out.width, needed(out, found))
    out.print(found)
    for line in lines:
        if line.error:
            say(f"{line.stack.name}: {line.error}")
    return int(not all(line.well for line in lines))


def table(title: str, lines: list[Line], now: datetime, with_source: bool = True) -> Table:
    found = Table(title=title, title_justify="left", title_style="bold")
    source = ("Source",) if with_source else ()
    for heading in ("Stack", *source, "Last run (UTC)", "Status"):
        found.add_column(heading, no_wrap=True)
    found.add_column("Newest complete", no_wrap=True, justify="right")
    for line in lines:
        name, *rest = line.cells(now)
        found.add_row(name, *(rest if with_source else rest[1:]))
    return found
