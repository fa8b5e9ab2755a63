"""Every call of AWS in the sources, made by a test or not, against botocore's models: is there such
an operation, and does it take what it is given? (What tests make, botocore validates by itself.)"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name

PROGRAMS = sorted(p for room in ("src", "admin", "tools") for p in Path(room).rglob("*.py"))
SCRIPTS = sorted(Path("ec2").rglob("*.sh"))
# fmt: off
SERVICES = [
    "autoscaling", "cloudformation", "cloudwatch", "dynamodb", "ec2", "efs", "events", "iam", "kms",
    "lambda", "s3", "scheduler", "service-quotas", "sns", "sqs", "ssm", "sts",
]
# fmt: on
# Of the AWS CLI itself.
OPTIONS = {"cli-connect-timeout", "cli-read-timeout", "cli-input-json", "region", "output", "query"}


@cache
def operations(service: str) -> dict[str, Any]:
    model = botocore.session.get_session().get_service_model(service)
    return {xform_name(name): model.operation_model(name) for name in model.operation_names}


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Each method call by keywords in capitals, as boto3's are, and the operation that it is."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            names = [k.arg for k in node.keywords if k.arg]
            if names and all(name[0].isupper() for name in names):
                yield operation_of(node.func, node), node


def operation_of(method: ast.Attribute, call: ast.Call) -> str:
    """The method, or what it is told to page through: client.get_paginator(name).paginate(…)."""
    within = method.value.args if isinstance(method.value, ast.Call) else []
    texts = [a.value for a in [*within, *call.args] if isinstance(a, ast.Constant)]
    return str(texts[0]) if method.attr in ("paginate", "_all") and texts else method.attr


def takes(operation: Any, call: ast.Call) -> bool:
    shape = operation.input_shape
    given = {k.arg for k in call.keywords if k.arg}
    is_whole = all(k.arg for k in call.keywords)
    required = set(shape.required_members) if shape and is_whole else set()
    return required <= given <= set(shape.members if shape else ())


CALLS = [(path, name, call) for path in PROGRAMS for name, call in calls(path)]
# Variables of make, properties of a custom resource, what waits or pages for a given name, and
# methods of the acceptance.
OTHERS = {"command", "update", "paginate", "wait", "create", "restore"}


@pytest.mark.parametrize(
    ("name", "call"),
    [pytest.param(n, c, id=f"{p}-{c.lineno}-{n}") for p, n, c in CALLS if n not in OTHERS],
)
def test_an_operation_takes_what_it_is_given(name: str, call: ast.Call) -> None:
    of = [found[name] for found in map(operations, SERVICES) if name in found]
    assert of, f"no service has {name}"
    assert any(takes(operation, call) for operation in of), ast.unparse(call)


def test_there_are_calls() -> None:
    assert len(CALLS) > 40


def commands(path: Path) -> Iterator[tuple[str, str, set[str]]]:
    text = path.read_text().replace("\\\n", " ")
    for service, operation, rest in re.findall(r"\baws ([a-z0-9]+) ([a-z-]+)([^\n;|]*)", text):
        if service != "s3":
            yield service, operation, set(re.findall(r"--(?:no-)?([a-z][a-z-]*)", rest))


COMMANDS = [command for path in SCRIPTS for command in commands(path)]


@pytest.mark.parametrize(("service", "name", "options"), COMMANDS)
def test_a_command_of_the_cli_is_one(service: str, name: str, options: set[str]) -> None:
    operation = operations(service)[name.replace("-", "_")]
    known = {xform_name(member, "-") for member in operation.input_shape.members}
    assert options - OPTIONS <= known
    if not options & {"cli-input-json"}:
        assert {xform_name(m, "-") for m in operation.input_shape.required_members} <= options


def test_there_are_commands() -> None:
    assert COMMANDS
