"""Runs as a table and as progress, from records as the account and version 1.5 write them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import boto3
import pytest
from boto3.dynamodb.types import TypeSerializer
from common.consoles import Console as AwsConsole
from common.records import Position, Run, runs_of, spoken
from moto import mock_aws
from rich.console import Console

from admin import status
from admin.command import AdminError, Given
from admin.run_details import Links
from admin.runs import RunTable
from tests.cloudformation import aws_environment

NOW = datetime(2026, 3, 4, 5, 30, tzinfo=UTC)
SUCCESS = {
    "BackupId": "b",
    "BackupStatus": "Success",
    "BackupStartTime": "2026-03-03T02:00:00Z",
    "BackupStopTime": "2026-03-03T04:05:30Z",
    "BackupWindow": 180,
    "NumberOfFiles": 1234567,
    "NumberOfFilesTransferred": 89,
    "TotalTransferredFileSize": 5_300_000,
    "Message": "The EFS was backed up successfully",
}
PARTIAL = {
    **SUCCESS,
    "BackupId": "p",
    "BackupStatus": "Partial",
    "BackupStartTime": "2026-03-04T02:00:00Z",
    "BackupStopTime": "2026-03-04T04:30:00Z",
    "NumberOfFilesFailed": 1200,
}
RUNNING = {
    "BackupId": "c",
    "BackupStatus": "Running",
    "BackupStartTime": "2026-03-04T05:00:00Z",
    "BackupWindow": 180,
}
# As version 1.5 wrote it: no status before the end, no time zone, numbers as strings.
V15_RUNNING = {"BackupId": "0", "BackupStartTime": "2019-03-02T02:00:00", "BackupWindow": "180"}
V15 = {
    "BackupId": "a",
    "BackupStatus": "Incomplete",
    "BackupWindow": "180",
    "BackupStartTime": "2019-03-03T02:00:00",
    "BackupStopTime": "2019-03-03T05:00:00",
    "NumberOfFiles": "unknown",
}
NO_RUNS: list[dict[str, Any]] = [
    {"BackupId": "lock", "Run": "c", "Until": 1},
    {"BackupId": "newest-snapshot", "Run": "b", "Time": int(NOW.timestamp()) - 90_000},
]


def shown(*records: dict[str, Any], width: int = 120) -> list[list[str]]:
    """The cells of the table's rows."""
    out = Console(file=StringIO(), width=width, markup=False)
    status.show(out, "Title", map(Run, records), NOW)
    lines = out.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert all(len(line) <= width for line in lines)
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]


@pytest.mark.parametrize(("width", "columns"), [(120, 7), (80, 6), (60, 4), (30, 2)])
def test_no_cell_is_broken(width: int, columns: int) -> None:
    (row,) = shown({**SUCCESS, "NumberOfFiles": 10_512_040}, width=width)
    assert len(row) == columns
    assert not any("…" in cell for cell in row[:6] if columns > 2)


def test_a_run_is_a_row() -> None:
    assert shown(SUCCESS, RUNNING, V15, V15_RUNNING) == [
        [
            "2026-03-03 02:00",
            "Success",
            "2 h 5 min",
            "1,234,567",
            "89",
            "5.1 MiB",
            "The EFS was backed up successfully",
        ],
        ["2026-03-04 05:00", "Running", "30 min", "", "", "", ""],
        ["2019-03-03 02:00", "Incomplete", "3 h", "", "", "", ""],
        ["2019-03-02 02:00", "Unknown", "", "", "", "", ""],
    ]


def test_a_message_is_cut_and_harmless() -> None:
    (row, *_) = shown({**SUCCESS, "Message": "\x1b[31mfile \n[red]x" + " word" * 100}, width=400)
    assert row[-1].startswith("[31mfile [red]x word")
    assert row[-1].endswith("…")
    assert len(row[-1]) <= status.MESSAGE_LENGTH


def test_the_newest_comes_first_and_what_is_no_run_not_at_all() -> None:
    runs = runs_of([V15, *NO_RUNS, RUNNING, V15_RUNNING, SUCCESS])
    assert [run.backup_id for run in runs] == ["c", "b", "a", "0"]


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ([], "No complete snapshot yet."),
        ([V15, RUNNING], "No complete snapshot yet."),
        ([PARTIAL], "No complete snapshot yet."),
        (NO_RUNS, "The newest complete snapshot is 1 d 1 h old."),
        ([SUCCESS, *NO_RUNS], "The newest complete snapshot is 1 d 1 h old."),
        ([SUCCESS, RUNNING], "The newest complete snapshot is 1 d 1 h old."),
        ([SUCCESS, PARTIAL], "The newest complete snapshot is 1 d 1 h old."),
        # Nobody has made one; the time is that of the deployment.
        ([{"BackupId": "newest-snapshot", "Run": "", "Time": 1}], "No complete snapshot yet."),
    ],
)
def test_the_age_of_the_newest_snapshot(items: list[dict[str, Any]], said: str) -> None:
    assert status.newest_snapshot(items, runs_of(items), NOW) == said


NEWER = "The newest of all is partial: it is 1 h old, and 1,200 files could not be copied."


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ([], ""),
        ([SUCCESS], ""),
        ([SUCCESS, PARTIAL, RUNNING], NEWER),
        ([PARTIAL], NEWER),
        (
            [{**PARTIAL, "NumberOfFilesFailed": 1, "NumberOfDirectoriesFailed": 1}],
            "The newest of all is partial: it is 1 h old, and 1 directory, with an unknown number "
            "of files in it, could not be read.",
        ),
        ([PARTIAL, {**SUCCESS, "BackupStartTime": "2026-03-04T05:00:00Z"}], ""),
        ([{**PARTIAL, "NumberOfFilesFailed": "?"}], NEWER.replace("1,200", "some")),
    ],
)
def test_a_partial_snapshot_that_is_newer(items: list[dict[str, Any]], said: str) -> None:
    assert status.partial_since(runs_of(items), NOW) == said


def test_a_partial_run_has_not_ended_well() -> None:
    assert Run(PARTIAL).failed
    assert shown(PARTIAL)[0][1] == "Partial"


def test_what_aws_refused_when_runs_ended_is_said() -> None:
    noted = {"BackupId": "unfinished", "a": {"notification"}, "b": {"notification", "status"}}
    assert status.undone([SUCCESS, noted]) == (
        "When 2 runs ended, AWS refused this, which is tried again each hour:"
        " notification, status. The log group of the function says why."
    )
    assert status.undone([SUCCESS, {"BackupId": "unfinished"}]) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (59.7, "1 min"),
        (61, "1 min 1 s"),
        (7200, "2 h"),
        (7261, "2 h 1 min"),
        (86400 * 3 + 3600 * 4 + 59, "3 d 4 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert spoken(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("progress", "position"),
    [
        (None, Position("under way; 30 min of the window of 3 h", 1800, 10800)),
        (
            {"Phase": "copy", "Done": 1200, "Total": 4000, "Unit": "parts", "Updated": "…"},
            Position("copy, 1,200 of 4,000 parts; 30 min of the window of 3 h", 1200, 4000),
        ),
        (
            {"Phase": "copy", "Done": 12, "Unit": "files"},
            Position("copy, 12 files; 30 min of the window of 3 h", 12, None),
        ),
        (
            {"Phase": "publish", "Done": 0, "Unit": "files"},
            Position("publish; 30 min of the window of 3 h", 0, None),
        ),
    ],
)
def test_how_far_a_run_is(progress: dict[str, Any] | None, position: Position) -> None:
    record = RUNNING if progress is None else {**RUNNING, "Progress": progress}
    assert Position.of(Run(record), NOW) == position


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Any:
    aws_environment(monkeypatch)
    with mock_aws():
        client = boto3.client("dynamodb")
        client.create_table(
            TableName="table",
            KeySchema=[{"AttributeName": "BackupId", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "BackupId", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield RunTable(client, "table")


def put(table: RunTable, record: dict[str, Any]) -> None:
    serialize = TypeSerializer().serialize
    item = {name: serialize(value) for name, value in record.items()}
    table.client.put_item(TableName=table.name, Item=item)


def watched(table: RunTable, pause: Callable[[float], None]) -> Run:
    return status.watch_run(Console(file=StringIO()), table, Run(RUNNING), pause)


def test_it_is_watched_until_it_ends(table: RunTable) -> None:
    progress = {"Phase": "copy", "Done": 1, "Total": 4, "Unit": "parts"}
    states = [{**RUNNING, "Progress": progress}, {**RUNNING, "BackupStatus": "fpsync failed"}]
    last = watched(table, lambda seconds: put(table, states.pop(0)))
    assert (last.status, last.failed, states) == ("fpsync failed", True, [])


def test_a_record_that_is_removed_meanwhile(table: RunTable) -> None:
    with pytest.raises(AdminError, match="run c was removed from table"):
        watched(table, lambda seconds: None)


def test_all_items_are_read(table: RunTable) -> None:
    for number in range(20):  # 20 times 100 KB are two pages
        put(table, {**SUCCESS, "BackupId": f"{number}", "Message": "m" * 100_000})
    assert len(runs_of(table.items())) == 20


@pytest.fixture
def make_status(table: RunTable, monkeypatch: pytest.MonkeyPatch) -> Any:
    links = Links(AwsConsole("aws", "eu-west-1"), "logs", "group")
    monkeypatch.setattr(status, "clients", lambda region: None)
    monkeypatch.setattr(status.Stack, "backup", lambda connect, name: None)
    monkeypatch.setattr(status.Links, "of", lambda connect, stack: links)
    monkeypatch.setattr(status, "table_of", lambda connect, stack: table)
    monkeypatch.setattr(status.overview, "show_all", lambda out, connect, now: 7)

    def command(**given: str) -> int:
        given = {"STACK": "s", **given}
        return status.main(Given(given))

    return command


WHY = "why " * 100 + "at last."


@pytest.mark.parametrize(
    ("given", "code", "title", "run"),
    [
        ({}, 0, "The newest run that did not end well (1 since then ended well)", "u"),
        ({"RUN": "u"}, 1, "A run of s", "u"),
        ({"RUN": "2026-03-03"}, 0, "A run of s", "b"),
        ({"RUNS": "1"}, 0, "", ""),
        ({"STACK": "all"}, 7, "", ""),
    ],
)
def test_a_run_is_shown_as_a_whole(
    table: RunTable,
    make_status: Any,
    capsys: Any,
    given: dict[str, str],
    code: int,
    title: str,
    run: str,
) -> None:
    began = {"BackupStartTime": "2026-03-02T02:00:00Z", "BackupStopTime": "2026-03-02T02:00:09Z"}
    put(table, SUCCESS)
    put(table, {**SUCCESS, **began, "BackupId": "u", "BackupStatus": "Unknown", "Message": WHY})
    assert make_status(**given) == code
    out = capsys.readouterr().out
    assert (title in out.splitlines()) == bool(title)
    assert ("make logs" in out) == bool(run)
    assert out.endswith(f"make logs STACK=s RUN={run}\n") or not run
    assert (WHY in " ".join(out.split())) == (run == "u")


def test_the_runs_say_how_many_workers_helped() -> None:
    run = Run({**SUCCESS, "NumberOfWorkers": 2})
    assert run.message == "The EFS was backed up successfully; 2 workers helped to copy"
    assert "helped" not in Run(SUCCESS).message
