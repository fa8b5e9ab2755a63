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

SUCCESS = "The EFS was backed up successfully"
INCOMPLETE = (
    "The EFS backup was incomplete. Either backup window expired before full backup "
    "or fpsync process was not completed."
)
FPSYNC_FAILED = "fpsync process in backup script failed or did not start"
UNSUCCESSFUL = "The EFS backup was unsuccessful."

COUNTS = {
    "number_of_files": "NumberOfFiles",
    "number_of_files_transferred": "NumberOfFilesTransferred",
    "total_file_size": "TotalFileSize",
    "total_transferred_file_size": "TotalTransferredFileSize",
}
PHASES = {"copy": "CreateHardlinks", "directories": "RsyncDelete", "expire": "RemoveSnapshot"}
LINES_KEPT = 20


def verdict(result: dict[str, Any], failure: str, stopped: bool) -> tuple[str, str]:
    """Status and message of a run: from the engine's result, or from why it never got that far."""
    if failure:
        return "Unsuccessful", failure
    if not result:
        if stopped:
            return "Incomplete", INCOMPLETE
        return "Unsuccessful", f"{UNSUCCESSFUL} The engine ended without a result; see the logs"
    if result["outcome"] == "published":
        warnings = len(result["warnings"])
        return "Success", SUCCESS + (f", with {warnings} warning(s)" if warnings else "")
    if result["outcome"] == "stopped":
        return "Incomplete", INCOMPLETE
    if result["cause"] == "walk":
        return "fpsync failed", f"{FPSYNC_FAILED}: {result['message']}"
    return "Unsuccessful", f"{UNSUCCESSFUL} {result['message']}"


def attributes(
    result: dict[str, Any], status: str, message: str, logs: str, now: str
) -> dict[str, Any]:
    """The record's attributes at the end of a run, as plain values."""
    found: dict[str, Any] = {
        "BackupStatus": status,
        "Message": message,
        "BackupStopTime": now,
        "EC2Logs": logs,
    }
    for key, name in COUNTS.items():
        if key in result:
            found[name] = result[key]
    for phase, name in PHASES.items():
        if phase in result.get("phases", {}):
            found[f"{name}StartTime"] = result["phases"][phase]["start"]
            found[f"{name}StopTime"] = result["phases"][phase]["stop"]
    for key, name in {"warnings": "Warnings", "errors": "Errors"}.items():
        if result.get(key):
            found[name] = result[key][:LINES_KEPT]
    return found


def dynamodb_value(value: Any) -> dict[str, Any]:
    if isinstance(value, int):
        return {"N": str(value)}
    if isinstance(value, list):
        return {"L": [dynamodb_value(item) for item in value]}
    return {"S": str(value)}


def update_request(table: str, backup_id: str, found: dict[str, Any]) -> dict[str, Any]:
    """Input of DynamoDB's UpdateItem. A run that was already closed keeps its status."""
    values = {f":v{n}": dynamodb_value(value) for n, value in enumerate(found.values())}
    return {
        "TableName": table,
        "Key": {"BackupId": {"S": backup_id}},
        "UpdateExpression": "SET " + ", ".join(f"#a{n} = :v{n}" for n in range(len(found))),
        "ConditionExpression": "#a0 = :running",
        "ExpressionAttributeNames": {f"#a{n}": name for n, name in enumerate(found)},
        "ExpressionAttributeValues": {**values, ":running": {"S": "Running"}},
    }


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--result", type=Path, required=True, help="what the engine wrote, if any")
    parser.add_argument("--failure", default="", help="why the engine was not run to its end")
    parser.add_argument("--stopped", action="store_true", help="the run was told to stop")
    parser.add_argument("--table", required=True)
    parser.add_argument("--backup-id", required=True)
    parser.add_argument("--logs", required=True, help="where the logs are")
    parser.add_argument("--warning", action="append", default=[])
    parser.add_argument("--request", type=Path, required=True, help="UpdateItem input to write")
    parser.add_argument("--message", type=Path, required=True, help="the same as text, to write")
    options = parser.parse_args(words)
    result = json.loads(options.result.read_text()) if options.result.exists() else {}
    if result:
        result["warnings"] = result["warnings"] + options.warning
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    status, message = verdict(result, options.failure, options.stopped)
    found = attributes(result, status, message, options.logs, now)
    request = update_request(options.table, options.backup_id, found)
    options.request.write_text(json.dumps(request))
    text = json.dumps({**found, "BackupId": options.backup_id}, indent=2, ensure_ascii=False)
    options.message.write_text(text, encoding="utf-8", errors="backslashreplace")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
