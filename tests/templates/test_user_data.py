"""What an instance does before it has its scripts, and when it cannot have them."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.templates.reading import BACKUP, RESTORE, launch_data, load

# Stands in for the AWS CLI: writes down its arguments, answers, and fails where it is told to.
AWS = """#!/bin/bash
printf '%s\\0' "$@" >>"$CALLS"; printf '\\036' >>"$CALLS"
case "$1 $2" in
  "dynamodb get-item") echo run-1 ;;
  *describe-auto-scaling-instances) echo the-group ;;
esac
[[ "$1 $2" != "$FAILING" ]]
"""
SETTINGS = "LOG_BUCKET=logs\n"
Boot = Callable[..., list[list[str]]]


@pytest.fixture(params=[BACKUP, RESTORE], ids=["backup", "restore"])
def boot(request: pytest.FixtureRequest, tmp_path: Path) -> Boot:
    """boot(command, failing): the calls of the AWS CLI when `command` follows on the trap."""
    text, _ = launch_data(load(request.param))["UserData"]["Fn::Base64"]["Fn::Sub"]
    commands = str(text).split("END-OF-SETTINGS\n")[1]
    before = commands[: commands.index("mkdir -p")]
    for place in ("/var/lib/cloud/data", "/etc", "/run"):
        before = before.replace(f"{place}/", f"{tmp_path}/")
    (tmp_path / "instance-id").write_text("i-0123456789abcdef0\n")
    (tmp_path / "efs-backup.conf").write_text(SETTINGS)
    (tmp_path / "aws").write_text(AWS)
    (tmp_path / "aws").chmod(0o755)
    calls = tmp_path / "calls"

    def run(command: str, failing: str = "") -> list[list[str]]:
        names = {"AWS::Region": "eu-west-1", "Bucket": "b", "KeyPrefix": "k/v1"}
        script = before
        for name in ("EFSDynamoDB", "EFSLogBucket", "SNSTopic", "AWS::StackName", *names):
            script = script.replace(f"${{{name}}}", names.get(name, name.rpartition(":")[2]))
        assert "${" not in script.replace("${!", "")
        script = script.replace("${!", "${")
        process = subprocess.run(
            ["bash", "-c", f"set -Eeuo pipefail\n{script}\n{command}"],
            env={"PATH": f"{tmp_path}:/usr/bin:/bin", "CALLS": str(calls), "FAILING": failing},
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.stderr == ""
        written = calls.read_text().split("\x1e")[:-1] if calls.exists() else []
        return [call.split("\0")[:-1] for call in written]

    return run


def named(calls: list[list[str]], verb: str) -> dict[str, str]:
    """The options of the only call of a verb."""
    (call,) = (call for call in calls if verb in call)
    rest = call[call.index(verb) + 1 :]
    return dict(zip(rest[::2], rest[1::2], strict=True))


@pytest.mark.parametrize("command", ["false", "false && exec true", "exit 3"])
def test_an_instance_without_its_scripts_ends_itself(boot: Boot, command: str) -> None:
    calls = boot(command)
    assert calls[-1][1] == "set-desired-capacity", "nothing may come after the end"
    assert named(calls, "set-desired-capacity") == {
        "--auto-scaling-group-name": "the-group",
        "--desired-capacity": "0",
    }


@pytest.mark.parametrize(
    "failing",
    [
        *("dynamodb get-item", "dynamodb update-item", "sns publish", "s3 cp"),
        "autoscaling describe-auto-scaling-instances",
    ],
)
def test_it_ends_itself_whatever_else_fails(boot: Boot, failing: str) -> None:
    assert boot("false", failing)[-1][1] == "set-desired-capacity"


def test_scripts_that_begin_report_by_themselves(boot: Boot) -> None:
    assert boot("exec true") == []


@pytest.mark.parametrize("boot", [BACKUP], ids=["backup"], indirect=True)
class TestBackup:
    def test_the_record_says_why(self, boot: Boot) -> None:
        calls = boot("false")
        update = named(calls, "update-item")
        assert json.loads(update["--key"]) == {"BackupId": {"S": "run-1"}}
        assert update["--condition-expression"] == "BackupStatus = :running"
        values = json.loads(update["--expression-attribute-values"])
        assert values[":running"] == {"S": "Running"}
        assert values[":status"] == {"S": "Unsuccessful"}
        assert "could not fetch s3://b-eu-west-1/k/v1/ec2.tar.gz" in values[":message"]["S"]
        assert values[":instance"] == {"S": "i-0123456789abcdef0"}
        assert values[":logs"]["S"].startswith("s3://EFSLogBucket/ec2-logs/")
        assert not [call for call in calls if "publish" in call], "the orchestrator notifies"

    def test_what_the_record_cannot_say_the_topic_does(self, boot: Boot) -> None:
        message: Any = json.loads(
            named(boot("false", "dynamodb update-item"), "publish")["--message"]
        )
        assert message["BackupStatus"] == "Unsuccessful"
        assert "could not fetch" in message["Message"]


@pytest.mark.parametrize("boot", [RESTORE], ids=["restore"], indirect=True)
class TestRestore:
    def test_the_notification_says_why(self, boot: Boot, tmp_path: Path) -> None:
        file = named(boot("false"), "publish")["--message"].removeprefix("file://")
        notification = json.loads(Path(file).read_text())
        assert notification["Status"] == "Unsuccessful"
        assert "could not fetch s3://b-eu-west-1/k/v1/ec2.tar.gz" in notification["Message"]
        assert "Nothing was changed" in notification["Message"]
        assert "StackName" in notification["WhatToDo"]
        assert notification["Logs"].startswith("s3://")
