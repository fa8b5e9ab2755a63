"""The events that the orchestrator understands."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RunEvent:
    """An event about one run, named by its backup id."""

    backup_id: str


class Start(RunEvent):
    """The schedule rule fired: begin a run under this backup id."""


class Stop(RunEvent):
    """The run's window is nearly over: ask its instance to stop."""


class Close(RunEvent):
    """The run's window is over: end the run whatever state it is in."""


@dataclass(frozen=True)
class Hold:
    """Somebody wants this snapshot kept, by its date, under a name, until it is released."""

    snapshot: str
    name: str


@dataclass(frozen=True)
class Check:
    """An hour has passed: see that no run was forgotten, and how old the newest snapshot is."""


@dataclass(frozen=True)
class InstanceEvent:
    """Something happened to an instance of an Auto Scaling group."""

    group: str
    instance: str


@dataclass(frozen=True)
class Terminating(InstanceEvent):
    """The instance waits in the termination lifecycle hook until the hook is completed."""

    hook: str
    token: str


class Terminated(InstanceEvent):
    """The instance is gone."""


Event = Start | Stop | Close | Hold | Check | Terminating | Terminated


# What the engine takes; both get into a command of its own.
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
HOLD = re.compile(r"(?!held\.|\d{4}-|(daily|weekly|monthly)\.)[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class UnknownEvent(ValueError):
    """The event is none of those the orchestrator acts on."""


def parse(event: Mapping[str, Any], request_id: str) -> Event:
    """Turn a raw Lambda event into a typed one.

    A start takes the invocation's request id as its backup id, so that Lambda's retry of an
    invocation is the same run. Raises UnknownEvent, which quotes the event.
    """
    match event:
        case {"mode": "backup", "action": "start"}:
            return Start(request_id)
        case {"mode": "backup", "action": "stop", "backup_id": str(backup_id)}:
            return Stop(backup_id)
        case {"mode": "backup", "action": "close", "backup_id": str(backup_id)}:
            return Close(backup_id)
        case {"mode": "backup", "action": "hold", "snapshot": str(snapshot), "name": str(name)} if (
            DATE.fullmatch(snapshot) and HOLD.fullmatch(name)
        ):
            return Hold(snapshot, name)
        case {"mode": "backup", "action": "check"}:
            return Check()
        case {
            "source": "aws.autoscaling",
            "detail-type": "EC2 Instance-terminate Lifecycle Action",
            "detail": {
                "AutoScalingGroupName": str(group),
                "EC2InstanceId": str(instance),
                "LifecycleHookName": str(hook),
                "LifecycleActionToken": str(token),
            },
        }:
            return Terminating(group, instance, hook, token)
        case {
            "source": "aws.autoscaling",
            "detail-type": "EC2 Instance Terminate Successful",
            "detail": {"AutoScalingGroupName": str(group), "EC2InstanceId": str(instance)},
        }:
            return Terminated(group, instance)
    raise UnknownEvent(
        f"event not understood: {json.dumps(event, default=str)[:1000]}; expected "
        '{"mode": "backup", "action": "start"}, a "check", a "stop" or "close" with its '
        '"backup_id", a "hold" with a date as "snapshot" and a "name", or a terminate event of the '
        "Auto Scaling group"
    )
