"""docs/events.md: the examples are as the schema says, and there is one of each kind."""

import json
import re
from pathlib import Path
from typing import Any

import fastjsonschema

from orchestrator import telling
from orchestrator.functions import SECONDS
from orchestrator.record import Hook

PAGE = Path("docs/events.md").read_text()
SCHEMA = json.loads(Path("docs/events.schema.json").read_text())
EXAMPLES: list[dict[str, Any]] = [
    json.loads(block) for block in re.findall(r"```json\n(.+?)\n```", PAGE, re.DOTALL)
]
KINDS = {telling.STARTED, telling.ENDED, telling.NOT_STARTED, telling.ALARM, "EFS Restore Ended"}


def test_there_is_an_example_of_each_kind_and_a_line_about_it() -> None:
    assert sorted(example["detail-type"] for example in EXAMPLES) == sorted(KINDS)
    assert {kind["properties"]["detail-type"]["const"] for kind in SCHEMA["oneOf"]} == KINDS
    assert set(re.findall(r"^\| `(EFS [\w ]+)` \|", PAGE, re.MULTILINE)) == KINDS


def test_the_examples_are_as_the_schema_says() -> None:
    is_an_event = fastjsonschema.compile(SCHEMA)
    for example in EXAMPLES:
        is_an_event(example)


def test_the_times_of_the_functions_are_those_that_they_have() -> None:
    assert f"has **{SECONDS[Hook.BEFORE]} seconds**" in PAGE
    assert f"has **{SECONDS[Hook.AFTER]} seconds**" in PAGE
