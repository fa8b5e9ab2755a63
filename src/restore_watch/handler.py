"""The Lambda entry point: sees to it that every restore is heard of, and that its instance ends.

An entry of EventBridge Scheduler is all that it remembers. The entry is made when an instance is
launched, is due at the end of the restore's window, and goes as soon as anything about the restore
is published to its topic. So it tells of a restore that nobody has heard of yet.
"""

import json
import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Protocol

import boto3

from restore_watch.watch import Settings, Watch

logger = logging.getLogger("restore_watch")
logger.setLevel(logging.INFO)


class Context(Protocol):
    """What is used of Lambda's context object."""

    invoked_function_arn: str


def lambda_handler(event: Mapping[str, Any], context: Context) -> str:
    """Act on one event; return what was done. Every error is raised, so that Lambda tries again."""
    done = act(event, connect(context.invoked_function_arn))
    logger.info(json.dumps({"event": event, "done": done}, default=str))
    return done


@cache
def connect(function_arn: str) -> Watch:
    return Watch(Settings.from_env(os.environ), function_arn, boto3.client)


def act(event: Mapping[str, Any], watch: Watch) -> str:
    match event:
        case {"Records": [{"Sns": {"Timestamp": str(said)} as message}]}:
            return watch.heard(message, datetime.fromisoformat(said))
        case {"mode": "restore", "action": "end", "group": str(group)}:
            return watch.end(group)
        case {
            "source": "aws.autoscaling",
            "detail-type": str(happened),
            "detail": {"AutoScalingGroupName": str(group), **detail},
        }:
            end = datetime.now(UTC) + timedelta(minutes=watch.settings.window)
            match happened:
                case "EC2 Instance Launch Successful":
                    return watch.launched(group, end)
                case "EC2 Instance Launch Unsuccessful":
                    return watch.not_launched(group, end, str(detail.get("StatusMessage", "")))
                case "EC2 Instance Terminate Successful":
                    return watch.terminated(group)
    raise ValueError(f"event not understood: {json.dumps(event, default=str)[:1000]}")
