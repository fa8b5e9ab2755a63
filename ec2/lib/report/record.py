"""Updates of a run's record, as input of DynamoDB's UpdateItem."""

from __future__ import annotations

from typing import Any

from common.dynamodb import tagged
from common.limits import fitted
from common.statuses import PUBLISHED, RUNNING
from common.table import key_of

from report.ended import camel


def update(table: str, backup_id: str, instance: str, found: dict[str, Any]) -> dict[str, Any]:
    """A run that was already closed stays as it is, and so does one on which another instance works
    by now."""
    found = {name: value if name == "Snapshots" else fitted(value) for name, value in found.items()}
    expression = "SET " + ", ".join(f"#a{n} = :v{n}" for n in range(len(found)))
    if found.get("BackupStatus") in PUBLISHED:
        expression += " REMOVE Progress"  # of a run that failed, it says how far that came
    return {
        "TableName": table,
        "Key": key_of(backup_id),
        "UpdateExpression": expression,
        "ConditionExpression": "BackupStatus = :running"
        " AND (attribute_not_exists(InstanceId) OR InstanceId = :instance)",
        "ExpressionAttributeNames": {f"#a{n}": name for n, name in enumerate(found)},
        "ExpressionAttributeValues": {
            **{f":v{n}": tagged(value) for n, value in enumerate(found.values())},
            ":running": {"S": RUNNING},
            ":instance": {"S": instance},
        },
    }


def progress(written: dict[str, Any]) -> dict[str, Any]:
    return {"Progress": {camel(name): value for name, value in written.items()}}
