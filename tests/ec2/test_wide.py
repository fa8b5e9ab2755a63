"""Directories with so many entries that they are not held in memory."""

from __future__ import annotations

import json
import os
import pickle
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from engine.stage.judging import Verdict
from engine.stage.report import Trees
from engine.stage.settle import Entry, Settle
from engine.tree import listings, pool
from engine.tree.entries import file_of

from local.tree import read_tree

from . import test_history, test_restore_history
from .conftest import Backup
from .test_interruptions import slow_rsync
from .test_restore import Restore
from .test_restore_history import history  # noqa: F401

USAGE = Path(__file__).parents[2] / "bench/usage.py"
FILES = 30_000
MOST_MB = 40  # with 1.6 kB an entry it would be 50 to 70

# The engine with such limits that directories of four entries are too large.
TINY = """
import runpy, sys
from engine.tree import descent, listings, pool, report
descent.CHUNK, descent.chunks.__defaults__ = 3, (3,)
listings.WIDE, listings.SORTED_AT_ONCE, listings.READ_AT_ONCE = 4, 3, 2
pool.TASKS_IN_MEMORY, report.AT_ONCE = 2, 5
from engine.snapshots import removal
removal.AT_ONCE = 3
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


@pytest.fixture
def tiny(backup: Backup, monkeypatch: pytest.MonkeyPatch) -> Backup:
    folder = backup.home / "tiny"
    folder.mkdir()
    (folder / "driver.py").write_text(TINY)
    shim = folder / "python3"
    shim.write_text(
        f'#!/bin/bash\n[[ "$1 $2" == "-B -m" ]] || exec {sys.executable} "$@"\n'
        f'exec {sys.executable} -B {folder}/driver.py "${{@:3}}"\n'
    )
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return backup


def test_no_snapshot_ever_changes(tiny: Backup) -> None:
    test_history.test_no_snapshot_ever_changes(tiny, 3)


def test_killed_and_meddled_with(tiny: Backup) -> None:
    test_history.test_killed_and_meddled_with_it_still_tells_the_truth(tiny)


def test_what_cannot_be_read(tiny: Backup) -> None:
    test_history.test_what_cannot_be_read_costs_nothing_else(tiny)


def test_restores_are_exact(tiny: Backup, request: pytest.FixtureRequest) -> None:
    states = request.getfixturevalue("history")
    test_restore_history.test_each_is_exact_touches_nothing_else_and_can_be_undone(states)


@pytest.mark.parametrize("count", [0, 3, 50])
def test_listings_are_brought_together(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By name, whatever it is, and each once, also one that a listing has twice."""
    monkeypatch.setattr(listings, "WIDE", 10)
    monkeypatch.setattr(listings, "SORTED_AT_ONCE", 7)
    monkeypatch.setattr(listings, "READ_AT_ONCE", 2)
    seed = test_history.new_seed()
    chosen = random.Random(seed)
    names = [f"{text}{n}" for n in range(40) for text in ("a", "\udcff", "ü", "-\n", " ")]
    found = [[(name, n) for n, name in enumerate(chosen.choices(names, k=count))] for _ in "123"]
    found[2] = found[2][:3]
    wanted = {
        name: [dict(listing).get(name) for listing in found]
        for name in {name for listing in found for name, _ in listing}
    }
    got = [*listings.side_by_side(tmp_path, *found)]
    assert len(got) == len(wanted)
    assert {name: [*items] for name, items in got} == wanted
    assert [*tmp_path.iterdir()] == []


class Number(NamedTuple):
    number: int

    def perform(self, _: pool.Worker) -> None: ...


def test_what_waits_comes_back_newest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "TASKS_IN_MEMORY", 3)
    chosen = random.Random(test_history.new_seed())
    with tempfile.TemporaryFile() as file:
        waiting, expected = pool.Waiting(file), list[int]()
        for number in range(500):
            if chosen.random() < 0.6:
                waiting.put(Number(number))
                expected.append(number)
            else:
                taken = waiting.take()
                assert (pickle.loads(taken).number if taken else None) == (
                    expected.pop() if expected else None
                )
        while taken := waiting.take():
            assert pickle.loads(taken).number == expected.pop()
    assert expected == []


def fill_one(directory: Path, count: int = FILES) -> None:
    directory.mkdir()
    for number in range(count):
        (directory / f"a-name-of-an-upload-{number}").touch()


def change_each(directory: Path, mode: int) -> None:
    for name in os.listdir(directory):
        (directory / name).chmod(mode)


def peak_of(command: list[str]) -> float:
    """The memory of the largest process, in MB."""
    done = subprocess.run([sys.executable, "-IS", USAGE, *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    peak: float = json.loads(done.stdout)["peak_mb"]
    print(f"{peak:.0f} MB: {done.stderr}")
    return peak


def test_memory_does_not_grow_with_a_directory(backup: Backup) -> None:
    many = backup.source / "many"
    fill_one(many)
    peaks = [peak_of(backup.command(retain="1"))]
    change_each(many, 0o600)
    peaks.append(peak_of(backup.command(retain="1")))
    kept = read_tree(backup.snapshot(0))
    assert kept == read_tree(backup.source)
    change_each(many, 0o640)
    peaks.append(peak_of(Restore(backup, backup.source).command()))
    (script,) = backup.source.glob(".efs-restore-*.undo/undo")
    peaks.append(peak_of([sys.executable, str(script), "--yes"]))
    shutil.rmtree(script.parent)
    assert {path.stat().st_mode & 0o777 for path in many.iterdir()} == {0o640}
    shutil.rmtree(many)
    (backup.source / "other").touch()
    peaks += [peak_of(backup.command(retain="1", **{"no_spare": ""})) for _ in range(2)]
    assert read_tree(backup.snapshot(0)) == read_tree(backup.source)
    assert max(peaks) < MOST_MB, peaks


def test_a_large_directory_that_vanishes_costs_nothing_else(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While some of its files wait to be looked at, and others to be copied: no failure of any."""
    fill_one(backup.source / "many", 3_000)
    (backup.source / "other").touch()
    move = f'mv -T "{backup.source}/many" "{backup.home}/away" 2>/dev/null'
    shim = slow_rsync(backup.home / "shim", f'{move}; exec "$REAL" "$@"')
    monkeypatch.setenv("PATH", shim["PATH"])
    result = backup.must_publish().result
    there = read_tree(backup.snapshot(0))
    assert b"other" in there
    assert result["number_of_files"] == len(there) - result["number_of_directories"]
    assert result["number_of_files_vanished"] == 3_001 - result["number_of_files"]


def test_what_waited_in_a_directory_that_vanished_leaves_the_stage(tmp_path: Path) -> None:
    for name in ("source", "stage/many", "trash"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "stage/many/half").write_text("half of it")
    tops = [os.open(tmp_path / name, os.O_RDONLY) for name in ("source", "stage", "trash")]
    source, stage, trash = tops
    trees = Trees(source, None, stage, trash, 0, 0, None, 0)
    half = file_of((tmp_path / "stage/many/half").stat())
    waiting = Entry("half", half, None, half.inode, Verdict.COPY)
    worker = SimpleNamespace(stopping=False, context=SimpleNamespace(trees=trees))
    report = Settle("many", False, [waiting], [], []).perform(worker)  # type: ignore[arg-type]
    assert (report.vanished, report.failures, report.errors) == (["many/half"], [], [])
    assert report.figures.number_of_files == -1
    assert [*(tmp_path / "stage/many").iterdir()] == []
    for top in tops:
        os.close(top)
