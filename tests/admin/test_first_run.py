"""What users of version 1.5 are told before an update: what the first backup afterwards costs."""

from types import SimpleNamespace
from typing import Any

import pytest

from admin import first_run
from admin.cost import model
from admin.cost.tables import dollars
from admin.runs import RunTable
from tests.stubs import Checked

GB = model.GIB


class Account:
    def __init__(self, size: int, *items: dict[str, Any]) -> None:
        self.size, self.items_ = size, list(items)

    def describe_file_systems(self, FileSystemId: str) -> dict[str, Any]:
        assert FileSystemId == "fs-source"
        return {"FileSystems": [{"SizeInBytes": {"Value": self.size}}]}

    def get_paginator(self, name: str) -> Any:
        return SimpleNamespace(paginate=lambda **_: [{"Items": self.items_}])


def run(backup_id: str, started: str, files: str = "") -> dict[str, Any]:
    item = {"BackupId": {"S": backup_id}, "BackupStartTime": {"S": started}}
    return {**item, "NumberOfFiles": {"N": files}} if files else item


def said(monkeypatch: pytest.MonkeyPatch, account: Account, window: str = "180") -> str:
    stack = SimpleNamespace(name="old", parameters={"SrcEFS": "fs-source", "BackupWindow": window})
    table = RunTable(Checked(account, "dynamodb"), "table")
    monkeypatch.setattr(first_run, "table_of", lambda connect, stack: table)
    return "\n".join(first_run.said(Checked(account, "efs"), stack))  # type: ignore[arg-type]


def test_it_is_as_a_first_backup_of_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = (
        run("a", "2019-12-20T02:00:11", "7"),
        run("b", "2019-12-21T02:00:11", "1000000"),
        run("failed", "2019-12-22T02:00:11"),
    )
    text = said(monkeypatch, Account(1024 * GB, *runs))
    case = model.Case(files=1_000_000, gb=1024)
    prices = model.load_prices()
    assert "1,024.0 GB, 1,000,000 files" in text
    assert f"costs some {dollars(model.bursting(prices, case).first)} " in text
    assert f"{dollars(1024 * prices['efs_ia_bursting'])} a month more" in text
    assert "3.0 hours" in text
    assert "is continued by the next one" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_small_one_fits_into_its_window(monkeypatch: pytest.MonkeyPatch) -> None:
    text = said(monkeypatch, Account(GB), "60")
    assert "whose number nobody knows" in text
    assert "continued" not in text


def test_an_empty_one_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "0.0 GB" in said(monkeypatch, Account(0))
