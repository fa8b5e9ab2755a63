"""Restores a snapshot, with a stack of the restore template of the backup stack's own release.

    make restore STACK=<backup stack> [NUMBER=0] [SUBDIR=/a/] [MODE=Mirror] [DRYRUN=yes] [YES=1]
                 [any other parameter] [REGION=eu-west-1] [WATCH=no]

Where to and where from is taken from the backup stack. Before a restore that replaces files it
asks, unless YES=1. Exit code 0: restored, or planned by a dry run; 1: something else, explained.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError
from rich.console import Console

from admin.command import AdminError, Clients, Given, clients, console, printable, run
from admin.stack import UNUSABLE, Stack
from admin.status import spoken
from admin.template import Template
from tools.publish import object_url

OPTIONS = ("STACK", "REGION", "YES", "WATCH")
SHORT = {
    "NUMBER": "BackupNum",
    "SUBDIR": "RestoreSubDir",
    "MODE": "RestoreMode",
    "DRYRUN": "DryRun",
}
"""Names for the command line, and the parameters that they stand for."""

TEMPLATE = "efs-to-efs-restore.template"
LOGS = "efs-restore-logs/"
POLL_SECONDS = 2

SHOWN = (
    "WhatToDo",
    "Target",
    "SafetyDirectory",
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


def main(given: Given) -> int:
    name = given.required("STACK", "efs-backup")
    connect = clients(given.get("REGION"))
    stack = Stack.backup(connect, name)
    url, template = restore_template(connect("s3"), stack)
    given.only(*OPTIONS, *SHORT, *template.parameters)
    parameters = parameters_for(stack, given)
    template.check(parameters)

    out = console()
    describe(out, parameters)
    confirm(given, parameters, out.is_terminal and sys.stdin.isatty())
    restoration = Restoration(connect, f"{name[:100]}-restore-{datetime.now(UTC):%Y%m%d-%H%M%S}")
    restoration.begin(url, parameters)
    out.print(f"Restoring with the stack {restoration.name}.")
    if not given.yes("WATCH", default=True):
        return 0
    restoration.wait(out)
    ended_well = report(out, restoration.notification(parameters["RestoreLogBucket"]))
    out.print(
        "\nThe stack is not needed any more:  aws cloudformation delete-stack"
        f" --region {stack.region} --stack-name {restoration.name}",
        soft_wrap=True,
    )
    return 0 if ended_well else 1


def restore_template(s3: Any, stack: Stack) -> tuple[str, Template]:
    """The restore template that the stack's release has, and its URL."""
    release = stack.template().release
    bucket, key = f"{release.bucket_prefix}-{stack.region}", f"{release.folder}/{TEMPLATE}"
    try:
        body = s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        raise AdminError(
            f"s3://{bucket}/{key} is gone, with which {stack.name} would be restored. Publish"
            " its release again, or update the stack: make deploy"
        ) from error
    return object_url(s3, bucket, key), Template.parse(body)


def parameters_for(stack: Stack, given: Given) -> dict[str, str]:
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
    wanted = {SHORT.get(name, name): value for name, value in given.items() if name not in OPTIONS}
    if "DRYRUN" in given:
        wanted["DryRun"] = "Yes" if given.yes("DRYRUN") else "No"
    return of_stack | wanted


def describe(out: Console, parameters: Mapping[str, str]) -> None:
    snapshot = f"{parameters['IntervalTag']}.{parameters['BackupNum']}"
    source = f"{parameters['DstEFS']}:/{parameters['FolderLabel']}/{snapshot}"
    out.print(f"Snapshot:  {source}{parameters['RestoreSubDir']}", soft_wrap=True)
    out.print(f"Into:      {parameters['SrcEFS']}:{parameters['RestorePrefix']}", soft_wrap=True)
    dry = "; a dry run, which changes nothing" if parameters["DryRun"] == "Yes" else ""
    out.print(f"Mode:      {parameters['RestoreMode']}{dry}")


def confirm(given: Given, parameters: Mapping[str, str], can_ask: bool) -> None:
    """Raises AdminError unless the user wants files to be replaced, where any would be."""
    harmless = parameters["DryRun"] == "Yes" or parameters["RestoreMode"] == "NewDirectory"
    if harmless or given.yes("YES"):
        return
    advice = "To see first what would be changed, add DRYRUN=yes"
    if not can_ask:
        raise AdminError(f"This replaces files. {advice}. To restore without a question, add YES=1")
    print(f"This replaces files; what they were is kept beside them. {advice}.")
    try:
        answer = input("Type yes to restore: ")
    except EOFError:
        answer = ""
    if answer.strip().lower() != "yes":
        raise AdminError("Nothing was done")


@dataclass
class Restoration:
    """A restore stack and its instance. It restores once, when it is created."""

    clients: Clients
    name: str
    pause: Callable[[float], None] = time.sleep
    instances: set[str] = field(default_factory=set)

    def begin(self, template_url: str, parameters: Mapping[str, str]) -> None:
        self.clients("cloudformation").create_stack(
            StackName=self.name,
            TemplateURL=template_url,
            Parameters=[
                {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
            ],
            Capabilities=["CAPABILITY_IAM"],
        )

    def wait(self, out: Console) -> None:
        """Until the instance has ended. Raises AdminError when there cannot be one."""
        began, shown = time.monotonic(), ""
        with out.status("") as spinner:
            while phase := self._phase():
                if phase != shown:
                    out.print(phase)
                shown = phase
                past = timedelta(seconds=time.monotonic() - began)
                spinner.update(f"{phase}, {spoken(past)}")
                self.pause(POLL_SECONDS)

    def _phase(self) -> str:
        """What is happening; empty when all is over."""
        stack = Stack.find(self.clients, self.name)
        if stack is None or stack.status in UNUSABLE - {"CREATE_IN_PROGRESS"}:
            failures = [f"  {failure}" for failure in stack.failures()] if stack else []
            status = stack.status if stack else "gone"
            raise AdminError(
                "\n".join([f"The stack {self.name} is {status}; nothing was restored", *failures])
            )
        group = self._group()
        here = {instance["InstanceId"] for instance in group.get("Instances", [])}
        self.instances |= here
        if here:
            return f"The instance {', '.join(sorted(here))} is at work"
        if stack.status == "CREATE_IN_PROGRESS":
            return "The stack is being created"
        if group["DesiredCapacity"]:
            return f"The Auto Scaling group {group['AutoScalingGroupName']} launches an instance"
        return ""

    def _group(self) -> dict[str, Any]:
        """The Auto Scaling group; empty as long as there is none."""
        resources = self.clients("cloudformation").describe_stack_resources(StackName=self.name)
        for resource in resources["StackResources"]:
            name = resource.get("PhysicalResourceId")
            if resource["LogicalResourceId"] == "RestoreAutoScalingGroup" and name:
                found = self.clients("autoscaling").describe_auto_scaling_groups(
                    AutoScalingGroupNames=[name]
                )["AutoScalingGroups"]
                return dict(found[0]) if found else {}
        return {}

    def notification(self, bucket: str) -> dict[str, Any]:
        """What the last instance said. Raises AdminError when it could not keep that in S3."""
        s3 = self.clients("s3")
        keys = [
            found["Key"]
            for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=LOGS)
            for found in page.get("Contents", [])
            if found["Key"].endswith(tuple(f"-{i}/notification.json" for i in self.instances))
        ]
        if not keys:
            raise AdminError(
                f"The restore has ended, but there is no report in s3://{bucket}/{LOGS}. It was"
                " sent by e-mail, too"
            )
        body = s3.get_object(Bucket=bucket, Key=max(keys))["Body"].read()
        message: dict[str, Any] = json.loads(body)
        return message


def report(out: Console, message: Mapping[str, Any]) -> bool:
    """Shows how it ended; whether that was well."""
    status = message["Status"]
    good = status in ("Success", "Planned")
    out.print(f"\n{status}", style="bold green" if good else "bold red")
    out.print(message["Message"])
    for name in SHOWN:
        value = message.get(name, [])
        if isinstance(value, dict):
            value = [f"{kind} {line}" for kind, lines in value.items() for line in lines]
        if not isinstance(value, list):
            out.print(f"  {name}:  {printable(str(value))}", soft_wrap=True)
        elif value:
            lines = (f"    {printable(str(line))}" for line in value)
            out.print("\n".join([f"  {name}:", *lines]), soft_wrap=True)
    if status == "Planned":
        out.print("\nTo restore, give the same command without DRYRUN.")
    return good


if __name__ == "__main__":
    sys.exit(run(main, "Interrupted. A restore that has begun goes on, and notifies when it ends"))
