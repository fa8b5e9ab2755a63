"""How a command is told of a queue."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass

from engine.command import arguments
from engine.workers.scaling import WORTH, Group
from engine.workers.shared import LEASE


def queue_url(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#]+/[^\s?#]+", value):
        raise argparse.ArgumentTypeError(
            f"{value!r} is not the URL of an SQS queue, like "
            "https://sqs.eu-west-1.amazonaws.com/123456789012/name"
        )
    return value


def lease(value: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,3}", value, re.ASCII) or not 2 <= int(value) <= 3600:
        raise argparse.ArgumentTypeError(f"must be 2 to 3600 seconds, not {value!r}")
    return int(value)


@dataclass
class GroupOptions:
    """Of a run, in which instances of an Auto Scaling group help."""

    workers_group: str | None
    workers: int
    workers_worth: int

    @property
    def group(self) -> Group | None:
        if not self.workers_group or not self.workers:
            return None
        return Group(self.workers_group, self.workers, self.workers_worth)


def add_group_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--workers-group",
        metavar="NAME",
        help="the Auto Scaling group of such machines, which gets as many as are worth their start",
    )
    add("--workers", type=arguments.number, default=0, metavar="N", help="at most so many (0)")
    add(
        "--workers-worth",
        type=arguments.count,
        default=WORTH,
        metavar="SECONDS",
        help=f"one is worth it that has so long to do ({WORTH})",
    )


def add_queue_options(parser: argparse.ArgumentParser, is_required: bool = False) -> None:
    add = parser.add_argument
    add(
        "--workers-queue",
        type=queue_url,
        required=is_required,
        metavar="URL",
        help="the SQS queue by which machines with efs-worker.sh are told what to copy",
    )
    add(
        "--lease",
        type=lease,
        default=LEASE,
        metavar="SECONDS",
        help=f"others do a list of which a worker says nothing for so long ({LEASE})",
    )
