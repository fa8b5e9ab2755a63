"""When the snapshot that expired last is worth making the next one of."""

from __future__ import annotations

import pytest
from engine.snapshots.about import Note
from engine.snapshots.spare import is_spare_cheaper

from local.tree import read_tree

from .conftest import Backup

EMPTY = "linking into an empty stage"


def run(changes: int, differed: int = 0) -> Note:
    return Note(started=1, files=1000, changes=changes, differed=differed)


@pytest.mark.parametrize(
    ("runs", "cheaper"),
    [
        pytest.param([run(20)] * 31, True, id="two percent, never used before"),
        pytest.param([run(20, 600)] * 31, True, id="about half differed"),
        pytest.param([run(300, 690)] * 3, True, id="just below the limit"),
        pytest.param([run(300, 800)] * 3, False, id="most of it differed"),
        pytest.param([run(300, 300)] * 31, True, id="the same files each time"),
        pytest.param([run(10, 900)] * 3, True, id="it has become quiet"),
        pytest.param([Note(0), run(5, 900)], True, id="nothing is known"),
    ],
)
def test_which_is_cheaper(runs: list[Note], cheaper: bool) -> None:
    assert is_spare_cheaper(runs) is cheaper


def rewrite(backup: Backup, numbers: range, text: str) -> None:
    for number in numbers:
        (backup.source / f"f{number}").write_text(text)


@pytest.mark.parametrize(
    ("step", "begins_empty"),
    [
        pytest.param(5, True, id="others each time"),
        pytest.param(0, False, id="the same each time"),
    ],
)
def test_it_is_used_only_while_it_is_cheaper(backup: Backup, step: int, begins_empty: bool) -> None:
    rewrite(backup, range(10), "first")
    trees = []
    for number in range(6):
        begin = number * step % 10
        rewrite(backup, range(begin, begin + 5), f"{number}: rewritten")
        trees.append(read_tree(backup.source))
        last = backup.must_publish(retain="2")
        assert read_tree(backup.snapshot(0)) == trees[-1]
        if number:
            assert read_tree(backup.snapshot(1)) == trees[-2]
    assert (EMPTY in last.stderr) is begins_empty
    assert (backup.target / backup.label / ".daily.spare").is_dir()
