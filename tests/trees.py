"""The parts of trees that restores are about."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Sequence

from local.tree import Tree, part


def visible(tree: Tree) -> Tree:
    """A tree without the safety directories."""
    return part(tree, lambda path: b".efs-restore-" not in path)


def is_asked(path: bytes, asked: Iterable[str]) -> bool:
    return any(path == top or path.startswith(top + b"/") for top in map(os.fsencode, asked))


def asked_of(tree: Tree, asked: Sequence[str]) -> Tree:
    """What is at and below some paths; all, if there are none."""
    return part(tree, lambda path: not asked or is_asked(path, asked))


def others_of(tree: Tree, asked: Sequence[str]) -> Tree:
    return part(tree, lambda path: not is_asked(path, asked))


def some_paths(wanted: Tree, now: Tree, chance: random.Random, count: int) -> list[str]:
    """A few, none inside another, that a command line can say, and to which both trees have a way
    of directories."""

    def has_way(path: str) -> bool:
        parts = os.fsencode(path).split(b"/")[:-1]
        ways = [b"/".join(parts[: depth + 1]) for depth in range(len(parts))]
        return all(way in now and now[way].mode.startswith("d") for way in ways)

    paths = [os.fsdecode(path) for path in sorted(wanted) if path != b"."]
    usable = [path for path in paths if path.isprintable() and has_way(path)]
    chosen: list[str] = []
    for path in chance.sample(usable, min(count, len(usable))):
        top, tops = os.fsencode(path), map(os.fsencode, chosen)
        if not is_asked(top, chosen) and not any(is_asked(one, [path]) for one in tops):
            chosen.append(path)
    return chosen
