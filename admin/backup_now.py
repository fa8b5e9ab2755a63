"""Starts a backup, as the schedule does: make backup-now STACK=name

Exit code 0: the backup has begun; 1: it has not, and the answer says why.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from botocore.config import Config
from botocore.exceptions import HTTPClientError

from admin.command import AdminError, Given, clients, run, same_stack, say
from admin.stack import Stack

START = {"mode": "backup", "action": "start"}
# Asked twice, the orchestrator could start twice. It takes 300 seconds at most.
ONCE = Config(retries={"total_max_attempts": 1}, read_timeout=310)


def main(given: Given) -> int:
    given.only("STACK", "REGION")
    name = given.required("STACK", "efs-backup")
    connect = clients(given.get("REGION"))
    stack = Stack.backup(connect, name)
    answer = invoke(connect("lambda", config=ONCE), stack.resource("Orchestrator"), name)
    begun = has_begun(answer)
    say(f"{'Started' if begun else 'Not started'}: {answer['reason']}.")
    if begun:
        print(f"To see how it gets on: make status {same_stack(given)}")
    return 0 if begun else 1


def invoke(function: Any, function_name: str, stack: str) -> dict[str, Any]:
    """What the orchestrator answers to a start. Raises AdminError when it failed."""
    try:
        response = function.invoke(FunctionName=function_name, Payload=json.dumps(START))
    except HTTPClientError as error:
        raise AdminError(
            f"The orchestrator did not answer ({error}). Whether it has begun, and how it goes on:"
            f" make status STACK={stack}"
        ) from error
    answer = json.loads(response["Payload"].read() or "null")
    if "FunctionError" in response:
        raise AdminError(f"The orchestrator failed: {answer.get('errorMessage', answer)}")
    if not isinstance(answer, dict) or not {"actions", "reason"} <= answer.keys():
        raise AdminError(
            f"The orchestrator answered {answer!r}, which is not this version's way. Whether a"
            f" backup has begun: make status STACK={stack}"
        )
    return answer


def has_begun(answer: dict[str, Any]) -> bool:
    return "BeginRun" in answer["actions"]


if __name__ == "__main__":
    sys.exit(run(main))
