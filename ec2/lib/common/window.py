"""The end of a window, of backups and of restores."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

STOP_BEFORE_END = timedelta(minutes=15)
"""From the stop to the end: for the copies that run, and the report.
Templates and scripts have it, too."""


def once(at: datetime, function: str, role: str, event: Mapping[str, str]) -> dict[str, Any]:
    """For EventBridge Scheduler's CreateSchedule, with two ARNs: the function gets this event."""
    return {
        "ScheduleExpression": f"at({at.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%S})",
        "ScheduleExpressionTimezone": "UTC",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "ActionAfterCompletion": "DELETE",
        "Target": {"Arn": function, "RoleArn": role, "Input": json.dumps(event)},
    }
