"""What backups and restores cost in NFS round trips, counted by the client: the budgets."""

from __future__ import annotations

from collections import Counter

import pytest

from local.tree import Tree, part
from tests.nfs.conftest import RESTORE, Machine
from tests.nfs.rig import parse_mountstats

FILES = 10_000
LOST = "0/7"  # a directory of 45 files
SOME = 100  # attributes are asked for again after some seconds; the tree has 227 directories
ONCE = 150  # for mounting, the lock, records and catalogs, …, however many files there are


def rpcs(rig: Machine) -> int:
    """All that both mounts sent since they were mounted."""
    return total(rig.rpcs())


def total(counts: dict[str, Counter[str]]) -> int:
    """Of both mounts; shown when the test fails."""
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
    """The round trips when nothing changed: three calls for a directory in each tree."""
    history.backup(retain=3)
    return rpcs(history)


def test_when_nothing_changed(unchanged: int) -> None:
    """Nine for each of 227 directories, and what comes once."""
    assert unchanged <= 0.22 * FILES


def test_removing_a_snapshot(history: Machine, unchanged: int) -> None:
    """Of the two that one snapshot fewer to keep sets free, one becomes the spare."""
    history.backup(retain=2)
    assert (rpcs(history) - unchanged) / FILES <= 1.1


def test_when_two_percent_changed(history: Machine) -> None:
    """Of each that changed, three calls are for the catalog. Some versions of rsync, as 3.4, open
    and close something more for each."""
    history.python("many.py", "change", "/srv/source", 2, 1)
    history.backup(retain=2)
    changed = FILES * 2 // 100
    assert rpcs(history) <= 0.57 * FILES + 2 * changed


def test_first_backup_costs_no_more_than_fpsync(rig: Machine) -> None:
    rig.python("many.py", "make", "/srv/source", 1000)
    rig.run("bash /usr/bin/fpsync -n 8 -o '-lptgoD --numeric-ids' /mnt/source /mnt/backup/fpsync")
    fpsync = rpcs(rig)
    rig.backup()
    assert rpcs(rig) <= fpsync + ONCE


def restored(rig: Machine, path: str = "/") -> int:
    """The round trips of a restore, into a mount that may be written to."""
    rig.remount()
    done = rig.run(
        "umount /mnt/source && mount -t efs -o tls,iam fs-source:/ /mnt/source\n"
        f"{RESTORE} --backup /mnt/backup --number 0 --target /mnt/source --path {path} >&2\n"
        "cat /proc/self/mountstats",
        timeout=250,
    )
    return total(parse_mountstats(done.stdout))


def entries(rig: Machine, path: str) -> Tree:
    """Without what restores keep there."""
    return part(rig.tree(path), lambda name: not name.startswith(b".efs-restore-"))


@pytest.fixture(scope="module")
def saved(history: Machine) -> Machine:
    """A snapshot of a mount, and the day after: what changes from now on is newer than its run."""
    history.backup(retain=2)
    history.run("date --set '1 day'")
    return history


def test_a_restore_when_nothing_differs(saved: Machine) -> None:
    assert restored(saved) / FILES <= 0.16


def test_a_restore_of_one_percent(saved: Machine) -> None:
    saved.python("many.py", "damage", "/srv/source", 1, 1)
    assert entries(saved, "/srv/source") != entries(saved, "/srv/backup/files/daily.0")
    assert restored(saved) / FILES <= 0.45
    assert entries(saved, "/srv/source") == entries(saved, "/srv/backup/files/daily.0")


@pytest.fixture(scope="module")
def one_of_many(saved: Machine) -> int:
    """The round trips to restore one directory of the large tree."""
    saved.run(f"rm -r /srv/source/{LOST}")
    return restored(saved, f"/{LOST}")


def test_a_restore_of_one_directory_or_all_of_a_small_tree(one_of_many: int, rig: Machine) -> None:
    """One directory costs no more in a large tree; all costs no more than other tools take."""
    rig.python("many.py", "make", "/srv/source", 1000)
    rig.backup()
    rig.run(f"date --set '1 day'; rm -r /srv/source/{LOST}")
    assert one_of_many <= restored(rig, f"/{LOST}") + SOME
    rig.run("rm -r /srv/source/* /srv/source/.efs-restore-*")
    assert restored(rig) <= 14.5 * 1000 + ONCE
    assert entries(rig, "/srv/source") == entries(rig, "/srv/backup/files/daily.0")
