"""The examples in docstrings are true."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

ROOTS = ("ec2/lib", "src", ".")  # of what is imported, as pyproject.toml has them
ROOMS = ("ec2/lib", "src", "admin", "local", "tools")


def module_of(path: Path) -> str:
    root = next(root for root in ROOTS if path.is_relative_to(root))
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


WITH_EXAMPLES = sorted(
    module_of(path.relative_to(REPOSITORY))
    for room in ROOMS
    for path in (REPOSITORY / room).rglob("*.py")
    if "    >>> " in path.read_text() or "\n>>> " in path.read_text()
)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples(name: str) -> None:
    done = doctest.testmod(importlib.import_module(name))
    assert done.attempted
    assert not done.failed
