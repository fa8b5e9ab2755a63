"""Waiting for the rights of a role that has just been made.

It is seconds old, and IAM is eventually consistent: what it allows may be refused for a while.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

NOT_ALLOWED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")
PATIENCE_SECONDS = 60  # half of the time that the functions have
PAUSE_SECONDS = 5

T = TypeVar("T")


def once_allowed(call: Callable[[], T]) -> T:
    """What the call returns. Raises the refusal when that lasts."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return call()
        except Exception as error:
            # botocore's, which is nothing that an instance has.
            code = getattr(error, "response", {}).get("Error", {}).get("Code")
            if code not in NOT_ALLOWED or time.monotonic() > until:
                raise
        time.sleep(PAUSE_SECONDS)
