"""Has CloudFormation make a stack what a template says, and tells what it does meanwhile."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import WaiterError

from admin.command import AdminError, printable

POLL_SECONDS = 5.0
SUCCESS = ("CREATE_COMPLETE", "UPDATE_COMPLETE")
# How CloudFormation says that a change set has none, in StatusReason; it has no code of its own.
NO_CHANGES = ("didn't contain changes", "No updates are to be performed")


@dataclass(frozen=True)
class ChangeSet:
    """Until it is executed it changes nothing, so that whoever is killed before leaves no harm."""

    arn: str
    stack_arn: str
    client: Any

    @classmethod
    def request(
        cls,
        client: Any,
        stack: str,
        url: str,
        given: Mapping[str, str],
        previous: Iterable[str] | None,
    ) -> ChangeSet:
        """given: the values of parameters. previous: the parameters that the stack has, which keep
        theirs if none is given; None for a new stack."""
        kept = sorted(set(previous or ()) - given.keys())
        values = [{"ParameterKey": k, "ParameterValue": v} for k, v in given.items()]
        same = [{"ParameterKey": k, "UsePreviousValue": True} for k in kept]
        made = client.create_change_set(
            StackName=stack,
            ChangeSetName=f"deploy-{uuid.uuid4()}",
            ChangeSetType="CREATE" if previous is None else "UPDATE",
            TemplateURL=url,
            Parameters=[*values, *same],
            Capabilities=["CAPABILITY_IAM"],
        )
        return cls(made["Id"], made["StackId"], client)

    def has_changes(self) -> bool:
        """Raises AdminError when CloudFormation refuses it. Without changes, or refused, it is
        deleted."""
        try:
            self.client.get_waiter("change_set_create_complete").wait(
                ChangeSetName=self.arn, WaiterConfig={"Delay": 2, "MaxAttempts": 300}
            )
            return True
        except WaiterError as error:
            found = error.last_response
            if found.get("Status") != "FAILED":
                raise
            reason = found.get("StatusReason", "")
            self.client.delete_change_set(ChangeSetName=self.arn)
            if any(words in reason for words in NO_CHANGES):
                return False
            raise AdminError(
                f"CloudFormation refuses the change, nothing was done: {reason}"
            ) from error

    def execute(
        self, say: Callable[[str], None], pause: Callable[[float], None] = time.sleep
    ) -> bool:
        """Whether it ended well; says what becomes of each resource."""
        seen = {event["EventId"] for event in self._events()}
        self.client.execute_change_set(ChangeSetName=self.arn)
        while True:
            for event in self._new(seen):
                say(described(event))
                status = event["ResourceStatus"]
                if self._is_of_stack(event) and not status.endswith("_IN_PROGRESS"):
                    return status in SUCCESS
            pause(POLL_SECONDS)

    def _is_of_stack(self, event: Mapping[str, Any]) -> bool:
        return bool(event.get("PhysicalResourceId") == self.stack_arn)

    def _new(self, seen: set[str]) -> list[dict[str, Any]]:
        """The oldest first."""
        new = []
        for event in self._events():
            if event["EventId"] in seen:
                break
            new.append(event)
        seen.update(event["EventId"] for event in new)
        return new[::-1]

    def _events(self) -> Iterable[dict[str, Any]]:
        """The newest first."""
        pages = self.client.get_paginator("describe_stack_events").paginate(
            StackName=self.stack_arn
        )
        for page in pages:
            yield from page["StackEvents"]


def described(event: Mapping[str, Any]) -> str:
    at = event["Timestamp"].astimezone().strftime("%H:%M:%S")
    line = f"{at}  {event['ResourceStatus']}  {event['LogicalResourceId']}"
    reason = event.get("ResourceStatusReason")
    return printable(f"{line}: {reason}" if reason else line)
