"""What was asked of snapshots from outside: from the table to the engine, and out of the table.

The table's item `requests` has an attribute for each. Those to which the engine's result has an
answer are removed, whatever the answer.
"""

from __future__ import annotations

from typing import Any

from common.dynamodb import plain_item
from common.table import KEY, REQUESTS_KEY, key_of


def for_engine(item: dict[str, Any]) -> dict[str, dict[str, str]]:
    """By identifier, the words of each; a value of another kind is passed on, to be refused."""
    return {
        name: {key: str(inner) for key, inner in value.items()}
        if isinstance(value, dict)
        else {"Action": str(value)}
        for name, value in plain_item(item).items()
        if name != KEY
    }


def removal(table: str, result: dict[str, Any]) -> dict[str, Any]:
    """Input of DynamoDB's UpdateItem, {} if there is nothing to remove."""
    answers = result.get("requests")
    if not isinstance(answers, dict) or not answers:
        return {}
    names = {f"#a{number}": name for number, name in enumerate(answers)}
    return {
        "TableName": table,
        "Key": key_of(REQUESTS_KEY),
        "UpdateExpression": "REMOVE " + ", ".join(names),
        "ExpressionAttributeNames": names,
    }
