"""Over NFS too, a restore is exact, touches nothing else and can be undone; killed or not."""

from __future__ import annotations

import json
import random
import shlex
import stat
from collections.abc import Callable

from tests.nfs.conftest import GUEST, RESTORE, Machine, Tree
from tests.nfs.test_history import change, seeded

MOUNT = "mkdir -p /mnt/target; mount -t efs -o tls,iam fs-source:/ /mnt/target\n"
TREE = f"umount /mnt/target; python3 -B {GUEST}/tree.py /srv/source"
UNDO = (
    "for script in $(ls -td /mnt/target/.efs-restore-*.undo/undo); do\n"
    "  test -e ${script%/undo}/undone || python3 $script --yes >&2\n"
    "done\n"
)


def part(tree: Tree, is_in: Callable[[str], bool]) -> Tree:
    """What of a tree is in it; of the names of an inode, the first that is."""
    first: dict[str, str] = {}
    names = sorted(name for name in tree if is_in(name))
    return {name: [*tree[name][:-1], first.setdefault(str(tree[name][-1]), name)] for name in names}


def is_visible(name: str) -> bool:
    return not name.startswith(".efs-restore-")


def is_asked(name: str, asked: list[str]) -> bool:
    return not asked or any(name == one or name.startswith(f"{one}/") for one in asked)


def some_paths(wanted: Tree, now: Tree, chance: random.Random) -> list[str]:
    """One path, or two that are apart, to which both trees have a way of directories."""

    def has_way(name: str) -> bool:
        parts = name.split("/")[:-1]
        ways = ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
        return all(way in now and stat.S_ISDIR(int(now[way][0], 8)) for way in ways)

    usable = [n for n in sorted(wanted) if n != "." and n.isprintable() and has_way(n)]
    chosen: list[str] = []
    for path in chance.sample(usable, min(2, len(usable))):
        if not any(is_asked(path, [one]) or is_asked(one, [path]) for one in chosen):
            chosen.append(path)
    return chosen


def killed(rig: Machine, command: str, seconds: float) -> None:
    rig.run(f"{MOUNT}({command}) & sleep {seconds:.2f}\nkill -9 -1 || true")


def tree_after(rig: Machine, command: str) -> Tree:
    tree: Tree = json.loads(rig.run(f"{MOUNT}{command} >&2\n{TREE}").stdout)
    return tree


def test_exact_and_undone_whenever_it_is_killed(rig: Machine) -> None:
    chance = seeded()
    states: list[Tree] = []
    for count in (80, 20):
        states.insert(0, change(rig, chance, count))
        rig.backup()
    for number in range(3):
        before = change(rig, chance, 40)
        which = chance.randrange(len(states))
        asked = some_paths(states[which], before, chance) if number % 2 else []
        print(f"round {number}: daily.{which}, {asked}")
        words = "".join(f" --path {shlex.quote('/' + path)}" for path in asked)
        restore = f"{RESTORE} --backup /mnt/backup --target /mnt/target --number {which}{words}"
        killed(rig, restore, chance.uniform(0.3, 2))
        after = tree_after(rig, restore)

        def inside(name: str, asked: list[str] = asked) -> bool:
            return is_visible(name) and is_asked(name, asked)

        def outside(name: str, asked: list[str] = asked) -> bool:
            return is_visible(name) and not is_asked(name, asked)

        assert part(after, inside) == part(states[which], inside)
        if asked:
            assert part(after, outside) == part(before, outside)
        killed(rig, UNDO, chance.uniform(0.1, 1))
        undone = tree_after(rig, UNDO)
        assert part(undone, is_visible) == part(before, is_visible)
        rig.run("rm -rf /srv/source/.efs-restore-*")
