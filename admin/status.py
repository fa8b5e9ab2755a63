"""Shows the last runs of a backup stack: make status STACK=name [RUNS=10] [WATCH=no]

Of those, the newest that did not end well is shown as a whole. RUN=… shows any run as a whole, by
its id or by when it started; STACK=all the last run of each backup stack of the region. While a run
is running, its progress is shown until it ends; WATCH=no shows everything once, as is done where
there is no terminal. Exit code 1: the newest run, or the one that was asked for, has not ended
well.
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import takewhile

from common.records import Attributes, Position, Run, newest_complete, runs_of, spoken
from common.statuses import PARTIAL, SUCCESS, not_copied
from common.table import KEY, UNFINISHED_KEY
from common.words import plural
from engine.command.text import size
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from admin import overview
from admin.command import AdminError, Given, clients, console, needed, same_stack, say_command
from admin.run_details import Links, Whole, chosen, newest_failed
from admin.runs import STYLES, RunTable, table_of
from admin.stack import Stack
from admin.wording import command, name_of

POLL_SECONDS = 5
MESSAGE_LENGTH = 100
MESSAGE_WIDTH = 110
COLUMNS = ("Started (UTC)", "Status", "Took", "Files", "Transferred", "Bytes", "Message")
ALL = "all"


def main(given: Given) -> int:
    name = given.required("STACK", "efs-backup")
    count = given.get("RUNS") or "10"
    if not count.isascii() or not count.isdigit():
        raise AdminError(f"{name_of('RUNS')} is {count!r}; it must be a number")
    connect = clients(given.get("REGION"))
    out = console()
    watch = given.yes("WATCH", default=out.is_terminal)
    if name == ALL:
        return overview.show_all(out, connect, datetime.now(UTC))
    stack = Stack.backup(connect, name)
    table = table_of(connect, stack)
    items = list(table.items())
    if not (runs := runs_of(items)):
        start = command("backup-now", same_stack(given))
        say_command(f"{name} has made no backup yet. To start one", start)
        return 0
    whole = Whole(out, Links.of(connect, stack), same_stack(given))
    if wanted := given.get("RUN"):
        run = chosen(runs, wanted)
        whole.show(f"A run of {name}", run, datetime.now(UTC), with_rest=True)
        return int(run.failed)
    now = datetime.now(UTC)
    show(out, f"The last backups of {name}", runs[: int(count)], now)
    for sentence in (newest_snapshot(items, runs, now), partial_since(runs, now), undone(items)):
        if sentence:
            out.print(sentence)
    if failed := newest_failed(runs[: int(count)]):
        whole.show(failed.title, failed.run, now)
    return int(follow(whole, table, runs[0], watch).failed)


def follow(whole: Whole, table: RunTable, newest: Run, watch: bool) -> Run:
    """Shows how far the newest run is, if it is running; until it ends, if it is watched."""
    if newest.running and watch:
        try:
            newest = watch_run(whole.out, table, newest)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("Interrupted. The backup goes on") from None
        now = datetime.now(UTC)
        show(whole.out, "It has ended", [newest], now)
        if newest.failed:
            whole.show("It did not end well", newest, now)
    elif newest.running:
        whole.out.print(str(Position.of(newest, datetime.now(UTC))))
    return newest


def newest_snapshot(items: Iterable[Attributes], runs: Iterable[Run], now: datetime) -> str:
    """A sentence about the age of the last complete one."""
    made = newest_complete(items, runs)
    if made is None:
        return "No complete snapshot yet."
    return f"The newest complete snapshot is {spoken(now - made)} old."


def partial_since(runs: Iterable[Run], now: datetime) -> str:
    """A sentence about a snapshot that is newer than the last complete one; empty if none is."""
    since = takewhile(lambda run: run.status != SUCCESS, runs)
    for run in since:
        if run.status == PARTIAL and (stopped := run.stopped):
            count = run.number("NumberOfFilesFailed")
            directories = run.number("NumberOfDirectoriesFailed") or 0
            what = not_copied(count, directories) if count else "some files could not be copied"
            return f"The newest of all is partial: it is {spoken(now - stopped)} old, and {what}."
    return ""


def undone(items: Iterable[Attributes]) -> str:
    """A sentence about what AWS refused when runs ended."""
    noted = [item for item in items if item[KEY] == UNFINISHED_KEY]
    steps = [set(value) for item in noted for key, value in item.items() if key != KEY]
    if not steps:
        return ""
    what = ", ".join(sorted(set().union(*steps)))
    return (
        f"When {plural(len(steps), 'run')} ended, AWS refused this, which is tried again each hour:"
        f" {what}. The log group of the function says why."
    )


def show(out: Console, title: str, runs: Iterable[Run], now: datetime) -> None:
    """On a narrow terminal without the last columns: a part of an amount would be another one."""
    rows = [row(run, now) for run in runs]
    found = listed(title, rows, len(COLUMNS) - (out.width < MESSAGE_WIDTH))
    while 2 < len(found.columns) < len(COLUMNS) and needed(out, found) > out.width:
        found = listed(title, rows, len(found.columns) - 1)
    out.print(found)


def listed(title: str, rows: Iterable[list[Text]], count: int) -> Table:
    """With so many columns."""
    found = Table(title=title, title_justify="left", title_style="bold")
    for heading in COLUMNS[:count]:
        right = heading in ("Took", "Files", "Transferred", "Bytes")
        found.add_column(
            heading, no_wrap=heading != "Message", justify="right" if right else "left"
        )
    for cells in rows:
        found.add_row(*cells[:count])
    return found


def row(run: Run, now: datetime) -> list[Text]:
    counts = [run.number(name) for name in ("NumberOfFiles", "NumberOfFilesTransferred")]
    transferred = run.number("TotalTransferredFileSize")
    return [
        Text(f"{run.started:%Y-%m-%d %H:%M}" if run.started else ""),
        Text(run.status, STYLES.get(run.status, "red")),
        Text(spoken(duration) if (duration := run.duration(now)) else ""),
        *(Text("" if count is None else f"{count:,}") for count in counts),
        Text("" if transferred is None else size(transferred)),
        Text(textwrap.shorten(run.message, MESSAGE_LENGTH, placeholder=" …")),
    ]


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
