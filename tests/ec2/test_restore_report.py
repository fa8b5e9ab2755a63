"""What the notification says at the end of a restore, for each way in which one can end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from .conftest import on_instance

SETTINGS = """\
REGION=eu-west-1
TARGET_EFS=fs-01234567
BACKUP_EFS=fs-89abcdef
INTERVAL_TAG=weekly
BACKUP_NUM=2
BACKUP_DATE=
FOLDER_LABEL=my label
RESTORE_PREFIX=/a=b
RESTORE_SUBDIR=/x/
RESTORE_MODE=Mirror
DRY_RUN=No
UNDO_ID=
RESTORE_WINDOW=4320
LOG_BUCKET=logs
"""
TOPIC = "arn:aws:sns:eu-west-1:123456789012:topic"
SAFE = "/mnt/target/a=b/.efs-restore-1"
RESTORED: dict[str, Any] = {
    "outcome": "restored",
    "exit_code": 0,
    "cause": "",
    "message": "",
    "snapshot": "/mnt/backup/my label/weekly.2/x",
    "snapshot_name": "weekly.2",
    "snapshot_date": "2026-11-20T02:00:11Z",
    "paths": ["/x"],
    "target": "/mnt/target/a=b/x",
    "mode": "Mirror",
    "id": "1",
    "number_of_files_created": 3,
    "number_of_files_replaced": 1,
    "number_of_files_removed": 2,
    "number_of_files_unchanged": 4,
    "number_of_files_compared": 2,
    "number_of_files_damaged": 0,
    "number_of_files_not_moved": 0,
    "size_created": 12,
    "size_replaced": 1536,
    "size_removed": 3 << 30,
    "safety_directory": SAFE,
    "damaged_directory": "",
    "undo_command": f"sudo python3 {SAFE}.undo/undo",
    "delete_command": f"sudo rm -rf {SAFE} {SAFE}.undo",
    "repeat_command": "",
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
    "cause": "snapshot",
    "message": "there is no snapshot weekly.2 in 'my label'; there are: weekly.0 (made yesterday)",
    "target": "",
    "snapshot_name": "",
    "snapshot_date": "",
    "examples": {},
}
FAILED = {**RESTORED, "outcome": "failed", "cause": "files", "message": "4 files are missing"}
STOPPED = {**FAILED, "outcome": "stopped", "cause": "", "message": "stopped by a signal"}
UNDONE: dict[str, Any] = {
    "outcome": "undone",
    "exit_code": 0,
    "cause": "",
    "message": "",
    "warnings": [],
    "errors": [],
    "phases": {},
    "id": "1",
    "target": "/mnt/target/a=b",
    "number_of_entries_put_back": 3,
    "number_of_entries_set_aside": 2,
    "text": "Entries put back: 3; set aside: 2.",
}
MOUNT = "The EC2 instance was unable to find the mount IP OR mount EFS"


def report(
    home: Path,
    result: dict[str, Any] | None,
    *words: str,
    log: str | None = None,
    topic: str = TOPIC,
    settings: Mapping[str, str] | None = None,
) -> tuple[str, dict[str, Any]]:
    """The status and the notification of a run that left ``result`` and ``log``."""
    changed = "".join(f"{name}={value}\n" for name, value in (settings or {}).items())
    (home / "config").write_text(f"{SETTINGS}TOPIC_ARN={topic}\n{changed}")
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
    command = [sys.executable, "-m", "report", "restore"]
    for name, value in options.items():
        command += [f"--{name}", value]
    process = subprocess.run(
        [*command, *words], cwd=home, env=on_instance(), check=True, capture_output=True
    )
    notification: dict[str, Any] = json.loads((home / "message.json").read_text())
    return process.stdout.decode().strip(), notification


UNDO = {
    "RestoreId": "1",
    "MountCommand": "sudo mkdir -p /mnt/target && "
    "sudo mount -t efs -o tls fs-01234567:/ /mnt/target",
    "UndoCommand": "sudo python3 /mnt/target/a=b/.efs-restore-1.undo/undo",
    "DeleteCommand": "sudo rm -rf /mnt/target/a=b/.efs-restore-1 "
    "/mnt/target/a=b/.efs-restore-1.undo",
}
DELETE = {
    "MountCommand": UNDO["MountCommand"],
    "DeleteCommand": "sudo rm -rf /mnt/target/efs-restore_1",
}
AGAIN = {
    "StartCommand": "aws autoscaling set-desired-capacity --region eu-west-1"
    " --auto-scaling-group-name my-stack-RestoreAutoScalingGroup-1 --desired-capacity 1"
}
SNAPSHOT = "weekly.2, made 2026-11-20T02:00:11Z"
TARGET = {"Snapshot": SNAPSHOT, "Target": "fs-01234567:/a=b/x"}
KEPT = {**TARGET, "SafetyDirectory": "fs-01234567:/a=b/.efs-restore-1"}
NUMBERS = {
    "NumberOfFilesCreated": 3,
    "NumberOfFilesReplaced": 1,
    "NumberOfFilesRemoved": 2,
    "NumberOfFilesUnchanged": 4,
    "SizeCreated": 12,
    "SizeReplaced": 1536,
    "SizeRemoved": 3 << 30,
    "NumberOfFilesCompared": 2,
    "NumberOfFilesDamaged": 0,
    "NumberOfFilesNotMoved": 0,
}
DONE = "Files: 3 created (12 bytes), 1 replaced (1.5 KiB), 2 removed (3 GiB), 4 left as they were."
DELETE_STACK = "The restore's stack is not needed any more: delete it."
HOW_TO_UNDO = (
    "What was replaced or removed is kept in fs-01234567:/a=b/.efs-restore-1. After MountCommand, "
    "UndoCommand puts everything back as it was before (as the template does with Undo ID 1), and "
    "DeleteCommand deletes what is kept for that."
)
HOW_TO_FIND_IT = (
    "What it had moved aside by then is in .efs-restore-<id> below the prefix; the script undo in "
    ".efs-restore-<id>.undo puts it back."
)
START = "run StartCommand, which starts the restore again with the same parameters"
LAUNCH = "delete the restore's stack, and launch the template again"


@pytest.mark.parametrize(
    ("result", "words", "log", "status", "message", "what_to_do", "more"),
    [
        pytest.param(
            RESTORED, [], None,
            "Success",
            f"The EFS was restored successfully from {SNAPSHOT}. {DONE}",
            f"{DELETE_STACK} {HOW_TO_UNDO}",
            {**NUMBERS, **KEPT, **UNDO},
            id="restored",
        ),
        pytest.param(
            {**RESTORED, "warnings": ["differs: a"]}, [], None,
            "Success",
            f"The EFS was restored successfully from {SNAPSHOT}, with 1 warning. {DONE}",
            f"See Warnings, and check what they name. {DELETE_STACK} {HOW_TO_UNDO}",
            {**NUMBERS, **KEPT, **UNDO, "Warnings": ["differs: a"]},
            id="warnings",
        ),
        pytest.param(
            {**RESTORED, **UNTOUCHED}, [], None,
            "Success",
            f"The EFS was restored successfully from {SNAPSHOT}. {DONE} Nothing had to be changed.",
            DELETE_STACK,
            {**NUMBERS, **TARGET},
            id="nothing to do",
        ),
        pytest.param(
            NEW_DIRECTORY, [], None,
            "Success",
            f"The EFS was restored successfully from {SNAPSHOT}. The files are in "
            f"fs-01234567:/efs-restore_1; nothing else was touched. {DONE}",
            f"{DELETE_STACK} After MountCommand, DeleteCommand deletes the new directory.",
            {**NUMBERS, **TARGET, "Target": "fs-01234567:/efs-restore_1", **DELETE},
            id="new directory",
        ),
        pytest.param(
            PLANNED, [], None,
            "Planned",
            f"This was a dry run: nothing was changed. It tells what a restore of {SNAPSHOT}, "
            "would do. Files: 3 to create (12 bytes), 1 to replace (1.5 KiB), 2 to remove (3 GiB), "
            "4 to leave as they are.",
            "See Examples; create.txt, replace.txt and remove.txt beside the logs name each file. "
            f"To restore, {LAUNCH} with Dry Run set to No and Backup Date set to "
            "2026-11-20T02:00:11Z; after the next backup, the number means another snapshot.",
            {
                **NUMBERS,
                **TARGET,
                "Examples": {"create": ["a", "b", "c"], "replace": ["d"], "remove": ["e", "f"]},
            },
            id="dry run",
        ),
        pytest.param(
            {**PLANNED, "examples": {"create": [], "replace": [], "remove": []}}, [], None,
            "Planned",
            f"This was a dry run: nothing was changed. It tells what a restore of {SNAPSHOT}, "
            "would do. Files: 3 to create (12 bytes), 1 to replace (1.5 KiB), 2 to remove (3 GiB), "
            "4 to leave as they are.",
            "No file would be created, replaced or removed. "
            f"To restore, {LAUNCH} with Dry Run set to No and Backup Date set to "
            "2026-11-20T02:00:11Z; after the next backup, the number means another snapshot.",
            {**NUMBERS, **TARGET},
            id="dry run without a change",
        ),
        pytest.param(
            STOPPED, [], None,
            "Incomplete",
            f"The EFS restore of {SNAPSHOT}, is incomplete: stopped by a signal.",
            f"To go on, {START}. {HOW_TO_UNDO}",
            {**NUMBERS, **KEPT, **UNDO, **AGAIN},
            id="stopped",
        ),
        pytest.param(
            {**STOPPED, **UNTOUCHED}, [], None,
            "Incomplete",
            f"The EFS restore of {SNAPSHOT}, is incomplete: stopped by a signal. Nothing was "
            "replaced or removed.",
            f"To go on, {START}.",
            {**NUMBERS, **TARGET, **AGAIN},
            id="stopped early",
        ),
        pytest.param(
            None, ["--exit-status", "3"], None,
            "Incomplete",
            "The EFS restore is incomplete.",
            f"To go on, {START}. {HOW_TO_FIND_IT}",
            AGAIN,
            id="stopped without a result",
        ),
        pytest.param(
            {**FAILED, "errors": ["not restored: a"]}, [], None,
            "Unsuccessful",
            f"The EFS restore of {SNAPSHOT}, was unsuccessful: 4 files are missing.",
            f"See Errors, put right what they name, and {START}. {HOW_TO_UNDO}",
            {**NUMBERS, **KEPT, **UNDO, **AGAIN, "Errors": ["not restored: a"]},
            id="failed copy",
        ),
        pytest.param(
            {**FAILED, **UNTOUCHED, "cause": "space", "message": "needs 9 bytes, but has 1"},
            [], None,
            "Unsuccessful",
            f"The EFS restore of {SNAPSHOT}, was unsuccessful: needs 9 bytes, but has 1. Nothing "
            "was replaced or removed.",
            f"Make room on the target file system, and {START}; or {LAUNCH} with a Restore "
            "Subdirectory, to restore less.",
            {**NUMBERS, **TARGET, **AGAIN},
            id="not enough space",
        ),
        pytest.param(
            {**FAILED, "cause": "system", "message": "[Errno 5] Input/output error"}, [], None,
            "Unsuccessful",
            f"The EFS restore of {SNAPSHOT}, was unsuccessful: [Errno 5] Input/output error.",
            f"See the logs, put right what they name, and {START}. {HOW_TO_UNDO}",
            {**NUMBERS, **KEPT, **UNDO, **AGAIN},
            id="system error",
        ),
        pytest.param(
            {
                **FAILED,
                **UNTOUCHED,
                "errors": ["'a': Input/output error"],
                "delete_command": f"sudo rm -rf {SAFE}.undo",
            },
            [], None,
            "Unsuccessful",
            f"The EFS restore of {SNAPSHOT}, was unsuccessful: 4 files are missing. Nothing was "
            "replaced or removed.",
            f"See Errors, put right what they name, and {START}. After MountCommand, DeleteCommand "
            "deletes what it has left there.",
            {
                **NUMBERS,
                **TARGET,
                "MountCommand": UNDO["MountCommand"],
                "DeleteCommand": f"sudo rm -rf {SAFE}.undo",
                **AGAIN,
                "Errors": ["'a': Input/output error"],
            },
            id="failed before the first change, and something is left",
        ),
        pytest.param(
            {
                **FAILED,
                "cause": "verification",
                "message": "1 file was kept out",
                "number_of_files_damaged": 1,
                "damaged_directory": f"{SAFE}.damaged",
                "errors": ["damaged in the backup, and not put in place: 'a'"],
            },
            [], None,
            "Unsuccessful",
            f"The EFS restore of {SNAPSHOT}, was unsuccessful: 1 file was kept out.",
            "See Errors. What they name has changed in the backup since it was copied: look at "
            "what is kept in DamagedDirectory, or restore these files from another snapshot, with "
            f"Restore Subdirectory and Backup Date. {HOW_TO_UNDO}",
            {
                **NUMBERS,
                "NumberOfFilesDamaged": 1,
                **KEPT,
                "DamagedDirectory": "fs-01234567:/a=b/.efs-restore-1.damaged",
                **UNDO,
                "Errors": ["damaged in the backup, and not put in place: 'a'"],
            },
            id="rotten in the backup",
        ),
        pytest.param(
            {**FAILED, **UNTOUCHED, "cause": "expired", "message": "the snapshot expired"},
            [], None,
            "Unsuccessful",
            f"The EFS restore of {SNAPSHOT}, was unsuccessful: the snapshot expired. Nothing was "
            "replaced or removed.",
            f"Choose a newer one: {LAUNCH} with its Backup Date.",
            {**NUMBERS, **TARGET},
            id="expired meanwhile",
        ),
        pytest.param(
            REFUSED, [], None,
            "Unsuccessful",
            "The EFS restore was refused, and nothing was changed: there is no snapshot weekly.2 "
            "in 'my label'; there are: weekly.0 (made yesterday).",
            "Choose one that exists, by Backup EFS, Folder Label, Interval Label and Backup "
            f"Number or Backup Date: {LAUNCH} with them.",
            {},
            id="no such snapshot",
        ),
        pytest.param(
            {**REFUSED, "cause": "target", "message": "'/mnt/target/a' is not a directory"},
            [], None,
            "Unsuccessful",
            "The EFS restore was refused, and nothing was changed: '/mnt/target/a' is not a "
            "directory.",
            f"Move away what the message names, and {START}; or {LAUNCH} with another Restore "
            "Prefix or Restore Subdirectory.",
            AGAIN,
            id="unfit target",
        ),
        pytest.param(
            {**REFUSED, "cause": "busy", "message": "another restore is working"}, [], None,
            "Unsuccessful",
            "The EFS restore was refused, and nothing was changed: another restore is working.",
            f"Wait until the other restore has ended, and {START}.",
            AGAIN,
            id="another restore",
        ),
        pytest.param(
            {**REFUSED, "cause": "", "message": "'/x/' does not exist"}, [], None,
            "Unsuccessful",
            "The EFS restore was refused, and nothing was changed: '/x/' does not exist.",
            f"Change what the message names in the parameters: {LAUNCH} with them.",
            {},
            id="refused",
        ),
        pytest.param(
            None, ["--exit-status", "2"],
            "2026-01-01T00:00:00Z  refused: --number must be a whole number, not '1.5'\n",
            "Unsuccessful",
            "The EFS restore was refused, and nothing was changed: --number must be a whole "
            "number, not '1.5'.",
            f"Change what the message names in the parameters: {LAUNCH} with them.",
            {},
            id="refused without a result",
        ),
        pytest.param(
            None, ["--cause", "mount", "--failure", "x (timed out)"], None,
            "Unsuccessful",
            f"The EFS restore was unsuccessful. {MOUNT}: x (timed out). Nothing was changed.",
            "Check mount targets, security groups, DNS and file system policy as the message "
            f"says, and {START}.",
            AGAIN,
            id="mount",
        ),
        pytest.param(
            None, ["--failure", "The programs could not be installed"], None,
            "Unsuccessful",
            "The EFS restore was unsuccessful. The programs could not be installed. Nothing was "
            "changed.",
            f"See the logs, put right what they name, and {START}.",
            AGAIN,
            id="not started",
        ),
        pytest.param(
            None, ["--failure", "No identity", "--group", ""], None,
            "Unsuccessful",
            "The EFS restore was unsuccessful. No identity. Nothing was changed.",
            f"See the logs, put right what they name, and {LAUNCH}.",
            {},
            id="not started, and of no known group",
        ),
        pytest.param(
            {**REFUSED, "outcome": "superseded", "cause": "", "message": "by what?"}, [], None,
            "Unknown",
            "The EFS restore ended in a way that is not known here: superseded: by what?.",
            "See the logs: they say how it ended.",
            NUMBERS,
            id="unknown",
        ),
        pytest.param(
            None, ["--exit-status", "137"], "2026-01-01T00:00:00Z  x\nMemoryError\n  Logs  /x\n",
            "Unsuccessful",
            "The EFS restore was unsuccessful. The engine ended with exit status 137 and no "
            "result: MemoryError.",
            f"See the logs. If the instance ran out of memory, {LAUNCH} with a larger one in its "
            f"Mappings; otherwise {START}. {HOW_TO_FIND_IT}",
            AGAIN,
            id="died",
        ),
    ],
)  # fmt: skip
def test_the_whole_notification(
    tmp_path: Path,
    result: dict[str, Any] | None,
    words: list[str],
    log: str | None,
    status: str,
    message: str,
    what_to_do: str,
    more: dict[str, Any],
) -> None:
    printed, notification = report(tmp_path, result, *words, log=log)
    assert printed == status
    assert datetime.strptime(notification["StopTime"], "%Y-%m-%dT%H:%M:%SZ").year > 2025
    expected = {
        "Status": status,
        "Message": message,
        "WhatToDo": what_to_do,
        "Logs": "https://eu-west-1.console.aws.amazon.com/s3/buckets/logs"
        "?region=eu-west-1&prefix=efs-restore-logs/x/",
        "StartTime": "2026-01-01T00:00:00Z",
        "StopTime": notification["StopTime"],
        **more,
        "Parameters": {  # called as in the template
            "SrcEFS": "fs-01234567",
            "DstEFS": "fs-89abcdef",
            "IntervalTag": "weekly",
            "BackupNum": "2",
            "BackupDate": "",
            "FolderLabel": "my label",
            "RestorePrefix": "/a=b",
            "RestoreSubDir": "/x/",
            "RestoreMode": "Mirror",
            "DryRun": "No",
            "UndoId": "",
            "RestoreWindow": "4320",
        },
        "EC2Logs": "s3://logs/efs-restore-logs/x/",
    }
    # In this order, so that it can be read from the top.
    assert list(notification.items()) == list(expected.items())


WAS_MOVED = {"NumberOfEntriesPutBack": 3, "NumberOfEntriesSetAside": 2}
IN_PREFIX = {"Target": "fs-01234567:/a=b"}
GOES_ON = "Undoing it again goes on where this has ended."


@pytest.mark.parametrize(
    ("result", "words", "status", "message", "what_to_do", "more"),
    [
        pytest.param(
            UNDONE, [],
            "Undone",
            "The restore 1 was undone: 3 entries were put back. What it had put in place, 2 "
            "entries, is in fs-01234567:/a=b/.efs-restore-1.undo/restored.",
            "The restore's stack is not needed any more: delete it.",
            {
                **WAS_MOVED,
                **IN_PREFIX,
                "MountCommand": UNDO["MountCommand"],
                "DeleteCommand": "sudo rm -rf /mnt/target/a=b/.efs-restore-1.undo",
            },
            id="undone",
        ),
        pytest.param(
            {**UNDONE, "outcome": "planned"}, [],
            "Planned",
            "This was a dry run: nothing was changed. Undoing the restore 1 would put 3 entries "
            "back, and set 2 aside.",
            f"To undo the restore, {LAUNCH} with Dry Run set to No.",
            {**WAS_MOVED, **IN_PREFIX},
            id="dry run",
        ),
        pytest.param(
            {**UNDONE, "outcome": "failed", "cause": "files", "message": "1 entry stays"}, [],
            "Unsuccessful",
            "The undoing of the restore 1 was unsuccessful: 1 entry stays.",
            f"See Errors, put right what they name, and {START}. {GOES_ON}",
            {**WAS_MOVED, **IN_PREFIX, **AGAIN},
            id="failed",
        ),
        pytest.param(
            {**UNDONE, "outcome": "refused", "cause": "target", "message": "it is 2"},
            [],
            "Unsuccessful",
            "The undoing of the restore 1 was refused, and nothing was changed: it is 2.",
            f"Change what the message names in the parameters: {LAUNCH} with them.",
            IN_PREFIX,
            id="no such restore",
        ),
        pytest.param(
            None, ["--exit-status", "137"],
            "Unsuccessful",
            "The undoing of the restore 1 was unsuccessful. The engine ended with exit status 137 "
            "and no result.",
            f"See the logs. If the instance ran out of memory, {LAUNCH} with a larger one in its "
            f"Mappings; otherwise {START}. {GOES_ON}",
            AGAIN,
            id="died",
        ),
    ],
)  # fmt: skip
def test_the_notification_of_an_undo(
    tmp_path: Path,
    result: dict[str, Any] | None,
    words: list[str],
    status: str,
    message: str,
    what_to_do: str,
    more: dict[str, Any],
) -> None:
    printed, notification = report(tmp_path, result, *words, settings={"UNDO_ID": "1"})
    assert printed == status
    assert (notification["Message"], notification["WhatToDo"]) == (message, what_to_do)
    common = {"Status", "Message", "WhatToDo", "Logs", "EC2Logs", "StartTime", "StopTime"}
    found = {n: v for n, v in notification.items() if n not in common | {"Parameters"}}
    assert found == more
    assert notification["Parameters"]["UndoId"] == "1"


@pytest.mark.parametrize(
    ("partition", "region", "console"),
    [
        ("aws-cn", "cn-north-1", "cn-north-1.console.amazonaws.cn"),
        ("aws-us-gov", "us-gov-west-1", "us-gov-west-1.console.amazonaws-us-gov.com"),
        ("aws-eusc", "eusc-de-east-1", "eusc-de-east-1.console.amazonaws-eusc.eu"),
        ("aws-new", "new-1", "new-1.console.aws.amazon.com"),
    ],
)
def test_the_link_leads_to_the_console_of_the_partition(
    tmp_path: Path, partition: str, region: str, console: str
) -> None:
    topic = f"arn:{partition}:sns:{region}:123456789012:topic"
    _, notification = report(tmp_path, RESTORED, topic=topic)
    assert notification["Logs"] == (
        f"https://{console}/s3/buckets/logs?region={region}&prefix=efs-restore-logs/x/"
    )


@pytest.mark.parametrize("result", [RESTORED, None])
def test_a_log_that_was_not_uploaded_is_a_warning(
    tmp_path: Path, result: dict[str, Any] | None
) -> None:
    warning = "x could not be uploaded to s3://nowhere/x"
    words = [] if result else ["--failure", "no mount"]
    status, notification = report(tmp_path, result, *words, "--warning", warning)
    assert status == ("Success" if result else "Unsuccessful")
    assert notification["Warnings"] == [warning]


def test_what_was_left_alone_is_said(tmp_path: Path) -> None:
    _, notification = report(tmp_path, {**RESTORED, "excluded": ["*.tmp", "/cache/"]})
    assert notification["LeftAlone"] == ["*.tmp", "/cache/"]


def test_what_workers_have_copied_is_said(tmp_path: Path) -> None:
    done = {"i-1": {"lists": 12, "files": 4800, "bytes": 5}}
    _, notification = report(tmp_path, {**RESTORED, "workers": done})
    assert notification["NumberOfWorkers"] == 1
    assert notification["Workers"] == ["i-1: 12 lists, 4,800 files, 5 bytes"]


def test_a_message_never_exceeds_what_sns_takes(tmp_path: Path) -> None:
    long = ["漢" * 4096] * 200
    examples = {"create": long, "replace": long, "remove": long}
    report(tmp_path, {**PLANNED, "examples": examples, "warnings": long, "errors": long})
    assert (tmp_path / "message.json").stat().st_size < 256 * 1024


def test_hostile_file_names_reach_the_notification_as_text(tmp_path: Path) -> None:
    errors = ['rsync: "\\n\'$(id)`"', "\\xff not utf-8", "漢字", "\udcff"]
    _, notification = report(tmp_path, {**FAILED, "errors": errors})
    assert notification["Errors"][:3] == errors[:3]
