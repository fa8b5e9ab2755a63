#!/usr/bin/env python3
"""What was asked of snapshots from outside: from the table to the engine, and out of the table.

The table's item `requests` has an attribute for each. Those to which the engine's result has an
answer are removed, whatever the answer. Python 3.9, standard library only: this runs on Amazon
Linux 2023's own python3.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from notification import read

KEY = {"BackupId": {"S": "requests"}}


def for_engine(item: Any) -> dict[str, dict[str, str]]:
    """By identifier, the words of each; a value of another kind is passed on, to be refused."""
    found = item if isinstance(item, dict) else {}
    return {
        str(name): {str(key): str(inner.get("S", "")) for key, inner in value["M"].items()}
        if isinstance(value, dict) and isinstance(value.get("M"), dict)
        else {"Action": str(value)}
        for name, value in found.items()
        if name != "BackupId"
    }


def removal(table: str, answered: list[str]) -> dict[str, Any]:
    """Input of DynamoDB's UpdateItem."""
    names = {f"#a{number}": name for number, name in enumerate(answered)}
    return {
        "TableName": table,
        "Key": KEY,
        "UpdateExpression": "REMOVE " + ", ".join(names),
        "ExpressionAttributeNames": names,
    }


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--item", type=Path, help="the item, as the table has it")
    parser.add_argument("--result", type=Path, help="what the engine wrote")
    parser.add_argument("--table", default="")
    parser.add_argument("--write", type=Path, required=True, help="only if there is anything")
    options = parser.parse_args(words)
    found: dict[str, Any]
    if options.item:
        found = for_engine(read(options.item))
    else:
        result = read(options.result)
        answers = result.get("requests") if isinstance(result, dict) else None
        found = removal(options.table, [*answers]) if isinstance(answers, dict) and answers else {}
    if found:
        options.write.write_text(json.dumps(found), encoding="ascii")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
