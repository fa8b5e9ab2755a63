"""Starts a backup, as the schedule does: make backup-now STACK=name

Exit code 0: the backup has begun; 1: it has not, and why, such as another that is running.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.config import Config
from botocore.exceptions import HTTPClientError
from common.records import Position

from admin.command import AdminError, Clients, Given, clients, same_stack, say, say_command
from admin.runs import Active, RunTable, table_of
from admin.stack import Stack
from admin.wording import command

START = {"mode": "backup", "action": "start"}
# Asked twice, the orchestrator could start twice. It takes 300 seconds at most.
ONCE = Config(retries={"total_max_attempts": 1}, read_timeout=310)


def main(given: Given) -> int:
    name = given.required("STACK", "efs-backup")
    connect = clients(given.get("REGION"))
    stack = Stack.backup(connect, name)
    return start(connect, stack, table_of(connect, stack), given)


def start(connect: Clients, stack: Stack, table: RunTable, given: Given) -> int:
    """The exit code of a command that ends with a backup at once."""
    # Asked all the same, the orchestrator would notify everybody that it has refused.
    if busy := what_runs(table.active(), datetime.now(UTC)):
        return refused(busy, given)
    answer = invoke(connect("lambda", config=ONCE), stack.resource("Orchestrator"), stack.name)
    if not has_begun(answer):
        busy = what_runs(table.active(), datetime.now(UTC))
        return refused(busy or f"{answer['reason']}.", given)
    say(f"Started: {answer['reason']}.")
    say_command("To see how it gets on", command("status", same_stack(given)))
    return 0


def refused(why: str, given: Given) -> int:
    say(f"Not started: {why}")
    say_command("To watch it", command("status", same_stack(given)))
    say_command("To stop it", command("stop", same_stack(given)))
    return 1


def what_runs(active: Active | None, now: datetime) -> str:
    """What keeps another backup from starting: what runs, since when, and how far it is. Empty if
    nothing does, as after the end of a window."""
    if active is None or now >= active.until:
        return ""
    run = active.run
    since = f"{run.started:%Y-%m-%d %H:%M} UTC" if run.started else "an unknown time"
    return (
        f"the backup {run.backup_id} has been running since {since}, and may run until"
        f" {active.until:%Y-%m-%d %H:%M} UTC. {Position.of(run, now)}"
    )


def invoke(
    function: Any, function_name: str, stack: str, event: Mapping[str, str] = START
) -> dict[str, Any]:
    """What the orchestrator answers. Raises AdminError when it failed."""
    try:
        response = function.invoke(FunctionName=function_name, Payload=json.dumps(event))
    except HTTPClientError as error:
        raise AdminError(
            f"The orchestrator did not answer ({error}). Whether it has done it, and how it goes"
            f" on:\n  {command('status', {'STACK': stack})}"
        ) from error
    answer = json.loads(response["Payload"].read() or "null")
    if "FunctionError" in response:
        raise AdminError(f"The orchestrator failed: {answer.get('errorMessage', answer)}")
    if not isinstance(answer, dict) or not {"actions", "reason"} <= answer.keys():
        raise AdminError(
            f"The orchestrator answered {answer!r}, which is not this version's way. What"
            f" has come of it:\n  {command('status', {'STACK': stack})}"
        )
    return answer


def has_begun(answer: dict[str, Any]) -> bool:
    return "BeginRun" in answer["actions"]
