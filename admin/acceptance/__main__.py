"""Tries in the user's own account what no emulator can tell, and removes all that it made.

    make acceptance REGION=eu-west-1 VPC=vpc-… SUBNETS=subnet-…,subnet-… EMAIL=you@example.com
                    [ONLY=a,c or all] [YES=yes]
    make acceptance REGION=eu-west-1 CLEAN=efs-acceptance-01234567

Exit code 0: all that was tried is as expected; 1: something is not, could not be tried, or could
not be removed. The report says which, and CLEAN removes what is left.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterable

from botocore.exceptions import BotoCoreError, ClientError

from admin.acceptance import report
from admin.acceptance.account import FOLDER, NAME, TAG, Account, Journal
from admin.acceptance.rows import Found, Row, chosen, shown
from admin.acceptance.scene import Scene
from admin.command import AdminError, Clients, Given, answer, clients, console, say
from admin.program import YES, Command, Option

# By computation; nobody has measured it. Boot, a small run, the end of the instance, each time.
LAUNCH_MINUTES, AROUND_MINUTES = 6, 25
# An hour of the instance that backs up, and what all else costs: storage, keys, logs, the client.
INSTANCE_DOLLARS, AROUND_DOLLARS = 0.17, 0.15
LOCAL = ("127.0.0.1", "localhost")


def main(given: Given) -> int:
    connect = clients(given.get("REGION"))
    region = connect("cloudformation").meta.region_name
    if name := given.get("CLEAN"):
        return clean(connect, name, region)
    network = {
        "VpcId": given.required("VPC", "vpc-0a1b2c3d"),
        "Subnets": given.required("SUBNETS", "subnet-0a1b2c3d,subnet-4e5f6a7b").replace(" ", ""),
        "Email": given.required("EMAIL", "you@example.com"),
    }
    if network["Subnets"].count(",") != 1:
        raise AdminError("SUBNETS are two, in different Availability Zones, with a comma between")
    rows = list(chosen(given.get("ONLY", "")))
    name = f"efs-acceptance-{secrets.token_hex(4)}"
    out = console()
    announce(connect, name, region, rows)
    confirm(given, out.is_terminal and sys.stdin.isatty())
    account = Account(connect, name, Journal.read(name, region), say, delay=pace(connect))
    scene = Scene(account, network, out, emulated=is_local(connect))
    found: list[tuple[Row, Found]] = []
    try:
        for row in rows:
            found.append((row, tried(row, scene)))
            say(f"({row.letter}) {row.title}: {shown(found[-1][1])}: {found[-1][1].text}")
            report.write(FOLDER / name / "report.md", name, region, found)
    finally:
        left = remove(account)
    say(f"The report: {FOLDER / name / 'report.md'}")
    return int(bool(left) or any(f.as_expected is False for _, f in found))


def tried(row: Row, scene: Scene) -> Found:
    """A row that fails keeps no other from being tried."""
    say(f"\n({row.letter}) {row.title}")
    if scene.emulated and row.not_local:
        return Found(None, f"not answered here: {row.not_local}")
    try:
        return row.check(scene)
    except (AdminError, ClientError, BotoCoreError) as error:
        return Found(False, f"it could not be tried: {error}")


def is_local(connect: Clients) -> bool:
    return any(host in connect("cloudformation").meta.endpoint_url for host in LOCAL)


def pace(connect: Clients) -> int:
    return 1 if is_local(connect) else 10


def announce(connect: Clients, name: str, region: str, rows: Iterable[Row]) -> None:
    rows = list(rows)
    needs = any(row.needs_snapshot for row in rows) and not any(row.letter == "k" for row in rows)
    launches = sum(row.launches for row in rows) + needs
    minutes = AROUND_MINUTES + launches * LAUNCH_MINUTES
    dollars = AROUND_DOLLARS + launches * LAUNCH_MINUTES / 60 * INSTANCE_DOLLARS
    account = connect("sts").get_caller_identity()["Account"]
    say(
        f"In the account {account}, in {region}, with the name {name} and the tag {TAG}={name}:\n"
        f"  {name}-source: a file system, an instance t3.micro, a role, a bucket for the release\n"
        f"  {name}: a stack of the backup template of what is here, {launches} instances one after"
        " the other\n"
        "  and for restores a stack each. All of it is removed at the end, and after Ctrl-C.\n"
        f"It takes about {minutes} minutes and ${dollars:.2f}; both are computed, not measured.\n"
        "Amazon SNS sends a request to confirm to the address that is given; ignore it.\n"
        f"Rows: {', '.join(f'({row.letter}) {row.title}' for row in rows)}"
    )


def confirm(given: Given, can_ask: bool) -> None:
    """Raises AdminError unless the user wants it."""
    if given.yes("YES"):
        return
    if not can_ask:
        raise AdminError("Nothing was done. To begin without a question, add YES=yes")
    if answer("Type yes to begin: ") != "yes":
        raise AdminError("Nothing was done")


def clean(connect: Clients, name: str, region: str) -> int:
    if not NAME.fullmatch(name):
        raise AdminError(f"CLEAN is {name!r}; it must be a name like efs-acceptance-01234567")
    return int(bool(remove(Account(connect, name, Journal.read(name, region), say, pace(connect)))))


def remove(account: Account) -> list[str]:
    """What is left."""
    command = f"make acceptance REGION={account.journal.region} CLEAN={account.name}"
    say(f"\nRemoving what was made. If this is interrupted:  {command}")
    left = account.remove_all()
    if left:
        say(f"This is left: {', '.join(left)}. To try again:  {command}", sys.stderr)
    else:
        say("All that was made is removed.")
    return left


COMMAND = Command(
    "acceptance",
    main,
    "try in your account what no emulator can tell, and remove it again",
    (
        Option("REGION", "eu-west-1", "where"),
        Option("VPC", "vpc-…", "in which network"),
        Option("SUBNETS", "subnet-…,subnet-…", "two of its subnets"),
        Option("EMAIL", "you@example.com", "who gets the notifications"),
        Option("ONLY", "a,c", "some of what it tries, or all"),
        YES,
        Option("CLEAN", "name", "remove what an earlier one has left"),
    ),
    stack=False,
)
