"""What the first backup after an update from version 1.5 costs: it copies most files once more."""

from __future__ import annotations

from collections.abc import Iterator

from common.records import Run, runs_of
from common.window import STOP_BEFORE_END

from admin.command import Clients
from admin.cost import model
from admin.cost.tables import dollars
from admin.runs import table_of
from admin.stack import Stack
from admin.wording import command

# Where no run has said how many files there are.
TYPICAL_FILE = 2**20


def said(connect: Clients, stack: Stack) -> Iterator[str]:
    """Lines about a stack of version 1.5, from what is known of its source and its runs."""
    source = connect("efs").describe_file_systems(FileSystemId=stack.parameters["SrcEFS"])
    size = source["FileSystems"][0]["SizeInBytes"]["Value"]
    counted = files_of(runs_of(table_of(connect, stack).items()))
    case = model.Case(
        files=counted or max(1, size // TYPICAL_FILE), gb=max(size / model.GIB, 0.001)
    )
    prices = model.load_prices()
    first = model.bursting(prices, case).first
    twice = case.gb * prices["efs_ia_bursting"]
    took = model.hours(case, model.CURRENT, case.gb)
    window = int(stack.parameters.get("BackupWindow", "180"))
    files = f"{case.files:,} files" if counted else "files whose number nobody knows"
    yield f"{stack.name} is of version 1.5, whose modification times have no fractions of seconds."
    yield f"So its next backup copies most files once more: {case.gb:,.1f} GB, {files}."
    yield f"  That takes some {took:,.1f} hours; the window is {window / 60:,.1f} hours"
    if took * 60 > window - STOP_BEFORE_END.total_seconds() / 60:
        yield "    (a backup that its window ends is continued by the next one)."
    yield f"  It costs some {dollars(first)} if the source has elastic throughput,"
    yield f"  and {dollars(twice)} a month more while snapshots of version 1.5 are kept."
    yield f"An estimate with list prices: docs/upgrade.md, {command('cost')}."


def files_of(runs: list[Run]) -> int | None:
    """As the newest run that counted them has said."""
    return next((n for run in runs if (n := run.number("NumberOfFiles"))), None)
