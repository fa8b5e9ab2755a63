"""What the commands of administrators call, and what the guides say that they may."""

from __future__ import annotations

import ast
import json
import re
from functools import cache
from pathlib import Path

import pytest

from tests.test_aws_calls import SERVICES, operations
from tests.test_grants import ACTIONS, PREFIXES

# By the first command of each row, the modules that call something. `stack` is in all of them.
MODULES = {
    "status": [
        "admin/runs.py",
        "admin/listing.py",
        "admin/logs.py",
        "src/console_page/in_bucket.py",
    ],
    "backup-now": ["admin/backup_now.py", "admin/manage.py"],
    "restore": ["admin/restore.py", "admin/restoration.py"],
    "deploy": ["admin/deploy.py", "admin/change_set.py", "admin/publish.py"],
}
PREFLIGHT = [Path("admin/preflight/facts.py"), Path("admin/first_run.py")]
STACK = Path("admin/stack.py")
FAILURES = "cloudformation:DescribeStackEvents"  # when one could not be made
# What boto3 does by itself, and what IAM calls otherwise.
MORE = {
    "download_file": {"s3:GetObject"},
    "change_set_create_complete": {"cloudformation:DescribeChangeSet"},
}
OTHERWISE = {
    "s3:HeadBucket": {"s3:ListBucket"},
    "s3:PutPublicAccessBlock": {"s3:PutBucketPublicAccessBlock"},
    "sts:GetCallerIdentity": set[str](),  # nobody needs a right to it
    **{action: needed for action, needed in ACTIONS.items() if action.startswith(("s3", "lambda"))},
}


@cache
def services() -> dict[str, str]:
    """By the names of methods that are nobody else's, the action of each."""
    return {
        name: f"{PREFIXES.get(service, service)}:{operation.name}"
        for service in SERVICES
        for name, operation in operations(service).items()
        if "_" in name or name in ("invoke", "scan")
    }


def called(path: Path) -> set[str]:
    """The actions that a module takes: methods of clients, and what it names to page through."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        name = getattr(node, "attr", None) or getattr(node, "value", None)
        if isinstance(name, str):
            found |= MORE.get(name, set())
            if action := services().get(name):
                found |= OTHERWISE.get(action, {action})
    return found


def actions(text: str) -> set[str]:
    return set(re.findall(r"`([a-z0-9]+:[A-Z]\w+)`", text))


def rows() -> dict[str, set[str]]:
    text = Path("docs/deployment.md").read_text().partition("### What the commands may call")[2]
    table = re.findall(r"^\| `([a-z-]+)`.*", text.partition("\n## ")[0], re.MULTILINE)
    lines = re.findall(r"^\| `[a-z-]+`.*", text.partition("\n## ")[0], re.MULTILINE)
    return {name: actions(line) for name, line in zip(table, lines, strict=True)}


@pytest.mark.parametrize("row", MODULES)
def test_a_row_has_what_its_commands_call(row: str) -> None:
    needed = set().union(*(called(Path(path)) for path in MODULES[row]))
    first = rows()["status"]
    if row == "status":
        assert rows()[row] == needed | (called(STACK) - {FAILURES})
    else:
        more = {FAILURES} if row in ("restore", "deploy") else set()
        assert rows()[row] == (needed | more) - first


def test_the_guide_to_the_network_has_what_its_checks_call() -> None:
    text = Path("docs/network.md").read_text().partition("The permissions that it takes:")[2]
    policy = json.loads(text.partition("```json\n")[2].partition("```")[0])
    (statement,) = policy["Statement"]
    needed = set().union(*map(called, PREFLIGHT)) | (called(STACK) - {FAILURES})
    assert set(statement["Action"]) == needed
    assert rows()["preflight"] < needed


def test_no_module_is_forgotten() -> None:
    known = {STACK, *PREFLIGHT, *(Path(path) for paths in MODULES.values() for path in paths)}
    found = {path for path in Path("admin").rglob("*.py") if called(path)}
    assert {path for path in found if "acceptance" not in path.parts} <= known
