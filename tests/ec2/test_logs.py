"""Which logs of earlier failures are removed, in a directory that others may write to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from engine.command.logs import KEPT, new_directory

from .conftest import NOT_ONES_OWN, give_away


def kept(parent: Path, name: str, age: int = 1000) -> Path:
    """As a failure leaves it."""
    path = parent / f"efs-backup-logs.{name:_<8}"
    path.mkdir(0o700)
    (path / "engine.log").write_text("failed")
    os.utime(path, (10_000 - age, 10_000 - age))
    return path


def test_the_last_few_are_kept(tmp_path: Path) -> None:
    made = [kept(tmp_path, f"run{number}", age=100 - number) for number in range(KEPT + 3)]
    new = new_directory(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([new, *made[4:]])
    assert all((path / "engine.log").exists() for path in made[4:])


def test_a_clock_that_was_set_back_costs_no_new_logs(tmp_path: Path) -> None:
    """Those of before seem to be newer."""
    made = [kept(tmp_path, f"run{number}", age=-(1 << 32) - number) for number in range(KEPT)]
    new = new_directory(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([new, *made[1:]])


@pytest.mark.parametrize("what", NOT_ONES_OWN)
def test_what_may_be_of_others_is_left_alone(tmp_path: Path, what: str) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    for number in range(KEPT):
        kept(scratch, f"run{number}", age=1)
    old = kept(tmp_path if what == "link" else scratch, "old")
    name = give_away(old, scratch, what, "efs-backup-logs.of-mine")
    before = os.lstat(name)
    new_directory(scratch)
    assert os.lstat(name) == before
    assert what == "file" or (old if old.exists() else name).joinpath("engine.log").exists()


def test_what_somebody_keeps_beside_the_logs_keeps_them(tmp_path: Path) -> None:
    for number in range(KEPT):
        kept(tmp_path, f"run{number}", age=1)
    old = kept(tmp_path, "old")
    (old / "notes").write_text("why")
    linked = kept(tmp_path, "linked")
    outside = tmp_path / "outside.log"
    outside.write_text("stays")
    (linked / "link.log").symlink_to(outside)
    os.utime(linked, (0, 0))
    new_directory(tmp_path)
    assert sorted(path.name for path in old.iterdir()) == ["engine.log", "notes"]
    assert not linked.exists()
    assert outside.read_text() == "stays"
