"""Which snapshot is which, by what is in them: in a copy of a backup all inodes are others.

Witnesses tell: paths at which a snapshot differs from the one before it. See docs/adr/0011.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from engine.snapshots.about import About, Witness, inode_of
from engine.tree.descent import PLACE_FLAGS, stat_of

WITNESSES = 3
CANDIDATES = 50  # changed paths among which witnesses are looked for
LONGEST_PATH = 4096  # of a witness, in characters


def witnesses(tree: Path, before: Path | None, changed: Iterable[str]) -> list[Witness]:
    """A few of the paths ``changed`` at which ``tree`` visibly differs from ``before``."""
    with contextlib.ExitStack() as stack:
        top = stack.enter_context(opened_tree(tree))
        top_before = stack.enter_context(opened_tree(before)) if before else None
        differing = (
            there
            for path in itertools.islice(changed, CANDIDATES)
            if len(path) <= LONGEST_PATH
            for there in [witness(top, path)]
            if top_before is None or there != witness(top_before, path)
        )
        return [*itertools.islice(differing, WITNESSES)]


@contextlib.contextmanager
def opened_tree(tree: Path) -> Iterator[int]:
    top = os.open(tree, PLACE_FLAGS | os.O_DIRECTORY)
    try:
        yield top
    finally:
        os.close(top)


def witness(top: int, path: str) -> Witness:
    try:
        info = stat_of(top, path)
    except (FileNotFoundError, NotADirectoryError):
        return Witness(path)
    return Witness(path, info.st_mode, info.st_size, info.st_mtime_ns, info.st_uid, info.st_gid)


def holds(tree: Path, expected: Sequence[Witness]) -> bool:
    """Whether ``tree`` has what all of its witnesses say."""
    if not expected:
        return True
    try:
        with opened_tree(tree) as top:
            return all(witness(top, each.path).is_like(each) for each in expected)
    except OSError:
        return False


class Alike(NamedTuple):
    """Snapshots, newest first, of which all hold the same witnesses."""

    witnesses: list[Witness]
    abouts: list[About]

    def of(self, trees: Sequence[Path]) -> list[About]:
        """What is known of which of ``trees``, which hold the witnesses; both newest first, and the
        trees may be fewer. Nothing if the snapshots differ in what no witness shows: their names
        do not prove which is which, as people rename them."""
        are_same = all(about.witnesses == self.witnesses for about in self.abouts)
        if not are_same or len(trees) > len(self.abouts):
            return []
        return [replace(about, inode=inode_of(tree)) for tree, about in zip(trees, self.abouts)]


def recognised(trees: Sequence[Path], abouts: Sequence[About]) -> list[About]:
    """What is known of which tree, by what is in them; both newest first.

    A tree is a snapshot if it holds its witnesses and not those of the next one. A snapshot that
    has none shows no difference to the one before it, as only the content is another: then neither
    is known. Where there are more trees than snapshots that they can be, nothing is claimed,
    either: some are others.
    """
    groups: list[Alike] = []  # oldest first
    for about in reversed(abouts):
        if groups and about.witnesses in ([], groups[-1].witnesses):
            groups[-1].abouts.insert(0, about)
        elif about.witnesses:
            groups.append(Alike(about.witnesses, [about]))
    fits = [_fitting(tree, groups) for tree in trees]
    claimed_by = claims(fits, [len(group.abouts) for group in groups])
    claimed = (
        [tree for tree, group in zip(trees, claimed_by) if group == n] for n in range(len(groups))
    )
    return [about for group, those in zip(groups, claimed) for about in group.of(those)]


def _fitting(tree: Path, groups: Sequence[Alike]) -> set[int]:
    held = [holds(tree, group.witnesses) for group in groups]
    return {
        number
        for number, is_held in enumerate(held)
        if is_held and True not in held[number + 1 : number + 2]
    }


def claims(fits: Sequence[set[int]], sizes: Sequence[int]) -> list[int | None]:
    """The one group that each tree fits. What fits several is none of those of which each has a
    tree already that is nothing else."""
    left = [*fits]
    while True:
        certain = Counter(group for groups in left if len(groups) == 1 for group in groups)
        full = {group for group, number in certain.items() if number == sizes[group]}
        fewer = [groups - full if len(groups) > 1 else groups for groups in left]
        if fewer == left:
            return [min(groups) if len(groups) == 1 else None for groups in left]
        left = fewer
