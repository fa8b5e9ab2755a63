"""Many restores of trees that changed at random: each is exact, touches nothing else, can be
undone, and can be killed at any moment.

A failure prints the seed that makes the trees again.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from local.tree import Tree, read_tree
from tests.changes import Changes, new_seed
from tests.trees import asked_of, others_of, some_paths, visible

from .conftest import Backup, end_tree
from .engines import run_engine
from .test_restore import Restore, killed


def state_of(top: Path) -> Tree:
    return visible(read_tree(top))


def copies_and_twins(changes: Changes) -> None:
    """Break up a shared inode, and make one of two files."""
    files = changes.files()
    for path in changes.random.sample(files, min(2, len(files))):
        copy = path.with_name(f"{path.name}.copy")
        if not os.path.lexists(copy):
            shutil.copy2(path, copy, follow_symlinks=False)
            path.unlink()
            copy.rename(path)
    if len(files) > 2:
        one, other = changes.random.sample(files, 2)
        other.unlink()
        os.link(one, other)


def forget_restores(target: Path) -> None:
    times = (target.stat().st_atime_ns, target.stat().st_mtime_ns)
    for path in target.glob(".efs-restore-*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    os.utime(target, ns=times)


@pytest.fixture
def history(backup: Backup) -> tuple[Restore, Changes, list[Tree]]:
    """Four snapshots of a tree that changed at random, and what the source was at each."""
    changes = Changes(backup.source, new_seed())
    states: list[Tree] = []
    for count in (80, 10, 10, 10):
        changes.make(count)
        copies_and_twins(changes)
        if not any(backup.source.iterdir()):
            changes.write()
        states.insert(0, state_of(backup.source))
        backup.must_publish()
    return Restore(backup, backup.source), changes, states


def test_each_is_exact_touches_nothing_else_and_can_be_undone(
    history: tuple[Restore, Changes, list[Tree]],
) -> None:
    restore, changes, states = history
    for number in range(12):
        changes.make(changes.random.choice([0, 1, 10, 40]))
        copies_and_twins(changes)
        which = changes.random.randrange(len(states))
        before, wanted = state_of(restore.target), states[which]
        asked = some_paths(wanted, before, changes.random, 3) if number % 2 else []
        words = [*restore.command(number=str(which), clock_skew="0")]
        words += [word for path in asked for word in ("--path", f"/{path}")]
        done = run_engine(*words)
        print(f"restore {number} of daily.{which}, {asked}")
        assert done.returncode == 0, done.stderr
        after = state_of(restore.target)
        assert asked_of(after, asked) == asked_of(wanted, asked)
        assert not asked or others_of(after, asked) == others_of(before, asked)
        if changes.random.random() < 0.7:
            restore.undo()
            assert state_of(restore.target) == before
        forget_restores(restore.target)


def test_killed_at_any_moment_and_undone_with_kills(
    history: tuple[Restore, Changes, list[Tree]],
) -> None:
    """The restore, a backup beside it, and the undoing get SIGKILL at random moments."""
    restore, changes, states = history
    for number in range(3):
        changes.make(40)
        copies_and_twins(changes)
        which = changes.random.randrange(len(states))
        before = state_of(restore.target)
        command = restore.command(number=str(which), result=None)
        was_early = [
            killed(command, restore.target, changes.random.uniform(0.1, 0.8))
            for _ in range(changes.random.randrange(1, 3))
        ]
        print(f"round {number}, daily.{which}")
        outcome = restore.run(number=str(which))
        assert outcome.exit_code == 0, outcome.stderr
        assert state_of(restore.target) == states[which]
        for _ in range(3):
            undo_killed(restore, changes.random)
        restore.undo()
        undone = state_of(restore.target)
        if any(was_early):
            undone[b"."] = before[b"."]
        assert undone == before
        forget_restores(restore.target)


def undo_killed(restore: Restore, source: random.Random) -> None:
    """Begin to undo the last restore that is not undone, and kill that."""
    scripts = sorted(
        restore.target.glob(".efs-restore-*.undo/undo"), key=lambda p: p.stat().st_mtime_ns
    )
    for script in reversed(scripts):
        if not script.with_name("undone").exists():
            process = subprocess.Popen(["python3", str(script)], stdout=-3, stderr=-3)
            time.sleep(source.uniform(0.02, 0.12))
            end_tree(process)
            process.wait()
            return


def test_backups_that_publish_and_expire_meanwhile(
    history: tuple[Restore, Changes, list[Tree]],
) -> None:
    """The snapshot that is restored is renumbered, and leaves, while runs follow each other."""
    restore, _, states = history
    elsewhere = restore.backup.home / "elsewhere"
    other = restore.backup.command(retain="2", result=None, log_dir=None)
    for which in (3, 1):
        elsewhere.mkdir()
        backups = subprocess.Popen(
            ["bash", "-c", 'for _ in 1 2 3; do "$@" || exit; done', "bash", *other],
            stderr=subprocess.DEVNULL,
        )
        wanted = states[which]
        outcome = Restore(restore.backup, elsewhere).run(number=str(which))
        assert backups.wait() == 0
        if outcome.exit_code:
            assert outcome.result["cause"] in ("snapshot", "expired"), outcome.stderr
            assert state_of(elsewhere).keys() <= {b"."}
        else:
            named = outcome.result["snapshot_name"], outcome.result["snapshot_date"]
            possible = [*states, state_of(restore.backup.source)]
            assert state_of(elsewhere) in possible, f"{named} is none of the states"
        shutil.rmtree(elsewhere)
        states[:] = [state_of(restore.backup.source)] * 2 + [wanted] * 2
        for _ in range(2):
            restore.backup.must_publish(retain="4")
