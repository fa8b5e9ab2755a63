"""The run record and the lock, and how the DynamoDB table keeps them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

KEY = "BackupId"
LOCK_KEY = "lock"

RUNNING = "Running"
SUCCESS = "Success"
INCOMPLETE = "Incomplete"
UNSUCCESSFUL = "Unsuccessful"
FPSYNC_FAILED = "fpsync failed"
UNKNOWN = "Unknown"

# The lists are the instance's warnings and errors, one line each.
Value = str | int | float | list[str]
Item = dict[str, dict[str, Any]]


def timestamp(moment: datetime) -> str:
    """The table's way of writing a time: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Record:
    """One backup run. Attributes carry their names in the table; the instance adds its own."""

    attributes: Mapping[str, Value]

    @property
    def backup_id(self) -> str:
        return str(self.attributes[KEY])

    @property
    def status(self) -> str:
        return str(self.attributes.get("BackupStatus", UNKNOWN))

    @property
    def running(self) -> bool:
        return self.status == RUNNING

    @property
    def message(self) -> str:
        return str(self.attributes.get("Message", ""))

    @property
    def started(self) -> str:
        return str(self.attributes.get("BackupStartTime", "an unknown time"))

    @property
    def booted(self) -> bool:
        """Whether an instance ever reported that it works on this run."""
        return "InstanceId" in self.attributes

    def closed(self, status: str, message: str, now: datetime) -> "Record":
        """This record with a final status, as the orchestrator closes it."""
        end = {"BackupStatus": status, "Message": message, "BackupStopTime": timestamp(now)}
        return Record({**self.attributes, **end})

    def to_item(self) -> Item:
        return {name: _to_dynamodb(value) for name, value in self.attributes.items()}

    @classmethod
    def from_item(cls, item: Item) -> "Record":
        return cls({name: _from_dynamodb(value) for name, value in item.items()})


@dataclass(frozen=True)
class Lock:
    """The one active run, and when its window ends."""

    run: str
    until: datetime

    def to_item(self) -> Item:
        until = str(int(self.until.timestamp()))
        return {KEY: {"S": LOCK_KEY}, "Run": {"S": self.run}, "Until": {"N": until}}

    @classmethod
    def from_item(cls, item: Item) -> "Lock":
        return cls(item["Run"]["S"], datetime.fromtimestamp(int(item["Until"]["N"]), UTC))


def _to_dynamodb(value: Value) -> dict[str, Any]:
    if isinstance(value, list):
        return {"L": [{"S": line} for line in value]}
    return {"S": value} if isinstance(value, str) else {"N": str(value)}


def _from_dynamodb(value: dict[str, Any]) -> Value:
    ((kind, raw),) = value.items()
    if kind == "L":
        return [str(_from_dynamodb(line)) for line in raw]
    if kind == "N":
        return int(raw) if raw.lstrip("-").isdigit() else float(raw)
    return str(raw)
