"""What can be watched while a run works: written now and then, whole, never in the run's way."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from engine.command.progress import WRITE_SECONDS, Progress

from .conftest import Backup, until
from .test_interruptions import slow  # noqa: F401


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found.pop("updated"))
    return found


def test_phases_are_written_at_once_and_counts_now_and_then(tmp_path: Path) -> None:
    path, now = tmp_path / "progress.json", [0.0]
    progress = Progress(path, clock=lambda: now[0])
    progress.begin("copy")
    assert read(path) == {"phase": "copy", "done": 0, "unit": "files"}
    now[0] += WRITE_SECONDS - 1
    assert not progress.due()
    progress.update(1, 9)
    assert read(path)["done"] == 0
    now[0] += 1
    progress.update(2, 9, "parts", linked=7)
    assert read(path) == {"phase": "copy", "done": 2, "total": 9, "unit": "parts", "linked": 7}
    progress.begin("publish")
    assert read(path) == {"phase": "publish", "done": 0, "unit": "files"}
    assert [file.name for file in tmp_path.iterdir()] == ["progress.json"]


def test_nothing_is_counted_for_nobody() -> None:
    progress = Progress(None)
    progress.begin("copy")
    assert not progress.due()


def test_a_backup_shows_its_files_and_its_phases(slow: Backup) -> None:  # noqa: F811
    (slow.source / "file").write_text("content")
    (slow.home / "go").touch()
    slow.must_publish()
    (slow.home / "go").unlink()
    (slow.home / "running").unlink()
    (slow.source / "file").write_text("new content")
    path = slow.home / "progress.json"
    process = slow.start(progress=str(path))
    try:
        until(lambda: path.exists() and read(path).get("total") == 1)
        found = read(path)
        assert (found["phase"], found["done"], found["unit"]) == ("copy", 1, "files")
        assert (found["directories"], found["copies"], found["bytes"]) == (1, 0, 0)
    finally:
        (slow.home / "go").touch()
    assert slow.finish(process).exit_code == 0
    assert read(path)["phase"] == "expire"


def test_a_file_that_cannot_be_written_is_mentioned_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    progress = Progress(tmp_path / "no" / "such" / "folder")
    progress.begin("copy")
    progress.begin("publish")
    (message,) = caplog.messages
    assert "progress cannot be written" in message


def test_a_backup_does_not_need_it(backup: Backup) -> None:
    (backup.source / "file").write_text("content")
    backup.must_publish(progress=str(backup.home / "no" / "such" / "folder"))
