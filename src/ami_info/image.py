"""From an instance type to the newest Amazon Linux 2023 image for its architecture."""

from typing import Any, NamedTuple

from botocore.exceptions import ClientError

PARAMETER = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{}"
ARCHITECTURES = {"HVM64": "x86_64", "HVMG2": "x86_64", "ARM64": "arm64"}
"""The Arch of an instance type in the template's Mappings -> the architecture of its image."""


class Image(NamedTuple):
    parameter: str
    """Public parameter of AWS that always names the newest image."""
    id: str
    """The newest today. Instances are launched by the parameter: an image ages."""


class UnknownInstanceType(ValueError):
    """There is no image for the instance type; the message says what to edit."""


def newest_image(ec2: Any, ssm: Any, instance_type: str, arch: str) -> Image:
    """The image for an instance type; `arch` is what the template's Mappings say of it, or "".

    Raises UnknownInstanceType, also when the Mappings are wrong: an instance would fail to launch,
    at the first backup and not while somebody looks. Raises botocore's ClientError when EC2 or SSM
    refuses.
    """
    architecture = _architecture(ec2, instance_type)
    if arch and ARCHITECTURES.get(arch.upper()) != architecture:
        right = next(name for name, image in ARCHITECTURES.items() if image == architecture)
        raise UnknownInstanceType(
            f"The Mappings of the template say Arch {arch!r} of {instance_type!r}, which is"
            f" {architecture}. Make its line {instance_type}: {{Arch: {right}}}"
        )
    name = PARAMETER.format(architecture)
    try:
        return Image(name, str(ssm.get_parameter(Name=name)["Parameter"]["Value"]))
    except ssm.exceptions.ParameterNotFound as error:
        raise _unknown(f"This region has no parameter {name}", instance_type) from error


def _architecture(ec2: Any, instance_type: str) -> str:
    """The first architecture of an instance type that Amazon Linux 2023 has images for."""
    if not instance_type:
        raise _unknown("InstanceType is missing", instance_type)
    try:
        (found,) = ec2.describe_instance_types(InstanceTypes=[instance_type])["InstanceTypes"]
    except ClientError as error:
        if not error.response["Error"]["Code"].startswith("InvalidInstanceType"):
            raise
        raise _unknown("EC2 has no such instance type in this region", instance_type) from error
    for architecture in found["ProcessorInfo"]["SupportedArchitectures"]:
        if architecture in ARCHITECTURES.values():
            return str(architecture)
    raise _unknown("Amazon Linux 2023 does not run on it", instance_type)


def _unknown(problem: str, instance_type: str) -> UnknownInstanceType:
    # Short, because CloudFormation gets the last 240 characters at most.
    return UnknownInstanceType(
        f"{problem}: {instance_type!r}. Give another one, InstanceType, or in the Mappings of the"
        " template another InstanceSize for the region, with a line for its Arch."
    )
