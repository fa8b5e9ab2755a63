"""What the demo shows: steps while they are taken, and at the end what there is."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import rich.console
from engine.command.screen import broken, indentation
from rich.table import Table

from local.api import Record
from local.tree import usages

WIDTH_ELSEWHERE = 140


class Console:
    """On a terminal with colours and a spinner; elsewhere line by line."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._out = rich.console.Console(
            highlight=False,
            markup=False,
            soft_wrap=True,
            width=None if sys.stdout.isatty() else WIDTH_ELSEWHERE,
        )

    def line(self, text: str, style: str = "") -> None:
        self._out.print(self._fitted(text), style=style)

    def detail(self, text: str) -> None:
        self._out.print(self._fitted(f"         {_printable(text)}"), style="dim")

    def heading(self, text: str) -> None:
        self._out.print(f"\n── {text} ", style="bold")

    def failure(self, message: str, home: Path) -> None:
        self.line(f"\nThe demo failed: {message}", style="bold red")
        self.line(f"Logs: {home}/emulator.log and {home}/instances/*/var/log/")

    @contextmanager
    def step(self, title: str) -> Iterator[Callable[[str], None]]:
        """Shows what is being done. The function it gives shows how that gets on."""
        began = time.monotonic()
        self.line(f"{began - self._started:5.1f} s  {title}")
        with self._out.status("") as spinner:
            yield lambda text: spinner.update(text)

    def snapshots(self, snapshots: Sequence[Path]) -> None:
        table = _table("The snapshots", "Snapshot")
        for heading in ("Files", "On disk, with directories", "Of that in no other snapshot"):
            table.add_column(heading, justify="right")
        for snapshot, usage in zip(snapshots, usages(snapshots), strict=True):
            sizes = (f"{usage.files:,}", _mebibytes(usage.total), _mebibytes(usage.unique))
            table.add_row(snapshot.name, *sizes)
        self._show(table)

    def versions(self, snapshots: Sequence[Path], name: str) -> None:
        table = _table(f"The file {name} in its versions", "Snapshot", "Content")
        for snapshot in snapshots:
            table.add_row(snapshot.name, (snapshot / name).read_text().rstrip())
        self._show(table)

    def record(self, record: Record) -> None:
        table = _table("The record of the last backup in DynamoDB", "Attribute", "Value")
        for name in sorted(record):
            table.add_row(name, str(record[name]))
        self._show(table)

    def notification(self, title: str, subject: str, message: Record) -> None:
        table = _table(title, subject)
        table.add_row(json.dumps(message, indent=2))
        self._show(table)

    def logs(self, objects: Sequence[Record]) -> None:
        table = _table("The logs in S3", "Object")
        table.add_column("Bytes", justify="right")
        for found in objects:
            table.add_row(found["Key"], str(found["Size"]))
        self._show(table)

    def _fitted(self, text: str) -> str:
        """On a terminal, broken between words: names are to be copied."""
        lines = text.split("\n")
        if self._out.is_terminal:
            width = self._out.width
            lines = [each for line in lines for each in broken(line, width, indentation(line))]
        return "\n".join(lines)

    def _show(self, table: Table) -> None:
        self._out.print()
        self._out.print(table, soft_wrap=False)


def _printable(text: str) -> str:
    """The text with what no terminal should get, as in the name of a file, written out."""
    decodable = text.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in decodable)


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
