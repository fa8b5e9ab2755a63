"""Undoes a restore, on an instance of a stack of the restore template.

    make undo STACK=<backup stack> ID=20261120T021503Z-1f0a [DRYRUN=yes] [YES=1]
              [RestorePrefix=/a, or any other parameter] [REGION=eu-west-1] [WATCH=no] [KEEP=yes]

ID is what follows .efs-restore- in the name of the restore's safety directory. All that the restore
replaced or removed is put back; nothing is deleted. Exit code 0: undone, or planned by a dry run;
1: something else, explained.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any

from common.statuses import PLANNED
from rich.console import Console

from admin.command import AdminError, Given, confirmed, console, say, say_command
from admin.restore import Request
from admin.wording import value_of

EXAMPLE = "20261120T021503Z-1f0a"
ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]+")
SHORT = {"ID": "UndoId", "DRYRUN": "DryRun"}


def main(given: Given) -> int:
    if not given.get("UndoId"):
        wanted = given.required("ID", EXAMPLE)
        if not ID.fullmatch(wanted):
            raise AdminError(f"{value_of('ID', wanted)} must look like this: {EXAMPLE}")
    request = Request.read(given, SHORT)
    out = console()
    describe(out, request)
    if not request.is_dry:
        what = "This puts back what the restore had replaced, and sets aside what it made"
        look = f"To see first how much would be put back, add {value_of('DRYRUN', 'yes')}"
        confirmed(given, what, look, "undo it", out.is_terminal and sys.stdin.isatty())
    return request.carry_out(out, "undo", say_next)


def say_next(out: Console, request: Request, message: Mapping[str, Any]) -> None:
    if message["Status"] == PLANNED:
        again = request.command("undo", "DRYRUN", "DryRun")
        say_command("\nTo undo it", again, out.file)


def describe(out: Console, request: Request) -> None:
    parameters = request.parameters
    place = f"{parameters['SrcEFS']}:{parameters['RestorePrefix']}"
    dry = "; a dry run, which changes nothing" if request.is_dry else ""
    say(f"Undo:  the restore {parameters['UndoId']} in {place}{dry}", out.file)
