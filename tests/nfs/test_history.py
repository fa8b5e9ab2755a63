"""Over NFS too, no snapshot ever changes again: not by later runs, and not by runs that die."""

from __future__ import annotations

import random
import sys

from local.tree import Tree, parse
from tests.changes import new_seed
from tests.nfs.conftest import BACKUP, READ_TREES, Machine

CHANGES = "python3 -B /project/tests/changes.py /srv/source"
MOUNTS = "--source /mnt/source --backup /mnt/backup"
MOST_NEW = 3  # snapshots in a round: two runs that are killed after they publish, and the last


def change(rig: Machine, source: random.Random, count: int) -> Tree:
    done = rig.run(
        f"{CHANGES} {source.randrange(2**32)} {count}; touch /srv/source/never-empty\n"
        f"{READ_TREES} /srv/source"
    )
    return parse(done.stdout)


def test_thirty_runs_of_random_changes(rig: Machine) -> None:
    source = random.Random(new_seed())
    states: list[Tree] = []
    for number in range(30):
        print(f"run {number}", file=sys.stderr)
        count = 60 if number == 0 else source.choice([0, 1, 5, 20])
        states = [change(rig, source, count), *states][:3]
        rig.backup(retain=3)
        assert rig.snapshots() == states


def test_killed_at_any_moment(rig: Machine) -> None:
    source = random.Random(new_seed())
    change(rig, source, 300)
    rig.backup()
    for number in range(8):
        print(f"run {number}", file=sys.stderr)
        before = rig.snapshots()
        for _ in range(source.randrange(1, 3)):
            wanted = change(rig, source, source.choice([0, 3, 30]))
            seconds = source.uniform(0.1, 0.8)
            rig.run(
                f"{BACKUP} {MOUNTS} --retain 9 & sleep {seconds}\nkill -9 -1 || true", timeout=60
            )
            rig.remount()
        rig.backup(retain=9)
        after = rig.snapshots()
        assert after[0] == wanted
        kept = before[: 9 - MOST_NEW]
        assert any(after[n : n + len(kept)] == kept for n in range(MOST_NEW + 1)), "one changed"
