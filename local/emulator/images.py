"""EC2: every instance type and every image of ministack has Intel's architecture, and a launch
template does not tell whether it asks for Spot Instances."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from local.api import Record
from local.emulator import ministack

GRAVITON_IMAGE = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"


def hook() -> None:
    ec2 = ministack("services.ec2")
    ec2._lt_data_xml = partial(_with_market, ec2._lt_data_xml)
    actions = ec2._ACTION_MAP
    actions["DescribeInstanceTypes"] = partial(_describe, actions["DescribeInstanceTypes"])
    ministack("services.ssm")._PUBLIC_AMI_PARAMETERS[GRAVITON_IMAGE] = "ami-0c2023a1b2c3d4e60"


def _with_market(render: Callable[[Record], str], data: Record) -> str:
    kind = data.get("InstanceMarketOptions", {}).get("MarketType")
    market = f"<marketType>{kind}</marketType>" if kind else ""
    return f"{render(data)}<instanceMarketOptions>{market}</instanceMarketOptions>"


def _describe(describe: Any, parameters: Record) -> Any:
    """The request names one type: those with a g after their generation are Graviton."""
    status, headers, body = describe(parameters)
    (name,) = parameters["InstanceType.1"]
    if re.match(r"[a-z]+[0-9]+g", name):
        body = body.replace(b"<item>x86_64</item>", b"<item>arm64</item>")
    return status, headers, body
