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

from tests.changes import Changes

from .conftest import Backup, Tree, end_tree, read_tree
from .engines import run_engine
from .test_history import new_seed
from .test_restore import Restore, killed, visible, visible_groups

Groups = set[frozenset[str]]


class State:
    """A tree to the last attribute, and which of its names are one file."""

    def __init__(self, top: Path) -> None:
        self.tree: Tree = visible(read_tree(top))
        self.groups: Groups = visible_groups(top)

    def differences(self, other: State) -> list[object]:
        """What a failure has to say: each path with both entries, and the groups."""
        paths = sorted(self.tree.keys() | other.tree.keys())
        pairs = [(path, self.tree.get(path), other.tree.get(path)) for path in paths]
        return [pair for pair in pairs if pair[1] != pair[2]] + [*(self.groups ^ other.groups)]

    def inside(self, asked: list[str]) -> tuple[Tree, Groups]:
        groups = (frozenset(n for n in names if is_asked(n, asked)) for names in self.groups)
        return (
            {
                path: entry
                for path, entry in self.tree.items()
                if is_asked(os.fsdecode(path), asked)
            },
            {names for names in groups if len(names) > 1},
        )

    def outside(self, asked: list[str]) -> Tree:
        return {p: e for p, e in self.tree.items() if not is_asked(os.fsdecode(p), asked)}


def is_asked(path: str, asked: list[str]) -> bool:
    return not asked or any(path == one or path.startswith(one + "/") for one in asked)


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


def some_paths(top: Path, source: random.Random) -> list[str]:
    """A few paths of a snapshot, none inside another, that a command line can say."""
    paths = [str(path.relative_to(top)) for path in top.rglob("*")]
    usable = [path for path in paths if "\n" not in path and path.isprintable()]
    chosen: list[str] = []
    for path in source.sample(sorted(usable), min(3, len(usable))):
        if not any(is_asked(path, [one]) or is_asked(one, [path]) for one in chosen):
            chosen.append(path)
    return chosen


def way_fits(top: Path, target: Path, path: str) -> bool:
    """Whether the target has no file or link where the snapshot has a directory above the path."""
    ways = [Path(*Path(path).parts[:depth]) for depth in range(1, len(Path(path).parts))]
    return all((target / way).is_dir() and not (target / way).is_symlink() for way in ways)


def forget_restores(target: Path) -> None:
    times = (target.stat().st_atime_ns, target.stat().st_mtime_ns)
    for path in target.glob(".efs-restore-*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    os.utime(target, ns=times)


@pytest.fixture
def history(backup: Backup) -> tuple[Restore, Changes, list[State]]:
    """Four snapshots of a tree that changed at random, and what the source was at each."""
    changes = Changes(backup.source, new_seed())
    states: list[State] = []
    for count in (80, 10, 10, 10):
        changes.make(count)
        copies_and_twins(changes)
        if not any(backup.source.iterdir()):
            changes.write()
        states.insert(0, State(backup.source))
        backup.must_publish()
    return Restore(backup, backup.source), changes, states


def test_each_is_exact_touches_nothing_else_and_can_be_undone(
    history: tuple[Restore, Changes, list[State]],
) -> None:
    restore, changes, states = history
    for number in range(12):
        changes.make(changes.random.choice([0, 1, 10, 40]))
        copies_and_twins(changes)
        which = changes.random.randrange(len(states))
        snapshot, wanted = restore.backup.snapshot(which), states[which]
        asked = some_paths(snapshot, changes.random) if number % 2 else []
        asked = [path for path in asked if way_fits(snapshot, restore.target, path)]
        before = State(restore.target)
        words = [*restore.command(number=str(which), clock_skew="0")]
        words += [word for path in asked for word in ("--path", f"/{path}")]
        done = run_engine(*words)
        print(f"restore {number} of daily.{which}, {asked}")
        assert done.returncode == 0, done.stderr
        after = State(restore.target)
        assert after.inside(asked) == wanted.inside(asked)
        assert not asked or after.outside(asked) == before.outside(asked)
        if changes.random.random() < 0.7:
            restore.undo()
            undone = State(restore.target)
            assert undone.differences(before) == []
        forget_restores(restore.target)


def test_killed_at_any_moment_and_undone_with_kills(
    history: tuple[Restore, Changes, list[State]],
) -> None:
    """The restore, a backup beside it, and the undoing get SIGKILL at random moments."""
    restore, changes, states = history
    for number in range(3):
        changes.make(40)
        copies_and_twins(changes)
        which = changes.random.randrange(len(states))
        before = State(restore.target)
        command = restore.command(number=str(which), result=None)
        was_early = [
            killed(command, restore.target, changes.random.uniform(0.1, 0.8))
            for _ in range(changes.random.randrange(1, 3))
        ]
        print(f"round {number}, daily.{which}")
        outcome = restore.run(number=str(which))
        assert outcome.exit_code == 0, outcome.stderr
        after = State(restore.target)
        assert after.differences(states[which]) == []
        for _ in range(3):
            undo_killed(restore, changes.random)
        restore.undo()
        undone = State(restore.target)
        if any(was_early):
            undone.tree[b"."] = before.tree[b"."]
        assert undone.differences(before) == []
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
    history: tuple[Restore, Changes, list[State]],
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
            assert visible(read_tree(elsewhere)).keys() <= {b"."}
        else:
            named = outcome.result["snapshot_name"], outcome.result["snapshot_date"]
            after = State(elsewhere)
            is_one = [state.tree == after.tree and state.groups == after.groups for state in states]
            now = State(restore.backup.source)
            assert any(is_one) or after.tree == now.tree, f"{named} is none of the states"
        shutil.rmtree(elsewhere)
        states[:] = [State(restore.backup.source)] * 2 + [wanted] * 2
        for _ in range(2):
            restore.backup.must_publish(retain="4")
