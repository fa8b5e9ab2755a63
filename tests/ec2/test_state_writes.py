"""The process killed, the disk full or the power cut at each write of what is known."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from local.tree import read_tree

from .conftest import Backup
from .test_catalogs import really_in, told_by

# Parts of names, and how many files of such a name one run makes.
WRITES = [
    (".daily.origin", 1),
    (".daily.about", 2),
    (".daily.notes", 1),
    (".daily.digests", 1),
    (".daily.sharing", 1),
    (".daily.suspects", 1),
    (".daily.catalog", 1),
    (".daily.changes", 2),
    (".daily.snapshots", 1),
]
AFTERWARDS = tuple(part for part, _ in WRITES[-4:])  # the snapshot is published by then
CASES = [(part, skip) for part, count in WRITES for skip in range(count)]


def change(backup: Backup, text: str) -> None:
    (backup.source / "changing").write_text(text)
    for name in ("one", "other"):
        (backup.source / name).unlink(missing_ok=True)
    (backup.source / "one").write_text(text)
    os.link(backup.source / "one", backup.source / "other")


@pytest.mark.parametrize("number", [0, errno.ENOSPC])
@pytest.mark.parametrize(("part", "skip"), CASES)
def test_a_write_that_fails_costs_a_run_at_most(
    backup: Backup, faults: str, part: str, skip: int, number: int
) -> None:
    change(backup, "first")
    backup.must_publish()
    if part == ".daily.origin":
        (backup.target / backup.label / part).unlink()
    first = read_tree(backup.snapshot(0))
    change(backup, "second")
    prefix = ["env", f"LD_PRELOAD={faults}", f"FAULT_STATE={part}", f"FAULT_SKIP={skip}"]
    done = backup.run([*prefix, f"FAULT_ERRNO={number}"], verify_percent="100")
    if number == 0:
        assert done.exit_code == -9, "nothing of that name was made"
    elif done.exit_code == 0:
        assert part in AFTERWARDS
        assert "No space left" in done.result["warnings"][0]
    else:
        assert "No space left" in str(done.result), done.stderr
    published = [*backup.trees().values()]
    assert published[-1] == first
    change(backup, "third")
    backup.must_publish()
    assert read_tree(backup.snapshot(0)) == read_tree(backup.source)
    assert [backup.verify(number).exit_code for number in range(len(published))] == [0] * len(
        published
    )
    assert [read_tree(backup.snapshot(n + 1)) for n in range(len(published))] == published
    assert backup.hidden() == []
    for name in backup.names():
        snapshot = backup.target / backup.label / name
        assert told_by(backup.list_of(snapshot, "catalog")) == really_in(snapshot)


def test_nothing_is_renamed_before_it_is_on_storage(backup: Backup, faults: str) -> None:
    """But the lists: all of the file system is synced between these and publishing."""
    told = backup.home / "told"
    prefix = ["env", f"LD_PRELOAD={faults}", f"FAULT_SYNC={told}"]
    for text in ("first", "second"):
        change(backup, text)
        done = backup.run(prefix, verify_percent="100")
        assert done.exit_code == 0, done.stderr
    names = [
        Path(line).name for line in told.read_text().splitlines() if str(backup.target) in line
    ]
    assert names, "nothing was watched"
    lists = (".daily.digests", ".daily.sharing", ".daily.directories")
    assert [name for name in names if not name.startswith(lists)] == []
