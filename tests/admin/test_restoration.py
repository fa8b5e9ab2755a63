"""A restore stack, from its beginning to its removal."""

import io
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from rich.console import Console

from admin.command import AdminError
from admin.restoration import Pace, Restoration
from tests.stubs import Checked


class Account:
    """A restore stack that goes through the given states, one for each look at it."""

    def __init__(self, *states: tuple[str, dict[str, Any] | None]) -> None:
        self.states = list(states)
        self.deleted: list[str] = []
        self.objects = {key: {"of": key} for key in KEYS}
        self.meta = type("Meta", (), {"region_name": "eu-west-1"})

    def __call__(self, service: str) -> "Account":
        return self

    def next(self, seconds: float) -> None:
        self.states.pop(0)

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        if not self.states:
            error = {"Error": {"Code": "ValidationError", "Message": "stack does not exist"}}
            raise ClientError(error, "DescribeStacks")
        return {"Stacks": [{"StackName": StackName, "StackStatus": self.states[0][0]}]}

    def delete_stack(self, StackName: str) -> None:
        self.deleted.append(StackName)

    def describe_stack_resources(self, StackName: str) -> dict[str, Any]:
        group = {"LogicalResourceId": "RestoreAutoScalingGroup", "PhysicalResourceId": "group"}
        return {"StackResources": [group] if self.states[0][1] else []}

    def describe_auto_scaling_groups(self, AutoScalingGroupNames: list[str]) -> dict[str, Any]:
        return {
            "AutoScalingGroups": [{"AutoScalingGroupName": "group", **(self.states[0][1] or {})}]
        }

    def describe_instances(self, Filters: list[dict[str, Any]]) -> dict[str, Any]:
        assert Filters == [{"Name": "tag:aws:autoscaling:groupName", "Values": ["group"]}]
        return {"Reservations": [{"Instances": [{"InstanceId": "i-2"}]}]}

    def get_paginator(self, operation: str) -> Any:
        event = {
            "LogicalResourceId": "AMIInfo",
            "ResourceStatus": "CREATE_FAILED",
            "ResourceStatusReason": "no image",
        }

        def paginate(StartAfter: str = "", **_: str) -> Any:
            keys = [{"Key": key} for key in sorted(self.objects) if key > StartAfter]
            yield {"StackEvents": [event], "Contents": keys}

        return SimpleNamespace(paginate=paginate)

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        return {"Body": io.BytesIO(json.dumps(self.objects[Key]).encode())}


KEYS = [
    f"efs-restore-logs/20260304-05000{number}-{instance}/{file}"
    for number, instance in enumerate(["i-1", "i-2", "i-3"])
    for file in ("engine.log", "notification.json")
]


def group(desired: int, *instances: str) -> dict[str, Any]:
    return {
        "DesiredCapacity": desired,
        "Instances": [{"InstanceId": instance} for instance in instances],
    }


BEGAN = datetime(2026, 3, 4, 5, tzinfo=UTC)


def checked(account: Account) -> Checked:
    return Checked(account, "cloudformation", "autoscaling", "s3", "ec2")


def waited(account: Account) -> tuple[Restoration, list[str]]:
    out = Console(file=io.StringIO(), width=200)
    restoration = Restoration(checked(account), "stack", "logs", pause=account.next, began=BEGAN)
    restoration.wait(out)
    return restoration, out.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_it_has_ended_when_its_last_instance_is_gone() -> None:
    restoration, lines = waited(
        Account(
            ("CREATE_IN_PROGRESS", None),
            ("CREATE_IN_PROGRESS", group(1, "i-1")),
            ("CREATE_COMPLETE", group(1)),
            ("CREATE_COMPLETE", group(1, "i-2")),
            ("CREATE_COMPLETE", group(0, "i-2")),
            ("CREATE_COMPLETE", group(0)),
        )
    )
    assert lines == [
        "The stack is being created",
        "The instance i-1 is at work",
        "The Auto Scaling group group launches an instance",
        "The instance i-2 is at work",
    ]
    # Not that of i-3, which belongs to another restore.
    assert restoration.notification() == {"of": KEYS[3]}


def test_an_instance_that_was_never_seen_is_found() -> None:
    restoration, _ = waited(Account(("CREATE_IN_PROGRESS", None), ("CREATE_COMPLETE", group(0))))
    assert restoration.notification() == {"of": KEYS[3]}


def test_a_stack_that_fails_is_explained() -> None:
    with pytest.raises(AdminError, match=r"ROLLBACK_IN_PROGRESS; nothing.*\n  AMIInfo: no image"):
        waited(Account(("CREATE_IN_PROGRESS", None), ("ROLLBACK_IN_PROGRESS", None)))


def test_a_report_that_is_not_there() -> None:
    restoration = Restoration(checked(Account()), "stack", "logs", instances={"i-9"})
    with pytest.raises(AdminError, match=r"no report in s3://logs/efs-restore-logs/.*e-mail"):
        restoration.notification()


def test_a_report_of_long_ago_is_not_looked_at() -> None:
    restoration = Restoration(
        checked(Account()), "stack", "logs", instances={"i-1"}, began=BEGAN + timedelta(days=1)
    )
    with pytest.raises(AdminError, match="no report"):
        restoration.notification()


def test_the_phases_of_the_instance_are_shown() -> None:
    account = Account(*[("CREATE_COMPLETE", group(1, "i-1"))] * 3, ("CREATE_COMPLETE", group(0)))
    key = "efs-restore-logs/20260304-050000-i-1/progress.json"
    told = [{"phase": "plan", "done": 1}, {"phase": "fetch \x1b[2J", "done": 2}]

    def next_state(seconds: float) -> None:
        account.states.pop(0)
        if told:
            account.objects[key] = told.pop(0)

    out = Console(file=io.StringIO(), width=200)
    Restoration(checked(account), "stack", "logs", pause=next_state, began=BEGAN).wait(out)
    assert out.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "The instance i-1 is at work",
        "The instance i-1 is at work: plan",
        "The instance i-1 is at work: fetch  [2J",
    ]


def test_progress_that_cannot_be_read_disturbs_nobody() -> None:
    account = Account(("CREATE_COMPLETE", group(1, "i-1")), ("CREATE_COMPLETE", group(0)))
    denied = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "ListObjectsV2")

    def get_paginator(operation: str) -> Any:
        raise denied

    account.get_paginator = get_paginator  # type: ignore[method-assign]
    assert waited(account)[1] == ["The instance i-1 is at work"]


def at(second: int) -> str:
    return f"2026-03-04T05:00:{second:02}Z"


def test_the_pace_is_that_of_the_phase() -> None:
    pace = Pace()
    plan = {"phase": "plan", "done": 900, "unit": "files", "updated": at(0)}
    fetch = {"phase": "fetch", "done": 100, "total": 2000, "unit": "files", "bytes": 5 * 10**6}
    assert pace.describe(plan) == "plan: 900 files"
    assert pace.describe({**fetch, "updated": at(3)}) == "fetch: 100 of 2,000 files, 4.8 MiB"
    assert pace.describe({**fetch, "done": 600, "updated": at(8)}) == (
        "fetch: 600 of 2,000 files, 4.8 MiB, 100 files/s, 14 s left"
    )
    assert pace.describe({}) == ": 0 "


def removed(account: Account, ended: datetime) -> tuple[int, str]:
    """How often it waited, and what it said."""
    waits = []

    def pause(seconds: float) -> None:
        waits.append(seconds)
        if account.deleted:
            account.states.pop(0)

    out = Console(file=io.StringIO(), width=200)
    Restoration(checked(account), "stack", "logs", pause=pause).remove(
        out, {"StopTime": ended.isoformat()}
    )
    assert account.deleted == ["stack"]
    return len(waits), out.file.getvalue()  # type: ignore[attr-defined]


def test_a_stack_is_removed_once_its_topic_has_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("admin.restoration.DELIVERY", timedelta(seconds=0.2))
    account = Account(("DELETE_IN_PROGRESS", None), ("DELETE_IN_PROGRESS", None))
    waits, said = removed(account, datetime.now(UTC))
    assert waits > 10, "it did not wait for the delivery"
    assert "The stack stack was removed. Its logs stay." in said


def test_a_stack_that_cannot_be_removed_is_explained() -> None:
    account = Account(("DELETE_IN_PROGRESS", None), ("DELETE_FAILED", None))
    with pytest.raises(AdminError, match=r"stack could not be removed\n  AMIInfo: no image"):
        removed(account, BEGAN)
