"""From an instance type to the newest Amazon Linux 2023 image for its architecture."""

from collections.abc import Sequence
from typing import Any

from botocore.exceptions import ClientError

PARAMETER = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{}"
ARCHITECTURES = {"HVM64": "x86_64", "HVMG2": "x86_64", "ARM64": "arm64"}
"""The Arch of an instance type in the template's Mappings -> the architecture of its image."""


class UnknownInstanceType(ValueError):
    """There is no image for the instance type; the message says what to edit."""


def image_id(ec2: Any, ssm: Any, instance_type: str, arch: str) -> str:
    """The image for an instance type; `arch` is what the template's Mappings say of it, or "".

    Raises UnknownInstanceType, and botocore's ClientError when EC2 or SSM refuses.
    """
    architecture = ARCHITECTURES.get(arch.upper()) or _ask_for(ec2, instance_type, arch)
    name = PARAMETER.format(architecture)
    try:
        return str(ssm.get_parameter(Name=name)["Parameter"]["Value"])
    except ssm.exceptions.ParameterNotFound as error:
        raise _unknown(f"This region has no parameter {name}", instance_type, arch) from error


def supported(architectures: Sequence[str]) -> str | None:
    """The first architecture that Amazon Linux 2023 has images for."""
    return next((name for name in architectures if name in ARCHITECTURES.values()), None)


def _ask_for(ec2: Any, instance_type: str, arch: str) -> str:
    if not instance_type:
        raise _unknown("InstanceType is missing", instance_type, arch)
    try:
        found = ec2.describe_instance_types(InstanceTypes=[instance_type])["InstanceTypes"]
    except ClientError as error:
        if not error.response["Error"]["Code"].startswith("InvalidInstanceType"):
            raise
        raise _unknown("EC2 has no such instance type here", instance_type, arch) from error
    if architecture := supported(found[0]["ProcessorInfo"]["SupportedArchitectures"]):
        return architecture
    raise _unknown("Amazon Linux 2023 does not run on it", instance_type, arch)


def _unknown(problem: str, instance_type: str, arch: str) -> UnknownInstanceType:
    # Short, because CloudFormation gets the last 240 characters at most.
    return UnknownInstanceType(
        f"{problem}: instance type {instance_type!r}, Arch {arch!r}."
        " Edit InstanceSize and Arch in the Mappings of the template."
    )
