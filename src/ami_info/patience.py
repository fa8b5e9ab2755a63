"""Waiting for the rights of a role that has just been made.

It is seconds old, and IAM is eventually consistent: what it allows may be refused for a while.
"""

import time
from collections.abc import Callable
from typing import TypeVar

from botocore.exceptions import ClientError

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
        except ClientError as error:
            if error.response["Error"]["Code"] not in NOT_ALLOWED or time.monotonic() > until:
                raise
        time.sleep(PAUSE_SECONDS)
