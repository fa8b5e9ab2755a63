"""The functions of the user's that are called before a run's instance starts and after it ended."""

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError
from common.limits import clean, document, from_bytes, shortened
from common.table import KEY, LOCK_KEY, key_of

from orchestrator import telling
from orchestrator.actions import CallFunction, WorldChanged
from orchestrator.record import DONE, Hook, Lock, Record, Value
from orchestrator.settings import Settings

# With all else that one event can need, below the 300 seconds of the orchestrator.
SECONDS = {Hook.BEFORE: 120, Hook.AFTER: 60}
PAYLOAD_BYTES = 250_000
REASON_BYTES = 500

logger = logging.getLogger(__name__)


class Functions:
    """dynamodb: the client that writes the records. client: makes the boto3 client for a service
    name, with a `config` where one is given."""

    def __init__(self, settings: Settings, dynamodb: Any, client: Callable[..., Any]) -> None:
        self._settings = settings
        self._dynamodb = dynamodb
        self._lambda = {
            # Called again by botocore, a function that is slow would run twice at once.
            hook: client("lambda", config=Config(
                retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=SECONDS[hook]
            ))
            for hook in settings.functions
        }  # fmt: skip

    def call(self, call: CallFunction) -> None:
        """Raises WorldChanged when the function failed, or the run was ended meanwhile, and for the
        one before a run botocore's errors when its record cannot be written: nobody would know that
        it was called. A run's end waits for no record."""
        said = self._invoke(call.hook, call.detail)
        logger.info("%s of run %s: %s", call.hook, call.run, said)
        try:
            record = self._note(call, said)
        except (BotoCoreError, ClientError):
            if call.hook is Hook.BEFORE:
                raise
            logger.exception("the record of run %s does not say so", call.run)
            return
        if call.hook is Hook.BEFORE and not record.running:
            # The function after it was called too early then, and does not know of this one. If
            # another run has begun since, it is called when that one ends: not while it copies.
            ended = telling.ended(record, self._settings)
            if Hook.AFTER in self._settings.functions and not self._is_followed(call.run):
                self._invoke(Hook.AFTER, ended.detail)
            raise WorldChanged(f"run {call.run} was ended while {call.hook} was called")
        if said != DONE:
            raise WorldChanged(f"{call.hook} of run {call.run} {said}")

    def _invoke(self, hook: Hook, detail: Mapping[str, Value]) -> str:
        """DONE, or why not."""
        payload = document({"Moment": str(hook), **detail}, PAYLOAD_BYTES)
        try:
            answer = self._lambda[hook].invoke(
                FunctionName=self._settings.functions[hook], Payload=payload.encode()
            )
            if "FunctionError" not in answer:
                return DONE
            text = from_bytes(answer["Payload"].read())
        except ReadTimeoutError:
            return f"did not answer within {SECONDS[hook]} seconds"
        except (BotoCoreError, ClientError) as error:
            return shortened(clean(f"could not be called: {error}"), REASON_BYTES)
        return shortened(clean(f"failed: {_message(text)}"), REASON_BYTES)

    def _is_followed(self, run: str) -> bool:
        answer = self._dynamodb.get_item(
            TableName=self._settings.table, Key=key_of(LOCK_KEY), ConsistentRead=True
        )
        return "Item" in answer and Lock.from_item(answer["Item"]).run != run

    def _note(self, call: CallFunction, said: str) -> Record:
        """The record as it is with the note."""
        answer = self._dynamodb.update_item(
            TableName=self._settings.table,
            Key=key_of(call.run),
            UpdateExpression=f"SET {call.hook} = :said",
            ConditionExpression=f"attribute_exists({KEY})",
            ExpressionAttributeValues={":said": {"S": said}},
            ReturnValues="ALL_NEW",
        )
        return Record.from_item(answer["Attributes"])


def _message(payload: str) -> str:
    """What a function that failed says of it, as its runtime writes that."""
    try:
        said = json.loads(payload)
    except (ValueError, RecursionError):
        return payload
    return str(said.get("errorMessage", payload)) if isinstance(said, dict) else payload
