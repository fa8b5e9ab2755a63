"""The Lambda entry point: finds the image and answers CloudFormation."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import boto3
from botocore.exceptions import ClientError
from crhelper import CfnResource

from ami_info.image import Image, newest_image

NOT_ALLOWED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")
PATIENCE_SECONDS = 60  # half of the time that the function has
PAUSE_SECONDS = 5

helper = CfnResource(log_level="INFO", sleep_on_delete=0)


def lambda_handler(event: Mapping[str, Any], context: Any) -> None:
    """Handle Custom::AMIInfo: properties InstanceType and Arch, attributes Parameter and Id."""
    helper(event, context)


def create_or_update(event: Mapping[str, Any], context: Any) -> None:
    properties = event["ResourceProperties"]
    ec2, ssm = boto3.client("ec2"), boto3.client("ssm")
    instance_type, arch = properties.get("InstanceType", ""), properties.get("Arch", "")
    image = _once_allowed(lambda: newest_image(ec2, ssm, instance_type, arch))
    helper.Data.update(Parameter=image.parameter, Id=image.id)


def _once_allowed(find: Callable[[], Image]) -> Image:
    """The role is seconds old, and IAM is eventually consistent: what it allows may be refused
    for a while. Raises the refusal when that lasts."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return find()
        except ClientError as error:
            if error.response["Error"]["Code"] not in NOT_ALLOWED or time.monotonic() > until:
                raise
        time.sleep(PAUSE_SECONDS)


def delete(event: Mapping[str, Any], context: Any) -> None:
    """Nothing was made, so there is nothing to delete."""


helper.create(create_or_update)
helper.update(create_or_update)
helper.delete(delete)
