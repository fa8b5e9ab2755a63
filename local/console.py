"""What the demo shows: steps while they are taken, and at the end what there is."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import rich.console
from engine.command.screen import broken, indentation
from engine.command.text import size
from rich.table import Table

from admin.run_details import texts
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
        title = "The snapshots"
        table = _table("Snapshot")
        for heading in ("Files", "On disk, with directories", "Of that in no other snapshot"):
            table.add_column(heading, justify="right")
        for snapshot, usage in zip(snapshots, usages(snapshots), strict=True):
            sizes = (f"{usage.files:,}", _mebibytes(usage.total), _mebibytes(usage.unique))
            table.add_row(snapshot.name, *sizes)
        self._show(title, table)

    def versions(self, snapshots: Sequence[Path], name: str) -> None:
        title = f"The file {name} in its versions"
        table = _table("Snapshot", "Content")
        for snapshot in snapshots:
            table.add_row(snapshot.name, (snapshot / name).read_text().rstrip())
        self._show(title, table)

    def record(self, record: Record) -> None:
        self._title("The record of the last backup in DynamoDB")
        room = max(map(len, record))
        for name in sorted(record):
            for text in texts(record[name]):
                self.line(f"  {name:{room}}  {_printable(text)}")

    def notification(self, title: str, subject: str, message: Record) -> None:
        self._title(title)
        self.line(subject, style="bold")
        for line in json.dumps(message, indent=2).split("\n"):
            is_command = 'Command": ' in line  # to be pasted
            self._out.print(line if is_command else self._fitted(line))

    def logs(self, objects: Sequence[Record]) -> None:
        self._title("The logs in S3")
        above = ""
        for found in objects:
            folder, _, name = found["Key"].rpartition("/")
            if folder != above:
                self.line(f"  {folder}/")
            above = folder
            self.line(f"    {name}, {size(found['Size'])}")

    def _fitted(self, text: str) -> str:
        """On a terminal, broken between words: names are to be copied."""
        lines = text.split("\n")
        if self._out.is_terminal:
            width = self._out.width
            lines = [each for line in lines for each in broken(line, width, indentation(line))]
        return "\n".join(lines)

    def _show(self, title: str, table: Table) -> None:
        """The title may be wider than the table, which would break it."""
        self._title(title)
        self._out.print(table, soft_wrap=False)

    def _title(self, text: str) -> None:
        self.line(f"\n{text}", style="bold")


def _printable(text: str) -> str:
    """The text with what no terminal should get, as in the name of a file, written out."""
    decodable = text.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in decodable)


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"


def _table(*headings: str) -> Table:
    table = Table()
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
