"""Asks the next backup to hold, release, remove or verify a snapshot: nobody needs to mount it.

    make hold STACK=<backup stack> SNAPSHOT=daily.3 NAME=before-migration [NOW=yes]
    make release STACK=<backup stack> NAME=before-migration [NOW=yes]
    make remove STACK=<backup stack> SNAPSHOT=2026-11-20 [NOW=yes] [YES=1]
    make verify STACK=<backup stack> SNAPSHOT=2026-11-20 [NOW=yes]

What snapshots there are is known from the record of the last backup. The request names the one that
is meant by its date, which no later backup changes. NOW=yes starts a backup, which obeys first of
all, and verifies when its own snapshot is made. Exit code 0: it is asked for, and has begun with
NOW=yes; 1: it is not, and why.
"""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from common.dynamodb import tagged
from common.records import Attributes, Run, runs_of
from common.table import REQUESTS_KEY, key_of

from admin.backup_now import start
from admin.command import AdminError, Given, clients, confirmed, same_stack, say, say_command
from admin.runs import RunTable, table_of
from admin.stack import Stack
from admin.wording import command, name_of

HELD = "held."
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
TAKEN = re.compile(r"held\..*|(daily|weekly|monthly)\.[0-9]+|[0-9]{4}-[0-9]{2}-[0-9]{2}.*")
LINE = re.compile(r"(\S+) (\S+) (complete|partial): (.*)", re.DOTALL)


@dataclass(frozen=True)
class Snapshot:
    """As the last backup has told of it."""

    name: str
    made: str
    is_complete: bool

    @property
    def is_held(self) -> bool:
        return self.name.startswith(HELD)

    def __str__(self) -> str:
        return f"{self.name} (made {self.made})"


def main(action: str, given: Given) -> int:
    name = given.required("STACK", "efs-backup")
    for variable in TAKES[action]:
        given.required(variable, EXAMPLES[variable])
    connect = clients(given.get("REGION"))
    stack = Stack.backup(connect, name)
    table = table_of(connect, stack)
    snapshots = known(table.items())
    request = REQUESTS[action](given, snapshots)
    if action == "remove":
        snapshot = chosen(given["SNAPSHOT"], snapshots)
        date = exact(snapshot, snapshots)
        restore = command("restore", same_stack(given), DATE=date, DRYRUN="yes")
        look = f"To see first what would come back from it:\n  {restore}"
        confirmed(given, f"This removes {snapshot} for ever", look, "remove it", is_terminal())
    ask(table, request)
    when = "when its own snapshot is made" if action == "verify" else "first of all"
    say(f"Asked for: {' '.join(request.values())}. The next backup does it {when}.")
    if action == "verify":
        status = command("status", same_stack(given))
        say_command("What it found, at Requests and Warnings", status)
    if not given.yes("NOW"):
        say_command("To have it at once", command("backup-now", same_stack(given)))
        return 0
    return start(connect, stack, table, given)


def is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def known(items: Iterable[Attributes]) -> list[Snapshot]:
    """What the newest run that has made a snapshot says that there is."""
    for each in runs_of(items):
        if snapshots := told(each):
            return snapshots
    raise AdminError(
        "No backup has told yet which snapshots there are. Make one first, by backup-now"
    )


def told(run: Run) -> list[Snapshot]:
    """By this run; none if it has not told."""
    lines = run.attributes.get("Snapshots")
    found = [LINE.fullmatch(str(line)) for line in lines] if isinstance(lines, list) else []
    return [Snapshot(m[1], m[2], m[3] == "complete") for m in found if m]


def meant(text: str, snapshots: Sequence[Snapshot]) -> list[Snapshot]:
    """Those that have this name, are held as this, or were made then. Raises AdminError if there
    is none."""
    named = [each for each in snapshots if each.name in (text, f"{HELD}{text}")]
    is_date = re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:]{5}(:[0-9]{2}Z)?)?", text)
    dated = [each for each in snapshots if is_date and each.made.startswith(text)]
    if not (found := named or dated):
        there = ", ".join(map(str, snapshots))
        raise AdminError(f"There is no snapshot {text}. There are: {there}")
    return found


def chosen(text: str, snapshots: Sequence[Snapshot]) -> Snapshot:
    """The one that is meant by its name, the name of its hold, or when it was made."""
    found = meant(text, snapshots)
    if len(found) > 1:
        raise AdminError(f"{text} means {' and '.join(map(str, found))}. Give the time of one")
    return found[0]


def exact(snapshot: Snapshot, snapshots: Sequence[Snapshot]) -> str:
    """By its date, unless that is another's, too, as it may be of snapshots of version 1.5."""
    alike = [each for each in snapshots if each.made == snapshot.made]
    if len(alike) > 1 and not snapshot.is_held:
        raise AdminError(
            f"{' and '.join(map(str, alike))} cannot be told apart by their dates. Use "
            "efs-manage.sh on a machine that has mounted the backup"
        )
    return snapshot.name if snapshot.is_held else snapshot.made


def hold(given: Given, snapshots: Sequence[Snapshot]) -> dict[str, str]:
    snapshot, name = chosen(given["SNAPSHOT"], snapshots), given["NAME"]
    if not NAME.fullmatch(name) or TAKEN.fullmatch(name):
        raise AdminError(
            f"{name_of('NAME')} is {name!r}; it must be letters, digits, dots, dashes and"
            " underscores, begin with a letter or a digit, and be neither a date nor a name like"
            " daily.3"
        )
    if snapshot.is_held:
        raise AdminError(f"{snapshot} is held already. Release it first")
    if any(each.name == f"{HELD}{name}" for each in snapshots):
        raise AdminError(f"Another snapshot is held as {name}. Give another {name_of('NAME')}")
    return {"Action": "hold", "Snapshot": exact(snapshot, snapshots), "Name": name}


def release(given: Given, snapshots: Sequence[Snapshot]) -> dict[str, str]:
    names = [each.name.removeprefix(HELD) for each in snapshots if each.is_held]
    name = given["NAME"].removeprefix(HELD)
    if name not in names:
        raise AdminError(f"Nothing is held as {name}. Held are: {', '.join(names) or 'none'}")
    return {"Action": "release", "Snapshot": f"{HELD}{name}"}


def remove(given: Given, snapshots: Sequence[Snapshot]) -> dict[str, str]:
    snapshot = chosen(given["SNAPSHOT"], snapshots)
    if snapshot.is_held:
        raise AdminError(f"{snapshot} is held. Release it first")
    if snapshot == next((e for e in snapshots if e.is_complete and not e.is_held), None):
        raise AdminError(f"{snapshot} is the newest complete one, and is not removed")
    return {"Action": "remove", "Snapshot": exact(snapshot, snapshots)}


def verify(given: Given, snapshots: Sequence[Snapshot]) -> dict[str, str]:
    return {"Action": "verify", "Snapshot": exact(chosen(given["SNAPSHOT"], snapshots), snapshots)}


def ask(table: RunTable, request: dict[str, str]) -> None:
    """Each request has an attribute of its own, so that no writer overwrites another."""
    identifier = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
    table.client.update_item(
        TableName=table.name,
        Key=key_of(REQUESTS_KEY),
        UpdateExpression="SET #request = :request",
        ExpressionAttributeNames={"#request": identifier},
        ExpressionAttributeValues={":request": tagged(request)},
    )


REQUESTS = {"hold": hold, "release": release, "remove": remove, "verify": verify}
TAKES = {
    "hold": ("SNAPSHOT", "NAME"),
    "release": ("NAME",),
    "remove": ("SNAPSHOT",),
    "verify": ("SNAPSHOT",),
}
EXAMPLES = {"SNAPSHOT": "daily.3", "NAME": "before-migration"}
