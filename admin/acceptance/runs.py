"""Backup runs of a stack: begun, stopped at the end of their window, and waited for."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from common.records import Run, runs_of
from common.statuses import SUCCESS
from common.table import LOCK_KEY, key_of

from admin import backup_now
from admin.acceptance.account import Account
from admin.command import AdminError
from admin.runs import RunTable
from admin.stack import Stack


@dataclass(frozen=True)
class Runs:
    account: Account
    stack: Stack
    until: Callable[[str, float, Callable[[], Any]], Any]

    @property
    def table(self) -> RunTable:
        return RunTable(self.account.clients("dynamodb"), self.stack.resource("EFSDynamoDB"))

    def ask(self, **event: str) -> dict[str, Any]:
        """What the orchestrator answers."""
        found = self.account.clients("lambda", config=backup_now.ONCE).invoke(
            FunctionName=self.stack.resource("Orchestrator"),
            Payload=json.dumps({"mode": "backup", **event}),
        )
        answer: dict[str, Any] = json.loads(found["Payload"].read())
        if "FunctionError" in found:
            raise AdminError(f"The orchestrator failed: {answer}")
        return answer

    def start(self) -> str:
        """The id of a run that has begun."""
        answer = self.ask(action="start")
        if not backup_now.has_begun(answer):
            raise AdminError(f"No backup begins: {answer['reason']}")
        lock = self.account.clients("dynamodb").get_item(
            TableName=self.table.name, Key=key_of(LOCK_KEY), ConsistentRead=True
        )["Item"]
        return str(lock["Run"]["S"])

    def end_window(self, run: str, soon: timedelta) -> None:
        """Brings the entry forward that stops the run: the service itself does the rest. What an
        update does not say, would not stay."""
        scheduler = self.account.clients("scheduler")
        group = self.stack.resource("ScheduleGroup")
        entry = scheduler.get_schedule(Name=run, GroupName=group)
        taken = scheduler.meta.service_model.operation_model("UpdateSchedule").input_shape.members
        changed = {"ScheduleExpression": f"at({datetime.now(UTC) + soon:%Y-%m-%dT%H:%M:%S})"}
        scheduler.update_schedule(**{n: v for n, v in entry.items() if n in taken} | changed)

    def instance(self, run: str) -> str:
        """That which works on the run; empty if none has said so and the run is over."""

        def works() -> str:
            found = self.table.run(run)
            return str(found.attributes.get("InstanceId", "")) or ("" if found.running else " ")

        return str(self.until("the instance of the run to report", 15, works)).strip()

    def ended(self, run: str, minutes: float = 40) -> Run:
        def over() -> Run | None:
            found = self.table.run(run)
            return None if found.running else found

        found: Run = self.until(f"the run {run} to end", minutes, over)
        return found

    def back_up(self) -> Run:
        self.account.say("Backing up")
        return self.ended(self.start())

    def have_snapshot(self) -> None:
        """Raises AdminError when there is none, and none can be made."""
        if any(run.status == SUCCESS for run in runs_of(self.table.items())):
            return
        if (run := self.back_up()).status != SUCCESS:
            raise AdminError(f"The backup before it: {run.status}: {run.message}")
