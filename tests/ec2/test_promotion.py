"""The engine keeps what the policy says: by renaming, and whatever it is killed at."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from engine.snapshots.about import Note
from engine.snapshots.folder import SnapshotFolder
from engine.snapshots.keeping import retain, snapshots_in
from engine.snapshots.readers import Readers
from engine.snapshots.retention import Policy, decide

from local.tree import read_tree

from .conftest import Backup
from .engines import run_engine

DAY = 86400
BEGIN = datetime(2026, 1, 5, 2, tzinfo=UTC).timestamp()  # a Monday


def nights(backup: Backup, count: int, begin: int = 0, **options: str) -> list[dict[str, Any]]:
    """Runs, one a day, each with a file of its own in it that changes."""
    results = []
    for night in range(begin, begin + count):
        (backup.source / "changing").write_text(f"night {night}")
        (backup.source / f"night {night}").write_text("once")
        results.append(backup.must_publish(**options).result)
        backup.set_date(0, BEGIN + night * DAY)
    return results


def run(script: str, backup: Backup, *words: str) -> tuple[int, dict[str, Any], str]:
    result = backup.home / "other.json"
    done = run_engine(*backup.script(script, "--result", str(result), *words))
    return done.returncode, json.loads(result.read_text()), done.stderr


@pytest.fixture
def source(backup: Backup) -> Backup:
    (backup.source / "same").write_text("the same in all of them")
    return backup


POLICY = {"retain": "1", "retain_weekly": "1", "retain_monthly": "3"}


def test_weekly_and_monthly_snapshots_are_those_that_leave(source: Backup) -> None:
    results = nights(source, 9, **POLICY)
    assert source.names() == ["daily.0", "monthly.0", "weekly.0"]
    assert results[1]["retention"] == [
        "daily.1 becomes weekly.0: 1 daily is kept, and weekly has none of week 2026-W02"
    ]
    assert [each["expired"] for each in results[1:4]] == [[], ["daily.1"], ["daily.1"]]
    weekly, monthly = source.snapshot(0, "weekly"), source.snapshot(0, "monthly")
    assert (weekly / "changing").read_text() == "night 7"
    assert (monthly / "changing").read_text() == "night 0"
    assert (monthly / "same").samefile(source.snapshot(0) / "same")
    for interval in ("weekly", "monthly"):
        assert run("efs-verify.sh", source, "--interval", interval, "--number", "0")[0] == 0
    assert read_tree(source.snapshot(0)) == read_tree(source.source)
    assert source.hidden() == []
    for number, (words, night) in enumerate(WAYS):
        target = source.home / f"target {number}"
        target.mkdir()
        code, _, said = run("efs-restore.sh", source, *words, "--target", str(target))
        assert code == 0, said
        assert (target / "changing").read_text() == f"night {night}"
    code, result, _ = run("efs-verify.sh", source, "--snapshot", "2026-01-07")
    assert code == 2
    assert (
        "the nearest: monthly.0 (made 2026-01-05T02:00:00Z), weekly.0 (made 2026-01-12"
        in result["message"]
    )
    copy_elsewhere(source)


WAYS = [
    (["--date", "2026-01-05"], 0),
    (["--snapshot", "monthly.0"], 0),
    (["--snapshot", "2026-01-12T02:00"], 7),
    (["--interval", "weekly", "--number", "0"], 7),
    (["--interval", "weekly", "--snapshot", "daily.0"], 8),
]


def copy_elsewhere(source: Backup) -> None:
    """What was promoted is known by what is in it, too."""
    before = SnapshotFolder(source.target / source.label, "daily").dated()
    copied = source.home / "copied"
    subprocess.run(["rsync", "-aH", f"{source.target}/", f"{copied}/"], check=True)
    source.target = copied
    assert SnapshotFolder(source.target / source.label, "daily").dated() == before
    (result,) = nights(source, 1, 9, **POLICY)
    assert result["warnings"] == []
    assert run("efs-verify.sh", source, "--snapshot", "monthly.0")[0] == 0


def test_what_has_a_promoted_ones_name_is_in_the_way_and_is_named(source: Backup) -> None:
    nights(source, 2, retain="2", retain_weekly="1")
    other = source.target / source.label / "weekly.0"
    other.write_text("a file")
    (result,) = nights(source, 1, 2, retain="2", retain_weekly="1")
    assert "weekly.0' is in the way of daily.2" in str(result["warnings"])
    assert (source.snapshot(2) / "changing").read_text() == "night 0"
    other.unlink()
    nights(source, 1, 3, retain="2", retain_weekly="1")
    assert (source.snapshot(0, "weekly") / "changing").read_text() == "night 0"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"interval": "weekly", "retain_weekly": "2"}, "--retain-weekly 2"),
        ({"interval": "monthly", "retain_weekly": "2"}, "--retain-weekly 2"),
        ({"interval": "monthly", "retain_monthly": "2"}, "--retain-monthly 2"),
        ({"retain": "0", "retain_weekly": "2"}, "from 1 to 99999"),
        ({"retain_weekly": "-1"}, "0 or more"),
        ({"retain_monthly": "many"}, "0 or more"),
    ],
)
def test_a_policy_without_sense_is_refused(
    source: Backup, options: dict[str, str], said: str
) -> None:
    done = source.run(**options)
    assert (done.exit_code, source.names()) == (2, [])
    assert said in done.result["message"]


POLICIES = [
    Policy("daily", {"daily": 2, "weekly": 1, "monthly": 2}),
    Policy("daily", {"daily": 1, "weekly": 0, "monthly": 1}),
    Policy("daily", {"daily": 3, "weekly": 2}),
]


def a_folder(home: Path) -> SnapshotFolder:
    """Six daily ones over two weeks, two weekly and two monthly ones; of a week of their own."""
    folder = SnapshotFolder(home / "folder", "daily")
    folder.path.mkdir(parents=True)
    days = {"monthly.1": -70, "monthly.0": -40, "weekly.1": -21, "weekly.0": -14}
    days.update({f"daily.{5 - number}": day for number, day in enumerate([0, 2, 4, 6, 7, 8])})
    for name, day in days.items():
        tree = folder.path / name
        tree.mkdir()
        (tree / "which").write_text(name)
        folder.register.begin(tree, Note(1, files=1))
        folder.register.note(tree, made=BEGIN + day * DAY)
    return folder


def kept(folder: SnapshotFolder) -> dict[str, str]:
    return {path.name: (path / "which").read_text() for path in folder.trees()}


@pytest.mark.parametrize("policy", POLICIES)
def test_killed_at_any_rename_the_next_run_finishes(
    tmp_path: Path, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm = a_folder(tmp_path / "calm")
    with Readers(calm.readers) as readers:
        steps = sum(each.is_change for each in decide(snapshots_in(calm), policy))
        retain(calm, policy, True, readers)
    assert steps > 3
    for step in range(steps):
        folder = a_folder(tmp_path / f"{step}")
        die_at_rename(step, folder, policy, monkeypatch)
        assert len(kept(folder)) >= len(kept(calm))
        again = SnapshotFolder(folder.path, "daily")
        with Readers(again.readers) as readers:
            assert again.recover() == []
            retain(again, policy, True, readers)
            again.forget(readers)
        assert kept(again) == kept(calm)
        assert len([*again.path.glob(".daily.about.*")]) == len(kept(again))


def die_at_rename(
    step: int, folder: SnapshotFolder, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, left = Path.rename, [step]

    def dies(path: Path, target: Path) -> Path:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return rename(path, target)

    with monkeypatch.context() as patch, Readers(folder.readers) as readers:
        patch.setattr(Path, "rename", dies)
        with pytest.raises(KeyboardInterrupt):
            retain(folder, policy, True, readers)


def test_the_spare_is_the_one_that_was_made_last(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    with Readers(folder.readers) as readers:
        retain(folder, POLICIES[0], True, readers)
    assert (folder.spare / "which").read_text() == "daily.2"
    newest = folder.note_of(folder.snapshot(0))
    assert newest
    assert newest.apart == 2


def test_what_leaves_a_longer_interval_is_no_spare_where_a_nearer_one_is(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    folder.spare.mkdir()
    (folder.spare / "which").write_text("nearer")
    for number in range(2, 6):
        shutil.rmtree(folder.snapshot(number))
    with Readers(folder.readers) as readers:
        retain(folder, POLICIES[0], True, readers)
    assert "weekly.1" not in kept(folder)
    assert (folder.spare / "which").read_text() == "nearer"
