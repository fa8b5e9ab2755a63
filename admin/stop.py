"""Stops the backup that is running, as the end of its window does: make stop STACK=name

Its instance lets the running copies end, reports, and is ended. What was copied is kept: the next
backup continues. Exit code 0: it stops, or nothing is running; 1: nobody knows, and why.
"""

from __future__ import annotations

from admin.backup_now import ONCE, invoke
from admin.command import Given, clients, same_stack, say, say_command
from admin.runs import table_of
from admin.stack import Stack
from admin.wording import command


def main(given: Given) -> int:
    name = given.required("STACK", "efs-backup")
    connect = clients(given.get("REGION"))
    stack = Stack.backup(connect, name)
    active = table_of(connect, stack).active()
    if active is None:
        say(f"No backup of {name} is running. Nothing was done.")
        return 0
    event = {"mode": "backup", "action": "stop", "backup_id": active.run.backup_id}
    function = connect("lambda", config=ONCE)
    answer = invoke(function, stack.resource("Orchestrator"), name, event)
    say(said(answer["actions"], answer["reason"]))
    say_command("To see how it ends", command("status", same_stack(given)))
    return 0


def said(actions: list[str], reason: str) -> str:
    if "Schedule" in actions:  # of its close: it has an instance, which was asked to stop
        return "It stops: its instance ends what it copies and reports, within 15 minutes."
    if "ReleaseLock" in actions:
        return f"It has ended: {reason}."
    return f"It was over already: {reason}."
