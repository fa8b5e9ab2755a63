"""The event bus of the account."""

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError
from common.limits import document

from orchestrator.actions import Announce

SOURCE = "efs-backup"
# An entry has 262,144 bytes at most, its names among them.
DETAIL_BYTES = 250_000


class EventBus:
    """client: makes the boto3 client for a service name."""

    def __init__(self, client: Callable[[str], Any]) -> None:
        self._events = client("events")

    def put(self, announce: Announce) -> None:
        """Raises botocore's errors, also for an entry that was refused though the request was
        not."""
        entry = {
            "Source": SOURCE,
            "DetailType": announce.kind,
            "Detail": document(announce.detail, DETAIL_BYTES),
        }
        answer = self._events.put_events(Entries=[entry])
        if answer["FailedEntryCount"]:
            (failed,) = answer["Entries"]
            error = {"Code": failed.get("ErrorCode", ""), "Message": failed.get("ErrorMessage", "")}
            raise ClientError({"Error": error}, "PutEvents")
