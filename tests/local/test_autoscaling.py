"""Auto Scaling's decisions, with machines that are no sandboxes and a clock that is no clock."""

import itertools
from dataclasses import dataclass, field

import pytest

from local.autoscaling import (
    LAUNCH_RETRY_SECONDS,
    TERMINATING,
    AutoScaling,
    ValidationError,
    validate_capacity,
)

LAUNCHED = "EC2 Instance Launch Successful"
HOOK_EVENT = "EC2 Instance-terminate Lifecycle Action"
TERMINATED = "EC2 Instance Terminate Successful"


@dataclass
class Machine:
    instance_id: str
    zone: str = "us-east-1a"
    running: bool = True

    def terminate(self):
        self.running = False


@dataclass
class World:
    """One group `g`, with a terminating hook `h` of 900 seconds unless it is removed."""

    hooks: list = field(
        default_factory=lambda: [
            {
                "LifecycleHookName": "h",
                "LifecycleTransition": TERMINATING,
                "HeartbeatTimeout": 900,
            }
        ]
    )
    now: float = 0
    launch_error: Exception | None = None

    def __post_init__(self):
        self.group = {
            "AutoScalingGroupName": "g",
            "AutoScalingGroupARN": "arn:aws:autoscaling:us-east-1:1:autoScalingGroup:x:g",
            "MinSize": 0,
            "DesiredCapacity": 0,
            "Instances": [],
        }
        self.groups = [self.group]
        self.machines = []
        self.events = []
        self._numbers = itertools.count(1)
        self.scaling = AutoScaling(
            lambda: self.groups,
            lambda group: self.hooks,
            self._launch,
            lambda group, kind, detail: self.events.append((kind, detail)),
            lambda: self.now,
        )

    def _launch(self, group):
        if self.launch_error:
            raise self.launch_error
        self.machines.append(Machine(f"i-{next(self._numbers)}"))
        return self.machines[-1]

    def desire(self, capacity):
        self.group["DesiredCapacity"] = capacity
        self.scaling.reconcile()

    def states(self):
        return [(i["InstanceId"], i["LifecycleState"]) for i in self.group["Instances"]]

    def kinds(self):
        return [kind for kind, _ in self.events]


@pytest.fixture
def world():
    return World()


def test_desired_capacity_launches(world):
    world.desire(1)
    world.scaling.reconcile()
    assert world.states() == [("i-1", "InService")]
    assert world.kinds() == [LAUNCHED]


def test_without_a_hook_an_instance_is_terminated_at_once(world):
    world.hooks.clear()
    world.desire(1)
    world.desire(0)
    assert world.states() == []
    assert not world.machines[0].running
    assert world.kinds() == [LAUNCHED, TERMINATED]


def test_a_hook_of_another_transition_holds_nothing_back(world):
    world.hooks[0]["LifecycleTransition"] = "autoscaling:EC2_INSTANCE_LAUNCHING"
    world.desire(1)
    world.desire(0)
    assert world.states() == []


def test_the_hook_times_out(world):
    world.desire(1)
    world.desire(0)
    world.now = 899
    world.scaling.reconcile()
    assert world.states() == [("i-1", "Terminating:Wait")]
    world.now = 900
    world.scaling.reconcile()
    assert world.states() == []
    assert world.kinds() == [LAUNCHED, HOOK_EVENT, TERMINATED]


def test_a_heartbeat_starts_the_timeout_again(world):
    world.desire(1)
    world.desire(0)
    world.now = 800
    world.scaling.heartbeat("g", "h", "i-1", "")
    world.now = 1699
    world.scaling.reconcile()
    assert world.states() == [("i-1", "Terminating:Wait")]
    world.now = 1700
    world.scaling.reconcile()
    assert world.states() == []


@pytest.mark.parametrize("by", ["token", "instance"])
def test_the_hook_is_completed(world, by):
    world.desire(1)
    world.desire(0)
    token = world.events[-1][1]["LifecycleActionToken"] if by == "token" else ""
    world.scaling.complete("g", "h", "i-1", token)
    world.scaling.reconcile()
    assert world.states() == []
    assert not world.machines[0].running


@pytest.mark.parametrize(
    "wrong",
    [
        ("other", "h", "i-1", ""),
        ("g", "other", "i-1", ""),
        ("g", "h", "i-2", ""),
        ("g", "h", "i-1", "x"),
    ],
)
def test_an_action_that_is_not_waiting_cannot_be_completed(world, wrong):
    world.desire(1)
    with pytest.raises(ValidationError, match="No active Lifecycle Action"):
        world.scaling.complete("g", "h", "i-1", "")
    world.desire(0)
    with pytest.raises(ValidationError, match="No active Lifecycle Action"):
        world.scaling.complete(*wrong)


def test_a_dead_instance_is_replaced_while_one_is_desired(world):
    world.desire(1)
    world.machines[0].running = False
    world.scaling.reconcile()
    assert world.states() == [("i-1", "Terminating:Wait"), ("i-2", "InService")]


def test_a_dead_instance_is_not_replaced_when_none_is_desired(world):
    world.desire(1)
    world.machines[0].running = False
    world.desire(0)
    assert world.states() == [("i-1", "Terminating:Wait")]
    assert len(world.machines) == 1


def test_a_launch_that_fails_is_reported_and_tried_again_later(world):
    world.launch_error = RuntimeError("no capacity")
    world.desire(1)
    world.scaling.reconcile()
    assert world.kinds() == ["EC2 Instance Launch Unsuccessful"]
    assert world.events[0][1]["StatusMessage"] == "no capacity"
    world.launch_error = None
    world.now = LAUNCH_RETRY_SECONDS
    world.scaling.reconcile()
    assert world.states() == [("i-1", "InService")]


def test_the_next_launch_after_a_failed_one_is_tried_at_once_when_it_is_wanted_anew(world):
    world.launch_error = RuntimeError("no capacity")
    world.desire(1)
    world.launch_error = None
    world.desire(0)
    world.desire(1)
    assert world.states() == [("i-1", "InService")]


def test_the_instances_of_a_deleted_group_are_ended(world):
    world.desire(1)
    world.groups.clear()
    world.scaling.reconcile()
    assert not world.machines[0].running
    assert world.scaling.machine("i-1") is None


@pytest.mark.parametrize("capacity", [0, 1])
def test_a_capacity_within_the_bounds(capacity):
    validate_capacity({"DesiredCapacity": capacity, "MinSize": 0, "MaxSize": 1})


@pytest.mark.parametrize(
    ("capacity", "message"),
    [
        (2, "New SetDesiredCapacity value 2 is above max value 1 for the AutoScalingGroup."),
        (-1, "New SetDesiredCapacity value -1 is below min value 0 for the AutoScalingGroup."),
    ],
)
def test_a_capacity_beyond_the_bounds(capacity, message):
    with pytest.raises(ValidationError, match=message):
        validate_capacity({"DesiredCapacity": capacity, "MinSize": 0, "MaxSize": 1})


def test_an_instance_that_is_ended_by_name_is_replaced_if_the_capacity_says_so(world):
    world.desire(1)
    world.scaling.end("i-1")
    world.scaling.reconcile()
    assert world.states() == [("i-1", "Terminating:Wait"), ("i-2", "InService")]
    world.scaling.end("i-1")
    assert world.kinds().count(HOOK_EVENT) == 1
    with pytest.raises(ValidationError, match="No managed instance found"):
        world.scaling.end("i-9")


def test_an_instance_that_is_ended_with_its_place_is_not_replaced(world):
    world.desire(1)
    world.scaling.end("i-1", decrement=True)
    assert world.group["DesiredCapacity"] == 0
    world.scaling.reconcile()
    assert world.states() == [("i-1", "Terminating:Wait")]
    with pytest.raises(ValidationError, match="desiredSize equals minSize"):
        world.scaling.end("i-1", decrement=True)


def test_a_capacity_of_0_and_at_once_1_ends_nothing(world):
    """Why backups end the instance of an earlier run by name."""
    world.desire(1)
    world.group["DesiredCapacity"] = 0
    world.desire(1)
    assert world.states() == [("i-1", "InService")]
