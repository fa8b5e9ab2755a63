"""What a restore is asked to do, before it begins and when it has ended."""

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from report.verdicts import LAUNCH, NOT_NEEDED, RESTORE
from rich.console import Console

from admin import restore
from admin.command import AdminError, Given
from admin.stack import Stack
from admin.template import Template
from tests.stubs import Checked

PARAMETERS = {
    "SrcEFS": "fs-00000001",
    "IntervalTag": "weekly",
    "FolderLabel": "a, \"b\" 'c' ü",
    "BackupPrefix": "/app data",
    "VpcId": "vpc-1",
    "Subnets": "subnet-1,subnet-2",
    "Email": "you@example.com",
    "Retain": "7",
}
OUTPUTS = {"BackupEFS": "fs-00000002", "LogBucket": "logs", "EFSSecurityGroup": "sg-1"}


class CloudFormation:
    """Gives a template with the place of its release."""

    def get_template(self, **_: str) -> dict[str, Any]:
        general = {"S3Bucket": "my", "KeyPrefix": "efs-to-efs-backup/v2.0.0", "BundleSHA256": "a"}
        return {"TemplateBody": json.dumps({"Mappings": {"SourceCode": {"General": general}}})}


STACK = Stack(
    "backup",
    "eu-west-1",
    "CREATE_COMPLETE",
    PARAMETERS,
    OUTPUTS,
    Checked(CloudFormation(), "cloudformation"),
)


def given(**values: str) -> Given:
    return Given(values)


def test_what_the_backup_stack_knows_is_not_asked_for() -> None:
    assert restore.parameters_for(STACK, given(STACK="backup"), restore.SHORT) == {
        "SrcEFS": "fs-00000001",
        "DstEFS": "fs-00000002",
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


def test_what_cloudformation_does_not_show_intact_is_asked_for() -> None:
    shown = {**PARAMETERS, "BackupPrefix": "/daten/b?ro", "FolderLabel": "b?ro"}
    stack = Stack(
        "backup",
        "eu-west-1",
        "CREATE_COMPLETE",
        shown,
        OUTPUTS,
        Checked(CloudFormation(), "cloudformation"),
    )
    with pytest.raises(
        AdminError, match=r"'b\?ro', RestorePrefix as '/daten/b\?ro'.*FolderLabel=…"
    ):
        restore.parameters_for(stack, given(STACK="backup"), restore.SHORT)
    right = given(STACK="backup", RestorePrefix="/daten/büro", FolderLabel="is it?")
    found = restore.parameters_for(stack, right, restore.SHORT)
    assert (found["RestorePrefix"], found["FolderLabel"]) == ("/daten/büro", "is it?")


@pytest.mark.parametrize("has_them", [True, False])
def test_a_restore_tells_no_more_and_costs_no_more_than_the_backup(
    monkeypatch: pytest.MonkeyPatch, has_them: bool
) -> None:
    """A parameter wins over the Mappings; a release from before these parameters has none."""
    mappings = {"send-data": {"SendAnonymousData": "No"}, "eu-west-1": {"InstanceSize": "c5.large"}}
    client = SimpleNamespace(
        get_template=lambda **_: {"TemplateBody": {"Mappings": {"Map": mappings}}}
    )
    shown = {**PARAMETERS, "InstanceType": "c7g.large", "SendAnonymousData": ""}
    stack = Stack(
        "backup", "eu-west-1", "CREATE_COMPLETE", shown, OUTPUTS, Checked(client, "cloudformation")
    )
    of_restore = Template.parse(Path("templates/efs-to-efs-restore.template").read_text())
    parameters = dict(of_restore.parameters)
    if not has_them:
        del parameters["InstanceType"], parameters["SendAnonymousData"]
    monkeypatch.setattr(restore, "clients", lambda region: lambda service: None)
    monkeypatch.setattr(restore.Stack, "backup", lambda connect, name: stack)
    monkeypatch.setattr(
        restore, "restore_template", lambda s3, stack: ("url", Template({"Parameters": parameters}))
    )
    found = restore.Request.read(given(STACK="backup"), restore.SHORT).parameters
    expected = {"InstanceType": "c7g.large", "SendAnonymousData": "No"} if has_them else {}
    assert {n: found[n] for n in ("InstanceType", "SendAnonymousData") if n in found} == expected


def test_what_is_given_wins() -> None:
    asked = given(NUMBER="3", SUBDIR="/ü b/", MODE="Merge", DRYRUN="1", SrcEFS="fs-3", YES="1")
    found = restore.parameters_for(STACK, asked, restore.SHORT)
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
    with pytest.raises(AdminError, match=r"DRYRUN=yes(?s:.*)YES=1"):
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
        restore.restore_template(Checked(S3(404), "s3"), STACK)
    with pytest.raises(ClientError):
        restore.restore_template(Checked(S3(403), "s3"), STACK)


@pytest.mark.parametrize(
    ("status", "good"),
    [("Success", True), ("Planned", True), ("Undone", True), ("Unsuccessful", False)],
)
def test_the_report_says_how_it_ended_and_what_is_left_to_do(status: str, good: bool) -> None:
    out = Console(file=io.StringIO(), width=80, markup=False, highlight=False)
    command = "sudo sh " + "/mnt/target/.efs-restore-1.undo" * 5
    message = {
        "Status": status,
        "Message": "As it\x1bwas.",
        "WhatToDo": "Look.",
        "UndoCommand": command,
        "Warnings": ["one \x1b[2J", "[two]"],
        "Examples": {"replace": ["docs/file"]},
    }
    assert restore.report(out, message) is good
    lines = out.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines[1:4] == [status, "As it was.", "  What to do: Look."]
    assert f"  UndoCommand: {command}" in lines
    assert lines[lines.index("  Warnings:") :][1:3] == ["    one  [2J", "    [two]"]
    assert lines[lines.index("  Examples:") + 1] == "    replace docs/file"
    assert not [line for line in lines if "Errors" in line]


def request(**values: str) -> restore.Request:
    parameters = restore.parameters_for(STACK, given(**values), restore.SHORT)
    return restore.Request(given(**values), lambda service: None, STACK, "url", parameters)


def said_next(asked: restore.Request, message: dict[str, str]) -> str:
    out = Console(file=io.StringIO(), width=80, markup=False)
    restore.say_next(out, asked, message)
    return out.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_what_follows_a_dry_run_names_the_date() -> None:
    asked = request(STACK="b c", NUMBER="2", DRYRUN="yes", SUBDIR="/a b/", YES="1", KEEP="yes")
    message = {"Status": "Planned", "Snapshot": "weekly.2, made 2026-11-20T02:00:11Z"}
    assert said_next(asked, message) == (
        "\nTo restore this: make restore 'STACK=b c' 'SUBDIR=/a b/' DATE=2026-11-20T02:00:11Z\n"
    )


def test_a_restore_says_how_it_is_undone() -> None:
    asked = request(STACK="b", NUMBER="2", RestorePrefix="/p", SUBDIR="/a/", Email="a@b.c")
    message = {"Status": "Success", "UndoCommand": "sudo …", "RestoreId": "1-a"}
    found = said_next(asked, message)
    assert found == "\nTo undo it: make undo STACK=b RestorePrefix=/p ID=1-a\n"
    assert said_next(asked, {"Status": "Success"}) == ""


def run(stopped: str, **attributes: str) -> restore.Run:
    of_stack = {"IntervalTag": "weekly", "FolderLabel": PARAMETERS["FolderLabel"]}
    whole = {"BackupId": stopped, "BackupStatus": "Success", "BackupStopTime": stopped}
    return restore.Run({**whole, **of_stack, **attributes})


RUNS = [
    run("2026-03-05T03:00:00Z", BackupStatus="Incomplete"),
    run("2026-03-04T03:00:00Z"),
    run("2026-03-03T03:00:00Z", IntervalTag="daily"),
    run("2026-03-02T03:00:00Z", FolderLabel="another"),
    run("2026-03-01T03:00:00Z"),
]


@pytest.mark.parametrize(
    ("number", "date"), [("0", "2026-03-04"), ("1", "2026-03-01"), ("2", ""), ("x", "")]
)
def test_the_prompt_has_the_date_that_the_records_have(number: str, date: str) -> None:
    found = restore.made_by(
        RUNS, restore.parameters_for(STACK, given(NUMBER=number), restore.SHORT)
    )
    assert found == (f" (by the records, of the backup that ended {date} 03:00 UTC)" * bool(date))


def test_the_prompt_says_what_is_asked_for() -> None:
    described = []
    for values in ({"NUMBER": "1"}, {"DATE": "2026-11-20", "SUBDIR": "/a/file"}):
        out = Console(file=io.StringIO(), width=200, markup=False)
        restore.describe(out, request(**values), RUNS)
        described.append(out.file.getvalue().splitlines())  # type: ignore[attr-defined]
    folder = f"fs-00000002:/{PARAMETERS['FolderLabel']}"
    assert described[0][0] == (
        f"Snapshot:  {folder}/weekly.1"
        " (by the records, of the backup that ended 2026-03-01 03:00 UTC)"
    )
    assert described[1] == [
        f"Snapshot:  the one of weekly made 2026-11-20 (UTC) in {folder}",
        "Of it:     /a/file",
        "Into:      fs-00000001:/app data",
        "Mode:      Mirror",
    ]


THERE = ["weekly.0 2026-11-20T02:00:11Z complete: x", "held.mine 2026-11-01T02:00:00Z complete: x"]
TOLD = run("2026-11-20T03:00:00Z", Snapshots=THERE)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "values",
    [{"NUMBER": "1"}, {"DATE": "gestern"}, {"DATE": "2026-11-21"}, {"SNAPSHOT": "daily.0"}],
)
def test_a_snapshot_that_is_not_there_is_refused_before_an_instance_starts(
    values: dict[str, str],
) -> None:
    with pytest.raises(AdminError, match=r"There is no snapshot .* There are: weekly\.0 \(made"):
        restore.check_there([TOLD], request(**values))


@pytest.mark.parametrize(
    ("runs", "values"),
    [
        ([TOLD], {}),
        ([TOLD], {"DATE": "mine"}),
        ([TOLD], {"DATE": "2026-11-20T02:00", "NUMBER": "9"}),
        ([TOLD], {"NUMBER": "9", "FolderLabel": "another"}),
        ([TOLD], {"NUMBER": "9", "DstEFS": "fs-00000003"}),
        ([], {"NUMBER": "9"}),
        ([run("2026-11-21T03:00:00Z"), TOLD], {"NUMBER": "9"}),  # nobody knows what it has made
        ([run("2026-11-21T03:00:00Z", Snapshots=THERE * 200)], {"NUMBER": "9"}),  # type: ignore[arg-type]
    ],
)
def test_what_may_be_there_is_left_to_the_instance(
    runs: list[restore.Run], values: dict[str, str]
) -> None:
    restore.check_there(runs, request(**values))


def test_no_advice_contradicts_what_the_command_does() -> None:
    """The instance speaks to who has launched the template."""
    for name, verdict in RESTORE.items():
        good = verdict.status in restore.GOOD or name in ("warnings", "undo planned")
        said = verdict.what_to_do.replace("{run.where_named}", "See Examples.")
        found = restore.to_do(said, good)
        assert NOT_NEEDED not in found
        assert LAUNCH not in found
        assert bool(found) == (name not in ("restored", "undone", "undo planned"))
