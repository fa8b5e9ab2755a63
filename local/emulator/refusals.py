"""What AWS refuses, or hands back otherwise, where ministack does not.

Each of these stands before a function of ministack, and asks it when all is well. An account that
accepts what AWS refuses would hide a fault until somebody has an account of AWS.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from local.api import Record
from local.emulator import ministack

FUNCTION_NAME = 64
"""Characters that the name of a Lambda function has at most."""
DAY = 86400


class Refused(Exception):
    """In AWS's own words."""


def long_name(create: Any, logical_id: str, properties: Record, stack: str) -> Any:
    """Of a Lambda function, which is named like its stack."""
    name = properties.get("FunctionName", "")
    if len(name) > FUNCTION_NAME:
        raise Refused(
            f"1 validation error detected: Value '{name}' at 'functionName' failed to satisfy "
            f"constraint: Member must have length less than or equal to {FUNCTION_NAME}"
        )
    return create(logical_id, properties, stack)


def second_policy(
    create: Any, policies: Mapping[str, Any], logical_id: str, properties: Record, stack: str
) -> Any:
    """A stack makes no policy for a bucket that has one."""
    bucket = properties["Bucket"]
    if bucket in policies:
        raise Refused(f"The bucket policy already exists on bucket {bucket}.")
    return create(logical_id, properties, stack)


class ThroughputChanges:
    """A file system changes its throughput mode once in 24 hours."""

    def __init__(
        self,
        update: Any,
        file_systems: Mapping[str, Record],
        error: Callable[[int, str, str], Any],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._update, self._file_systems, self._error = update, file_systems, error
        self._clock = clock
        self._last: dict[str, float] = {}

    def __call__(self, file_system: str, request: Record) -> Any:
        found, mode = self._file_systems.get(file_system), request.get("ThroughputMode")
        if found and mode not in (None, found.get("ThroughputMode", "bursting")):
            if self._clock() - self._last.get(file_system, -DAY) < DAY:
                return self._error(
                    429,
                    "TooManyRequests",
                    "You have reached the maximum number of throughput mode changes or "
                    "provisioned throughput value decreases. Wait until a day has passed.",
                )
            self._last[file_system] = self._clock()
        return self._update(file_system, request)


def ascii_only(describe: Any, parameters: Record) -> Any:
    """CloudFormation hands back a question mark for each character that is not ASCII."""
    status, headers, body = describe(parameters)
    return status, headers, body.decode().encode("ascii", "replace")


def hook() -> None:
    handlers = ministack("services.cloudformation.provisioners")._RESOURCE_HANDLERS
    function, policy = handlers["AWS::Lambda::Function"], handlers["AWS::S3::BucketPolicy"]
    function["create"] = partial(long_name, function["create"])
    policies = ministack("services.s3")._bucket_policies
    policy["create"] = partial(second_policy, policy["create"], policies)
    efs = ministack("services.efs")
    efs._update_file_system = ThroughputChanges(
        efs._update_file_system, efs._file_systems, efs._error
    )
    actions = ministack("services.cloudformation.handlers")._ACTION_HANDLERS
    actions["DescribeStacks"] = partial(ascii_only, actions["DescribeStacks"])
