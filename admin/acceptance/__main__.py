"""Tries in the user's own account what no emulator can tell, and removes all that it made.

    make acceptance REGION=eu-west-1 VPC=vpc-… SUBNETS=subnet-…,subnet-… EMAIL=you@example.com
                    [ONLY=a,c or all] [REPLICA=eu-central-1] [YES=yes]
    make acceptance REGION=eu-west-1 AGAIN=efs-acceptance-01234567   the second visit of ONLY=i
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
from admin.acceptance.account import NAME, TAG, Account, Journal
from admin.acceptance.found import Found, shown
from admin.acceptance.rows import COLD, Row, chosen
from admin.acceptance.scene import Scene
from admin.command import AdminError, Clients, Given, answer, clients, console, say
from admin.wording import command, name_of, value_of

# By computation; nobody has measured it. Boot, a small run, the end of the instance, each time.
LAUNCH_MINUTES, AROUND_MINUTES = 6, 40
# An hour of the instance that backs up, and what all else costs: storage, keys, logs, the client.
INSTANCE_DOLLARS, AROUND_DOLLARS = 0.17, 0.15
# The client, and what the backup keeps.
DAY_DOLLARS = 0.30
LOCAL = ("127.0.0.1", "localhost")


def main(given: Given) -> int:
    connect = clients(given.get("REGION"))
    region = connect("cloudformation").meta.region_name
    if name := given.get("CLEAN"):
        return int(bool(remove(account_of(connect, named("CLEAN", name), region))))
    if name := given.get("AGAIN"):
        return second_visit(connect, named("AGAIN", name), region)
    network = {
        "VpcId": given.required("VPC", "vpc-0a1b2c3d"),
        "Subnets": given.required("SUBNETS", "subnet-0a1b2c3d,subnet-4e5f6a7b").replace(" ", ""),
        "Email": given.required("EMAIL", "you@example.com"),
    }
    if network["Subnets"].count(",") != 1:
        raise AdminError("SUBNETS are two, in different Availability Zones, with a comma between")
    rows = list(chosen(given.get("ONLY", "")))
    name = f"efs-acceptance-{secrets.token_hex(4)}"
    account = account_of(connect, name, region)
    scene = Scene(account, network, console(), emulated=is_local(connect))
    scene.replica = given.get("REPLICA", "")
    announce(scene, rows)
    confirm(given, scene.out.is_terminal and sys.stdin.isatty())
    return carry_out(scene, rows)


def account_of(connect: Clients, name: str, region: str) -> Account:
    return Account(connect, name, Journal.read(name, region), say, delay=pace(connect))


def named(variable: str, name: str) -> str:
    if not NAME.fullmatch(name):
        raise AdminError(f"{variable} is {name!r}; it must be a name like efs-acceptance-01234567")
    return name


def second_visit(connect: Clients, name: str, region: str) -> int:
    account = account_of(connect, name, region)
    if not account.is_own(name):
        raise AdminError(f"There is no stack {name} with the tag {TAG}={name} in {region}")
    return carry_out(Scene(account, {}, console(), emulated=is_local(connect)), [COLD])


def carry_out(scene: Scene, rows: Iterable[Row]) -> int:
    """Tries the rows, and removes everything, whatever happens; unless a second visit wants it."""
    account, found = scene.account, list[tuple[Row, Found]]()
    path = account.journal.path.with_name("report.md")
    left: list[str] = []
    try:
        for row in rows:
            found.append((row, tried(row, scene)))
            say(f"({row.letter}) {row.title}: {shown(found[-1][1])}: {found[-1][1].text}")
            report.write(path, account.name, scene.region, found)
    except BaseException:
        scene.stays = False
        raise
    finally:
        if not scene.stays:
            left = remove(account)
    if scene.stays:
        say(
            f"\nAll that was made stays, and costs about ${DAY_DOLLARS:.2f} a day. To remove it"
            f" without a second visit:  {cleaning(account)}"
        )
    say(f"The report: {path}")
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


def announce(scene: Scene, rows: Iterable[Row]) -> None:
    rows = list(rows)
    letters = {row.letter for row in rows}
    needs = any(row.needs_snapshot for row in rows) and "k" not in letters
    launches = sum(row.launches for row in rows) + needs
    minutes = AROUND_MINUTES + launches * LAUNCH_MINUTES
    dollars = AROUND_DOLLARS + launches * LAUNCH_MINUTES / 60 * INSTANCE_DOLLARS
    number, name = scene.client("sts").get_caller_identity()["Account"], scene.account.name
    more = ""
    if "e" in letters and scene.replica_region:
        more += f"  in {scene.replica_region}: a replica of the backup file system\n"
    if "u" in letters:
        more += f"  {name}-v15: a stack of version 1.5's shape, which is updated\n"
    say(
        f"In the account {number}, in {scene.region}, with the name {name} and the tag"
        f" {TAG}={name}:\n"
        f"  {name}-source: a file system, an instance t3.micro, a role, a bucket for the release\n"
        f"  {name}: a stack of the backup template of what is here, {launches} instances one after"
        f" the other\n{more}"
        "  and for restores a stack each. All of it is removed at the end, and after Ctrl-C.\n"
        f"It takes about {minutes} minutes and ${dollars:.2f}; both are computed, not measured.\n"
        "Amazon SNS sends requests to confirm to the address that is given; ignore them.\n"
        f"Rows: {', '.join(f'({row.letter}) {row.title}' for row in rows)}"
    )
    if COLD.letter in letters:
        say(f"With row i all stays until its second visit, or until {name_of('CLEAN')}.")


def confirm(given: Given, can_ask: bool) -> None:
    """Raises AdminError unless the user wants it."""
    if given.yes("YES"):
        return
    if not can_ask:
        add = value_of("YES", "yes")
        raise AdminError(f"Nothing was done. To begin without a question, add {add}")
    if answer("Type yes to begin: ") != "yes":
        raise AdminError("Nothing was done")


def remove(account: Account) -> list[str]:
    """What is left."""
    typed = cleaning(account)
    say(f"\nRemoving what was made. If this is interrupted:\n  {typed}")
    left = account.remove_all()
    if left:
        say(f"This is left: {', '.join(left)}. To try again:\n  {typed}", sys.stderr)
    else:
        say("All that was made is removed.")
    return left


def cleaning(account: Account) -> str:
    return command("acceptance", {"REGION": account.journal.region, "CLEAN": account.name})
