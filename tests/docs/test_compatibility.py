"""docs/compatibility.md: every promise has a test that exists, and nothing of version 1.5 is left
out of its interface."""

import ast
import json
import re
from pathlib import Path

import pytest

TESTS = Path("tests")
V15 = json.loads((TESTS / "templates" / "v15.json").read_text())
DOCUMENT = Path("docs/compatibility.md").read_text()
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", DOCUMENT)))
PROMISES = [
    line
    for table in re.findall(r"^\| promise \|.*\n\| ---.*\n((?:\|.*\n)+)", DOCUMENT, re.MULTILINE)
    for line in table.splitlines()
]


def section(heading: str) -> str:
    return DOCUMENT.partition(f"\n### {heading}\n")[2].partition("\n### ")[0]


def row(heading: str, template: str) -> set[str]:
    """The names in a template's row of the table below a heading."""
    (line,) = re.findall(rf"^\| {template} \|.*$", section(heading), re.MULTILINE)
    return set(re.findall(r"`(\w+)`", line))


@pytest.mark.parametrize(("file", "function"), NAMED)
def test_each_test_that_is_named_exists(file: str, function: str) -> None:
    tree = ast.parse((TESTS / file).read_text())
    found = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert function in found
    assert function.startswith("test_")


def test_each_promise_names_a_test() -> None:
    assert len(PROMISES) > 50
    assert [line for line in PROMISES if "::test_" not in line.split(" | ")[-1]] == []


def test_files_that_are_named_exist() -> None:
    named = re.findall(r"`((?:ec2|src|admin|templates)/[\w./-]+)", DOCUMENT)
    paths = [path for path in named if not path.startswith("templates/test_")]
    tests = ("ec2/test_", "admin/test_")
    assert [p for p in paths if not p.startswith(tests) and not Path(p).exists()] == []


@pytest.mark.parametrize("template", ["backup", "restore"])
@pytest.mark.parametrize(
    ("heading", "key"),
    [("Parameters", "Parameters"), ("Outputs", "Outputs"), ("Logical ids", "Resources")],
)
def test_nothing_of_version_15_is_left_out(heading: str, key: str, template: str) -> None:
    assert set(V15[template][key]) - row(heading, template) == set()
