"""What the record says at the end of a run, for each way in which a run can end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import EC2

PUBLISHED: dict[str, Any] = {
    "outcome": "published",
    "exit_code": 0,
    "cause": "",
    "message": "",
    "number_of_files": 12,
    "number_of_files_transferred": 3,
    "total_file_size": 4096,
    "total_transferred_file_size": 99,
    "warnings": [],
    "errors": [],
    "phases": {
        "copy": {"start": "2026-01-01T00:00:00Z", "stop": "2026-01-01T00:01:00Z"},
        "expire": {"start": "2026-01-01T00:02:00Z", "stop": "2026-01-01T00:03:00Z"},
    },
}
INCOMPLETE = (
    "The EFS backup was incomplete. Either backup window expired before full backup "
    "or fpsync process was not completed."
)


def report(home: Path, result: dict[str, Any] | None, *words: str) -> dict[str, Any]:
    """The UpdateItem request for a run that left ``result``."""
    if result is not None:
        (home / "result.json").write_text(json.dumps(result))
    options = {
        "result": "result.json",
        "table": "my-stack",
        "backup-id": "b-1",
        "logs": "s3://logs/ec2-logs/x/",
        "request": "update.json",
        "message": "message.json",
    }
    command = [sys.executable, str(EC2 / "lib" / "report.py"), *words]
    for name, value in options.items():
        command += [f"--{name}", value]
    subprocess.run(command, cwd=home, check=True)
    request: dict[str, Any] = json.loads((home / "update.json").read_text())
    return request


def plain(request: dict[str, Any]) -> dict[str, Any]:
    """Attribute names and values of an UpdateItem request, without DynamoDB's type tags."""

    def value(tagged: dict[str, Any]) -> Any:
        ((kind, inner),) = tagged.items()
        return {"S": str, "N": int, "L": lambda items: [value(i) for i in items]}[kind](inner)

    names = request["ExpressionAttributeNames"]
    values = request["ExpressionAttributeValues"]
    pairs = request["UpdateExpression"].removeprefix("SET ").split(", ")
    return {
        names[name]: value(values[placeholder])
        for name, placeholder in (pair.split(" = ") for pair in pairs)
    }


@pytest.mark.parametrize(
    ("result", "words", "status", "message"),
    [
        (PUBLISHED, [], "Success", "The EFS was backed up successfully"),
        (
            {**PUBLISHED, "warnings": ["vanished: a"]},
            [],
            "Success",
            "The EFS was backed up successfully, with 1 warning(s)",
        ),
        ({**PUBLISHED, "outcome": "stopped"}, [], "Incomplete", INCOMPLETE),
        (None, ["--stopped"], "Incomplete", INCOMPLETE),
        (
            {**PUBLISHED, "outcome": "failed", "cause": "walk", "message": "a worker died"},
            [],
            "fpsync failed",
            "fpsync process in backup script failed or did not start: a worker died",
        ),
        (
            {**PUBLISHED, "outcome": "failed", "cause": "files", "message": "some files"},
            [],
            "Unsuccessful",
            "The EFS backup was unsuccessful. some files",
        ),
        (
            {**PUBLISHED, "outcome": "refused", "message": "another run is working"},
            [],
            "Unsuccessful",
            "The EFS backup was unsuccessful. another run is working",
        ),
        (None, ["--failure", "no mount"], "Unsuccessful", "no mount"),
        (
            None,
            [],
            "Unsuccessful",
            "The EFS backup was unsuccessful. The engine ended without a result; see the logs",
        ),
    ],
)
def test_status_and_message(
    tmp_path: Path, result: dict[str, Any] | None, words: list[str], status: str, message: str
) -> None:
    found = plain(report(tmp_path, result, *words))
    assert (found["BackupStatus"], found["Message"]) == (status, message)


def test_counts_times_and_logs(tmp_path: Path) -> None:
    found = plain(report(tmp_path, PUBLISHED))
    assert found["NumberOfFiles"] == 12
    assert found["NumberOfFilesTransferred"] == 3
    assert found["TotalFileSize"] == 4096
    assert found["TotalTransferredFileSize"] == 99
    assert found["CreateHardlinksStartTime"] == "2026-01-01T00:00:00Z"
    assert found["RemoveSnapshotStopTime"] == "2026-01-01T00:03:00Z"
    assert found["EC2Logs"] == "s3://logs/ec2-logs/x/"
    assert "BackupStopTime" in found


def test_a_run_that_was_already_closed_keeps_its_status(tmp_path: Path) -> None:
    request = report(tmp_path, PUBLISHED)
    assert request["Key"] == {"BackupId": {"S": "b-1"}}
    assert request["ConditionExpression"] == "#a0 = :running"
    assert request["ExpressionAttributeNames"]["#a0"] == "BackupStatus"
    assert request["ExpressionAttributeValues"][":running"] == {"S": "Running"}


def test_a_log_that_was_not_uploaded_is_a_warning(tmp_path: Path) -> None:
    found = plain(report(tmp_path, PUBLISHED, "--warning", "x could not be uploaded"))
    assert found["BackupStatus"] == "Success"
    assert found["Warnings"] == ["x could not be uploaded"]


def test_the_notification_holds_the_same_as_the_record(tmp_path: Path) -> None:
    found = plain(report(tmp_path, PUBLISHED))
    message = json.loads((tmp_path / "message.json").read_text())
    assert message == {**found, "BackupId": "b-1"}


def test_hostile_file_names_reach_the_record_as_text(tmp_path: Path) -> None:
    errors = ['rsync: "\\n\'$(id)`"', "\\xff not utf-8", "漢字"]
    found = plain(report(tmp_path, {**PUBLISHED, "errors": errors}))
    assert found["Errors"] == errors
