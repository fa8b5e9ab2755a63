"""Snapshots that are held, released and removed by name."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import pytest
from engine.asked import verify_asked
from engine.command.outcome import Stopped
from engine.command.process import StopSignals
from engine.snapshots.folder import SnapshotFolder
from engine.snapshots.holds import release
from engine.snapshots.readers import Reading
from engine.stage.result import BackupResult

from local.tree import read_tree

from .conftest import Backup
from .engines import run_engine

DAY = 86400
BEGIN = 1_767_578_400  # 2026-01-05, a Monday, 02:00


@pytest.fixture
def five(backup: Backup) -> Backup:
    for night in range(5):
        publish(backup, night)
    return backup


def publish(backup: Backup, night: int, **options: str) -> dict[str, Any]:
    (backup.source / "changing").write_text(f"night {night}")
    result = backup.must_publish(**options).result
    backup.set_date(0, BEGIN + night * DAY)
    return result


def manage(backup: Backup, *words: str) -> tuple[int, str]:
    result = backup.home / "other.json"
    code = run_engine(*backup.script("efs-manage.sh", "--result", str(result)), *words).returncode
    said = json.loads(result.read_text())
    return code, said["message"] or said["text"]


def hold(backup: Backup, which: str, name: str) -> None:
    code, said = manage(backup, "hold", "--snapshot", which, "--name", name)
    assert code == 0, said


def test_a_held_one_never_expires_and_is_found_by_its_name(five: Backup) -> None:
    before = five.trees()
    hold(five, "daily.3", "before-migration")
    hold(five, "2026-01-08T02:00", "other")
    assert five.names() == ["daily.0", "daily.2", "daily.4", "held.before-migration", "held.other"]
    publish(five, 5, retain="1")
    held = five.trees()
    assert five.names() == ["daily.0", "held.before-migration", "held.other"]
    assert held["held.before-migration"] == before["daily.3"]
    assert held["held.other"] == before["daily.1"]
    for name in ("before-migration", "held.before-migration", "2026-01-06"):
        run_engine(*five.script("efs-verify.sh", "--snapshot", name)).check_returncode()
    target = five.home / "target"
    target.mkdir()
    words = ["--snapshot", "before-migration", "--target", str(target)]
    run_engine(*five.script("efs-restore.sh", *words)).check_returncode()
    assert (target / "changing").read_text() == "night 1"
    assert five.hidden() == []


def test_the_newest_one_can_be_held_and_the_next_run_links_to_it(five: Backup) -> None:
    (five.source / "same").write_text("the same")
    publish(five, 5)
    hold(five, "daily.0", "now")
    result = publish(five, 6)
    assert (result["number_of_files_transferred"], result["number_of_files_removed"]) == (1, 0)
    held = five.target / five.label / "held.now"
    assert (held / "same").samefile(five.snapshot(0) / "same")
    assert read_tree(five.snapshot(0)) == read_tree(five.source)
    assert [five.verify(number).exit_code for number in range(6)] == [0] * 6


def test_a_released_one_gets_the_place_of_its_age(five: Backup) -> None:
    before = five.trees()
    hold(five, "daily.3", "it")
    publish(five, 5)  # its number is another's by now
    code, said = manage(five, "release", "--name", "it")
    assert (code, said[-25:]) == (0, "released and called daily.4"[-25:])
    after = five.trees()
    assert [after[f"daily.{n + 1}"] for n in range(5)] == [before[f"daily.{n}"] for n in range(5)]


def test_of_a_released_one_the_policy_decides(five: Backup) -> None:
    hold(five, "daily.4", "it")
    for night in range(5, 9):
        publish(five, night, retain="2")
    manage(five, "release", "--name", "it")
    result = publish(five, 9, retain="2", retain_weekly="2")
    assert five.names() == ["daily.0", "daily.1", "weekly.0", "weekly.1"]
    assert "daily.3 becomes weekly.1" in str(result["retention"])
    assert (five.snapshot(1, "weekly") / "changing").read_text() == "night 0"


def test_what_is_removed_is_gone_and_the_others_stay(five: Backup) -> None:
    before = five.trees()
    inode = five.snapshot(2).stat().st_ino
    code, said = manage(five, "remove", "--snapshot", "2026-01-07", "--yes")
    assert (code, said) == (0, "daily.2 (made 2026-01-07T02:00:00Z) is removed")
    del before["daily.2"]
    assert five.trees() == before
    folder = five.target / five.label
    assert inode not in [path.stat().st_ino for path in folder.iterdir()]
    assert five.hidden() == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("remove --snapshot daily.2", "daily.2 (made 2026-01-07T02:00:00Z) for ever. If it shall"),
        ("remove --snapshot daily.0 --yes", "daily.0 (made 2026-01-09T02:00:00Z) is the newest"),
        ("remove --snapshot daily.7 --yes", "no snapshot daily.7"),
        ("remove --snapshot it --yes", "is held; release it first"),
        ("remove --snapshot daily.2 --name it --yes", "remove takes --snapshot"),
        ("remove --snapshot 2026-02-01 --yes", "the nearest: daily.0"),
        ("hold --snapshot daily.2 --name it", "give another name"),
        ("hold --snapshot it --name other", "is held already; release it first"),
        ("hold --snapshot daily.2", "hold takes --snapshot and --name"),
        ("hold --snapshot daily.2 --name a/b", "must be letters, digits"),
        ("hold --snapshot daily.2 --name .hidden", "must be letters, digits"),
        ("hold --snapshot daily.2 --name=-x", "must be letters, digits"),
        ("hold --snapshot daily.2 --name=", "must be letters, digits"),
        ("hold --snapshot daily.2 --name daily.3", "means another snapshot"),
        ("hold --snapshot daily.2 --name 2026-01-07", "means another snapshot"),
        ("hold --snapshot daily.2 --name held.x", "means another snapshot"),
        ("hold --snapshot ../daily.2 --name x", "names no snapshot"),
        ("release --name other", "no snapshot other or held.other"),
        ("release --name it --snapshot daily.2", "release takes --name"),
        ("destroy --snapshot daily.2", "invalid choice"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    made: Backup, words: str, said: str
) -> None:
    before = made.names()
    code, message = manage(made, *words.split())
    assert (code, made.names()) == (2, before)
    assert said in message


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Backup:
    backup = Backup(tmp_path_factory.mktemp("made"))
    for night in range(5):
        publish(backup, night)
    hold(backup, "daily.3", "it")
    return backup


def test_an_unfinished_backup_goes_on_after_another_was_removed(five: Backup, faults: str) -> None:
    fill(five, 10, "new")
    prefix = ["env", f"LD_PRELOAD={faults}", "FAULT_STATE=.daily.digests", "FAULT_SKIP=0"]
    prefix += ["FAULT_ERRNO=0"]
    assert five.run(prefix).exit_code == -9
    folder = five.target / five.label
    (about,) = {*folder.glob(".daily.about.*")} - {
        five.about(folder / name) for name in five.names()
    }
    notes = (folder / ".daily.notes").read_bytes()
    assert notes
    assert manage(five, "remove", "--snapshot", "daily.2", "--yes")[0] == 0
    assert about.exists()
    assert (folder / ".daily.notes").read_bytes() == notes
    result = five.must_publish().result
    assert result["number_of_files_continued"] == 10
    assert five.hidden() == []


def test_one_that_is_read_is_not_removed(made: Backup) -> None:
    top = os.open(made.snapshot(2), os.O_RDONLY)
    with Reading(made.target / made.label / ".readers", top) as reading:
        assert reading.is_locked
        code, said = manage(made, "remove", "--snapshot", "daily.2", "--yes")
    os.close(top)
    assert (code, made.snapshot(2).is_dir()) == (2, True)
    assert "is being restored or verified" in said


@pytest.mark.parametrize(("answer", "code"), [(b"no\n", 2), (b"\x04", 2), (b"yes\n", 0)])
def test_at_a_terminal_it_asks(made: Backup, answer: bytes, code: int) -> None:
    ours, theirs = pty.openpty()
    command = made.script("efs-manage.sh", "remove", "--snapshot", "daily.2")
    with subprocess.Popen(
        command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        os.write(ours, answer)
        said, _ = process.communicate()
    os.close(ours)
    os.close(theirs)
    assert process.returncode == code
    assert b"This removes daily.2 (made 2026-01-07T02:00:00Z) for ever." in said
    assert made.snapshot(2).is_dir() == (code != 0)


def test_killed_while_it_makes_room_it_can_be_released_again(
    five: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(five, "daily.2", "it")
    publish(five, 5)  # fills the gap
    before = sorted(map(str, five.trees().values()))
    rename = Path.rename
    for steps in range(4):
        left = [steps]

        def dies(path: Path, target: Path, left: list[int] = left) -> Path:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            return rename(path, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", dies)
            if (five.target / five.label / "held.it").exists():
                try:
                    release(SnapshotFolder(five.target / five.label, "daily"), "held.it")
                except KeyboardInterrupt:
                    assert (five.target / five.label / "held.it").is_dir()
    assert sorted(map(str, five.trees().values())) == before
    texts = [(five.snapshot(number) / "changing").read_text() for number in range(6)]
    assert texts == [f"night {number}" for number in (5, 4, 3, 2, 1, 0)]


def fill(backup: Backup, count: int, text: str) -> None:
    for number in range(count):
        (backup.source / f"file {number}").write_text(f"{text} {number}")


def test_most_files_were_changed_and_the_snapshot_before_is_held(backup: Backup) -> None:
    fill(backup, 1000, "mine")
    backup.must_publish(hold_on_change_percent="50")
    before = read_tree(backup.snapshot(0))
    for number in range(501):
        (backup.source / f"file {number}").rename(backup.source / f"file {number}.locked")
    result = backup.must_publish(hold_on_change_percent="50").result
    held = backup.target / backup.label / result["held"]
    assert result["held"].startswith("held.change-20")
    assert (read_tree(held), backup.names()) == (before, ["daily.0", held.name])
    assert "501 of 1000 files were changed or removed" in str(result["warnings"])
    assert len(result["mass_change"]) == 11
    assert any(held.name in line and "until it is released" in line for line in result["snapshots"])
    fill(backup, 1000, "encrypted")  # 501 come, 499 are others
    for path in backup.source.glob("*.locked"):
        path.unlink()  # twice in a row: what was before the first is what is to be kept
    again = backup.must_publish(hold_on_change_percent="50", retain="1").result
    assert (again["held"], backup.names()) == ("", ["daily.0", held.name])
    fill(backup, 1000, "again")
    assert backup.must_publish(hold_on_change_percent="50").result["held"] == ""


@pytest.mark.parametrize(
    ("count", "changed", "percent"), [(1000, 500, "50"), (999, 999, "1"), (1000, 1000, "0")]
)
def test_what_is_no_mass_change_holds_nothing(
    backup: Backup, count: int, changed: int, percent: str
) -> None:
    fill(backup, count, "first")
    backup.must_publish(hold_on_change_percent=percent)
    fill(backup, changed, "second")
    assert backup.must_publish(hold_on_change_percent=percent).result["held"] == ""
    assert backup.names() == ["daily.0", "daily.1"]


def test_killed_between_holding_and_publishing_it_holds_no_other(
    backup: Backup, faults: str
) -> None:
    fill(backup, 1000, "first")
    publish(backup, 0)
    fill(backup, 1000, "second")
    publish(backup, 1)
    fill(backup, 1000, "third")
    prefix = ["env", f"LD_PRELOAD={faults}", "FAULT_STATE=.daily.about", "FAULT_SKIP=1"]
    prefix += ["FAULT_ERRNO=0"]
    killed = backup.run(prefix, hold_on_change_percent="50")
    assert killed.exit_code == -9
    (held,) = [name for name in backup.names() if name.startswith("held.")]
    result = backup.must_publish(hold_on_change_percent="50").result
    assert (result["held"], backup.names()) == (held, ["daily.0", "daily.1", held])
    texts = [
        (backup.target / backup.label / name / "file 0").read_text() for name in backup.names()
    ]
    assert texts == ["third 0", "first 0", "second 0"]
    assert backup.verify(0).exit_code == 0


def test_a_mass_change_that_nobody_was_told_is_said_by_the_next_run(
    backup: Backup, faults: str
) -> None:
    """Killed after publishing; and then as long as it is held, and nobody says that he knows."""
    fill(backup, 1000, "first")
    backup.must_publish(hold_on_change_percent="50")
    fill(backup, 1000, "second")
    prefix = ["env", f"LD_PRELOAD={faults}", "FAULT_STATE=.daily.snapshots", "FAULT_SKIP=0"]
    killed = backup.run([*prefix, "FAULT_ERRNO=0"], hold_on_change_percent="50")
    assert (killed.exit_code, killed.result) == (-9, {})
    (held,) = [name for name in backup.names() if name.startswith("held.")]
    assert (backup.snapshot(0) / "file 0").read_text() == "second 0"
    untold = backup.target / backup.label / ".daily.untold"
    for _ in range(2):
        result = backup.must_publish(hold_on_change_percent="50").result
        summary, *examples = result["mass_change"]
        assert summary.startswith("an earlier backup could not tell: 1000 of 1000 files were")
        assert (held in summary, len(examples), result["warnings"]) == (True, 10, [summary])
    untold.write_text("[]")
    (damaged,) = backup.must_publish(hold_on_change_percent="50").result["mass_change"]
    assert "is damaged" in damaged
    assert backup.must_publish(hold_on_change_percent="50").result["mass_change"] == []
    untold.write_text(json.dumps({"held": "held.released", "said": ["said"]}))
    assert backup.must_publish(hold_on_change_percent="50").result["mass_change"] == []
    assert not untold.exists()


def test_what_is_said_on_a_terminal_is_said_once(backup: Backup) -> None:
    fill(backup, 1000, "first")
    backup.must_publish(hold_on_change_percent="50")
    fill(backup, 1000, "second")
    assert "1000 of 1000 files" in backup.run(hold_on_change_percent="50", result=None).stderr
    assert not (backup.target / backup.label / ".daily.untold").exists()


def test_requests_are_obeyed_first_and_answered(backup: Backup) -> None:
    for night in range(3):
        publish(backup, night)
    requests = backup.home / "requests.json"
    asked = {
        "1": {"Action": "hold", "Snapshot": "2026-01-05T02:00:00Z", "Name": "kept"},
        "2": {"Action": "remove", "Snapshot": "2026-01-06T02:00:00Z"},
        "3": {"Action": "remove", "Snapshot": "2026-01-07T02:00:00Z"},
        "4": {"Action": "hold", "Snapshot": "daily.0", "Name": "a/b"},
        "5": {"Action": "format", "Snapshot": "daily.0"},
        "6": {"Action": "release", "Snapshot": "held.none"},
    }
    requests.write_text(json.dumps(asked))
    result = publish(backup, 3, retain="2", requests=str(requests))
    assert backup.names() == ["daily.0", "daily.1", "held.kept"]
    assert [*result["requests"].values()][:2] == [
        "daily.2 (made 2026-01-05T02:00:00Z) is held as kept",
        "daily.1 (made 2026-01-06T02:00:00Z) is removed",
    ]
    assert [text.startswith("not obeyed: ") for text in result["requests"].values()] == [
        False
    ] * 2 + [True] * 4
    assert len(result["warnings"]) == 4


@pytest.mark.parametrize("text", ["", "[1]", '{"1": 2}', "\xff", '{"1": []}'])
def test_requests_that_cannot_be_read_end_no_backup(backup: Backup, text: str) -> None:
    requests = backup.home / "requests.json"
    requests.write_text(text, encoding="latin-1")
    result = publish(backup, 0, requests=str(requests))
    assert len(result["warnings"]) == 1


def ask_to_verify(backup: Backup, *snapshots: str) -> str:
    requests = backup.home / "requests.json"
    asked = {str(n): {"Action": "verify", "Snapshot": s} for n, s in enumerate(snapshots)}
    requests.write_text(json.dumps(asked))
    return str(requests)


def test_a_verification_that_is_asked_for_is_made_after_the_backup(five: Backup) -> None:
    hold(five, "daily.2", "mine")
    five.set_date(0, BEGIN + 4 * DAY)
    damaged = five.snapshot(1) / "changing"
    times = damaged.stat()
    damaged.write_text("night X")
    os.utime(damaged, ns=(times.st_atime_ns, times.st_mtime_ns))
    asked = ask_to_verify(
        five, "2026-01-09T02:00:00Z", "held.mine", "2026-01-08T02:00:00Z", "daily.9"
    )
    result = publish(five, 5, requests=asked)
    assert result["outcome"] == "published"
    good, held, bad, none = (result["requests"][str(n)] for n in range(4))
    as_copied = ": 1 regular file checked, each is as it was when it was copied"
    assert good == f"daily.1 (made 2026-01-09T02:00:00Z){as_copied}"
    assert held == f"held.mine (made 2026-01-07T02:00:00Z){as_copied}"
    assert bad == "re-check: daily.2 (made 2026-01-08T02:00:00Z) is not as it was made"
    assert none.startswith("not obeyed: verify daily.9: there is no snapshot daily.9")
    warning, *_ = (w for w in result["warnings"] if "not as it was made" in w)
    assert warning.endswith(": changed: 'changing'")
    assert result["not_restorable"] == [bad.removeprefix("re-check: "), "changed: 'changing'"]
    assert "re-check" in result["phases"]


def test_one_that_expires_with_the_backup_is_told(five: Backup) -> None:
    result = publish(five, 5, retain="5", requests=ask_to_verify(five, "daily.4"))
    (answer,) = result["requests"].values()
    assert answer.startswith("re-check: no snapshot in")
    assert result["outcome"] == "published"


def test_one_that_a_stop_ends_is_answered_and_those_after_it_are_asked_for_again(
    five: Backup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is done by the next backup begins anew: it would be stopped as well, for ever."""

    def stopped(*_: object) -> None:
        stop.received = True
        raise Stopped("stopped")

    monkeypatch.setattr("engine.asked.verify", stopped)
    folder, to = SnapshotFolder(five.target / five.label, "daily"), tmp_path / "result.json"
    stop, result = StopSignals(), BackupResult("published")
    both = {"1": (BEGIN, BEGIN + 1), "2": (BEGIN, BEGIN + 1)}
    verify_asked(both, folder, tmp_path, stop, result, to)
    assert [*result.requests] == ["1"]
    assert "stopped before it was finished" in result.requests["1"]
    before = json.loads(to.read_text())  # should it be killed
    assert before["outcome"] == "published"
    assert "did not come to its end" in before["warnings"][0]


def test_what_hits_a_verification_that_is_asked_for_says_nothing_of_the_backup(
    five: Backup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("engine.asked.verify", fail)
    folder, result = SnapshotFolder(five.target / five.label, "daily"), BackupResult("published")
    verify_asked({"1": (BEGIN, BEGIN + 1)}, folder, tmp_path, StopSignals(), result, None)
    assert (result.outcome, result.requests) == ("published", {})
    assert "MemoryError" in result.warnings[0]
