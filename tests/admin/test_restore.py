"""What a restore is asked to do, before it begins and when it has ended."""

import io
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from rich.console import Console

from admin import restore
from admin.command import AdminError, Given
from admin.stack import Stack

PARAMETERS = {
    "SrcEFS": "fs-1",
    "IntervalTag": "weekly",
    "FolderLabel": "a, \"b\" 'c' ü",
    "BackupPrefix": "/app data",
    "VpcId": "vpc-1",
    "Subnets": "subnet-1,subnet-2",
    "Email": "you@example.com",
    "Retain": "7",
}
OUTPUTS = {"BackupEFS": "fs-2", "LogBucket": "logs", "EFSSecurityGroup": "sg-1"}


class CloudFormation:
    """Gives a template with the place of its release."""

    def get_template(self, **_: str) -> dict[str, Any]:
        general = {"S3Bucket": "my", "KeyPrefix": "efs-to-efs-backup/v2.0.0", "BundleSHA256": "a"}
        return {"TemplateBody": json.dumps({"Mappings": {"SourceCode": {"General": general}}})}


STACK = Stack("backup", "eu-west-1", "CREATE_COMPLETE", PARAMETERS, OUTPUTS, CloudFormation())


def given(**values: str) -> Given:
    return Given({"GIVEN": " ".join(values), **values})


def test_what_the_backup_stack_knows_is_not_asked_for() -> None:
    assert restore.parameters_for(STACK, given(STACK="backup")) == {
        "SrcEFS": "fs-1",
        "DstEFS": "fs-2",
        "IntervalTag": "weekly",
        "FolderLabel": PARAMETERS["FolderLabel"],
        "RestorePrefix": "/app data",
        "RestoreLogBucket": "logs",
        "VpcId": "vpc-1",
        "Subnets": "subnet-1,subnet-2",
        "SecurityGroupId": "sg-1",
        "Email": "you@example.com",
        "BackupNum": "0",
        "RestoreSubDir": "/",
        "RestoreMode": "Mirror",
        "DryRun": "No",
    }


def test_what_is_given_wins() -> None:
    asked = given(NUMBER="3", SUBDIR="/ü b/", MODE="Merge", DRYRUN="1", SrcEFS="fs-3", YES="1")
    found = restore.parameters_for(STACK, asked)
    assert (
        found.items()
        >= {
            "BackupNum": "3",
            "RestoreSubDir": "/ü b/",
            "RestoreMode": "Merge",
            "DryRun": "Yes",
            "SrcEFS": "fs-3",
        }.items()
    )
    assert not found.keys() & {"NUMBER", "SUBDIR", "MODE", "DRYRUN", "YES"}


DESTRUCTIVE = {"DryRun": "No", "RestoreMode": "Mirror"}


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"DryRun": "Yes", "RestoreMode": "Mirror"}, given()),
        ({"DryRun": "No", "RestoreMode": "NewDirectory"}, given()),
        (DESTRUCTIVE, given(YES="1")),
    ],
)
def test_no_question_is_asked_without_need(parameters: dict[str, str], words: Given) -> None:
    restore.confirm(words, parameters, can_ask=False)


@pytest.mark.parametrize("mode", ["Mirror", "Merge"])
def test_nothing_is_replaced_where_nobody_can_be_asked(mode: str) -> None:
    with pytest.raises(AdminError, match=r"DRYRUN=yes.*YES=1"):
        restore.confirm(given(), {**DESTRUCTIVE, "RestoreMode": mode}, can_ask=False)


def test_the_answer_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [" Yes ", "y", "", None]

    def answer(question: str) -> str:
        if (typed := answers.pop(0)) is None:
            raise EOFError
        return typed

    monkeypatch.setattr("builtins.input", answer)
    restore.confirm(given(), DESTRUCTIVE, can_ask=True)
    for _ in range(3):
        with pytest.raises(AdminError, match="Nothing was done"):
            restore.confirm(given(), DESTRUCTIVE, can_ask=True)


class S3:
    def __init__(self, status: int) -> None:
        self.status = status

    def get_object(self, **place: str) -> Any:
        assert place == {
            "Bucket": "my-eu-west-1",
            "Key": "efs-to-efs-backup/v2.0.0/efs-to-efs-restore.template",
        }
        raise ClientError({"ResponseMetadata": {"HTTPStatusCode": self.status}}, "GetObject")


def test_a_release_that_is_gone() -> None:
    with pytest.raises(AdminError, match=r"s3://my-eu-west-1/.*restore.template is gone"):
        restore.restore_template(S3(404), STACK)
    with pytest.raises(ClientError):
        restore.restore_template(S3(403), STACK)


class Account:
    """A restore stack that goes through the given states, one for each look at it."""

    def __init__(self, *states: tuple[str, dict[str, Any] | None]) -> None:
        self.states = list(states)
        self.meta = type("Meta", (), {"region_name": "eu-west-1"})

    def __call__(self, service: str) -> "Account":
        return self

    def next(self, seconds: float) -> None:
        self.states.pop(0)

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        return {"Stacks": [{"StackName": StackName, "StackStatus": self.states[0][0]}]}

    def describe_stack_resources(self, StackName: str) -> dict[str, Any]:
        group = {"LogicalResourceId": "RestoreAutoScalingGroup", "PhysicalResourceId": "group"}
        return {"StackResources": [group] if self.states[0][1] else []}

    def describe_auto_scaling_groups(self, AutoScalingGroupNames: list[str]) -> dict[str, Any]:
        return {
            "AutoScalingGroups": [{"AutoScalingGroupName": "group", **(self.states[0][1] or {})}]
        }

    def get_paginator(self, operation: str) -> Any:
        event = {
            "LogicalResourceId": "AMIInfo",
            "ResourceStatus": "CREATE_FAILED",
            "ResourceStatusReason": "no image",
        }
        pages = {
            "describe_stack_events": [{"StackEvents": [event]}],
            "list_objects_v2": [{"Contents": [{"Key": key} for key in KEYS]}],
        }[operation]
        return type("Paginator", (), {"paginate": lambda self, **_: pages})()

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        return {"Body": io.BytesIO(json.dumps({"of": Key}).encode())}


KEYS = [
    f"efs-restore-logs/20260304-05000{number}-{instance}/{file}"
    for number, instance in enumerate(["i-1", "i-2", "i-3"])
    for file in ("engine.log", "notification.json")
]


def group(desired: int, *instances: str) -> dict[str, Any]:
    return {
        "DesiredCapacity": desired,
        "Instances": [{"InstanceId": instance} for instance in instances],
    }


def waited(account: Account) -> tuple[restore.Restoration, list[str]]:
    out = Console(file=io.StringIO(), width=200)
    restoration = restore.Restoration(account, "stack", pause=account.next)
    restoration.wait(out)
    return restoration, out.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_it_has_ended_when_its_last_instance_is_gone() -> None:
    restoration, lines = waited(
        Account(
            ("CREATE_IN_PROGRESS", None),
            ("CREATE_IN_PROGRESS", group(1, "i-1")),
            ("CREATE_COMPLETE", group(1)),
            ("CREATE_COMPLETE", group(1, "i-2")),
            ("CREATE_COMPLETE", group(0, "i-2")),
            ("CREATE_COMPLETE", group(0)),
        )
    )
    assert lines == [
        "The stack is being created",
        "The instance i-1 is at work",
        "The Auto Scaling group group launches an instance",
        "The instance i-2 is at work",
    ]
    # Not that of i-3, which belongs to another restore.
    assert restoration.notification("logs") == {"of": KEYS[3]}


def test_a_stack_that_fails_is_explained() -> None:
    with pytest.raises(AdminError, match=r"ROLLBACK_IN_PROGRESS; nothing.*\n  AMIInfo: no image"):
        waited(Account(("CREATE_IN_PROGRESS", None), ("ROLLBACK_IN_PROGRESS", None)))


def test_a_report_that_is_not_there() -> None:
    restoration = restore.Restoration(Account(), "stack", instances={"i-9"})
    with pytest.raises(AdminError, match=r"no report in s3://logs/efs-restore-logs/.*e-mail"):
        restoration.notification("logs")


@pytest.mark.parametrize(
    ("status", "good"), [("Success", True), ("Planned", True), ("Unsuccessful", False)]
)
def test_the_report_says_how_it_ended_and_what_is_left_to_do(status: str, good: bool) -> None:
    out = Console(file=io.StringIO(), width=80, markup=False, highlight=False)
    command = "sudo sh " + "/mnt/target/.efs-restore-1.undo" * 5
    message = {
        "Status": status,
        "Message": "As it was.",
        "WhatToDo": "Look.",
        "UndoCommand": command,
        "Warnings": ["one \x1b[2J", "[two]"],
        "Examples": {"replace": ["docs/file"]},
    }
    assert restore.report(out, message) is good
    lines = out.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines[1:4] == [status, "As it was.", "  WhatToDo:  Look."]
    assert f"  UndoCommand:  {command}" in lines
    assert lines[lines.index("  Warnings:") :][1:3] == ["    one  [2J", "    [two]"]
    assert lines[lines.index("  Examples:") + 1] == "    replace docs/file"
    assert not [line for line in lines if "Errors" in line]
    assert any("without DRYRUN" in line for line in lines) is (status == "Planned")
