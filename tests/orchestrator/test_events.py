import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.events import (
    Check,
    Close,
    Hold,
    Start,
    Stop,
    Terminated,
    Terminating,
    UnknownEvent,
    parse,
)

EVENTS = Path(__file__).parents[1] / "events"
RUN = "5f1c2f0e-8a53-4c5e-9f0e-2f8d6b1f7a11"
INSTANCE = "i-0123456789abcdef0"


def sample(name: str) -> Any:
    return json.loads((EVENTS / f"{name}.json").read_text())


@pytest.mark.parametrize(
    ("name", "event"),
    [
        ("start", Start("request-1")),
        ("stop", Stop(RUN)),
        ("close", Close(RUN)),
        ("check", Check()),
        ("hold", Hold("2026-11-20T02:13:04Z", "console-20261120T021304Z")),
        (
            "instance-terminating",
            Terminating(
                "backup-group", INSTANCE, "backup-hook", "630aa23f-48eb-45e7-aba6-799ea6093a0f"
            ),
        ),
        ("instance-terminated", Terminated("backup-group", INSTANCE)),
    ],
)
def test_sample_events_are_understood(name: str, event: object) -> None:
    assert parse(sample(name), "request-1") == event


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"mode": "backup"},
        {"mode": "backup", "action": "stop"},
        {"mode": "backup", "action": "close", "backup_id": 7},
        {"mode": "restore", "action": "start"},
        {"source": "aws.ec2", "detail-type": "EC2 Instance Terminate Successful"},
        {**sample("instance-terminated"), "detail": {"AutoScalingGroupName": "backup-group"}},
        {**sample("instance-terminated"), "detail-type": "EC2 Instance Launch Successful"},
        {**sample("instance-terminating"), "source": "attacker"},
    ],
)
def test_any_other_event_is_an_error_that_quotes_it(event: dict[str, Any]) -> None:
    with pytest.raises(UnknownEvent) as raised:
        parse(event, "request-1")
    assert json.dumps(event)[:500] in str(raised.value)


@pytest.mark.parametrize(
    ("snapshot", "name"),
    [
        ("daily.3", "x"),  # after the next backup, another one
        ("2026-11-20", "x"),
        ("2026-11-20T02:13:04Z\n", "x"),
        ("2026-11-20T02:13:04Z", ""),
        ("2026-11-20T02:13:04Z", "../x"),
        ("2026-11-20T02:13:04Z", "daily.3"),
        ("2026-11-20T02:13:04Z", "held.x"),
        ("2026-11-20T02:13:04Z", "2026-11-20"),
        ("2026-11-20T02:13:04Z", "x" * 101),
        ("2026-11-20T02:13:04Z", "x\n"),
        ("2026-11-20T02:13:04Z", 7),
    ],
)
def test_a_hold_of_what_may_be_another_snapshot_or_under_no_name(snapshot: Any, name: Any) -> None:
    with pytest.raises(UnknownEvent, match="hold"):
        parse({"mode": "backup", "action": "hold", "snapshot": snapshot, "name": name}, "r")


@pytest.mark.parametrize("name", ["start", "check", "hold"])
def test_what_a_dashboard_adds_changes_nothing(name: str) -> None:
    event = sample(name)
    assert parse({**event, "widgetContext": {"action": "stop"}}, "r") == parse(event, "r")
