"""What the notification says at the end of a restore, for each way in which one can end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import EC2

SETTINGS = """\
REGION=eu-west-1
TARGET_EFS=fs-01234567
BACKUP_EFS=fs-89abcdef
INTERVAL_TAG=weekly
BACKUP_NUM=2
FOLDER_LABEL=my label
RESTORE_PREFIX=/a=b
RESTORE_SUBDIR=/x/
RESTORE_MODE=Mirror
DRY_RUN=No
LOG_BUCKET=logs
TOPIC_ARN=arn:aws:sns:eu-west-1:123456789012:topic
"""
SAFE = "/mnt/target/a=b/.efs-restore-1"
RESTORED: dict[str, Any] = {
    "outcome": "restored",
    "exit_code": 0,
    "cause": "",
    "message": "",
    "snapshot": "/mnt/backup/my label/weekly.2/x",
    "target": "/mnt/target/a=b/x",
    "mode": "Mirror",
    "id": "1",
    "number_of_files_created": 3,
    "number_of_files_replaced": 1,
    "number_of_files_removed": 2,
    "number_of_files_unchanged": 4,
    "size_created": 12,
    "size_replaced": 1536,
    "size_removed": 3 << 30,
    "safety_directory": SAFE,
    "undo_command": f"sudo python3 {SAFE}.undo/undo",
    "delete_command": f"sudo rm -rf {SAFE} {SAFE}.undo",
    "warnings": [],
    "errors": [],
    "examples": {"create": ["a", "b", "c"], "replace": ["d"], "remove": ["e", "f"]},
    "phases": {},
}
UNTOUCHED = {"safety_directory": "", "undo_command": "", "delete_command": ""}
NEW_DIRECTORY = {
    **RESTORED,
    **UNTOUCHED,
    "mode": "NewDirectory",
    "target": "/mnt/target/efs-restore_1",
    "delete_command": "sudo rm -rf /mnt/target/efs-restore_1",
}
PLANNED = {**RESTORED, **UNTOUCHED, "outcome": "planned"}
REFUSED = {
    **RESTORED,
    **UNTOUCHED,
    "outcome": "refused",
    "message": "there is no snapshot weekly.2 in 'my label'; there are: weekly.0 (made yesterday)",
    "target": "",
    "examples": {},
}
FAILED = {**RESTORED, "outcome": "failed", "cause": "files", "message": "4 files are missing"}
STOPPED = {**FAILED, "outcome": "stopped", "message": "stopped by a signal"}
COMMANDS = {"MountCommand", "UndoCommand", "DeleteCommand"}


def report(
    home: Path, result: dict[str, Any] | None, *words: str, log: str | None = None
) -> tuple[str, dict[str, Any]]:
    """The status and the notification of a run that left ``result`` and ``log``."""
    (home / "config").write_text(SETTINGS)
    if result is not None:
        (home / "result.json").write_text(json.dumps(result))
    if log is not None:
        (home / "restore.log").write_text(log)
    options = {
        "config": "config",
        "result": "result.json",
        "engine-log": "restore.log",
        "group": "my-stack-RestoreAutoScalingGroup-1",
        "start": "2026-01-01T00:00:00Z",
        "logs": "s3://logs/efs-restore-logs/x/",
        "message": "message.json",
    }
    command = [sys.executable, str(EC2 / "lib" / "restore_report.py")]
    for name, value in options.items():
        command += [f"--{name}", value]
    process = subprocess.run([*command, *words], cwd=home, check=True, capture_output=True)
    notification: dict[str, Any] = json.loads((home / "message.json").read_text())
    return process.stdout.decode().strip(), notification


@pytest.mark.parametrize(
    ("result", "words", "log", "status", "says"),
    [
        (RESTORED, [], None, "Success", "The EFS was restored successfully."),
        (
            {**RESTORED, "warnings": ["differs: a"]},
            [],
            None,
            "Success",
            "restored successfully, with 1 warning(s).",
        ),
        (
            RESTORED,
            [],
            None,
            "Success",
            "Files: 3 created (12 bytes), 1 replaced (1.5 KiB), 2 removed (3 GiB),"
            " 4 left as they were.",
        ),
        (RESTORED, [], None, "Success", "is kept in fs-01234567:/a=b/.efs-restore-1."),
        (
            RESTORED,
            [],
            None,
            "Success",
            "After MountCommand, UndoCommand puts everything back as it was before,"
            " and DeleteCommand deletes",
        ),
        (
            NEW_DIRECTORY,
            [],
            None,
            "Success",
            "The files are in fs-01234567:/efs-restore_1; nothing else was touched.",
        ),
        (
            NEW_DIRECTORY,
            [],
            None,
            "Success",
            "After MountCommand, DeleteCommand deletes the new directory.",
        ),
        (
            {**RESTORED, **UNTOUCHED},
            [],
            None,
            "Success",
            "left as they were. Nothing had to be changed.",
        ),
        (PLANNED, [], None, "Planned", "dry run: nothing was changed"),
        (PLANNED, [], None, "Planned", "Files: 3 to create (12 bytes), 1 to replace (1.5 KiB)"),
        (PLANNED, [], None, "Planned", "launch the template again with Dry Run set to No"),
        (STOPPED, [], None, "Incomplete", "The EFS restore is incomplete: stopped by a signal."),
        (None, ["--exit-status", "3"], None, "Incomplete", "The EFS restore is incomplete."),
        (
            FAILED,
            [],
            None,
            "Unsuccessful",
            "The EFS restore was unsuccessful: 4 files are missing. What was replaced or removed"
            " is kept in fs-01234567:/a=b/.efs-restore-1.",
        ),
        (
            {**FAILED, **UNTOUCHED, "cause": "space", "message": "too little space"},
            [],
            None,
            "Unsuccessful",
            "too little space. Nothing was replaced or removed.",
        ),
        (
            REFUSED,
            [],
            None,
            "Unsuccessful",
            "refused, and nothing was changed: there is no snapshot weekly.2 in 'my label';"
            " there are: weekly.0 (made yesterday).",
        ),
        (
            None,
            ["--exit-status", "2"],
            "2026-01-01T00:00:00Z  refused: --number must be a whole number, not '1.5'\n",
            "Unsuccessful",
            "nothing was changed: --number must be a whole number, not '1.5'.",
        ),
        (
            None,
            ["--failure", "The EFS restore was unsuccessful. No mount (timed out)"],
            None,
            "Unsuccessful",
            "No mount (timed out). Nothing was changed.",
        ),
        (
            None,
            ["--exit-status", "137"],
            "2026-01-01T00:00:00Z  copying\nMemoryError\n",
            "Unsuccessful",
            "ended with exit status 137 and no result: MemoryError. What it had moved aside",
        ),
        (
            None,
            ["--exit-status", "127"],
            None,
            "Unsuccessful",
            "ended with exit status 127 and no result.",
        ),
    ],
)
def test_status_and_message(
    tmp_path: Path,
    result: dict[str, Any] | None,
    words: list[str],
    log: str | None,
    status: str,
    says: str,
) -> None:
    printed, notification = report(tmp_path, result, *words, log=log)
    assert printed == notification["Status"] == status
    assert says in notification["Message"]


@pytest.mark.parametrize(
    ("result", "words", "has", "has_not"),
    [
        (RESTORED, [], COMMANDS | {"SafetyDirectory", "Target"}, {"StartCommand", "Examples"}),
        (FAILED, [], COMMANDS | {"SafetyDirectory", "StartCommand"}, {"NumberOfFilesCreated"}),
        (STOPPED, [], COMMANDS | {"SafetyDirectory", "StartCommand"}, {"NumberOfFilesCreated"}),
        (PLANNED, [], {"Examples", "NumberOfFilesCreated"}, COMMANDS | {"StartCommand"}),
        (REFUSED, [], set(), COMMANDS | {"StartCommand", "NumberOfFilesCreated", "Target"}),
        (None, ["--failure", "no mount"], {"StartCommand"}, COMMANDS),
        (None, ["--exit-status", "137"], {"StartCommand"}, COMMANDS),
        (None, ["--failure", "no identity", "--group", ""], set(), COMMANDS | {"StartCommand"}),
    ],
)
def test_what_a_notification_offers(
    tmp_path: Path,
    result: dict[str, Any] | None,
    words: list[str],
    has: set[str],
    has_not: set[str],
) -> None:
    _, notification = report(tmp_path, result, *words)
    assert has - set(notification) == set()
    assert has_not & set(notification) == set()
    for command in ("StartCommand", "UndoCommand", "DeleteCommand", "MountCommand"):
        assert (command in notification["Message"]) == (command in notification), command


def test_it_can_be_read_from_the_top(tmp_path: Path) -> None:
    _, notification = report(tmp_path, RESTORED)
    assert list(notification)[:4] == ["Status", "Message", "StartTime", "StopTime"]
    assert notification["StartTime"] == "2026-01-01T00:00:00Z"
    assert notification["NumberOfFilesCreated"] == 3
    assert notification["NumberOfFilesReplaced"] == 1
    assert notification["NumberOfFilesRemoved"] == 2
    assert notification["NumberOfFilesUnchanged"] == 4
    assert notification["SizeCreated"] == 12
    assert notification["SizeReplaced"] == 1536
    assert notification["SizeRemoved"] == 3 << 30
    assert notification["Logs"] == "s3://logs/efs-restore-logs/x/"


def test_the_commands_can_be_pasted(tmp_path: Path) -> None:
    _, notification = report(tmp_path, FAILED)
    assert notification["MountCommand"] == (
        "sudo mkdir -p /mnt/target && sudo mount -t efs -o tls fs-01234567:/ /mnt/target"
    )
    assert notification["UndoCommand"] == RESTORED["undo_command"]
    assert notification["DeleteCommand"] == RESTORED["delete_command"]
    assert notification["StartCommand"] == (
        "aws autoscaling set-desired-capacity --region eu-west-1"
        " --auto-scaling-group-name my-stack-RestoreAutoScalingGroup-1 --desired-capacity 1"
    )


def test_parameters_are_called_as_in_the_template(tmp_path: Path) -> None:
    _, notification = report(tmp_path, REFUSED)
    assert notification["Parameters"] == {
        "SrcEFS": "fs-01234567",
        "DstEFS": "fs-89abcdef",
        "IntervalTag": "weekly",
        "BackupNum": "2",
        "FolderLabel": "my label",
        "RestorePrefix": "/a=b",
        "RestoreSubDir": "/x/",
        "RestoreMode": "Mirror",
        "DryRun": "No",
    }


def test_a_dry_run_names_files(tmp_path: Path) -> None:
    _, notification = report(tmp_path, PLANNED)
    assert notification["Examples"] == RESTORED["examples"]


@pytest.mark.parametrize("result", [RESTORED, None])
def test_a_log_that_was_not_uploaded_is_a_warning(
    tmp_path: Path, result: dict[str, Any] | None
) -> None:
    warning = "x could not be uploaded to s3://nowhere/x"
    words = [] if result else ["--failure", "no mount"]
    status, notification = report(tmp_path, result, *words, "--warning", warning)
    assert status == ("Success" if result else "Unsuccessful")
    assert notification["Warnings"] == [warning]


def test_a_message_never_exceeds_what_sns_takes(tmp_path: Path) -> None:
    long = ["漢" * 4096] * 200
    examples = {"create": long, "replace": long, "remove": long}
    report(tmp_path, {**PLANNED, "examples": examples, "warnings": long, "errors": long})
    assert (tmp_path / "message.json").stat().st_size < 256 * 1024


def test_hostile_file_names_reach_the_notification_as_text(tmp_path: Path) -> None:
    errors = ['rsync: "\\n\'$(id)`"', "\\xff not utf-8", "漢字", "\udcff"]
    _, notification = report(tmp_path, {**FAILED, "errors": errors})
    assert notification["Errors"][:3] == errors[:3]
