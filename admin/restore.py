"""Restores a snapshot, with a stack of the restore template of the backup stack's own release.

    make restore STACK=<backup stack> [NUMBER=0, DATE=2026-11-20T02:00 or SNAPSHOT=weekly.2]
                 [SUBDIR=/a/ or /a/file] [MODE=Mirror] [DRYRUN=yes] [YES=1]
                 [any other parameter] [REGION=eu-west-1] [WATCH=no] [KEEP=yes]

Where to and where from is taken from the backup stack. Before a restore that replaces files it
asks, unless YES=1. A restore that ended well while it was watched needs its stack no more: it is
deleted, unless KEEP=yes. Exit code 0: restored, or planned by a dry run; 1: something else,
explained.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError
from common.records import Run, runs_of
from common.statuses import PLANNED, SUCCESS, UNDONE
from report.backup import SNAPSHOTS
from report.verdicts import LAUNCH, NOT_NEEDED
from rich.console import Console

from admin.command import (
    AdminError,
    Clients,
    Given,
    clients,
    confirmed,
    console,
    printable,
    say,
    say_command,
)
from admin.commands import WATCHED
from admin.manage import meant, told
from admin.publish import object_url
from admin.restoration import Restoration
from admin.runs import RunTable
from admin.stack import Stack
from admin.template import Template
from admin.wording import command, value_of

SHORT = {
    "NUMBER": "BackupNum",
    "DATE": "BackupDate",
    "SNAPSHOT": "BackupDate",
    "SUBDIR": "RestoreSubDir",
    "MODE": "RestoreMode",
    "DRYRUN": "DryRun",
}
"""Names for the command line, and the parameters that they stand for."""

TEMPLATE = "efs-to-efs-restore.template"
GOOD = (SUCCESS, PLANNED, UNDONE)

# What is no parameter of the restore's stack, nor stands for one.
OWN = ("STACK", *(option.name for option in WATCHED))

SHOWN = (
    "WhatToDo",
    "Snapshot",
    "Target",
    "SafetyDirectory",
    "DamagedDirectory",
    "Warnings",
    "Errors",
    "Examples",
    "MountCommand",
    "UndoCommand",
    "DeleteCommand",
    "StartCommand",
    "Logs",
    "EC2Logs",
)
"""What is shown of the notification, below its message."""

# The texts of a notification speak of the others by their names.
HEADINGS = {"WhatToDo": "What to do", "EC2Logs": "Logs of the instance"}


@dataclass(frozen=True)
class Request:
    """What a restore stack is made for."""

    given: Given
    clients: Clients
    stack: Stack
    template_url: str
    parameters: Mapping[str, str]

    @classmethod
    def read(cls, given: Given, short: Mapping[str, str]) -> Request:
        """short: names for the command line, and the parameters that they stand for."""
        name = given.required("STACK", "efs-backup")
        connect = clients(given.get("REGION"))
        stack = Stack.backup(connect, name)
        url, template = restore_template(connect("s3"), stack)
        given.only(*OWN, *short, *template.parameters)
        settings = {n: v for n, v in stack.settings().items() if n in template.parameters}
        parameters = settings | parameters_for(stack, given, short)
        template.check(parameters)
        return cls(given, connect, stack, url, parameters)

    @property
    def is_dry(self) -> bool:
        return self.parameters["DryRun"] == "Yes"

    def carry_out(
        self,
        out: Console,
        kind: str,
        say_next: Callable[[Console, Request, Mapping[str, Any]], None],
    ) -> int:
        """The exit code, once it is shown what the instance notified at its end, and what comes
        next; 0 when nobody watches."""
        name = f"{self.stack.name[:100]}-{kind}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
        restoration = Restoration(self.clients, name, self.parameters["RestoreLogBucket"])
        restoration.begin(self.template_url, self.parameters)
        say(f"Started with the stack {name}.", out.file)
        if not self.given.yes("WATCH", default=True):
            return 0
        restoration.wait(out)
        message = restoration.notification()
        ended_well = report(out, message)
        say_next(out, self, message)
        if ended_well and not self.given.yes("KEEP"):
            restoration.remove(out, message)
        else:
            whether = " once you need StartCommand no more" if "StartCommand" in message else ""
            delete = ["aws", "cloudformation", "delete-stack", "--region", self.stack.region]
            typed = shlex.join([*delete, "--stack-name", name])
            say_command(f"\nThe stack is yours to delete{whether}", typed, out.file)
        return 0 if ended_well else 1

    def command(self, target: str, *leave_out: str, **values: str) -> str:
        """How to give make a request about the same, with other values."""
        kept = {n: v for n, v in self.given.items() if n not in {*leave_out, "YES", "KEEP"}}
        return command(target, kept, **values)


def main(given: Given) -> int:
    request = Request.read(given, SHORT)
    out = console()
    runs = recorded_runs(request)
    check_there(runs, request)
    describe(out, request, runs)
    confirm(given, request.parameters, out.is_terminal and sys.stdin.isatty())
    return request.carry_out(out, "restore", say_next)


def say_next(out: Console, request: Request, message: Mapping[str, Any]) -> None:
    """The command after a dry run, or the one that undoes a restore."""
    if message["Status"] == PLANNED:
        # The number means another snapshot after the next backup.
        _, _, date = message["Snapshot"].partition(", made ")
        numbers = ("NUMBER", "SNAPSHOT", "BackupNum", "BackupDate", "DRYRUN", "DryRun")
        say_command("\nTo restore this", request.command("restore", *numbers, DATE=date), out.file)
    elif "UndoCommand" in message:
        other = set(request.given) - {"STACK", "REGION", "SrcEFS", "RestorePrefix"}
        undo = request.command("undo", *other, ID=message["RestoreId"])
        say_command("\nTo undo it", undo, out.file)


def restore_template(s3: Any, stack: Stack) -> tuple[str, Template]:
    """The restore template that the stack's release has, and its URL."""
    release = stack.template.release
    bucket, key = f"{release.bucket_prefix}-{stack.region}", f"{release.folder}/{TEMPLATE}"
    try:
        body = s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        update = command("deploy", {"STACK": stack.name})
        raise AdminError(
            f"s3://{bucket}/{key} is gone, with which {stack.name} would be restored. Publish"
            f" its release again, or update the stack:\n  {update}"
        ) from error
    return object_url(s3, bucket, key), Template.parse(body)


def parameters_for(stack: Stack, given: Given, short: Mapping[str, str]) -> dict[str, str]:
    """What the backup stack knows, and what the user wants."""
    known, outputs = stack.parameters, stack.outputs
    of_stack = {
        "SrcEFS": known["SrcEFS"],
        "DstEFS": outputs["BackupEFS"],
        "IntervalTag": known["IntervalTag"],
        "FolderLabel": known["FolderLabel"],
        "RestorePrefix": known["BackupPrefix"],
        "RestoreLogBucket": outputs["LogBucket"],
        "VpcId": known["VpcId"],
        "Subnets": known["Subnets"],
        "SecurityGroupId": outputs["EFSSecurityGroup"],
        "Email": known["Email"],
        "BackupNum": "0",
        "RestoreSubDir": "/",
        "RestoreMode": "Mirror",
        "DryRun": "No",
    }
    wanted = {short.get(name, name): value for name, value in given.items() if name not in OWN}
    if "DRYRUN" in given:
        wanted["DryRun"] = "Yes" if given.yes("DRYRUN") else "No"
    check_intact({name: value for name, value in of_stack.items() if name not in wanted})
    return of_stack | wanted


def check_intact(values: Mapping[str, str]) -> None:
    """Raises AdminError for a value that may not be the stack's own: a restore into a directory
    that was never backed up would make that directory."""
    if doubtful := [name for name, value in values.items() if "?" in value]:
        shown = ", ".join(f"{name} as {values[name]!r}" for name in doubtful)
        raise AdminError(
            f"CloudFormation shows {shown}, and shows ? for every character that is not ASCII."
            f" Say what is right: {' '.join(f'{name}=…' for name in doubtful)}"
        )


def check_there(runs: Sequence[Run], request: Request) -> None:
    """Raises AdminError for a snapshot that does not exist, before an instance starts to say so.

    What there is, the newest run has told, unless it made no snapshot, is running, is of another
    folder or of version 1.5, or had more to tell than a record holds. Of another file system, such
    as a replica, it says nothing.
    """
    newest = runs[0] if runs else None
    parameters = request.parameters
    if newest is None or newest.attributes.get("FolderLabel") != parameters["FolderLabel"]:
        return
    if parameters["DstEFS"] != request.stack.outputs["BackupEFS"]:
        return
    snapshots = told(newest)
    name = f"{parameters['IntervalTag']}.{parameters['BackupNum']}"
    if 0 < len(snapshots) < SNAPSHOTS:
        meant(parameters.get("BackupDate") or name, snapshots)


def describe(out: Console, request: Request, runs: Iterable[Run] = ()) -> None:
    parameters = request.parameters
    folder = f"{parameters['DstEFS']}:/{parameters['FolderLabel']}"
    if date := parameters.get("BackupDate"):
        snapshot = f"the one called {date} in {folder}"
        if date[:4].isdigit():
            snapshot = f"the one of {parameters['IntervalTag']} made {date} (UTC) in {folder}"
    else:
        snapshot = f"{folder}/{parameters['IntervalTag']}.{parameters['BackupNum']}"
        snapshot += made_by(runs, parameters)
    dry = "; a dry run, which changes nothing" if request.is_dry else ""
    say(f"Snapshot:  {snapshot}", out.file)
    say(f"Of it:     {parameters['RestoreSubDir']}", out.file)
    say(f"Into:      {parameters['SrcEFS']}:{parameters['RestorePrefix']}", out.file)
    say(f"Mode:      {parameters['RestoreMode']}{dry}", out.file)


def recorded_runs(request: Request) -> list[Run]:
    """None where the table may not be read: it is for information only."""
    try:
        table = RunTable(request.clients("dynamodb"), request.stack.resource("EFSDynamoDB"))
        return runs_of(table.items())
    except ClientError:
        return []


def made_by(runs: Iterable[Run], parameters: Mapping[str, str]) -> str:
    """The date that the records have for a number; what there really is, only the instance sees."""
    names = ("IntervalTag", "FolderLabel")
    made = [
        run.stopped
        for run in runs
        if run.status == SUCCESS
        and run.stopped
        and all(run.attributes.get(name) == parameters[name] for name in names)
    ]
    number = int(parameters["BackupNum"]) if parameters["BackupNum"].isdecimal() else len(made)
    if number >= len(made):
        return ""
    return f" (by the records, of the backup that ended {made[number]:%Y-%m-%d %H:%M} UTC)"


def confirm(given: Given, parameters: Mapping[str, str], can_ask: bool) -> None:
    """Raises AdminError unless the user wants files to be replaced, where any would be."""
    if parameters["DryRun"] == "Yes" or parameters["RestoreMode"] == "NewDirectory":
        return
    what = "This replaces files; what they were is kept beside them"
    look = f"To see first what would be changed, add {value_of('DRYRUN', 'yes')}"
    confirmed(given, what, look, "restore", can_ask)


def report(out: Console, message: Mapping[str, Any]) -> bool:
    """Shows how it ended; whether that was well."""
    status = message["Status"]
    good = status in GOOD
    out.print(f"\n{status}", style="bold green" if good else "bold red")
    say(printable(message["Message"]), out.file)
    for name in SHOWN:
        words = HEADINGS.get(name, name)
        value = message.get(name, [])
        if name == "WhatToDo":
            value = to_do(str(value or ""), good)
        if isinstance(value, dict):
            value = [f"{kind} {line}" for kind, lines in value.items() for line in lines]
        if not value:
            continue
        if isinstance(value, list):
            lines = (f"    {printable(str(line))}" for line in value)
            say("\n".join([f"  {words}:", *lines]), out.file)
        elif name.endswith("Command"):
            say_command(f"  {words}", printable(str(value)), out.file)
        else:
            say(f"  {words}: {printable(str(value))}", out.file)
    return good


def to_do(text: str, good: bool) -> str:
    """What the instance advises who has launched the template, for who has given the command: that
    removes the stack by itself when all went well, and says what comes next."""
    if not good:
        return text.replace(LAUNCH, "give the command again")
    sentences = re.split(r"(?<=\.) ", text)
    return " ".join(each for each in sentences if each != NOT_NEEDED and LAUNCH not in each)
