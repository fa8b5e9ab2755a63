"""What the page shows, read from the table, the log bucket and EFS.

One that cannot be read does not hide the others: the page says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from common.dynamodb import plain_item
from common.records import Attributes, Run, newest_complete, runs_of
from common.table import REQUESTS_KEY, key_of
from engine.command.outcome import EngineError
from engine.history.members import Member

from console_page.in_bucket import InBucket
from console_page.settings import Settings

# Records hold lists of up to 100 kB that are not shown here.
SHOWN = (
    "BackupId",
    "BackupStatus",
    "BackupStartTime",
    "BackupStopTime",
    "BackupWindow",
    "Message",
    "WhatToDo",
    "NumberOfFiles",
    "NumberOfFilesTransferred",
    "TotalTransferredFileSize",
    "NumberOfFilesFailed",
    "NumberOfWorkers",
    "Progress",
)

logger = logging.getLogger("console_page")


@dataclass
class Known:
    """items: of the table. members: newest first. problems: what could not be read, and why."""

    items: list[Attributes] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)
    file_system: dict[str, Any] | None = None
    catalogs: InBucket | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def runs(self) -> list[Run]:
        return runs_of(self.items)

    @property
    def newest(self) -> Any:
        return newest_complete(self.items, self.runs)

    @property
    def to_hold(self) -> set[str]:
        """The snapshots that the next backup will hold."""
        asked = (value for item in self.items for value in item.values() if isinstance(value, dict))
        return {str(each.get("Snapshot")) for each in asked if each.get("Action") == "hold"}


def read(
    settings: Settings,
    clients: Callable[[str], Any],
    catalogs: Callable[[], InBucket],
) -> Known:
    """clients: makes the boto3 client for a service name."""
    known = Known()

    def items() -> None:
        known.items = scanned(clients("dynamodb"), settings.table)

    def members() -> None:
        known.catalogs = catalogs()
        known.members = known.catalogs.members()

    def file_system() -> None:
        answer = clients("efs").describe_file_systems(FileSystemId=settings.restore["DstEFS"])
        known.file_system = answer["FileSystems"][0]

    for what, step in (("runs", items), ("snapshots", members), ("storage", file_system)):
        try:
            step()
        except EngineError as error:
            known.problems.append(str(error))
        except (BotoCoreError, ClientError, OSError) as error:
            logger.exception("%s", what)
            known.problems.append(f"The {what} cannot be shown: {error}")
    return known


def scanned(client: Any, table: str) -> list[Attributes]:
    """The runs' records and what is noted beside them."""
    names = {f"#{name}": name for name in SHOWN}
    pages = client.get_paginator("scan").paginate(
        TableName=table,
        ProjectionExpression=", ".join((*names, "#time", "#run")),
        ExpressionAttributeNames={**names, "#time": "Time", "#run": "Run"},
    )
    found = [plain_item(item) for page in pages for item in page["Items"]]
    asked = client.get_item(TableName=table, Key=key_of(REQUESTS_KEY))
    return [*found, *([plain_item(asked["Item"])] if "Item" in asked else [])]
