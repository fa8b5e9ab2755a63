"""Files of the snapshots are restored for a test, each in its turn, and what cannot be is told."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from engine.trial.rotation import PARTS, Rotation, part_of, read_rotation

from local.tree import read_tree

from .conftest import DAMAGES, Backup, end_tree, inside, until
from .test_interruptions import slow_rsync
from .test_verify import flip

AGE = 1_000_000  # seconds, of all that a state file of these tests tells
COUNTS = ("restored", "read", "failed", "without_digest")


def counted(result: dict[str, object]) -> dict[str, object]:
    found = {name: result[f"number_of_files_test_{name}"] for name in COUNTS}
    return {name: number for name, number in found.items() if number}


def state(backup: Backup) -> Path:
    return backup.target / backup.label / ".daily.tests"


@pytest.fixture
def three(backup: Backup) -> Backup:
    """Three snapshots of 40 files: `changing` differs in each, `turned` only in its mode, and
    `lost` is in the oldest alone."""
    (backup.source / "d").mkdir()
    for number in range(37):
        (backup.source / "d" / f"f{number}").write_text(f"{number}")
    for number in range(3):
        (backup.source / "changing").write_text(f"version {number}")
        (backup.source / "turned").write_text("content")
        (backup.source / "turned").chmod(0o640 + number)
        (backup.source / "lost").write_text("content")
        if number:
            (backup.source / "lost").unlink()
        os.utime(backup.source / "turned", (1, 1))
        backup.must_publish()
    return backup


def test_every_version_of_every_file_is_restored_once_in_a_round(three: Backup) -> None:
    """37 that are in all, three of each that differs, and one that is in the oldest."""
    before = [read_tree(three.snapshot(number)) for number in range(3)]
    result = three.must_publish(restore_test_percent="100").result
    assert counted(result) == {"restored": 37 + 3 + 3 + 1}
    assert result["warnings"] == []
    assert result["restore_test_age"] == 0
    assert not [*(three.home / "scratch").iterdir()]
    assert [read_tree(three.snapshot(number + 1)) for number in range(3)] == before


def test_all_have_their_turn_in_as_many_runs_as_the_percentage_goes_into_a_hundred(
    three: Backup,
) -> None:
    results = [three.must_publish(restore_test_percent="25").result for _ in range(4)]
    counts = [counted(result)["restored"] for result in results]
    assert sum(map(int, map(str, counts))) == 37 + 3 + 3 + 1
    ages = [result["restore_test_age"] for result in results]
    assert ages == sorted(ages)  # of those that had no turn yet


def test_without_the_option_there_is_no_test(three: Backup) -> None:
    result = three.must_publish().result
    assert counted(result) == {}
    assert result["restore_test_age"] is None
    assert not state(three).exists()


def test_what_is_not_what_was_backed_up_is_told_and_the_backup_is_good_all_the_same(
    three: Backup,
) -> None:
    three.must_publish()
    flip(three.snapshot(3) / "changing")
    (three.snapshot(3) / "lost").unlink()
    state(three).write_text(json.dumps(vars(Rotation(1, [2] * PARTS, [3] * PARTS))))
    done = three.run(restore_test_percent="100")
    assert (done.exit_code, done.result["outcome"]) == (0, "published")
    assert counted(done.result) == {"restored": 42, "failed": 2}
    said = "2 files of the snapshots could not be restored for a test"
    assert done.result["warnings"][-1] == said
    summary, *lines = done.result["not_restorable"]
    assert summary == said
    told = [line.partition(" (made ")[::2] for line in lines]
    assert {name for name, _ in told} == {"daily.4"}
    assert any(rest.endswith("'changing' is not what was backed up") for _, rest in told)
    assert any(rest.endswith("'lost' could not be read") for _, rest in told)
    # Neither counts as tested, and all others do.
    rotation = json.loads(state(three).read_text())
    bad = {part_of(b"changing"), part_of(b"lost")}
    assert {part for part in range(PARTS) if rotation["tested"][part] == 3} == bad
    assert rotation["tried"] == [max(rotation["tried"])] * PARTS
    assert done.result["restore_test_age"] > AGE


NAMES = [
    b"line\nbreak",
    b"\xff\xfe",
    b"-f",
    b" x ",
    b"#c",
    b";d",
    b"\\#012",
    b"n" * 255,
    b"\x1b[31m",
]


def test_names_mean_nothing(backup: Backup) -> None:
    paths = [os.path.join(name, name) for name in NAMES]
    for path in paths:
        os.mkdir(os.path.join(os.fsencode(backup.source), os.path.dirname(path)))
        with open(os.path.join(os.fsencode(backup.source), path), "wb") as file:
            file.write(b"content")
    result = backup.must_publish(restore_test_percent="100").result
    assert counted(result) == {"restored": len(NAMES)}
    for path in paths:
        flip(Path(os.fsdecode(os.path.join(os.fsencode(backup.snapshot(0)), path))))
    result = backup.run(restore_test_percent="100").result
    assert counted(result) == {"failed": len(NAMES)}
    assert "\x1b" not in "".join(result["not_restorable"])


def test_what_took_the_place_of_a_file_is_not_restored_for_it(three: Backup) -> None:
    places = [three.snapshot(2) / "d" / f"f{number}" for number in range(3)]
    for path in places:
        path.unlink()
    places[0].symlink_to("/etc/hostname")
    os.mkfifo(places[1])
    places[2].mkdir()
    result = three.must_publish(restore_test_percent="100").result
    assert counted(result) == {"restored": 41, "failed": 3}


def test_a_catalog_that_leads_elsewhere_has_nothing_restored_from_there(three: Backup) -> None:
    """Whoever can write to the backup can write a catalog."""
    path = three.list_of(three.snapshot(0), "catalog")
    lines = gzip.decompress(path.read_bytes()).split(b"\n")
    evil = lines[1].replace(b"changing", b"../../../../../../etc/passwd")
    path.write_bytes(gzip.compress(b"\n".join([lines[0], evil, *lines[1:]])))
    result = three.must_publish(restore_test_percent="100").result
    assert "passwd" not in str(result)
    assert "failed" not in counted(result)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_state_tells_of_no_test(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "state"
    Rotation(1, [2] * PARTS, [3] * PARTS).save(path)
    DAMAGES[damage](path)
    rotation, problem = read_rotation(path, 1000)
    assert (rotation.age(1000), rotation.tried) == (0, [0] * PARTS)
    assert "is damaged" in problem


def test_a_damaged_state_begins_anew_and_says_so(three: Backup) -> None:
    three.must_publish(restore_test_percent="10")
    DAMAGES["cut off"](state(three))
    result = three.must_publish(restore_test_percent="100").result
    assert counted(result) == {"restored": 44}
    (warning,) = result["warnings"]
    assert "it is not known when" in warning
    DAMAGES["a directory"](state(three))
    assert three.must_publish(restore_test_percent="100").result["warnings"] == []


@pytest.mark.parametrize(
    "found",
    [{}, {"tried": 1}, {"tried": [1], "tested": [1], "begun": 1}]
    + [{"tried": [each] * PARTS, "tested": [0] * PARTS, "begun": 1} for each in ("1", None, 1.5)],
)
def test_a_state_that_no_run_writes_is_damage(tmp_path: Path, found: object) -> None:
    path = tmp_path / "state"
    path.write_text(json.dumps(found))
    rotation, problem = read_rotation(path, 1000)
    assert (rotation.begun, rotation.age(1000)) == (1000, 0)
    assert "damaged" in problem


def test_times_that_are_yet_to_come_are_none(tmp_path: Path) -> None:
    """A clock that was wrong once must not keep a part from having its turn."""
    Rotation(5000, [5000] * PARTS, [5000] * 50 + [900] * 50).save(tmp_path / "state")
    rotation, problem = read_rotation(tmp_path / "state", 1000)
    assert (rotation.tried, problem) == ([0] * PARTS, "")
    assert rotation.age(1000) == 100
    assert rotation.age(1500) == 600


def test_what_is_too_large_for_the_disk_is_read(
    backup: Backup, faults: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (backup.source / "large").write_bytes(os.urandom(3 << 20))
    (backup.source / "small").write_text("small")
    backup.must_publish()
    monkeypatch.setenv("LD_PRELOAD", faults)
    (backup.home / "free").write_text(str(4 << 20))  # bytes; half of them are used
    monkeypatch.setenv("FAULT_FREE", str(backup.home / "free"))
    result = backup.must_publish(restore_test_percent="100").result
    assert counted(result) == {"restored": 1, "read": 1}
    flip(backup.snapshot(1) / "large")
    result = backup.run(restore_test_percent="100").result
    assert counted(result) == {"restored": 1, "failed": 1}
    assert "'large' is not what was backed up" in result["not_restorable"][1]


def test_a_disk_that_runs_full_says_nothing_of_the_snapshots(
    three: Backup, faults: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = three.home / "free"
    free.write_text(str(1 << 30))
    shim = slow_rsync(three.home / "shim", f'echo 0 >"{free}"; exit 11')
    monkeypatch.setenv("PATH", shim["PATH"])
    monkeypatch.setenv("LD_PRELOAD", faults)
    monkeypatch.setenv("FAULT_FREE", str(free))
    result = three.must_publish(restore_test_percent="100").result
    (warning,) = result["warnings"]
    assert warning.endswith("is left for the next run: the disk of this machine is full")
    assert (counted(result), result["not_restorable"]) == ({}, [])


def test_what_kills_the_copying_says_nothing_of_the_snapshots(
    three: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the kernel does when there is no memory left."""
    three.must_publish()
    shim = slow_rsync(three.home / "shim", "kill -9 $$")
    monkeypatch.setenv("PATH", shim["PATH"])
    result = three.must_publish(restore_test_percent="100").result
    (warning,) = result["warnings"]
    assert "files that can be read could not be restored: rsync job" in warning
    assert ("failed" in counted(result), result["not_restorable"]) == (False, [])


def test_snapshots_of_version_1_5_are_restored_without_a_digest(backup: Backup) -> None:
    tree = backup.target / backup.label / "daily.0"
    tree.mkdir(parents=True)
    (tree / "old").write_text("old")
    (backup.source / "new").write_text("new")
    result = backup.run(restore_test_percent="100").result
    assert counted(result) == {"restored": 2, "without_digest": 1}


def test_a_stop_ends_the_test_at_once_and_the_backup_is_good(
    three: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a file is fetched; the next run goes on with the rest."""
    shim = slow_rsync(
        three.home / "shim",
        "touch STARTED; exec sleep infinity".replace("STARTED", str(three.home / "started")),
    )
    three.must_publish(restore_test_percent="1")
    monkeypatch.setenv("PATH", shim["PATH"])
    process = three.start(restore_test_percent="100")
    until((three.home / "started").exists)
    process.send_signal(signal.SIGTERM)
    done = three.finish(process)
    assert (done.exit_code, done.result["outcome"]) == (0, "published")
    assert done.result["warnings"] == ["the restore test is left for the next run: stopped"]
    monkeypatch.undo()
    monkeypatch.setenv("TMPDIR", str(three.home / "scratch"))
    done = three.run(restore_test_percent="100")
    assert counted(done.result) == {"restored": 44}


def test_a_stop_leaves_nothing_behind_however_deep_it_is(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    with inside(backup.source, *["d"] * 995):
        Path("file").write_text("content")
    backup.must_publish()
    shim = slow_rsync(backup.home / "shim", f"touch {backup.home}/started; exec sleep infinity")
    monkeypatch.setenv("PATH", shim["PATH"])
    process = backup.start(restore_test_percent="100")
    until((backup.home / "started").exists)
    process.send_signal(signal.SIGTERM)
    done = backup.finish(process)
    left = [*(backup.home / "scratch").iterdir()]
    for name in ("source", "backup", "scratch"):  # pytest cannot remove what is so deep
        subprocess.run(["rm", "-rf", backup.home / name], check=True)
    assert (done.exit_code, done.result["outcome"], left) == (0, "published", [])


def test_a_run_that_is_killed_in_a_test_has_reported_and_does_not_hit_upon_it_again(
    three: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    shim = slow_rsync(three.home / "shim", f"touch {three.home}/started; exec sleep infinity")
    monkeypatch.setenv("PATH", shim["PATH"])
    process = three.start(restore_test_percent="100")
    until((three.home / "started").exists)
    end_tree(process)
    done = three.finish(process)
    assert done.result["outcome"] == "published"
    assert done.result["warnings"] == ["the restore test did not come to its end"]
    assert [name for name in three.hidden() if "expired" not in name] == []
    rotation = json.loads(state(three).read_text())
    begun = {part for part in range(PARTS) if rotation["tried"][part]}
    tested = {part for part in range(PARTS) if rotation["tested"][part]}
    assert len(begun - tested) == 1
    found, _ = read_rotation(state(three), int(time.time()))
    assert not begun & {*found.next(PARTS - len(begun))}
