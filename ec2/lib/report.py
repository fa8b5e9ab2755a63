#!/usr/bin/env python3
"""Turn what a run on the instance did into one update of its record.

Python 3.9, standard library only: this runs on Amazon Linux 2023's own python3.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from notification import MOUNT, console_link, write

SUCCESS = "The EFS was backed up successfully"
INCOMPLETE = (
    "The EFS backup was incomplete. Either backup window expired before full backup "
    "or fpsync process was not completed."
)
FPSYNC_FAILED = "fpsync process in backup script failed or did not start"
UNSUCCESSFUL = "The EFS backup was unsuccessful."

UNTOUCHED = "The snapshots that exist were not touched."
AGAIN = f"then start a backup or wait for the next one. {UNTOUCHED}"
# What to do, by the engine's cause or by how the run ended.
ADVICE = {
    "published": "Nothing.",
    "warnings": "See Warnings: the snapshot holds everything but what they name.",
    "stopped": "Nothing if there was much to copy: the next backup continues with what is left. "
    "If it happens again, use a longer backup window or a larger instance.",
    "mount": "Check mount targets, security groups, DNS and the prefix as the message says, "
    + AGAIN,
    "files": "See Errors, put right what they name, " + AGAIN,
    "empty-source": "Check that Source EFS and Backup Prefix of the stack are the right ones, and "
    "that its files are not lost: if they are, restore the newest snapshot. An empty source is "
    f"never backed up; if this one is meant to be empty, put a file into it. {UNTOUCHED}",
    "refused": "Change what the message names in the parameters of the stack, " + AGAIN,
    "verification": "See Errors. The new snapshot is complete but for what they name, and the next "
    "backup copies that anew. Check that the files are right in the source: if not, restore them "
    "from an older snapshot. If it happens again, re-check the snapshots with efs-verify.sh.",
    "died": "See the logs. If the instance ran out of memory, use a larger one; " + AGAIN,
    "other": "See the logs, put right what they name, " + AGAIN,
}
NOTE = "The DynamoDB record of this backup could not be updated. It may say something else."

COUNTS = {
    "number_of_files": "NumberOfFiles",
    "number_of_files_transferred": "NumberOfFilesTransferred",
    "total_file_size": "TotalFileSize",
    "total_transferred_file_size": "TotalTransferredFileSize",
}
VERIFIED = {
    "number_of_files_verified": "NumberOfFilesVerified",
    "number_of_files_changed_since": "NumberOfFilesChangedSince",
    "number_of_files_mismatched": "NumberOfFilesMismatched",
}
PHASES = {"copy": "CreateHardlinks", "directories": "RsyncDelete", "expire": "RemoveSnapshot"}
LINES_KEPT = 20


def verdict(result: dict[str, Any], failure: str, stopped: bool) -> tuple[str, str, str]:
    """Status and message of a run, and what to do: from the engine's result, or from why it never
    got that far."""
    if failure:
        return "Unsuccessful", failure, ADVICE["mount" if MOUNT in failure else "other"]
    if not result:
        if stopped:
            return "Incomplete", INCOMPLETE, ADVICE["stopped"]
        text = f"{UNSUCCESSFUL} The engine ended without a result; see the logs"
        return "Unsuccessful", text, ADVICE["died"]
    if result["outcome"] == "published":
        warnings = len(result["warnings"])
        if warnings:
            return "Success", f"{SUCCESS}, with {warnings} warning(s)", ADVICE["warnings"]
        return "Success", SUCCESS, ADVICE["published"]
    if result["outcome"] == "stopped":
        return "Incomplete", INCOMPLETE, ADVICE["stopped"]
    if result["cause"] == "walk":
        return "fpsync failed", f"{FPSYNC_FAILED}: {result['message']}", ADVICE["died"]
    advice = ADVICE.get(result["cause"] or result["outcome"], ADVICE["other"])
    return "Unsuccessful", f"{UNSUCCESSFUL} {result['message']}", advice


def attributes(
    result: dict[str, Any], outcome: tuple[str, str, str], logs: str, now: str
) -> dict[str, Any]:
    """The record's attributes at the end of a run, as plain values."""
    found: dict[str, Any] = dict(zip(("BackupStatus", "Message", "WhatToDo"), outcome))
    found.update(BackupStopTime=now, EC2Logs=logs)
    for key, name in COUNTS.items():
        if key in result:
            found[name] = result[key]
    if "verify" in result.get("phases", {}):
        found.update({name: result[key] for key, name in VERIFIED.items()})
    for phase, name in PHASES.items():
        if phase in result.get("phases", {}):
            found[f"{name}StartTime"] = result["phases"][phase]["start"]
            found[f"{name}StopTime"] = result["phases"][phase]["stop"]
    for key, name in {"warnings": "Warnings", "errors": "Errors"}.items():
        if result.get(key):
            found[name] = result[key][:LINES_KEPT]
    return found


def message(found: dict[str, Any], backup_id: str, topic: str) -> dict[str, Any]:
    """The notification for when the record cannot say it, in the order in which it is read."""
    first = {name: found[name] for name in ("BackupStatus", "Message", "WhatToDo")}
    link = console_link(found["EC2Logs"], topic)
    return {**first, "Logs": link, "Note": NOTE, "BackupId": backup_id, **found}


def dynamodb_value(value: Any) -> dict[str, Any]:
    if isinstance(value, (int, float)):
        return {"N": str(value)}
    if isinstance(value, list):
        return {"L": [dynamodb_value(item) for item in value]}
    if isinstance(value, dict):
        return {"M": {name: dynamodb_value(item) for name, item in value.items()}}
    return {"S": str(value)}


def update_request(
    table: str, backup_id: str, instance: str, found: dict[str, Any]
) -> dict[str, Any]:
    """Input of DynamoDB's UpdateItem. A run that was already closed stays as it is, and so does one
    on which another instance works by now."""
    values = {f":v{n}": dynamodb_value(value) for n, value in enumerate(found.values())}
    expression = "SET " + ", ".join(f"#a{n} = :v{n}" for n in range(len(found)))
    if found.get("BackupStatus") == "Success":
        expression += " REMOVE Progress"  # of a run that failed, it says how far that came
    return {
        "TableName": table,
        "Key": {"BackupId": {"S": backup_id}},
        "UpdateExpression": expression,
        "ConditionExpression": "BackupStatus = :running"
        " AND (attribute_not_exists(InstanceId) OR InstanceId = :instance)",
        "ExpressionAttributeNames": {f"#a{n}": name for n, name in enumerate(found)},
        "ExpressionAttributeValues": {
            **values,
            ":running": {"S": "Running"},
            ":instance": {"S": instance},
        },
    }


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--result", type=Path, required=True, help="what the engine wrote, if any")
    parser.add_argument("--failure", default="", help="why the engine was not run to its end")
    parser.add_argument("--stopped", action="store_true", help="the run was told to stop")
    parser.add_argument("--table", required=True)
    parser.add_argument("--backup-id", required=True)
    parser.add_argument("--instance", required=True, help="id of this instance")
    parser.add_argument("--logs", required=True, help="where the logs are")
    parser.add_argument("--topic", required=True, help="ARN of the topic for notifications")
    parser.add_argument("--warning", action="append", default=[])
    parser.add_argument("--request", type=Path, required=True, help="UpdateItem input to write")
    parser.add_argument("--message", type=Path, required=True, help="the same as text, to write")
    options = parser.parse_args(words)
    result = json.loads(options.result.read_text()) if options.result.exists() else {}
    if result:
        result["warnings"] = result["warnings"] + options.warning
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    outcome = verdict(result, options.failure, options.stopped)
    found = attributes(result, outcome, options.logs, now)
    request = update_request(options.table, options.backup_id, options.instance, found)
    options.request.write_text(json.dumps(request))
    write(options.message, message(found, options.backup_id, options.topic))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
