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

from limits import clean, count, fitted, shortened
from notification import MOUNT, argument, by_workers, console_link, read, write

SUCCESS = "The EFS was backed up successfully"
PARTIAL = "The EFS was backed up, but {failed} file(s) could not be copied"
CARRIED = "; the snapshot has {carried} file(s) as they were in the one before"
OUT_OF_TIME = " before the backup window expired"
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
    "partial": "See Errors: they name what could not be copied, and whether the snapshot has it as "
    "the one before had it. Put right what they name; the next backup tries again.",
    "partial, stopped": "See Errors: they name what could not be copied in time, and whether the "
    "snapshot has it as the one before had it. The next backup continues with that. If it happens "
    "again, use a longer backup window or a larger instance.",
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
    "memory": "If the instance ran out of memory, of which its logs may say more, use a larger "
    "one; " + AGAIN,
    "unknown": "See the logs: they say how the run ended. " + UNTOUCHED,
    "other": "See the logs, put right what they name, " + AGAIN,
}
NOTE = "The DynamoDB record of this backup could not be updated. It may say something else."

COUNTS = {
    "number_of_files": "NumberOfFiles",
    "number_of_files_transferred": "NumberOfFilesTransferred",
    "number_of_files_failed": "NumberOfFilesFailed",
    "number_of_files_carried_forward": "NumberOfFilesCarriedForward",
    "total_file_size": "TotalFileSize",
    "total_transferred_file_size": "TotalTransferredFileSize",
}
EXCLUDED = {
    "number_of_files_excluded": "NumberOfFilesExcluded",
    "size_excluded": "ExcludedFileSize",
}
VERIFIED = {
    "number_of_files_verified": "NumberOfFilesVerified",
    "number_of_files_changed_since": "NumberOfFilesChangedSince",
    "number_of_files_mismatched": "NumberOfFilesMismatched",
}
TESTED = {
    "number_of_files_test_restored": "NumberOfFilesTestRestored",
    "number_of_files_test_read": "NumberOfFilesTestRead",
    "number_of_files_test_failed": "NumberOfFilesTestFailed",
    "size_test_restored": "TestRestoredFileSize",
    "restore_test_age": "RestoreTestAge",
}
PHASES = {"copy": "CreateHardlinks", "directories": "RsyncDelete", "expire": "RemoveSnapshot"}
# Lines that the engine writes about snapshots, and what was asked for; and those of all of them,
# which are short and may be some hundred.
LINES = {
    "mass_change": "MassChange",
    "not_restorable": "NotRestorable",
    "retention": "Retention",
    "requests": "Requests",
}
SNAPSHOTS, SNAPSHOT_BYTES = 400, 200
PUBLISHED = ("Success", "Partial")
KILLED = 137  # by SIGKILL, which is also what the kernel sends when there is no memory left
LARGEST_NUMBER = 10**18


def known(found: Any) -> dict[str, Any]:
    """What of a result is of the kind that it should be. The file may be cut off, damaged, or of
    another release: nothing that is in it must keep a run from being reported."""
    if not isinstance(found, dict) or not isinstance(found.get("outcome"), str):
        return {}
    result: dict[str, Any] = {"outcome": found["outcome"]}
    for key in ("cause", "message"):
        result[key] = found[key] if isinstance(found.get(key), str) else ""
    for key in ("warnings", "errors"):
        lines = found.get(key)
        result[key] = [str(line) for line in lines] if isinstance(lines, list) else []
    for key in (*LINES, "snapshots"):
        lines = found.get(key)
        lines = [*lines.values()] if isinstance(lines, dict) else lines
        result[key] = [str(line) for line in lines] if isinstance(lines, list) else []
    for key in (*COUNTS, *VERIFIED, *EXCLUDED, *TESTED):
        value = found.get(key)
        if isinstance(value, int) and 0 <= value < LARGEST_NUMBER:
            result[key] = int(value)
    result["workers"] = found.get("workers")
    phases = found.get("phases")
    result["phases"] = {
        name: {moment: str(times.get(moment, "")) for moment in ("start", "stop")}
        for name, times in (phases.items() if isinstance(phases, dict) else ())
        if isinstance(times, dict)
    }
    return result


def verdict(
    result: dict[str, Any], warnings: int, failure: str, stopped: bool, exit_status: int
) -> tuple[str, str, str]:
    """Status and message of a run, and what to do: from the engine's result, or from why it never
    got that far."""
    if failure:
        return "Unsuccessful", failure, ADVICE["mount" if MOUNT in failure else "other"]
    if not result:
        return without_result(stopped, exit_status)
    outcome, cause, said = result["outcome"], result["cause"], result["message"]
    more = f", with {warnings} warning(s)" if warnings else ""
    if outcome == "published":
        return "Success", SUCCESS + more, ADVICE["warnings" if warnings else "published"]
    if outcome == "partial":
        return "Partial", partial(result, stopped) + more, ADVICE[f"partial{', stopped' * stopped}"]
    if outcome == "stopped":
        return "Incomplete", INCOMPLETE, ADVICE["stopped"]
    if outcome not in ("failed", "refused"):
        text = f"The EFS backup ended in a way that is not known here: {outcome}. {said}"
        return "Unknown", text, ADVICE["unknown"]
    if "memory" in said.lower():
        advice = ADVICE["memory"]
    else:
        advice = ADVICE.get(cause or outcome, ADVICE["other"])
    if cause == "walk":
        return "fpsync failed", f"{FPSYNC_FAILED}: {said}", advice
    return "Unsuccessful", f"{UNSUCCESSFUL} {said}", advice


def without_result(stopped: bool, exit_status: int) -> tuple[str, str, str]:
    if stopped:
        return "Incomplete", INCOMPLETE, ADVICE["stopped"]
    text = f"{UNSUCCESSFUL} The engine ended with exit status {exit_status} and without a result"
    if exit_status == KILLED:
        return "Unsuccessful", f"{text}: something killed it", ADVICE["memory"]
    return "Unsuccessful", f"{text}; see the logs", ADVICE["other"]


def partial(result: dict[str, Any], stopped: bool) -> str:
    """What is missing, and what is there in an older version."""
    failed = result.get("number_of_files_failed", count(result["errors"]))
    carried = result.get("number_of_files_carried_forward", 0)
    text = PARTIAL.format(failed=failed) + (OUT_OF_TIME if stopped else "")
    return text + (CARRIED.format(carried=carried) if carried else "")


def attributes(
    result: dict[str, Any],
    warnings: list[str],
    outcome: tuple[str, str, str],
    logs: str,
    now: str,
) -> dict[str, Any]:
    """The record's attributes at the end of a run, as plain values."""
    found: dict[str, Any] = dict(zip(("BackupStatus", "Message", "WhatToDo"), outcome))
    found.update(BackupStopTime=now, EC2Logs=logs)
    phases = result.get("phases", {})
    counts = {**COUNTS, **(VERIFIED if "verify" in phases else {})}
    counts.update(TESTED if "restore test" in phases else {})
    counts.update(EXCLUDED if result.get("number_of_files_excluded") else {})
    found.update({name: result[key] for key, name in counts.items() if key in result})
    found.update(by_workers(result.get("workers")))
    for phase, name in PHASES.items():
        if phase in phases:
            found[f"{name}StartTime"] = phases[phase]["start"]
            found[f"{name}StopTime"] = phases[phase]["stop"]
    lines_of = {name: result.get(key) for key, name in LINES.items()}
    for name, lines in {**lines_of, "Warnings": warnings, "Errors": result.get("errors")}.items():
        if lines:
            found[name] = lines
    if result.get("snapshots"):
        found["Snapshots"] = [
            shortened(clean(line), SNAPSHOT_BYTES) for line in result["snapshots"][:SNAPSHOTS]
        ]
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
    found = {name: value if name == "Snapshots" else fitted(value) for name, value in found.items()}
    values = {f":v{n}": dynamodb_value(value) for n, value in enumerate(found.values())}
    expression = "SET " + ", ".join(f"#a{n} = :v{n}" for n in range(len(found)))
    if found.get("BackupStatus") in PUBLISHED:
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
    parser.add_argument("--exit-status", type=int, default=0, help="of the engine")
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
    options = parser.parse_args(list(map(argument, words)))
    result = known(read(options.result))
    # First those of the script: the engine's may be many, and only the first ones are kept.
    warnings = [*options.warning, *result.get("warnings", [])]
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    outcome = verdict(
        result, count(warnings), options.failure, options.stopped, options.exit_status
    )
    found = attributes(result, warnings, outcome, options.logs, now)
    request = update_request(options.table, options.backup_id, options.instance, found)
    options.request.write_text(json.dumps(request), encoding="ascii")
    write(options.message, message(found, options.backup_id, options.topic))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
