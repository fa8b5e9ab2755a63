"""A run is stopped by the event of its window's end, and what comes of it is told as it is."""

import json
from datetime import timedelta
from typing import Any

import pytest
from common.records import Run

from admin import stop
from admin.command import Given
from admin.runs import Active
from orchestrator import core, events
from orchestrator.handler import _name as name_of
from tests.admin.test_status import NOW, RUNNING
from tests.orchestrator.test_core import SETTINGS, at, record, world


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the orchestrator is asked by make stop."""
    asked: list[Any] = []

    def invoke(function: Any, name: str, stack: str, event: Any) -> dict[str, Any]:
        asked.append(events.parse(json.loads(json.dumps(event)), "request"))
        return {"actions": ["ScaleIn", "Schedule"], "reason": "because"}

    stack = type("Stack", (), {"resource": lambda _, name: name})()
    monkeypatch.setattr(stop, "clients", lambda region: lambda name, **_: name)
    monkeypatch.setattr(stop.Stack, "backup", lambda connect, name: stack)
    monkeypatch.setattr(stop, "invoke", invoke)
    return asked


def run(monkeypatch: pytest.MonkeyPatch, active: Active | None) -> int:
    table = type("Table", (), {"active": lambda _: active})()
    monkeypatch.setattr(stop, "table_of", lambda connect, stack: table)
    return stop.main(Given({"STACK": "s"}))


def test_it_asks_what_the_windows_end_asks(
    monkeypatch: pytest.MonkeyPatch, asked: list[Any], capsys: Any
) -> None:
    assert run(monkeypatch, Active(Run(RUNNING), NOW + timedelta(hours=2))) == 0
    assert asked == [events.Stop("c")]
    assert "It stops: " in (out := capsys.readouterr().out)
    assert "make status STACK=s" in out


def test_where_nothing_runs_nothing_is_asked(
    monkeypatch: pytest.MonkeyPatch, asked: list[Any], capsys: Any
) -> None:
    assert run(monkeypatch, None) == 0
    assert (asked, capsys.readouterr().out) == (
        [],
        "No backup of s is running. Nothing was done.\n",
    )


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (world(record("a"), lock="a", desired=1, instances="i-1"), "It stops: "),
        (world(record("a"), lock="a", instances="i-1"), "It stops: "),  # asked twice
        (world(record("a"), lock="a", desired=1), "It has ended: no instance to stop"),
        (world(record("a", "Success")), "It was over already: "),
        (world(record("b"), lock="b", desired=1, instances="i-1"), "It was over already: "),
    ],
)
def test_what_the_orchestrator_decides_is_told(state: core.World, said: str) -> None:
    """Long before the end of the window, too."""
    decision = core.decide(events.Stop("a"), state, SETTINGS, at("02:10"))
    actions = [name_of(action) for action in decision.actions]
    assert stop.said(actions, decision.reason).startswith(said)
