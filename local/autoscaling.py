"""What Auto Scaling does with the instances of a group, as far as backups depend on it.

Groups, and the members in their `Instances`, are the records of the emulator, with the names that
DescribeAutoScalingGroups gives their fields.
"""

import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol
from uuid import uuid4

from local.api import Record

TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"
LAUNCH_RETRY_SECONDS = 15

logger = logging.getLogger(__name__)


class Machine(Protocol):
    """An instance as far as Auto Scaling cares."""

    @property
    def instance_id(self) -> str: ...

    @property
    def zone(self) -> str: ...

    @property
    def running(self) -> bool: ...

    def terminate(self) -> None: ...


class ValidationError(Exception):
    """The service refuses the request, with AWS's own words."""


@dataclass
class _Member:
    group: Record
    machine: Machine
    record: Record
    hook: Record | None = None
    token: str = ""
    deadline: float = 0
    started: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def state(self) -> str:
        return str(self.record["LifecycleState"])


class AutoScaling:
    """Keeps every group at its desired capacity, one reconcile() after the other.

    launch(group) starts a machine; publish(group, detail_type, detail) sends an event; hooks(group)
    are its lifecycle hooks. One thread reconciles. The other methods may be called by any, and do
    not wait for it: it may itself be waiting for an answer of the emulator.
    """

    def __init__(
        self,
        groups: Callable[[], Iterable[Record]],
        hooks: Callable[[Record], Iterable[Record]],
        launch: Callable[[Record], Machine],
        publish: Callable[[Record, str, Record], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._groups = groups
        self._hooks = hooks
        self._launch_machine = launch
        self._publish = publish
        self._clock = clock
        self._members: dict[str, _Member] = {}
        self._next_launch: dict[str, float] = {}

    def machine(self, instance_id: str) -> Machine | None:
        member = self._members.get(instance_id)
        return member.machine if member else None

    def reconcile(self) -> None:
        """Takes each group one step further towards what is desired of it."""
        groups = list(self._groups())
        for group in groups:
            self._replace_dead(group)
            self._resize(group)
            self._finish_terminations(group)
        self._drop_orphans({group["AutoScalingGroupARN"] for group in groups})

    def complete(self, group_name: str, hook_name: str, instance_id: str, token: str) -> None:
        """CompleteLifecycleAction: CONTINUE and ABANDON both end a termination."""
        self._waiting(group_name, hook_name, instance_id, token).deadline = self._clock()

    def end(self, instance_id: str, decrement: bool = False) -> None:
        """TerminateInstanceInAutoScalingGroup; without decrement, the capacity is left as it is."""
        member = self._members.get(instance_id)
        if member is None:
            raise ValidationError(
                f"Instance Id not found - No managed instance found for instance ID {instance_id}"
            )
        if decrement:
            desired, least = member.group["DesiredCapacity"], member.group["MinSize"]
            if desired <= least:
                raise ValidationError(
                    f"Currently, desiredSize equals minSize ({least}). Terminating instance "
                    "without replacement will violate group's min size constraint. Either set "
                    "shouldDecrementDesiredCapacity flag to false or lower group's min size."
                )
            member.group["DesiredCapacity"] = desired - 1
        if member.state == "InService":
            member.deadline = math.inf  # nothing ends it before its hook has been asked
            member.record["LifecycleState"] = "Terminating"

    def heartbeat(self, group_name: str, hook_name: str, instance_id: str, token: str) -> None:
        """RecordLifecycleActionHeartbeat: the hook's timeout starts again."""
        member = self._waiting(group_name, hook_name, instance_id, token)
        assert member.hook is not None
        member.deadline = self._clock() + member.hook["HeartbeatTimeout"]

    def _of(self, group: Record) -> list[_Member]:
        ids = [record["InstanceId"] for record in group["Instances"]]
        return [self._members[i] for i in ids if i in self._members]

    def _waiting(self, group_name: str, hook_name: str, instance_id: str, token: str) -> _Member:
        for member in list(self._members.values()):
            if (
                member.state == "Terminating:Wait"
                and member.group["AutoScalingGroupName"] == group_name
                and member.hook is not None
                and member.hook["LifecycleHookName"] == hook_name
                and (token == member.token if token else instance_id == member.machine.instance_id)
            ):
                return member
        named = f"token {token}" if token else f"instance ID {instance_id}"
        raise ValidationError(f"No active Lifecycle Action found with {named}")

    def _replace_dead(self, group: Record) -> None:
        for member in self._of(group):
            if member.state == "Terminating":
                self._begin_termination(group, member)
            if member.state == "InService" and not member.machine.running:
                member.record["HealthStatus"] = "Unhealthy"
                self._begin_termination(group, member)

    def _resize(self, group: Record) -> None:
        in_service = [m for m in self._of(group) if m.state == "InService"]
        surplus = len(in_service) - group["DesiredCapacity"]
        if surplus >= 0:  # what is wanted next is tried at once
            self._next_launch.pop(group["AutoScalingGroupARN"], None)
        for member in in_service[: max(surplus, 0)]:
            self._begin_termination(group, member)
        for _ in range(-surplus):
            if not self._launch(group):
                break

    def _launch(self, group: Record) -> bool:
        arn = group["AutoScalingGroupARN"]
        if self._clock() < self._next_launch.get(arn, 0):
            return False
        try:
            machine = self._launch_machine(group)
        except Exception as error:
            logger.exception("launch for %s failed", group["AutoScalingGroupName"])
            self._next_launch[arn] = self._clock() + LAUNCH_RETRY_SECONDS
            self._publish(
                group, "EC2 Instance Launch Unsuccessful", _activity(group, "", str(error))
            )
            return False
        record = {
            "InstanceId": machine.instance_id,
            "AvailabilityZone": machine.zone,
            "LifecycleState": "InService",
            "HealthStatus": "Healthy",
            "ProtectedFromScaleIn": False,
            "LaunchTemplate": group.get("LaunchTemplate") or {},
        }
        self._members[machine.instance_id] = _Member(group, machine, record)
        group["Instances"].append(record)
        self._publish(
            group, "EC2 Instance Launch Successful", _activity(group, machine.instance_id)
        )
        return True

    def _begin_termination(self, group: Record, member: _Member) -> None:
        member.started = datetime.now(UTC)
        member.hook = next(
            (h for h in self._hooks(group) if h["LifecycleTransition"] == TERMINATING), None
        )
        if member.hook is None:
            member.record["LifecycleState"] = "Terminating:Proceed"
            member.deadline = self._clock()
            return
        member.token = str(uuid4())
        member.deadline = self._clock() + member.hook["HeartbeatTimeout"]
        member.record["LifecycleState"] = "Terminating:Wait"
        detail = {
            "LifecycleActionToken": member.token,
            "AutoScalingGroupName": group["AutoScalingGroupName"],
            "LifecycleHookName": member.hook["LifecycleHookName"],
            "EC2InstanceId": member.machine.instance_id,
            "LifecycleTransition": TERMINATING,
            "Origin": "AutoScalingGroup",
            "Destination": "EC2",
        }
        if member.hook.get("NotificationMetadata"):
            detail["NotificationMetadata"] = member.hook["NotificationMetadata"]
        self._publish(group, "EC2 Instance-terminate Lifecycle Action", detail)

    def _finish_terminations(self, group: Record) -> None:
        for member in self._of(group):
            if member.state.startswith("Terminating") and self._clock() >= member.deadline:
                self._remove(member)
                group["Instances"].remove(member.record)
                self._publish(
                    group,
                    "EC2 Instance Terminate Successful",
                    _activity(group, member.machine.instance_id, started=member.started),
                )

    def _drop_orphans(self, arns: set[str]) -> None:
        for member in list(self._members.values()):
            if member.group["AutoScalingGroupARN"] not in arns:
                self._remove(member)

    def _remove(self, member: _Member) -> None:
        member.machine.terminate()
        del self._members[member.machine.instance_id]


def validate_capacity(sizes: Mapping[str, int]) -> None:
    """Refuses a DesiredCapacity beyond MinSize and MaxSize."""
    desired = sizes["DesiredCapacity"]
    for bound, limit, broken in (
        ("above max", sizes["MaxSize"], desired > sizes["MaxSize"]),
        ("below min", sizes["MinSize"], desired < sizes["MinSize"]),
    ):
        if broken:
            raise ValidationError(
                f"New SetDesiredCapacity value {desired} is {bound} value {limit} "
                "for the AutoScalingGroup."
            )


def _activity(
    group: Record, instance_id: str, message: str = "", started: datetime | None = None
) -> Record:
    """The detail of a launch or terminate event."""
    now = datetime.now(UTC)
    return {
        "ActivityId": str(uuid4()),
        "AutoScalingGroupName": group["AutoScalingGroupName"],
        "EC2InstanceId": instance_id,
        "StatusCode": "Failed" if message else "InProgress",
        "StatusMessage": message,
        "StartTime": (started or now).isoformat(timespec="milliseconds"),
        "EndTime": now.isoformat(timespec="milliseconds"),
    }
