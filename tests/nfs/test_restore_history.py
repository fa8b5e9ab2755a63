"""Over NFS too, a restore is exact, touches nothing else and can be undone; killed or not."""

from __future__ import annotations

import random
import shlex

from local.tree import Tree, parse
from tests.changes import new_seed
from tests.nfs.conftest import READ_TREES, RESTORE, Machine
from tests.nfs.test_history import change
from tests.trees import asked_of, others_of, some_paths, visible

MOUNT = "mkdir -p /mnt/target; mount -t efs -o tls,iam fs-source:/ /mnt/target\n"
TREE = f"umount /mnt/target; {READ_TREES} /srv/source"
UNDO = (
    "for script in $(ls -td /mnt/target/.efs-restore-*.undo/undo); do\n"
    "  test -e ${script%/undo}/undone || python3 $script --yes >&2\n"
    "done\n"
)


def killed(rig: Machine, command: str, seconds: float) -> None:
    rig.run(f"{MOUNT}({command}) & sleep {seconds:.2f}\nkill -9 -1 || true")


def tree_after(rig: Machine, command: str) -> Tree:
    return visible(parse(rig.run(f"{MOUNT}{command} >&2\n{TREE}").stdout))


def test_exact_and_undone_whenever_it_is_killed(rig: Machine) -> None:
    chance = random.Random(new_seed())
    states: list[Tree] = []
    for count in (80, 20):
        states.insert(0, change(rig, chance, count))
        rig.backup()
    for number in range(3):
        before = change(rig, chance, 40)
        which = chance.randrange(len(states))
        asked = some_paths(states[which], before, chance, 2) if number % 2 else []
        print(f"round {number}: daily.{which}, {asked}")
        words = "".join(f" --path {shlex.quote('/' + path)}" for path in asked)
        restore = f"{RESTORE} --backup /mnt/backup --target /mnt/target --number {which}{words}"
        killed(rig, restore, chance.uniform(0.3, 2))
        after = tree_after(rig, restore)
        assert asked_of(after, asked) == asked_of(states[which], asked)
        assert not asked or others_of(after, asked) == others_of(before, asked)
        killed(rig, UNDO, chance.uniform(0.1, 1))
        assert tree_after(rig, UNDO) == before
        rig.run("rm -rf /srv/source/.efs-restore-*")
