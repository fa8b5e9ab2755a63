import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.events import (
    Check,
    Close,
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
