"""Auto Scaling: the groups of ministack have no real instances, no lifecycle and no events."""

import json
import logging
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from local.api import Record
from local.autoscaling import AutoScaling, ValidationError, validate_capacity
from local.emulator import ministack
from local.fleet import Machine, owner

RECONCILE_SECONDS = 0.2
TERMINATE = "TerminateInstanceInAutoScalingGroup"

logger = logging.getLogger(__name__)


def hook(scaling: AutoScaling) -> None:
    service = ministack("services.autoscaling")
    actions = service._ACTION_MAP
    service._reconcile_instances = lambda group: None
    for action, act in (
        ("CompleteLifecycleAction", scaling.complete),
        ("RecordLifecycleActionHeartbeat", scaling.heartbeat),
    ):
        actions[action] = partial(_answer_lifecycle_action, service, action, act)
    actions[TERMINATE] = partial(_answer_termination, service, scaling.end)
    of_instances = ministack("services.ec2")._ACTION_MAP
    of_instances["TerminateInstances"] = partial(
        _power_off, scaling, of_instances["TerminateInstances"]
    )
    for action in ("SetDesiredCapacity", "UpdateAutoScalingGroup"):
        actions[action] = partial(_answer_capacity_change, service, actions[action])


def _answer_lifecycle_action(
    service: Any, action: str, act: Callable[[str, str, str, str], None], parameters: Record
) -> Any:
    names = ("AutoScalingGroupName", "LifecycleHookName", "InstanceId", "LifecycleActionToken")
    group, hook, instance, token = (service._p(parameters, name) for name in names)
    try:
        act(group, hook, instance, token)
    except ValidationError as error:
        return service._error("ValidationError", str(error))
    return service._xml(200, f"{action}Response", f"<{action}Result/>")


def _answer_termination(service: Any, end: Callable[[str, bool], None], parameters: Record) -> Any:
    decrement = service._p(parameters, "ShouldDecrementDesiredCapacity") == "true"
    try:
        end(service._p(parameters, "InstanceId"), decrement)
    except ValidationError as error:
        return service._error("ValidationError", str(error))
    return service._xml(200, f"{TERMINATE}Response", f"<{TERMINATE}Result/>")


def _power_off(scaling: AutoScaling, terminate: Any, parameters: Record) -> Any:
    """Without a word to its group, which finds it dead and replaces it."""
    for name, (instance_id, *_) in parameters.items():
        machine = scaling.machine(instance_id) if name.startswith("InstanceId.") else None
        if isinstance(machine, Machine):
            machine.instance.terminate()
    return terminate(parameters)


def _answer_capacity_change(service: Any, answer: Any, parameters: Record) -> Any:
    group = service._asgs.get(service._p(parameters, "AutoScalingGroupName"))
    if group:
        names = ("DesiredCapacity", "MaxSize", "MinSize")
        try:
            validate_capacity({n: int(service._p(parameters, n) or group[n]) for n in names})
        except ValidationError as error:
            return service._error("ValidationError", str(error))
    return answer(parameters)


def all_groups() -> Iterable[Record]:
    return [group for _, group in ministack("services.autoscaling")._asgs.all_items()]


def lifecycle_hooks(group: Record) -> Iterable[Record]:
    return [
        hook
        for key, hook in ministack("services.autoscaling")._hooks.all_items()
        if key[:2] == owner(group) and hook["AutoScalingGroupName"] == group["AutoScalingGroupName"]
    ]


def publish(group: Record, detail_type: str, detail: Record) -> None:
    logger.info("%s: %s", detail_type, detail)
    event = {
        "Source": "aws.autoscaling",
        "DetailType": detail_type,
        "Detail": json.dumps(detail),
        "Resources": [group["AutoScalingGroupARN"]],
    }
    with ministack("core.responses").request_scope(*owner(group)):
        ministack("services.eventbridge")._put_events({"Entries": [event]}, allow_aws_source=True)


def launch_configuration(group: Record) -> Record:
    """What the group launches, in the terms of a launch template."""
    with ministack("core.responses").request_scope(*owner(group)):
        configurations = ministack("services.autoscaling")._launch_configs
        found: Record = configurations[group["LaunchConfigurationName"]]
    return found


def reconcile_for_ever(scaling: AutoScaling) -> None:
    while True:
        try:
            scaling.reconcile()
        except Exception:
            logger.exception("Auto Scaling failed; trying again")
        time.sleep(RECONCILE_SECONDS)
