"""Stopped, killed, doubled, or working on a source that changes under it."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.tree import read_tree
from tests.changes import new_seed

from .conftest import EC2, Backup, end_tree, until


def slow_rsync(folder: Path, body: str) -> dict[str, str]:
    """An environment in which `rsync` is a script of ours around the real one."""
    folder.mkdir(exist_ok=True)
    shim = folder / "rsync"
    shim.write_text(f"#!/bin/bash\nREAL={shutil.which('rsync')}\n{body}\n")
    shim.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


@pytest.fixture
def slow(backup: Backup, monkeypatch: pytest.MonkeyPatch) -> Backup:
    """Each rsync job says so in the file `running`, waits for the file `go`, and then copies."""
    home = backup.home
    wait = f'touch "{home}/running"; while [[ ! -e "{home}/go" ]]; do sleep 0.05; done'
    body = f'{wait}\nexec "$REAL" "$@"'
    for name, value in slow_rsync(backup.home / "shim", body).items():
        monkeypatch.setenv(name, value)
    return backup


def ask_to_stop(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> None:
    """Send a signal, and wait until it is noticed: of two that are pending, one is lost."""

    def noticed() -> bool:
        status = Path(f"/proc/{process.pid}/status").read_text()
        pending = status.partition("ShdPnd:")[2].split()[0]
        return not int(pending, 16) >> (number - 1) & 1

    process.send_signal(number)
    until(noticed)


def fill(source: Path, count: int, text: str = "content") -> None:
    for number in range(count):
        path = source / f"d{number % 7}" / f"f{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{text} {number}")


@pytest.mark.parametrize(
    ("stop", "clock_skew"),
    [
        (signal.SIGTERM, "0"),
        (signal.SIGINT, "0"),
        # The files are younger than that: what was copied is known by its content.
        (signal.SIGTERM, "60"),
    ],
)
def test_a_stopped_run_drains_and_the_next_one_finishes(
    slow: Backup, stop: signal.Signals, clock_skew: str
) -> None:
    fill(slow.source, 2500)
    process = slow.start(jobs="1")
    until((slow.home / "running").exists)
    ask_to_stop(process, stop)
    time.sleep(0.5)
    assert process.poll() is None, "the running job was not allowed to finish"
    (slow.home / "go").touch()
    outcome = slow.finish(process)
    assert outcome.exit_code == 3, outcome.stderr
    assert outcome.result["outcome"] == "stopped"
    assert slow.names() == []
    copied = [path for path in (slow.target / slow.label).rglob("f*") if path.is_file()]
    assert copied, "nothing of the drained job is left to continue from"

    second = slow.must_publish(clock_skew=clock_skew)
    assert second.result["number_of_files"] == 2500
    assert second.result["number_of_files_transferred"] == 2500 - len(copied)
    assert read_tree(slow.snapshot(0)) == read_tree(slow.source)
    assert slow.hidden() == []


@pytest.mark.parametrize("deaf", [False, True])
def test_a_second_signal_ends_the_jobs(
    slow: Backup, monkeypatch: pytest.MonkeyPatch, deaf: bool
) -> None:
    """Also those that hear nothing, as they wait for an NFS server that is away."""
    if deaf:
        body = f'trap "" TERM\ntouch "{slow.home}/running"\nwhile true; do sleep 1; done'
        monkeypatch.setenv("PATH", slow_rsync(slow.home / "deaf", body)["PATH"])
    fill(slow.source, 10)
    process = slow.start(jobs="1")
    until((slow.home / "running").exists)
    ask_to_stop(process)
    process.send_signal(signal.SIGTERM)
    outcome = slow.finish(process)
    assert outcome.exit_code == 3, outcome.stderr
    assert slow.names() == []


def test_a_resumed_run_never_changes_what_the_stage_shares_with_history(slow: Backup) -> None:
    fill(slow.source, 20)
    (slow.home / "go").touch()
    slow.must_publish()
    before = read_tree(slow.snapshot(0))
    # A stage whose files are links to the published snapshot, as an interrupted run leaves it.
    shutil.copytree(
        slow.snapshot(0),
        slow.target / slow.label / ".daily.stage",
        copy_function=os.link,
    )
    for path in slow.source.rglob("f*"):
        path.chmod(0o600)
    slow.must_publish()
    assert read_tree(slow.snapshot(1)) == before
    assert read_tree(slow.snapshot(0)) == read_tree(slow.source)


def test_leftovers_in_the_stage_are_not_published(backup: Backup) -> None:
    fill(backup.source, 5)
    stage = backup.target / backup.label / ".daily.stage"
    stage.mkdir(parents=True)
    (stage / "gone from the source").write_text("x")
    (stage / ".f1.Ab3dEf").write_text("half of a file")
    backup.must_publish()
    assert read_tree(backup.snapshot(0)) == read_tree(backup.source)


def test_a_second_run_is_refused_and_the_first_is_undisturbed(slow: Backup) -> None:
    fill(slow.source, 10)
    first = slow.start()
    until((slow.home / "running").exists)
    second = subprocess.run(
        slow.command(result=None, interval="weekly"), capture_output=True, text=True, check=False
    )
    assert second.returncode == 2
    assert "another run" in second.stderr
    (slow.home / "go").touch()
    assert slow.finish(first).exit_code == 0
    assert read_tree(slow.snapshot(0)) == read_tree(slow.source)


def test_a_file_that_vanishes_is_a_warning(slow: Backup) -> None:
    fill(slow.source, 10)
    process = slow.start()
    until((slow.home / "running").exists)
    victim = next(slow.source.rglob("f3"))
    victim.unlink()
    (slow.home / "go").touch()
    outcome = slow.finish(process)
    assert outcome.exit_code == 0, outcome.stderr
    assert outcome.result["number_of_files_vanished"] == 1
    assert any("f3" in warning for warning in outcome.result["warnings"])
    shutil.copystat(victim.parent, slow.snapshot(0) / "d3")  # it has the time of the listing
    assert read_tree(slow.snapshot(0)) == read_tree(slow.source)


def test_a_walk_that_dies_is_no_success(
    backup: Backup, faults: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the worker processes is killed, as for want of memory."""
    fill(backup.source, 2500)
    (backup.source / "d3" / "deadly").mkdir()
    with monkeypatch.context() as patch:
        patch.setenv("LD_PRELOAD", faults)
        patch.setenv("FAULT_NAME", "deadly")
        patch.setenv("FAULT_ERRNO", "0")
        outcome = backup.run()
    assert outcome.exit_code == 1
    assert outcome.result["cause"] == "walk"
    assert backup.names() == []
    backup.must_publish()
    assert read_tree(backup.snapshot(0)) == read_tree(backup.source)


def test_a_stage_that_cannot_be_written_is_no_success(
    backup: Backup, faults: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(backup.source, 20)
    backup.must_publish(retain="1")
    backup.must_publish(retain="1")
    (backup.source / "d3" / "full").mkdir()
    monkeypatch.setenv("LD_PRELOAD", faults)
    monkeypatch.setenv("FAULT_NAME", "full")
    monkeypatch.setenv("FAULT_ERRNO", str(errno.EDQUOT))
    outcome = backup.run(retain="1")
    assert outcome.exit_code == 1
    assert outcome.result["cause"] == "files"
    assert any("quota" in error for error in outcome.result["errors"])
    assert backup.names() == ["daily.0"]


def test_kill_at_any_moment_leaves_history_alone(backup: Backup) -> None:
    """SIGKILL for the whole process tree at random moments; the seed is printed on failure."""
    moments = random.Random(new_seed())
    fill(backup.source, 1500)
    states = [read_tree(backup.source)]
    backup.must_publish()
    for round_number in range(6):
        fill(backup.source, 1500, f"round {round_number}")
        process = backup.start(result=None)
        time.sleep(moments.uniform(0.05, 2.2))
        end_tree(process)
        process.communicate()
        published = [read_tree(backup.snapshot(n)) for n in range(len(backup.names()))]
        for state in states:
            assert state in published, "a published snapshot changed or was lost"
        states = published
    backup.must_publish(retain="20")
    assert read_tree(backup.snapshot(0)) == read_tree(backup.source)
    for state in states:
        assert state in [read_tree(backup.snapshot(n)) for n in range(len(backup.names()))]
    assert backup.hidden() == []


def test_expiry_that_fails_is_a_warning_not_a_failure(
    backup: Backup, faults: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(backup.source, 3)
    backup.must_publish()
    next(backup.source.rglob("f1")).unlink()
    with monkeypatch.context() as patch:
        patch.setenv("LD_PRELOAD", faults)
        patch.setenv("FAULT_NAME", "f1")
        patch.setenv("FAULT_ERRNO", str(errno.EACCES))
        outcome = backup.run(retain="1", no_spare="")
    assert outcome.exit_code == 0
    assert any("expired" in warning for warning in outcome.result["warnings"])
    assert backup.names() == ["daily.0"]
    assert len(backup.hidden()) == 1
    backup.must_publish(retain="1", no_spare="")
    assert backup.hidden() == []


@pytest.fixture
def held(backup: Backup) -> Iterator[subprocess.Popen[bytes]]:
    """Another run's lock, as a machine that was killed keeps it on NFS; gone when this ends."""
    fill(backup.source, 3)
    backup.must_publish()
    lock = backup.target / backup.label / ".lock"
    holder = subprocess.Popen(
        ["flock", "--no-fork", lock, "sh", "-c", "echo; exec cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout
        holder.stdout.readline()
        yield holder


def wait_until_it_waits(process: subprocess.Popen[str]) -> None:
    assert process.stderr
    for line in process.stderr:
        if "waiting for its lock" in line:
            return
    pytest.fail("it did not wait")


def test_a_lock_that_is_let_go_in_time_is_waited_for(
    backup: Backup, held: subprocess.Popen[bytes]
) -> None:
    process = backup.start(lock_wait="100")
    wait_until_it_waits(process)
    assert backup.names() == ["daily.0"]
    assert held.stdin
    held.stdin.close()
    outcome = backup.finish(process)
    assert outcome.exit_code == 0, outcome.stderr
    assert backup.names() == ["daily.0", "daily.1"]


@pytest.mark.parametrize("seconds", [None, "1"])
def test_a_lock_that_is_kept_is_refused(
    backup: Backup, held: subprocess.Popen[bytes], seconds: str | None
) -> None:
    before = read_tree(backup.target)
    outcome = backup.run(lock_wait=seconds)
    assert (outcome.exit_code, outcome.result["outcome"]) == (2, "refused")
    assert "another run is working" in outcome.result["message"]
    assert ("waiting for its lock" in outcome.stderr) == (seconds is not None)
    assert read_tree(backup.target) == before


def test_a_run_that_waits_for_a_lock_can_be_stopped(
    backup: Backup, held: subprocess.Popen[bytes]
) -> None:
    before = read_tree(backup.target)
    process = backup.start(lock_wait="100")
    wait_until_it_waits(process)
    process.send_signal(signal.SIGTERM)
    outcome = backup.finish(process)
    assert (outcome.exit_code, outcome.result["outcome"]) == (3, "stopped")
    assert read_tree(backup.target) == before


def test_no_scratch_files_are_left(backup: Backup) -> None:
    fill(backup.source, 3)
    backup.must_publish()
    assert list((backup.home / "scratch").iterdir()) == []


@pytest.mark.parametrize("name", ["efs-backup.sh", "efs-backup-fpsync.sh"])  # and that of v1.5
def test_the_script_finds_its_library_from_anywhere(backup: Backup, name: str) -> None:
    fill(backup.source, 1)
    link = backup.home / "linked"
    link.symlink_to(EC2)
    words = backup.command()
    words[0] = str(link / name)
    subprocess.run(words, cwd="/", check=True, capture_output=True)
