"""The records of a stack's runs, as its table holds them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from common.dynamodb import plain_item
from common.records import Attributes, Run
from common.statuses import INCOMPLETE, PARTIAL, RUNNING, SUCCESS
from common.table import LOCK_KEY, key_of

from admin.command import AdminError, Clients
from admin.stack import Stack

STYLES = {SUCCESS: "green", RUNNING: "cyan", PARTIAL: "yellow", INCOMPLETE: "yellow"}


@dataclass(frozen=True)
class Active:
    """The run that holds the lock, and when its window ends."""

    run: Run
    until: datetime


@dataclass(frozen=True)
class RunTable:
    """The DynamoDB table of a stack."""

    client: Any
    name: str

    def items(self) -> Iterator[Attributes]:
        for page in self.client.get_paginator("scan").paginate(TableName=self.name):
            yield from map(plain_item, page["Items"])

    def run(self, backup_id: str) -> Run:
        if (item := self._item(backup_id)) is None:
            raise AdminError(f"The record of the run {backup_id} was removed from {self.name}")
        return Run(item)

    def active(self) -> Active | None:
        """The run that is under way. Of version 1.5's nobody knows."""
        lock = self._item(LOCK_KEY)
        record = self._item(str(lock["Run"])) if lock else None
        if not lock or not record or not Run(record).running:
            return None
        return Active(Run(record), datetime.fromtimestamp(int(lock["Until"]), UTC))

    def _item(self, key: str) -> Attributes | None:
        answer = self.client.get_item(TableName=self.name, Key=key_of(key), ConsistentRead=True)
        return plain_item(answer["Item"]) if "Item" in answer else None


def table_of(connect: Clients, stack: Stack) -> RunTable:
    return RunTable(connect("dynamodb"), stack.resource("EFSDynamoDB"))
