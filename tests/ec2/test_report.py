"""What the record says at the end of a run, for each way in which a run can end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import on_instance

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
PARTIAL: dict[str, Any] = {
    **PUBLISHED,
    "outcome": "partial",
    "snapshot": "daily.0",
    "number_of_files_failed": 2,
    "number_of_files_carried_forward": 1,
    "errors": ["'a.log': No data available; its old version was kept", "'b': Permission denied"],
}
BUT_TWO = "The EFS was backed up, but 2 files could not be copied"
KEPT = "; the snapshot has 1 file as in the one before"
INCOMPLETE = (
    "The EFS backup was incomplete. Either backup window expired before full backup "
    "or fpsync process was not completed."
)


REMOVED = " REMOVE Progress"


def report(home: Path, result: dict[str, Any] | None, *words: str) -> dict[str, Any]:
    """The UpdateItem request for a run that left ``result``."""
    if result is not None:
        (home / "result.json").write_text(json.dumps(result))
    options = {
        "result": "result.json",
        "table": "my-stack",
        "backup-id": "b-1",
        "instance": "i-1",
        "logs": "s3://logs/ec2-logs/x/",
        "topic": "arn:aws-cn:sns:cn-north-1:123456789012:topic",
        "request": "update.json",
        "message": "message.json",
    }
    command = [sys.executable, "-m", "report", "backup", *words]
    for name, value in options.items():
        command += [f"--{name}", value]
    subprocess.run(command, cwd=home, env=on_instance(), check=True)
    request: dict[str, Any] = json.loads((home / "update.json").read_text())
    return request


def plain(request: dict[str, Any]) -> dict[str, Any]:
    """Attribute names and values of an UpdateItem request, without DynamoDB's type tags."""

    def value(tagged: dict[str, Any]) -> Any:
        ((kind, inner),) = tagged.items()
        return {"S": str, "N": int, "L": lambda items: [value(i) for i in items]}[kind](inner)

    names = request["ExpressionAttributeNames"]
    values = request["ExpressionAttributeValues"]
    expression = request["UpdateExpression"].removeprefix("SET ").removesuffix(REMOVED)
    pairs = expression.split(", ")
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
            "The EFS was backed up successfully, with 1 warning",
        ),
        (PARTIAL, [], "Partial", BUT_TWO + KEPT),
        ({**PARTIAL, "number_of_files_carried_forward": 0}, [], "Partial", BUT_TWO),
        (
            {**PARTIAL, "number_of_files_failed": 3, "number_of_directories_failed": 3},
            [],
            "Partial",
            "The EFS was backed up, but 3 directories, with an unknown number of files in them, "
            f"could not be read{KEPT}",
        ),
        (PARTIAL, ["--stopped"], "Partial", f"{BUT_TWO} before the backup window expired{KEPT}"),
        (
            {**PUBLISHED, "outcome": "partial", "errors": ["'a': Permission denied"]},
            ["--warning", "x"],
            "Partial",
            "The EFS was backed up, but 1 file could not be copied, with 1 warning",
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
        (
            None,
            ["--cause", "record", "--failure", "no record"],
            "Unsuccessful",
            "The EFS backup was unsuccessful. no record",
        ),
        (
            None,
            ["--cause", "mount", "--failure", "the source file system fs-1:/ does not answer"],
            "Unsuccessful",
            "The EFS backup was unsuccessful. The EC2 instance was unable to find the mount IP OR "
            "mount EFS: the source file system fs-1:/ does not answer",
        ),
        (
            None,
            ["--cause", "no-run", "--failure", "No backup run is registered"],
            "Unsuccessful",
            "No backup run is registered",
        ),
        (
            None,
            [],
            "Unsuccessful",
            "The EFS backup was unsuccessful. The engine ended with exit status 0 and without a "
            "result; see the logs",
        ),
        (
            None,
            ["--exit-status", "137"],
            "Unsuccessful",
            "The EFS backup was unsuccessful. The engine ended with exit status 137 and without a "
            "result: something killed it",
        ),
        (
            {**PUBLISHED, "outcome": "superseded", "message": "by what?"},
            [],
            "Unknown",
            "The EFS backup ended in a way that is not known here: superseded. by what?",
        ),
    ],
)
def test_status_and_message(
    tmp_path: Path, result: dict[str, Any] | None, words: list[str], status: str, message: str
) -> None:
    found = plain(report(tmp_path, result, *words))
    assert (found["BackupStatus"], found["Message"]) == (status, message)
    calm = ("Success", "Partial", "Incomplete")
    assert "not touched" in found["WhatToDo"] or status in calm


DAMAGED = {
    "empty": b"",
    "cut off": json.dumps(PARTIAL).encode()[:-30],
    "no JSON": b"\x00\xff\xfe",
    "a list": b"[1, 2]",
    "nested without end": b"[" * 100_000,
    "without outcome": b'{"exit_code": 0}',
    "an outcome that is no text": b'{"outcome": {"published": true}}',
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_result_that_cannot_be_read_is_none_and_the_run_is_reported(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "result.json").write_bytes(content)
    found = plain(report(tmp_path, None, "--exit-status", "1", "--warning", "the log is gone"))
    assert found["BackupStatus"] == "Unsuccessful"
    assert "exit status 1 and without a result" in found["Message"]
    assert found["Warnings"] == ["the log is gone"]
    assert "memory" not in found["WhatToDo"]


def test_a_directory_in_place_of_the_result(tmp_path: Path) -> None:
    (tmp_path / "result.json").mkdir()
    assert plain(report(tmp_path, None))["BackupStatus"] == "Unsuccessful"


def test_of_a_result_that_a_newer_engine_wrote_what_is_known_is_taken(tmp_path: Path) -> None:
    newer = {
        "outcome": "published",
        "format": 7,
        "number_of_files": 12,
        "total_file_size": "4 KiB",
        "number_of_files_transferred": -1,
        "number_of_files_failed": 10**40,
        "warnings": {"vanished": ["a"]},
        "errors": [{"path": "b"}],
        "phases": {"copy": {"start": "2026-01-01T00:00:00Z"}, "expire": 7},
    }
    found = plain(report(tmp_path, newer))
    assert (found["BackupStatus"], found["NumberOfFiles"]) == ("Success", 12)
    assert found["CreateHardlinksStartTime"] == "2026-01-01T00:00:00Z"
    assert found["Errors"] == ["{'path': 'b'}"]
    assert not {"TotalFileSize", "NumberOfFilesTransferred", "NumberOfFilesFailed"} & set(found)


def test_what_was_not_copied_is_counted(tmp_path: Path) -> None:
    found = plain(report(tmp_path, PARTIAL))
    assert found["NumberOfFilesFailed"] == 2
    assert found["NumberOfFilesCarriedForward"] == 1
    assert "NumberOfDirectoriesFailed" not in found
    assert found["Errors"] == PARTIAL["errors"]
    message = json.loads((tmp_path / "message.json").read_text())
    assert message["BackupStatus"] == "Partial"
    assert message["Errors"] == PARTIAL["errors"]
    found = plain(report(tmp_path, {**PARTIAL, "number_of_directories_failed": 1}))
    assert (found["NumberOfFilesFailed"], found["NumberOfDirectoriesFailed"]) == (2, 1)


def test_what_was_restored_for_a_test_is_counted_if_there_was_one(tmp_path: Path) -> None:
    tested = {"number_of_files_test_restored": 7, "restore_test_age": 86400}
    phases = {"restore test": {"start": "2026-11-20T02:00:00Z", "stop": "2026-11-20T02:01:00Z"}}
    found = plain(report(tmp_path, {**PUBLISHED, **tested, "phases": phases}))
    assert (found["NumberOfFilesTestRestored"], found["RestoreTestAge"]) == (7, 86400)
    killed = {**tested, "restore_test_age": None}
    assert "RestoreTestAge" not in plain(
        report(tmp_path, {**PUBLISHED, **killed, "phases": phases})
    )
    assert "RestoreTestAge" not in plain(report(tmp_path, {**PUBLISHED, **tested}))


def test_what_was_excluded_is_counted(tmp_path: Path) -> None:
    excluded = {"number_of_files_excluded": 5, "excluded_file_size": 4096}
    found = plain(report(tmp_path, {**PUBLISHED, **excluded}))
    assert (found["NumberOfFilesExcluded"], found["ExcludedFileSize"]) == (5, 4096)
    nothing = {"number_of_files_excluded": 0, "excluded_file_size": 0}
    assert "ExcludedFileSize" not in plain(report(tmp_path, {**PUBLISHED, **nothing}))


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


# A run that is over, or that another instance goes on with, is not this one's to report.
MINE = "(attribute_not_exists(InstanceId) OR InstanceId = :instance)"
CONDITION = f"BackupStatus = :running AND {MINE}"


def test_what_was_read_back(tmp_path: Path) -> None:
    assert "NumberOfFilesVerified" not in plain(report(tmp_path, PUBLISHED))
    verified = {
        **PUBLISHED,
        "phases": {"read back": {"start": "a", "stop": "b"}},
        "number_of_files_verified": 5,
        "number_of_files_changed_since": 2,
        "number_of_files_mismatched": 1,
    }
    found = plain(report(tmp_path, verified))
    names = ("Verified", "ChangedSince", "Mismatched")
    assert [found[f"NumberOfFiles{name}"] for name in names] == [5, 2, 1]


def test_a_run_that_was_already_closed_keeps_its_status(tmp_path: Path) -> None:
    request = report(tmp_path, PUBLISHED)
    assert request["Key"] == {"BackupId": {"S": "b-1"}}
    assert request["ConditionExpression"] == CONDITION
    assert request["ExpressionAttributeValues"][":running"] == {"S": "Running"}
    assert request["ExpressionAttributeValues"][":instance"] == {"S": "i-1"}


def test_a_log_that_was_not_uploaded_is_a_warning(tmp_path: Path) -> None:
    found = plain(report(tmp_path, PUBLISHED, "--warning", "x could not be uploaded"))
    assert found["BackupStatus"] == "Success"
    assert found["Warnings"] == ["x could not be uploaded"]


def test_a_log_that_was_not_uploaded_is_named_whatever_else_there_is(tmp_path: Path) -> None:
    many = {**PUBLISHED, "warnings": [f"vanished: {n}" for n in range(1000)]}
    found = plain(report(tmp_path, many, "--warning", "x could not be uploaded"))
    assert found["Message"].endswith("with 1,001 warnings")
    assert found["Warnings"][0] == "x could not be uploaded"
    assert found["Warnings"][-1] == "… and 981 more"


@pytest.mark.parametrize(
    ("result", "words", "advice"),
    [
        (PUBLISHED, [], "Nothing."),
        ({**PUBLISHED, "warnings": ["vanished: a"]}, [], "See Warnings"),
        ({**PUBLISHED, "outcome": "stopped"}, [], "longer backup window"),
        (None, ["--stopped"], "longer backup window"),
        (PARTIAL, [], "the next backup tries again"),
        (PARTIAL, ["--stopped"], "longer backup window"),
        ({**PUBLISHED, "outcome": "failed", "cause": "walk"}, [], "See the logs"),
        (
            {**PUBLISHED, "outcome": "failed", "cause": "walk", "message": "too little memory?"},
            [],
            "use a larger one",
        ),
        (
            {**PUBLISHED, "outcome": "failed", "cause": "memory", "message": "[Errno 12] Cannot"},
            [],
            "use a larger one",
        ),
        ({**PUBLISHED, "outcome": "superseded"}, [], "See the logs"),
        ({**PUBLISHED, "outcome": "failed", "cause": "files"}, [], "See Errors"),
        ({**PUBLISHED, "outcome": "failed", "cause": "empty-source"}, [], "Source EFS"),
        ({**PUBLISHED, "outcome": "failed", "cause": "verification"}, [], "copies that anew"),
        ({**PUBLISHED, "outcome": "failed", "cause": "system"}, [], "See the logs"),
        ({**PUBLISHED, "outcome": "failed", "cause": "new"}, [], "See the logs"),
        ({**PUBLISHED, "outcome": "refused"}, [], "parameters of the stack"),
        (
            None,
            ["--cause", "mount", "--failure", "x"],
            "mount targets",
        ),
        (None, ["--cause", "install", "--failure", "could not be installed"], "See the logs"),
        (None, ["--exit-status", "137"], "ran out of memory"),
        (None, ["--exit-status", "1"], "See the logs"),
    ],
)
def test_what_to_do(
    tmp_path: Path, result: dict[str, Any] | None, words: list[str], advice: str
) -> None:
    assert advice in plain(report(tmp_path, result, *words))["WhatToDo"]


@pytest.mark.parametrize(
    ("outcome", "removed"), [("published", True), ("partial", True), ("stopped", False)]
)
def test_how_far_it_came_is_kept_of_a_run_that_did_not_succeed(
    tmp_path: Path, outcome: str, removed: bool
) -> None:
    request = report(tmp_path, {**PUBLISHED, "outcome": outcome})
    assert request["UpdateExpression"].endswith(REMOVED) == removed


def test_the_whole_notification_of_an_instance_that_cannot_update_its_record(
    tmp_path: Path,
) -> None:
    found = plain(report(tmp_path, PUBLISHED, "--warning", "x could not be uploaded"))
    message = json.loads((tmp_path / "message.json").read_text())
    assert list(message)[:5] == ["BackupStatus", "Message", "WhatToDo", "Logs", "Note"]
    assert message == {
        **found,
        "BackupId": "b-1",
        "Logs": "https://cn-north-1.console.amazonaws.cn/s3/buckets/logs"
        "?region=cn-north-1&prefix=ec2-logs/x/",
        "Note": "The DynamoDB record of this backup could not be updated. It may say something "
        "else.",
    }
    del found["BackupStopTime"]
    assert found == {
        "BackupStatus": "Success",
        "Message": "The EFS was backed up successfully, with 1 warning",
        "WhatToDo": "See Warnings: the snapshot holds everything but what they name.",
        "EC2Logs": "s3://logs/ec2-logs/x/",
        "NumberOfFiles": 12,
        "NumberOfFilesTransferred": 3,
        "TotalFileSize": 4096,
        "TotalTransferredFileSize": 99,
        "CreateHardlinksStartTime": "2026-01-01T00:00:00Z",
        "CreateHardlinksStopTime": "2026-01-01T00:01:00Z",
        "RemoveSnapshotStartTime": "2026-01-01T00:02:00Z",
        "RemoveSnapshotStopTime": "2026-01-01T00:03:00Z",
        "Warnings": ["x could not be uploaded"],
    }


def test_progress_is_an_update_of_a_running_record(tmp_path: Path) -> None:
    written = {"phase": "copy", "done": 3, "unit": "parts", "files_linked": 7, "updated": "now"}
    (tmp_path / "progress.json").write_text(json.dumps(written))
    command = [sys.executable, "-m", "report", "progress"]
    command += ["--progress", "progress.json", "--table", "t", "--backup-id", "b-1"]
    command += ["--instance", "i-1"]
    subprocess.run(
        [*command, "--request", "update.json"], cwd=tmp_path, env=on_instance(), check=True
    )
    assert json.loads((tmp_path / "update.json").read_text()) == {
        "TableName": "t",
        "Key": {"BackupId": {"S": "b-1"}},
        "UpdateExpression": "SET #a0 = :v0",
        "ConditionExpression": CONDITION,
        "ExpressionAttributeNames": {"#a0": "Progress"},
        "ExpressionAttributeValues": {
            ":instance": {"S": "i-1"},
            ":running": {"S": "Running"},
            ":v0": {
                "M": {
                    "Phase": {"S": "copy"},
                    "Done": {"N": "3"},
                    "Unit": {"S": "parts"},
                    "FilesLinked": {"N": "7"},
                    "Updated": {"S": "now"},
                }
            },
        },
    }


LOCALES = ["C", "C.UTF-8", "POSIX", "de_DE.ISO-8859-1", ""]


@pytest.mark.parametrize("locale", LOCALES)
def test_hostile_file_names_reach_the_record_as_text_in_any_locale(
    tmp_path: Path, locale: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", locale)
    monkeypatch.setenv("PYTHONUTF8", "0")
    monkeypatch.setenv("PYTHONCOERCECLOCALE", "0")
    errors = ['rsync: "\\n\'$(id)`"', "\\xff not utf-8", "漢字", "\x1b[2J\x07\x9b1m", "\ud800"]
    failure = os.fsdecode("größe ".encode() + b"\xff\x1b")
    found = plain(report(tmp_path, {**PUBLISHED, "errors": errors}, "--failure", failure))
    assert found["Errors"] == [*errors[:3], r"\x1b[2J\x07\x9b1m", r"\ud800"]
    assert found["Message"] == r"The EFS backup was unsuccessful. größe \xff\x1b"
    text = (tmp_path / "message.json").read_bytes().decode()
    assert all(c.isprintable() or c == "\n" for c in text)
    assert json.loads(text)["Message"] == found["Message"]


def test_no_name_is_too_long_for_a_service(tmp_path: Path) -> None:
    """Each byte of these names takes five in JSON, and there are as many as an engine may tell."""
    line = "could not be copied: " + r"\xff" * 200_000 + "/the end"
    full = {**PARTIAL, "errors": [line] * 50, "warnings": [line] * 50, "message": line}
    found = plain(report(tmp_path, full, "--failure", line[:30_000]))
    assert len((tmp_path / "update.json").read_bytes()) < 200_000  # an item may have 409,600
    assert len((tmp_path / "message.json").read_bytes()) < 262_144
    assert found["Errors"][0].startswith("could not be copied: ")
    assert found["Errors"][0].endswith("/the end")
    assert len(found["Errors"]) == 21


def test_what_became_of_snapshots_is_in_the_record(tmp_path: Path) -> None:
    """All of them: a year of history has more than the few lines of other lists."""
    snapshots = [f"daily.{n} 2026-11-20T02:00:11Z complete: \x1b {'x' * 500}" for n in range(500)]
    result = {
        **PUBLISHED,
        "snapshots": snapshots,
        "retention": ["daily.7 becomes weekly.0: why"],
        "requests": {"a": "daily.3 is held"},
        "mass_change": ["900 of 1000 files", "'a'"],
        "not_restorable": ["2 files", "'b'"],
    }
    found = plain(report(tmp_path, result))
    assert found["Retention"] == ["daily.7 becomes weekly.0: why"]
    assert found["Requests"] == ["daily.3 is held"]
    assert found["MassChange"] == ["900 of 1000 files", "'a'"]
    assert found["NotRestorable"] == ["2 files", "'b'"]
    assert len(found["Snapshots"]) == 400
    assert found["Snapshots"][399].startswith(r"daily.399 2026-11-20T02:00:11Z complete: \x1b xxx")
    assert len((tmp_path / "update.json").read_bytes()) < 200_000


@pytest.mark.parametrize("value", [None, 1, "text", {"a": {}}, [[1]]])
def test_lists_of_another_kind_keep_no_run_from_being_reported(tmp_path: Path, value: Any) -> None:
    names = ("snapshots", "retention", "requests", "mass_change", "not_restorable")
    found = plain(report(tmp_path, {**PUBLISHED, **dict.fromkeys(names, value)}))
    assert found["BackupStatus"] == "Success"


def test_progress_that_is_being_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "progress.json").write_text('{"phase": "co')
    command = [sys.executable, "-m", "report", "progress", "--table", "t"]
    command += ["--progress", "progress.json", "--backup-id", "b-1", "--instance", "i-1"]
    subprocess.run(
        [*command, "--request", "update.json"], cwd=tmp_path, env=on_instance(), check=True
    )
    assert not (tmp_path / "update.json").exists()


def test_the_record_says_what_workers_have_copied(tmp_path: Path) -> None:
    done = {"lists": 12, "files": 4800, "bytes": 5}
    found = plain(report(tmp_path, {**PUBLISHED, "workers": {"i-2": done, "i-1": done}}))
    assert found["NumberOfWorkers"] == 2
    assert found["Workers"] == [
        "i-1: 12 lists, 4,800 files, 5 bytes",
        "i-2: 12 lists, 4,800 files, 5 bytes",
    ]


@pytest.mark.parametrize(
    "workers",
    [
        *(None, {}, [], "two", {"i-1": 7}, {"i-1": {"lists": 1}}),
        {"i-1": {"lists": "one", "files": 1, "bytes": 1}},
    ],
)
def test_without_workers_the_record_says_nothing_of_them(tmp_path: Path, workers: Any) -> None:
    found = plain(report(tmp_path, {**PUBLISHED, "workers": workers}))
    assert not {"NumberOfWorkers", "Workers"} & found.keys()
