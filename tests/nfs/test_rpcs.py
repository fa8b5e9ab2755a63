"""What a backup costs in NFS round trips, counted by the client's kernel: the budgets."""

from __future__ import annotations

import pytest

from tests.nfs.conftest import Machine

FILES = 10_000
ONCE = 100  # for the lock, the records beside the snapshots, …, however many files there are


def rpcs(rig: Machine) -> int:
    """All that both mounts sent since they were mounted; shown when the test fails."""
    counts = rig.rpcs()
    for name, operations in counts.items():
        print(f"{name}: {operations.total()} {dict(operations.most_common(12))}")
    return sum(operations.total() for operations in counts.values())


@pytest.fixture(scope="module")
def history(booted: Machine) -> Machine:
    """10,000 files, 45 in a directory; three snapshots and, from a fourth, the spare.

    Made without NFS, which is quicker. The tests below each continue it.
    """
    booted.fresh()
    booted.python("many.py", "make", "/srv/source", FILES)
    for _ in range(4):
        booted.backup(retain=3, over="/srv")
    return booted


@pytest.fixture(scope="module")
def unchanged(history: Machine) -> int:
    """The round trips when nothing changed: at most three calls for a directory in each tree."""
    history.backup(retain=3)
    return rpcs(history)


def test_when_nothing_changed(unchanged: int) -> None:
    assert unchanged / FILES <= 0.22


def test_removing_a_snapshot(history: Machine, unchanged: int) -> None:
    """Of the two that one snapshot fewer to keep sets free, one becomes the spare."""
    history.backup(retain=2)
    assert (rpcs(history) - unchanged) / FILES <= 1.1


def test_when_two_percent_changed(history: Machine) -> None:
    history.python("many.py", "change", "/srv/source", 2, 1)
    history.backup(retain=2)
    assert rpcs(history) / FILES <= 0.5


def test_first_backup_costs_no_more_than_fpsync(rig: Machine) -> None:
    rig.python("many.py", "make", "/srv/source", 1000)
    rig.run("bash /usr/bin/fpsync -n 8 -o '-lptgoD --numeric-ids' /mnt/source /mnt/backup/fpsync")
    fpsync = rpcs(rig)
    rig.backup()
    assert rpcs(rig) <= fpsync + ONCE
