"""Over NFS too, no snapshot ever changes again: not by later runs, and not by runs that die."""

from __future__ import annotations

import random
import sys

from tests.nfs.conftest import BACKUP, Machine, Tree

CHANGES = "python3 -B /project/tests/changes.py /srv/source"
MOUNTS = "--source /mnt/source --backup /mnt/backup"


def seeded() -> random.Random:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}", file=sys.stderr)
    return random.Random(seed)


def change(rig: Machine, source: random.Random, count: int) -> Tree:
    rig.run(f"{CHANGES} {source.randrange(2**32)} {count}; touch /srv/source/never-empty")
    return rig.tree("/srv/source")


def test_thirty_runs_of_random_changes(rig: Machine) -> None:
    source = seeded()
    states: list[Tree] = []
    for number in range(30):
        print(f"run {number}", file=sys.stderr)
        count = 60 if number == 0 else source.choice([0, 1, 5, 20])
        states = [change(rig, source, count), *states][:3]
        rig.backup(retain=3)
        assert [rig.snapshot(n) for n in range(len(states))] == states


def test_killed_at_any_moment(rig: Machine) -> None:
    source = seeded()
    change(rig, source, 300)
    rig.backup()
    for number in range(8):
        print(f"run {number}", file=sys.stderr)
        newest = rig.snapshot(0)
        for _ in range(source.randrange(1, 3)):
            change(rig, source, source.choice([0, 3, 30]))
            seconds = source.uniform(0.3, 1.5)
            rig.run(
                f"{BACKUP} {MOUNTS} --retain 9 & sleep {seconds}\nkill -9 -1 || true", timeout=60
            )
            rig.remount()
        published = [rig.snapshot(n) for n in range(3) if snapshot_exists(rig, n)]
        assert newest in published, "a published snapshot changed"
        wanted = rig.tree("/srv/source")
        rig.backup(retain=9)
        assert rig.snapshot(0) == wanted
        assert newest in [rig.snapshot(n) for n in range(4) if snapshot_exists(rig, n)]


def snapshot_exists(rig: Machine, number: int) -> bool:
    return rig.run(f"test -d /srv/backup/files/daily.{number}", check=False).code == 0
