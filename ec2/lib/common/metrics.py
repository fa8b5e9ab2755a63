"""How the anonymous metrics are sent."""

import json
import urllib.request
from collections.abc import Mapping
from datetime import datetime
from typing import Any

TIMEOUT_SECONDS = 5


def metric_time(now: datetime) -> str:
    return now.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def send_metric(url: str, metric: Mapping[str, Any]) -> None:
    """POST the metric as JSON; OSError when it cannot be delivered."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(metric).encode(), headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):
        pass
