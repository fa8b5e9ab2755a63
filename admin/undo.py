"""Undoes a restore, on an instance of a stack of the restore template.

    make undo STACK=<backup stack> ID=20261120T021503Z-1f0a [DRYRUN=yes] [YES=1]
              [RestorePrefix=/a, or any other parameter] [REGION=eu-west-1] [WATCH=no] [KEEP=yes]

ID is what follows .efs-restore- in the name of the restore's safety directory. All that the restore
replaced or removed is put back; nothing is deleted. Exit code 0: undone, or planned by a dry run;
1: something else, explained.
"""

from __future__ import annotations

import sys

from common.statuses import PLANNED
from rich.console import Console

from admin.command import Given, confirmed, console
from admin.program import Command, Option
from admin.restore import GOOD, WATCHED, Request

SHORT = {"ID": "UndoId", "DRYRUN": "DryRun"}


def main(given: Given) -> int:
    if not given.get("UndoId"):
        given.required("ID", "20261120T021503Z-1f0a")
    request = Request.read(given, SHORT)
    out = console()
    describe(out, request)
    if not request.is_dry:
        what = "This puts back what the restore had replaced, and sets aside what it made"
        look = "To see first how much would be put back"
        confirmed(given, what, look, "undo it", out.is_terminal and sys.stdin.isatty())
    message = request.carry_out(out, "undo")
    if message is None:
        return 0
    if message["Status"] == PLANNED:
        again = request.command("undo", "DRYRUN", "DryRun")
        out.print(f"\nTo undo it:  {again}", soft_wrap=True)
    return 0 if message["Status"] in GOOD else 1


def describe(out: Console, request: Request) -> None:
    parameters = request.parameters
    place = f"{parameters['SrcEFS']}:{parameters['RestorePrefix']}"
    dry = "; a dry run, which changes nothing" if request.is_dry else ""
    out.print(f"Undo:  the restore {parameters['UndoId']} in {place}{dry}", soft_wrap=True)


COMMAND = Command(
    "undo",
    main,
    "undo a restore",
    (
        Option("ID", "20261120T021503Z-1f0a", "what follows .efs-restore- in its directory's name"),
        Option("DRYRUN", "", "say what would be put back, and change nothing"),
        *WATCHED,
    ),
    parameters=True,
    interrupted="Interrupted. An undo that has begun goes on, and notifies when it ends",
)
