"""The anonymous metric: how a deployment is set up, nothing about whose it is."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from common.metrics import metric_time

# Everything else (file systems, network, e-mail, names) stays in the account.
SETTINGS = (
    "EventType",
    "IntervalTag",
    "Retain",
    "BackupWindow",
    "EFSMode",
    "EFSEncryption",
    "SuccessNotification",
    "Dashboard",
    "InstanceType",
)


def is_wanted(properties: Mapping[str, str]) -> bool:
    return properties.get("SendAnonymousData") == "Yes"


def payload(properties: Mapping[str, str], request_type: str, now: datetime) -> dict[str, Any]:
    """What is sent for a request (Create, Update or Delete); KeyError names a missing property."""
    timestamp = metric_time(now)
    return {
        "Solution": properties["SolutionId"],
        "UUID": properties["UUID"],
        "TimeStamp": timestamp,
        "Data": {
            "Launch": timestamp,
            "Region": properties["Region"],
            "Version": properties["Version"],
            "RequestType": request_type,
            **{name: properties[name] for name in SETTINGS if name in properties},
        },
    }
