"""Directories that were exchanged between runs: nothing below them tells of it."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from local.tree import read_tree
from tests.changes import new_seed

from .conftest import Backup, until
from .test_interruptions import ask_to_stop, fill, slow_rsync

RELEASE = 1_577_000_000 * 10**9


def release(top: Path, version: str) -> None:
    """Files and directories that differ from another release's in nothing but the content."""
    for folder in ("", "lib", "lib/deep"):
        (top / folder).mkdir(parents=True)
        for number in range(3):
            path = top / folder / f"f{number}"
            path.write_text(f"{version} {number}")
            os.utime(path, ns=(RELEASE, RELEASE))
    for folder in ("lib/deep", "lib", ""):
        os.utime(top / folder, ns=(RELEASE, RELEASE))


def exchange_top(source: Path) -> None:
    (source / "live").rename(source / "old")
    (source / "next").rename(source / "live")


def exchange_inner(source: Path) -> None:
    (source / "live/lib").rename(source / "old")
    (source / "next/lib").rename(source / "live/lib")


def exchange_both_ways(source: Path) -> None:
    (source / "live/lib/deep").rename(source / "between")
    (source / "next/lib/deep").rename(source / "live/lib/deep")
    (source / "between").rename(source / "next/lib/deep")


def move_up(source: Path) -> None:
    (source / "live/lib").rename(source / "was")
    (source / "next/lib/deep").rename(source / "live/lib")
    (source / "was").rename(source / "live/lib/deep")


def delete_first(source: Path) -> None:
    shutil.rmtree(source / "live")
    (source / "next").rename(source / "live")


def delete_and_use_the_numbers_again(source: Path) -> None:
    """A file system that gives a new directory the number of the old one."""
    shutil.rmtree(source / "live/lib")
    (source / "live/lib").mkdir()
    for path in [*(source / "next/lib").iterdir()]:
        path.rename(source / "live/lib" / path.name)
    os.utime(source / "live/lib", ns=(RELEASE, RELEASE))


EXCHANGES = [
    exchange_top,
    exchange_inner,
    exchange_both_ways,
    move_up,
    delete_first,
    delete_and_use_the_numbers_again,
]


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_the_snapshot_has_what_is_there(backup: Backup, exchange: Callable[[Path], None]) -> None:
    release(backup.source / "live", "one")
    release(backup.source / "next", "two")
    for _ in range(3):
        backup.must_publish(retain="1")  # then there is a spare, too
    exchange(backup.source)
    result = backup.must_publish(retain="2").result
    assert result["number_of_files_checked"] > 0
    assert read_tree(backup.snapshot(0)) == read_tree(backup.source)
    assert backup.must_publish().result["number_of_files_checked"] == 0


def test_there_and_back_again(backup: Backup) -> None:
    """The old directory is in its place again, after a run that saw the other one."""
    release(backup.source / "live", "one")
    release(backup.source / "next", "two")
    backup.must_publish()
    for _ in range(3):
        exchange_both_ways(backup.source)
        backup.must_publish()
        assert read_tree(backup.snapshot(0)) == read_tree(backup.source)


def test_a_file_system_from_elsewhere_is_compared_once(backup: Backup) -> None:
    backup.source.rmdir()
    release(backup.source, "one")
    backup.must_publish()
    other = backup.home / "restored"
    release(other, "two")
    os.utime(other, ns=(backup.source.stat().st_mtime_ns,) * 2)
    time.sleep(0.01)
    backup.source = other
    assert backup.must_publish().result["number_of_files_checked"] == 9
    assert read_tree(backup.snapshot(0)) == read_tree(other)
    assert backup.must_publish().result["number_of_files_checked"] == 0


@pytest.mark.parametrize("damage", ["missing", "empty", "cut off", "nonsense"])
def test_without_the_list_all_is_compared_once(backup: Backup, damage: str) -> None:
    release(backup.source / "live", "one")
    release(backup.source / "next", "two")
    backup.must_publish()
    [path] = (backup.target / backup.label).glob(".daily.directories.*")
    if damage == "missing":
        path.unlink()
    else:
        whole = path.read_bytes()
        path.write_bytes({"empty": b"", "cut off": whole[:-9], "nonsense": b"none"}[damage])
    exchange_top(backup.source)
    outcome = backup.must_publish()
    assert "compared by content, this once: " in outcome.stderr
    assert read_tree(backup.snapshot(0)) == read_tree(backup.source)
    assert backup.must_publish().result["number_of_files_checked"] == 0


def test_exchanged_between_a_stopped_run_and_the_next(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the stopped run copied is of the other directory. There and back again, too."""
    home = backup.home
    wait = f'touch "{home}/running"; while [[ ! -e "{home}/go" ]]; do sleep 0.05; done'
    go = home / "go"
    fill(backup.source, 700)  # a few jobs, of which each run does one
    release(backup.source / "live", "one")
    release(backup.source / "next", "two")
    time.sleep(0.05)
    shim = slow_rsync(home / "shim", f'"$REAL" "$@"; status=$?; {wait}; exit $status')
    monkeypatch.setenv("PATH", shim["PATH"])
    for _ in range(3):
        process = backup.start(jobs="1")
        until((backup.home / "running").exists)
        time.sleep(0.5)
        ask_to_stop(process)
        time.sleep(1)  # for the next job not to begin when this one ends
        go.touch()
        assert backup.finish(process).result["outcome"] == "stopped"
        for path in (go, home / "running"):
            path.unlink()
        exchange_both_ways(backup.source)
        (backup.source / "new").write_text(str(time.time_ns()))
    go.touch()
    backup.must_publish()
    assert read_tree(backup.snapshot(0)) == read_tree(backup.source)


def test_at_random(backup: Backup) -> None:
    """Directories of a few releases change places, deeper and higher, over and over."""
    source = random.Random(new_seed())
    for number in range(6):
        release(backup.source / f"r{number}", f"v{number}")
    for _ in range(15):
        for _ in range(source.randrange(4)):
            there = [path for path in backup.source.rglob("*") if path.is_dir()]
            one, other = source.sample(there, 2)
            if one not in other.parents and other not in one.parents:
                between = backup.source / "between"
                one.rename(between)
                other.rename(one)
                between.rename(other)
        backup.must_publish(retain="3")
        assert read_tree(backup.snapshot(0)) == read_tree(backup.source)


def test_what_a_stopped_run_compared_is_not_compared_again(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a chown -R, which changes every ctime and nothing else."""
    fill(backup.source, 50)
    backup.must_publish()
    time.sleep(0.01)
    for path in backup.source.rglob("f*"):
        path.chmod(path.stat().st_mode)
    for number in range(30):
        (backup.source / f"new {number}").touch()  # too many to be done without
    with monkeypatch.context() as patch:
        body = f'touch "{backup.home}/running"; while true; do sleep 1; done'
        patch.setenv("PATH", slow_rsync(backup.home / "shim", body)["PATH"])
        process = backup.start()
        until((backup.home / "running").exists)
        time.sleep(0.5)
        ask_to_stop(process)
        process.send_signal(signal.SIGTERM)
        outcome = backup.finish(process)
    assert (outcome.exit_code, outcome.result["number_of_files_checked"]) == (3, 50)
    changed = next(backup.source.rglob("f7"))
    info = changed.stat()
    changed.write_text("CONTENT 7")
    os.utime(changed, ns=(info.st_atime_ns, info.st_mtime_ns))
    assert backup.must_publish().result["number_of_files_checked"] == 1
    assert read_tree(backup.snapshot(0)) == read_tree(backup.source)
