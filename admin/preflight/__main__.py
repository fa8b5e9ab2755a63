"""Exit code 0: nothing failed; 1: something did, or it could not begin."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from admin.command import AdminError, Given, clients, console, say_command
from admin.preflight.checks import checked
from admin.preflight.facts import Existing, Reader, Request
from admin.preflight.results import Result, Status
from admin.stack import Stack
from admin.template import Template
from admin.wording import value_of

TEMPLATE = Path(__file__).parents[2] / "templates" / "efs-to-efs-backup.template"

PATTERNS = {
    "SrcEFS": r"fs-([0-9a-f]{8}|[0-9a-f]{17})",
    "VpcId": r"vpc-([0-9a-f]{8}|[0-9a-f]{17})",
    "Subnets": r"subnet-([0-9a-f]{8}|[0-9a-f]{17})( *, *subnet-([0-9a-f]{8}|[0-9a-f]{17}))*",
}
EXAMPLES = {
    "SrcEFS": "fs-0123456789abcdef0",
    "VpcId": "vpc-0a1b2c3d",
    "Subnets": "subnet-0a1b2c3d,subnet-4e5f6a7b",
}


def planned(given: Given, region: str, template: Template) -> Request:
    """A request from the parameters of a stack that does not exist yet."""
    if "SrcEFS" not in given:
        stack = value_of("STACK", "efs-backup")
        raise AdminError(f"Give SrcEFS={EXAMPLES['SrcEFS']}, or {stack} for a stack that exists")
    values = {name: given.required(name, EXAMPLES[name]) for name in PATTERNS}
    for name, pattern in PATTERNS.items():
        if not re.fullmatch(pattern, values[name]):
            raise AdminError(f"{name}={values[name]} must look like this: {EXAMPLES[name]}")
    return Request(
        source=values["SrcEFS"],
        vpc=values["VpcId"],
        subnets=listed(values["Subnets"]),
        region=region,
        instance_type=given.get("InstanceType") or template.mapped(region).get("InstanceType", ""),
        workers=whole(given.get("Workers")),
        throughput=throughput({n: v for n in MODES if (v := given.get(n))}, region),
    )


def whole(text: str | None) -> int:
    if text and not re.fullmatch("[0-9]{1,2}", text, re.ASCII):
        raise AdminError(f"Workers={text} must be a number from 0 to 32")
    return int(text or 0)


def listed(text: str) -> tuple[str, ...]:
    return tuple(text.replace(" ", "").split(","))


def of_stack(stack: Stack, given: Given) -> Request:
    """`given`: parameters that an update is to change."""
    parameters = {**stack.parameters, **{n: v for n in CHANGES if (v := given.get(n))}}
    return Request(
        source=stack.parameters["SrcEFS"],
        vpc=stack.parameters["VpcId"],
        subnets=listed(stack.parameters["Subnets"])[:2],  # it uses no more
        region=stack.region,
        instance_type=given.get("InstanceType") or stack.settings().get("InstanceType", ""),
        group=stack.outputs.get("EFSSecurityGroup", ""),
        existing=Existing(
            file_system=stack.resource("DstEFS"),
            throughput=throughput(parameters, stack.region),
            bucket=stack.resource("EFSLogBucket"),
            topic=stack.resource("SNSTopic"),
            protected=parameters.get("ProtectSnapshots") == "Yes",
            keeps_policies="EFSLogBucketPolicy" in stack.template.content.get("Resources", {}),
        ),
        workers=whole(parameters.get("Workers")),
        throughput=throughput(parameters, stack.region),
    )


CHANGES = ("EFSThroughputMode", "InstanceType", "Workers")
MODES = ("EFSThroughputMode", "EFSMode")


def throughput(parameters: Mapping[str, str], region: str) -> str:
    """The mode that the template sets: elastic is neither for maxIO nor in China."""
    wanted = parameters.get("EFSThroughputMode", "bursting")
    possible = parameters.get("EFSMode") != "maxIO" and not region.startswith("cn-")
    return wanted if possible else "bursting"


STYLES = {
    Status.OK: "green",
    Status.WARNING: "yellow",
    Status.FAILED: "bold red",
    Status.UNKNOWN: "magenta",
}


def report(results: Sequence[tuple[str, Result]], output: Console) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, result in results:
        table.add_row(Text(result.status.value, STYLES[result.status]), name, result.text)
        if result.advice:
            table.add_row("", "", Text(f"→ {result.advice}", "dim"))
    output.print(table)
    for name, result in results:
        if result.typed:
            output.print()
            say_command(name, result.typed, output.file)
    counts = {s: sum(r.status is s for _, r in results) for s in Status}
    output.print(f"\n{', '.join(f'{n} {s.value}' for s, n in counts.items() if n)}.")
    output.print("What each check is about, and how to put things right: docs/network.md")


def main(given: Given) -> int:
    given.only("STACK", "REGION", *PATTERNS, *CHANGES)
    connect = clients(given.get("REGION"))
    if name := given.get("STACK"):
        request = of_stack(Stack.backup(connect, name), given)
    else:
        template = Template.parse(TEMPLATE.read_text())
        request = planned(given, connect("ec2").meta.region_name, template)
    results = list(checked(request, Reader(connect).facts(request)))
    report(results, console())
    return 1 if any(r.status is Status.FAILED for _, r in results) else 0
