"""A backup is asked for once, and the answer is told as it is."""

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from boto3.dynamodb.types import TypeSerializer
from botocore.exceptions import ReadTimeoutError
from common.records import Run

from admin import backup_now
from admin.command import AdminError, Given
from admin.runs import Active, RunTable
from tests.admin.test_status import NOW, RUNNING, SUCCESS
from tests.cloudformation import aws_environment
from tests.stubs import Checked


class Function:
    """Lambda, with an answer of the orchestrator's."""

    def __init__(self, answer: Any, **response: str) -> None:
        self.answer, self.response = answer, response

    def invoke(self, FunctionName: str, Payload: str) -> dict[str, Any]:
        assert (FunctionName, json.loads(Payload)) == (
            "function",
            {"mode": "backup", "action": "start"},
        )
        return {"Payload": io.BytesIO(json.dumps(self.answer).encode()), **self.response}


@pytest.mark.parametrize(
    ("actions", "begun"), [(["BeginRun", "Schedule", "ScaleOut"], True), (["Notify"], False)]
)
def test_the_answer_says_whether_it_has_begun(actions: list[str], begun: bool) -> None:
    answer = {"reason": "because", "actions": actions}
    assert backup_now.invoke(Checked(Function(answer), "lambda"), "function", "stack") == answer
    assert backup_now.has_begun(answer) is begun


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (Function({"errorMessage": "no group"}, FunctionError="Unhandled"), "failed: no group"),
        (Function(None), "answered None(?s:.*)make status STACK=stack"),
        (Function({"statusCode": 200}), "make status STACK=stack"),
    ],
)
def test_no_answer_that_says_it(function: Function, said: str) -> None:
    with pytest.raises(AdminError, match=said):
        backup_now.invoke(Checked(function, "lambda"), "function", "stack")


def test_it_is_never_asked_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    aws_environment(monkeypatch)
    client = boto3.client("lambda", config=backup_now.ONCE)
    sent = []

    def time_out(request: Any, **_: Any) -> None:
        sent.append(request.url)
        raise ReadTimeoutError(endpoint_url=request.url)

    client.meta.events.register("before-send.lambda.Invoke", time_out)
    with pytest.raises(AdminError, match=r"did not answer (?s:.*) make status STACK=stack"):
        backup_now.invoke(client, "function", "stack")
    assert len(sent) == 1


class Table:
    """The items of a stack's table; each time that the lock is read, the next one."""

    def __init__(self, record: dict[str, Any], *locks: dict[str, Any] | None) -> None:
        self.record, self.locks = record, list(locks)

    def get_item(self, TableName: str, Key: Any, ConsistentRead: bool) -> dict[str, Any]:
        assert (TableName, ConsistentRead) == ("table", True)
        item = self.locks.pop(0) if Key == {"BackupId": {"S": "lock"}} else self.record
        serialize = TypeSerializer().serialize
        return {"Item": {k: serialize(v) for k, v in item.items()}} if item else {}


def lock(until: datetime = NOW) -> dict[str, Any]:
    return {"BackupId": "lock", "Run": "c", "Until": int(until.timestamp())}


def table(record: dict[str, Any], *locks: dict[str, Any] | None) -> RunTable:
    return RunTable(Checked(Table(record, *locks), "dynamodb"), "table")


@pytest.mark.parametrize(
    ("record", "held", "active"),
    [
        (RUNNING, lock(), Active(Run(RUNNING), NOW)),
        (RUNNING, None, None),
        ({}, lock(), None),
        ({**SUCCESS, "BackupId": "c"}, lock(), None),
    ],
)
def test_which_run_is_under_way(record: Any, held: Any, active: Active | None) -> None:
    assert table(record, held).active() == active


PROGRESS = {"Phase": "copy", "Done": 7, "Unit": "files"}
LATER = NOW + timedelta(hours=2, minutes=30)


@pytest.mark.parametrize(
    ("active", "said"),
    [
        (None, ""),
        (Active(Run(RUNNING), NOW), ""),  # the next start ends it
        (
            Active(Run({**RUNNING, "Progress": PROGRESS}), LATER),
            "the backup c has been running since 2026-03-04 05:00 UTC, and may run until 2026-03-04"
            " 08:00 UTC. It is running: copy, 7 files; 30 min of the window of 3 h.",
        ),
        (
            Active(Run({"BackupId": "c", "BackupStatus": "Running"}), LATER),
            "the backup c has been running since an unknown time, and may run until 2026-03-04"
            " 08:00 UTC. It is running: under way; 0 s of the window of 0 s.",
        ),
    ],
)  # fmt: skip
def test_what_runs_is_said_and_since_when(active: Active | None, said: str) -> None:
    assert backup_now.what_runs(active, NOW) == said


@pytest.mark.parametrize(
    ("locks", "actions", "asked", "code", "said"),
    [
        ([None], ["BeginRun"], 1, 0, "Started: because."),
        ([True], None, 0, 1, "Not started: the backup c has been running since 2026-03-04 05:00"),
        # It has begun between the look and the question.
        ([None, True], ["Notify"], 1, 1, "Not started: the backup c has been running since"),
        ([None, None], [], 1, 1, "Not started: because."),
    ],
)
def test_another_run_is_told_and_nobody_notified(
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
    locks: list[Any],
    actions: list[str] | None,
    asked: int,
    code: int,
    said: str,
) -> None:
    calls: list[Any] = []

    def invoke(*given: Any) -> Any:
        calls.append(given)
        return {"actions": actions, "reason": "because"}

    held = [lock(datetime.now(UTC) + timedelta(hours=1)) if each else None for each in locks]
    stack = type("Stack", (), {"name": "s", "resource": lambda _, name: name})()
    monkeypatch.setattr(backup_now, "clients", lambda region: lambda name, **_: name)
    monkeypatch.setattr(backup_now.Stack, "backup", lambda connect, name: stack)
    monkeypatch.setattr(backup_now, "table_of", lambda connect, stack: table(RUNNING, *held))
    monkeypatch.setattr(backup_now, "invoke", invoke)
    assert backup_now.main(Given({"STACK": "s"})) == code
    out = capsys.readouterr().out
    assert out.startswith(said)
    assert ("make stop STACK=s" in out) == bool(code)
    assert len(calls) == asked
