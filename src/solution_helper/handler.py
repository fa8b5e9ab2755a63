"""The Lambda entry point: tells the two custom resources apart and answers CloudFormation."""

import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from crhelper import CfnResource

from solution_helper import deployment, metric

METRICS_URL = "https://metrics.awssolutionsbuilder.com/generic"

logger = logging.getLogger(__name__)
helper = CfnResource(log_level="INFO", sleep_on_delete=0)


def lambda_handler(event: Mapping[str, Any], context: Any) -> None:
    """Handle Custom::SendAnonymousMetrics; any other type is the deployment's UUID."""
    helper(event, context)


def create(event: Mapping[str, Any], context: Any) -> str | None:
    if _is_metric(event):
        _send_metric(event)
        return None
    return _answer_with(str(uuid4()))


def update(event: Mapping[str, Any], context: Any) -> str:
    physical_id: str = event["PhysicalResourceId"]
    if _is_metric(event):
        _send_metric(event)
    else:
        _answer_with(deployment.uuid_of(physical_id, event["StackId"], event["LogicalResourceId"]))
    return physical_id  # another one would make CloudFormation replace the resource


def delete(event: Mapping[str, Any], context: Any) -> None:
    if _is_metric(event):
        _send_metric(event)


def _is_metric(event: Mapping[str, Any]) -> bool:
    return bool(event["ResourceType"] == "Custom::SendAnonymousMetrics")


def _answer_with(uuid: str) -> str:
    helper.Data["UUID"] = uuid
    return uuid


def _send_metric(event: Mapping[str, Any]) -> None:
    """Send the metric if wanted. A deployment never fails for it, whatever goes wrong."""
    properties = event["ResourceProperties"]
    if not metric.is_wanted(properties):
        return
    try:
        body = metric.payload(properties, event["RequestType"], datetime.now(UTC))
        metric.send(os.environ.get("METRICS_URL", METRICS_URL), body)
        logger.info("sent the anonymous metric %s", body)
    except Exception:
        logger.exception("the anonymous metric was not sent")


helper.create(create)
helper.update(update)
helper.delete(delete)
