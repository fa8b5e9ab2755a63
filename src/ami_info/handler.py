"""The Lambda entry point: finds the image and answers CloudFormation."""

from collections.abc import Mapping
from typing import Any

import boto3
from common.patience import once_allowed
from crhelper import CfnResource

from ami_info.image import newest_image

helper = CfnResource(log_level="INFO", sleep_on_delete=0)


def lambda_handler(event: Mapping[str, Any], context: Any) -> None:
    """Handle Custom::AMIInfo: properties InstanceType and Arch, attributes Parameter, Id, and
    InstanceType again: so the template says but once which one that is."""
    helper(event, context)


def create_or_update(event: Mapping[str, Any], context: Any) -> None:
    properties = event["ResourceProperties"]
    ec2, ssm = boto3.client("ec2"), boto3.client("ssm")
    instance_type, arch = properties.get("InstanceType", ""), properties.get("Arch", "")
    image = once_allowed(lambda: newest_image(ec2, ssm, instance_type, arch))
    helper.Data.update(Parameter=image.parameter, Id=image.id, InstanceType=instance_type)


def delete(event: Mapping[str, Any], context: Any) -> None:
    """Nothing was made, so there is nothing to delete."""


helper.create(create_or_update)
helper.update(create_or_update)
helper.delete(delete)
