"""Snapshots of version 1.5: linked from, renumbered, expired, restored, and never changed."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from local.tree import Tree, inodes, part, read_tree, without
from tests.trees import visible
from tests.v15 import V15

from .conftest import Backup
from .engines import run_engine

WHOLE_SECOND = 1_577_000_000 * 10**9
FRACTION = WHOLE_SECOND + 123_456_789


def write(path: Path, text: str, mtime_ns: int = WHOLE_SECOND) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, ns=(mtime_ns, mtime_ns))


def files_of(root: Path) -> dict[str, int]:
    """The inode of each."""
    found = inodes(root).items()
    return {os.fsdecode(p): info.st_ino for p, info in found if stat.S_ISREG(info.st_mode)}


def contents(tree: Tree) -> Tree:
    """What version 1.5 kept exactly: everything but the fractions of the times."""
    return without("mtime_ns", part(tree, lambda path: path != b"."))


@pytest.fixture
def v15(backup: Backup) -> V15:
    """Three snapshots: between them a file was changed, one was added, and one was deleted."""
    made = V15(backup.source, backup.target / backup.label)
    for number in range(40):
        write(backup.source / f"dir {number % 4}" / f"file {number}", f"content {number}")
    (backup.source / "link").symlink_to("dir 0")
    (backup.source / "empty").mkdir()
    made.back_up()
    write(backup.source / "dir 0" / "file 0", "changed", WHOLE_SECOND + 10**9)
    write(backup.source / "added", "added")
    made.back_up()
    (backup.source / "dir 1" / "file 1").unlink()
    made.back_up()
    return made


def test_version_15_is_imitated_well(backup: Backup, v15: V15) -> None:
    """Otherwise the tests below would show nothing."""
    assert backup.names() == ["daily.0", "daily.1", "daily.2"]
    assert v15.folder.stat().st_mode & 0o7777 == 0o700
    assert contents(read_tree(v15.snapshot(0))) == contents(read_tree(backup.source))
    newest, older, oldest = (files_of(v15.snapshot(number)) for number in range(3))
    assert older.keys() - newest.keys() == {"dir 1/file 1"}
    assert {name for name in older if name in oldest and older[name] != oldest[name]} == {
        "dir 0/file 0"
    }
    assert all(newest[name] == older[name] for name in newest)


def test_the_first_run_links_and_renumbers_and_changes_nothing(backup: Backup, v15: V15) -> None:
    before = backup.trees()
    newest = files_of(v15.snapshot(0))
    write(backup.source / "dir 2" / "file 2", "changed again", WHOLE_SECOND + 2 * 10**9)
    outcome = backup.must_publish()
    assert outcome.result["number_of_files_transferred"] == 2  # the link, too
    assert read_tree(backup.snapshot(0)) == read_tree(backup.source)
    now = files_of(backup.snapshot(0))
    assert {name for name in now if now[name] != newest[name]} == {"dir 2/file 2"}
    after = backup.trees()
    assert [after[f"daily.{n + 1}"] for n in range(3)] == [before[f"daily.{n}"] for n in range(3)]
    assert v15.folder.stat().st_mode & 0o7777 == 0o700


def test_fractions_of_seconds_cost_one_copy_and_no_more(backup: Backup, v15: V15) -> None:
    """A snapshot has the source's times to the nanosecond, and shares no file that has not."""
    write(backup.source / "with a fraction", "as ever", FRACTION)
    v15.back_up()
    assert (v15.snapshot(0) / "with a fraction").stat().st_mtime_ns == WHOLE_SECOND
    before = backup.trees()
    assert backup.must_publish().result["number_of_files_transferred"] == 2  # the link, too
    assert read_tree(backup.snapshot(0)) == read_tree(backup.source)
    assert backup.trees()["daily.1"] == before["daily.0"]
    assert backup.must_publish().result["number_of_files_transferred"] == 0


def test_metadata_that_changes_later_changes_no_old_snapshot(backup: Backup, v15: V15) -> None:
    """Version 1.5 itself changed the mode in every snapshot that shared the file."""
    before = backup.trees()
    (backup.source / "dir 3" / "file 3").chmod(0o600)
    backup.must_publish()
    after = backup.trees()
    assert [after[f"daily.{n + 1}"] for n in range(3)] == [before[f"daily.{n}"] for n in range(3)]


@pytest.mark.parametrize(
    ("missing", "retain", "expected"),
    [
        ([], "7", [0, 1, 2, 3]),
        ([], "2", [0, 1]),
        ([2], "7", [0, 1, 2]),
        # A gap is filled before anything moves beyond it.
        ([1], "7", [0, 1, 2]),
        ([0], "7", [0, 1, 2]),
        ([1], "2", [0, 1]),
    ],
)
def test_gaps_and_expiry_go_by_number(
    backup: Backup, v15: V15, missing: list[int], retain: str, expected: list[int]
) -> None:
    for number in missing:
        shutil.rmtree(v15.snapshot(number))
    before = backup.trees()
    outcome = backup.must_publish(retain=retain)
    after = backup.trees()
    assert list(after) == [f"daily.{number}" for number in expected]
    kept = list(before.values())[: len(expected) - 1]
    assert list(after.values())[1:] == kept
    assert len(outcome.result["expired"]) == len(before) + 1 - len(expected)


def test_more_snapshots_than_are_to_be_kept(backup: Backup, v15: V15) -> None:
    """Version 1.5 only ever removed number Retain - 1: what lay beyond stayed for good."""
    for number in (8, 9, 12):
        subprocess.run(["cp", "-al", v15.snapshot(2), v15.snapshot(number)], check=True)
    outcome = backup.must_publish(retain="3")
    assert backup.names() == ["daily.0", "daily.1", "daily.2"]
    assert outcome.result["expired"] == ["daily.3", "daily.8", "daily.9", "daily.12"]


def test_a_snapshot_that_version_15_did_not_finish_is_history_like_the_others(
    backup: Backup, v15: V15
) -> None:
    for number in range(20, 24):
        write(backup.source / f"late {number}", "late")
    (backup.source / "added").unlink()
    v15.be_stopped("late 20", "late 21")
    before = backup.trees()
    assert b"added" in before["daily.0"]
    assert b"late 23" not in before["daily.0"]
    outcome = backup.must_publish()
    assert outcome.result["number_of_files_transferred"] == 3, "the others were there already"
    assert read_tree(backup.snapshot(0)) == read_tree(backup.source)
    assert backup.trees()["daily.1"] == before["daily.0"]


@pytest.mark.parametrize("number", [1, 3])
def test_an_old_snapshot_can_be_restored_after_the_first_run(
    backup: Backup, v15: V15, number: int
) -> None:
    backup.must_publish()
    target = backup.home / "target"
    target.mkdir()
    words = ["--interval", "daily", "--number", str(number), "--target", str(target)]
    run_engine(*backup.script("efs-restore.sh", *words)).check_returncode()
    assert visible(read_tree(target)) == read_tree(backup.snapshot(number))


def test_a_restore_that_finds_nothing_lists_old_snapshots_with_their_dates(
    backup: Backup, v15: V15
) -> None:
    """Version 1.5 touched a snapshot when it was done, and noted its date nowhere else."""
    for number in range(3):
        day = 86400 * (18000 - number)
        os.utime(v15.snapshot(number), (day, day))
    target = backup.home / "target"
    target.mkdir()
    words = ["--interval", "daily", "--number", "6", "--target", str(target)]
    done = run_engine(*backup.script("efs-restore.sh", *words))
    assert done.returncode == 2
    for words in (
        "daily.0 (made 2019-04-14",
        "daily.1 (made 2019-04-13",
        "daily.2 (made 2019-04-12",
    ):
        assert words in done.stderr
