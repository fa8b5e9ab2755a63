"""What is asked of snapshots from outside, and what is refused before anything is asked."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from admin import manage
from admin.command import AdminError, Given
from admin.commands import COMMANDS
from admin.runs import RunTable
from tests.stubs import Checked

SNAPSHOTS = [
    "daily.0 2026-11-20T02:00:11Z partial: one of the newest 7 daily",
    "daily.1 2026-11-19T02:00:11Z complete: one of the newest 7 daily",
    "daily.2 2026-11-19T01:00:00Z complete: one of the newest 7 daily",
    "weekly.0 2026-11-02T02:00:00Z complete: one of the newest 4 weekly, of week 2026-W45",
    "monthly.0 2019-04-14T00:00:00Z complete: it was made by other runs",
    "monthly.1 2019-04-14T00:00:00Z complete: it was made by other runs",
    "held.mine 2026-11-01T02:00:00Z complete: it is held until it is released",
]


def lines(snapshots: list[str]) -> dict[str, Any]:
    return {"L": [{"S": line} for line in snapshots]}


class Table:
    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.lock: dict[str, Any] | None = None
        self.items = [
            {"BackupId": {"S": "requests"}, "x": {"M": {}}},
            {"BackupId": {"S": "old"}, "BackupStartTime": {"S": "2026-11-19T02:00:00Z"},
             "Snapshots": lines(["daily.9 2026-01-01T00:00:00Z complete: old"])},
            {"BackupId": {"S": "new"}, "BackupStartTime": {"S": "2026-11-20T02:00:00Z"},
             "Snapshots": lines(SNAPSHOTS)},
            {"BackupId": {"S": "failed"}, "BackupStartTime": {"S": "2026-11-21T02:00:00Z"}},
        ]  # fmt: skip

    def get_paginator(self, name: str) -> "Table":
        assert name == "scan"
        return self

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        return [{"Items": self.items}]

    def get_item(self, Key: Any, **_: Any) -> dict[str, Any]:
        if Key == {"BackupId": {"S": "lock"}}:
            return {"Item": self.lock} if self.lock else {}
        return {"Item": {"BackupId": Key["BackupId"], "BackupStatus": {"S": "Running"},
                         "BackupStartTime": {"S": "2026-11-20T02:00:11Z"}}}  # fmt: skip

    def update_item(self, **request: Any) -> None:
        assert request["Key"] == {"BackupId": {"S": "requests"}}
        assert request["TableName"] == "table"
        (value,) = request["ExpressionAttributeValues"].values()
        self.asked.append({name: inner["S"] for name, inner in value["M"].items()})


class Function:
    def __init__(self) -> None:
        self.calls = 0

    def invoke(self, **_: Any) -> dict[str, Any]:
        self.calls += 1
        answer = {"actions": ["BeginRun"], "reason": "run x begins"}
        return {"Payload": type("Body", (), {"read": lambda _: json.dumps(answer)})()}


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def function(table: Table, monkeypatch: pytest.MonkeyPatch) -> Function:
    function = Function()
    stubs = {"dynamodb": table, "lambda": function}
    services = {name: Checked(stub, name) for name, stub in stubs.items()}
    stack = type("Stack", (), {"name": "b", "resource": lambda _, name: "table"})()
    monkeypatch.setattr(manage, "clients", lambda region: lambda name, **_: services[name])
    monkeypatch.setattr(manage.Stack, "backup", lambda connect, name: stack)
    return function


def make(action: str, **values: str) -> int:
    (command,) = (each for each in COMMANDS if each.name == action)
    return command.carry_out(Given({"STACK": "backup", **values}))


@pytest.mark.parametrize(
    ("action", "values", "asked"),
    [
        ("hold", {"SNAPSHOT": "daily.2", "NAME": "x"}, ["hold", "2026-11-19T01:00:00Z", "x"]),
        ("hold", {"SNAPSHOT": "2026-11-20", "NAME": "x"}, ["hold", "2026-11-20T02:00:11Z", "x"]),
        ("hold", {"SNAPSHOT": "2026-11-19T02:00", "NAME": "x"},
         ["hold", "2026-11-19T02:00:11Z", "x"]),
        ("release", {"NAME": "mine"}, ["release", "held.mine"]),
        ("release", {"NAME": "held.mine"}, ["release", "held.mine"]),
        ("remove", {"SNAPSHOT": "weekly.0", "YES": "1"}, ["remove", "2026-11-02T02:00:00Z"]),
        ("verify", {"SNAPSHOT": "daily.0"}, ["verify", "2026-11-20T02:00:11Z"]),
        ("verify", {"SNAPSHOT": "mine"}, ["verify", "held.mine"]),
    ],
)  # fmt: skip
def test_it_names_the_date_whatever_was_given(
    table: Table,
    function: Function,
    action: str,
    values: dict[str, str],
    asked: list[str],
) -> None:
    assert make(action, **values) == 0
    assert [[*each.values()] for each in table.asked] == [asked]
    assert function.calls == 0


@pytest.mark.parametrize(
    ("action", "values", "said"),
    [
        ("hold", {"SNAPSHOT": "daily.2"}, "NAME is missing"),
        ("hold", {"NAME": "x"}, "SNAPSHOT is missing"),
        ("verify", {}, "SNAPSHOT is missing"),
        ("verify", {"SNAPSHOT": "monthly.0"}, "cannot be told apart"),
        ("hold", {"SNAPSHOT": "daily.9", "NAME": "x"}, "no snapshot daily.9. There are: daily.0"),
        ("hold", {"SNAPSHOT": "2026-11-19", "NAME": "x"}, "means daily.1 .* and daily.2"),
        ("hold", {"SNAPSHOT": "2026", "NAME": "x"}, "no snapshot 2026"),
        ("hold", {"SNAPSHOT": "daily.2", "NAME": "a/b"}, "NAME is 'a/b'"),
        ("hold", {"SNAPSHOT": "daily.2", "NAME": "daily.3"}, "NAME is 'daily.3'"),
        ("hold", {"SNAPSHOT": "daily.2", "NAME": "2026-11-19"}, "neither a date"),
        ("hold", {"SNAPSHOT": "daily.2", "NAME": "mine"}, "Another snapshot is held as mine"),
        ("hold", {"SNAPSHOT": "mine", "NAME": "x"}, "is held already"),
        ("hold", {"SNAPSHOT": "monthly.0", "NAME": "x"}, "cannot be told apart"),
        ("release", {"NAME": "other"}, "Held are: mine"),
        ("release", {"NAME": "mine", "SNAPSHOT": "daily.1"}, "Unknown: SNAPSHOT"),
        ("remove", {"SNAPSHOT": "mine", "YES": "1"}, "is held. Release it first"),
        ("remove", {"SNAPSHOT": "daily.1", "YES": "1"}, "is the newest complete one"),
        ("remove", {"SNAPSHOT": "daily.2"}, "removes daily.2 .made 2026-11-19T01:00:00Z. for ever"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_asked(
    table: Table,
    function: Function,
    action: str,
    values: dict[str, str],
    said: str,
) -> None:
    with pytest.raises(AdminError, match=said):
        make(action, **values)
    assert table.asked == []


def test_now_starts_a_backup(table: Table, function: Function) -> None:
    assert make("release", NAME="mine", NOW="yes") == 0
    assert (len(table.asked), function.calls) == (1, 1)


def test_now_is_told_what_runs_and_nobody_is_notified(
    table: Table, function: Function, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    until = int((datetime.now(UTC) + timedelta(hours=1)).timestamp())
    table.lock = {"BackupId": {"S": "lock"}, "Run": {"S": "c"}, "Until": {"N": str(until)}}
    assert make("release", NAME="mine", NOW="yes") == 1
    assert (len(table.asked), function.calls) == (1, 0)
    out = capsys.readouterr().out
    assert "Asked for: release held.mine. The next backup does it first of all." in out
    assert "Not started: the backup c has been running since 2026-11-20 02:00 UTC" in out


def test_before_the_first_backup_nothing_is_known() -> None:
    table = Table()
    table.items = table.items[:1]
    with pytest.raises(AdminError, match="by backup-now"):
        manage.known(RunTable(table, "table").items())
