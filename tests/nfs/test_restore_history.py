"""Over NFS too, a restore is exact, touches nothing else and can be undone; killed or not."""

from __future__ import annotations

import os
import random
import shlex
from collections.abc import Iterable

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


def killed(rig: Machine, command: str, seconds: float) -> bool:
    """Whether that was before the restore had a journal: then the time of the directory above may
    be that of the moment in which it made its lock or its directory."""
    rig.run(f"{MOUNT}({command}) & sleep {seconds:.2f}\nkill -9 -1 || true")
    return rig.run("ls /srv/source/.efs-restore-*.undo/journal", check=False).code != 0


def but_for_times(tree: Tree, paths: Iterable[bytes]) -> Tree:
    return {p: e._replace(mtime_ns=0) if p in paths else e for p, e in tree.items()}


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
        was_early = killed(rig, restore, chance.uniform(0.1, 0.9))
        after = tree_after(rig, restore)
        assert asked_of(after, asked) == asked_of(states[which], asked)
        # To the second restore, the times that the first one left are those that were there.
        above = {os.path.dirname(path) or b"." for path in map(os.fsencode, asked)}
        were, are = (but_for_times(others_of(tree, asked), above) for tree in (before, after))
        assert not asked or are == were
        killed(rig, UNDO, chance.uniform(0.05, 0.5))
        undone = tree_after(rig, UNDO)
        if was_early:
            undone[b"."] = before[b"."]
        assert undone == before
        rig.run("rm -rf /srv/source/.efs-restore-*")
