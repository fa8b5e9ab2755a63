"""The Lambda entry point: tells the custom resources apart and answers CloudFormation."""

import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import boto3
from common.metrics import send_metric
from common.patience import once_allowed
from crhelper import CfnResource

from solution_helper import deployment, file_system, metric
from solution_helper.schedule import two_intervals

METRICS_URL = "https://metrics.awssolutionsbuilder.com/generic"
METRIC = "Custom::SendAnonymousMetrics"
CHECK = "Custom::FileSystemCheck"
THRESHOLD = "Custom::AlarmThreshold"

logger = logging.getLogger(__name__)
helper = CfnResource(log_level="INFO", sleep_on_delete=0)


def lambda_handler(event: Mapping[str, Any], context: Any) -> None:
    """Handle the three types above; any other one is the deployment's UUID."""
    helper(event, context)


def create(event: Mapping[str, Any], context: Any) -> str | None:
    if _is_uuid(event):
        return _answer_with(str(uuid4()))
    _do(event)
    return None


def update(event: Mapping[str, Any], context: Any) -> str:
    physical_id: str = event["PhysicalResourceId"]
    if _is_uuid(event):
        _answer_with(deployment.uuid_of(physical_id, event["StackId"], event["LogicalResourceId"]))
    else:
        _do(event)
    return physical_id  # another one would make CloudFormation replace the resource


def delete(event: Mapping[str, Any], context: Any) -> None:
    if event["ResourceType"] == METRIC:
        _send_metric(event)


def _is_uuid(event: Mapping[str, Any]) -> bool:
    return event["ResourceType"] not in (METRIC, CHECK, THRESHOLD)


def _do(event: Mapping[str, Any]) -> None:
    """Create or update a resource that is nothing but what it answers."""
    kind = event["ResourceType"]
    if kind == CHECK:
        _check(event)
    elif kind == THRESHOLD:
        helper.Data["TooOld"] = _threshold(event["ResourceProperties"])
    else:
        _send_metric(event)


def _answer_with(uuid: str) -> str:
    helper.Data["UUID"] = uuid
    return uuid


def _check(event: Mapping[str, Any]) -> None:
    """Refuse what no parameter of the template can refuse by itself."""
    stack = event["StackId"]
    file_system.check_name(stack)
    cloudformation, efs = boto3.client("cloudformation"), boto3.client("efs")
    found = once_allowed(lambda: file_system.existing(cloudformation, efs, stack))
    if found:
        before = event.get("OldResourceProperties", {})
        file_system.check_not_replaced(found, event["ResourceProperties"], before)


def _threshold(properties: Mapping[str, str]) -> int:
    """In seconds."""
    window = timedelta(minutes=int(properties["BackupWindow"]))
    schedule, label = properties["BackupSchedule"], properties["IntervalTag"]
    found = two_intervals(schedule, label, window, datetime.now(UTC).date())
    return int(found.total_seconds())


def _send_metric(event: Mapping[str, Any]) -> None:
    """Send the metric if wanted. A deployment never fails for it, whatever goes wrong."""
    properties = event["ResourceProperties"]
    if not metric.is_wanted(properties):
        return
    try:
        body = metric.payload(properties, event["RequestType"], datetime.now(UTC))
        send_metric(os.environ.get("METRICS_URL", METRICS_URL), body)
        logger.info("sent the anonymous metric %s", body)
    except Exception:
        logger.exception("the anonymous metric was not sent")


helper.create(create)
helper.update(update)
helper.delete(delete)
