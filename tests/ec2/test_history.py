"""Many runs over a tree that changes at random: no snapshot ever changes again.

The trees and changes are generated; a failure prints the seed that makes them again.
"""

from __future__ import annotations

import gzip
import os
import random
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from engine.copying.digests import RECORDS_IN_MEMORY

from local.tree import Tree, part, read_tree, without
from tests.changes import Changes, new_seed
from tests.trees import others_of

from .conftest import DAMAGES, LEVELS, Backup, check_digests, end_tree, inside

# Root reads everything, unless it is without these.
AS_A_USER = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
UNPRIVILEGED = [] if os.geteuid() else AS_A_USER
LARGE = 2 * RECORDS_IN_MEMORY  # the most that any part of the engine has there


def check_history(backup: Backup, states: list[Tree]) -> None:
    assert backup.names() == [f"daily.{number}" for number in range(len(states))]
    for number, state in enumerate(states):
        assert read_tree(backup.snapshot(number)) == state, f"daily.{number} changed"


@pytest.mark.parametrize("retain", [1, 3, 7])
def test_no_snapshot_ever_changes(backup: Backup, retain: int) -> None:
    changes = Changes(backup.source, new_seed())
    changes.make(60)
    states: list[Tree] = []
    for number in range(30):
        print(f"run {number}", file=sys.stderr)
        changes.make(changes.random.choice([0, 1, 5, 20]))
        if not any(backup.source.iterdir()):
            changes.write()
        states = [read_tree(backup.source), *states][:retain]
        backup.must_publish(retain=str(retain))
        check_history(backup, states)


def test_killed_and_meddled_with_it_still_tells_the_truth(backup: Backup) -> None:
    """SIGKILL at random moments, and changes of the source, the spare and the stage in between."""
    changes = Changes(backup.source, new_seed())
    changes.make(300)
    backup.must_publish(retain="3")
    for number in range(10):
        print(f"run {number}", file=sys.stderr)
        published = [*backup.trees().values()]
        for _ in range(changes.random.randrange(1, 3)):
            changes.make(changes.random.choice([0, 3, 30]))
            process = backup.start(retain="9", result=None)
            time.sleep(changes.random.uniform(0.05, 0.5))
            end_tree(process)
            process.communicate()
            meddle(backup, changes)
            now = [*backup.trees().values()]
            assert all(tree in now for tree in published), "a published snapshot changed"
        wanted = read_tree(backup.source)
        backup.must_publish(retain="3")
        assert read_tree(backup.snapshot(0)) == wanted
        assert backup.hidden() == []


def test_what_cannot_be_read_costs_nothing_else(backup: Backup) -> None:
    """Some files and directories are closed to the run, others change at the same time."""
    changes = Changes(backup.source, new_seed())
    changes.make(100)
    for path in changes.directories():  # the run must be able to read the snapshot before
        os.chown(path, os.geteuid(), os.getegid())
    backup.must_publish(retain="99")
    for number in range(8):
        print(f"run {number}", file=sys.stderr)
        changes.make(changes.random.choice([0, 5, 20]))
        older = [*backup.trees().values()]
        closed = closed_ones(changes)
        (backup.source / f"open {number}").touch()  # were all closed, that would be a failure
        outcome = backup.run(UNPRIVILEGED, retain="99", max_failed_percent="100")
        assert outcome.result["outcome"] in ("partial", "published"), outcome.stderr
        check_digests(backup.snapshot(0), backup.digests())
        wanted, made, before = (
            read_tree(each) for each in (backup.source, backup.snapshot(0), backup.snapshot(1))
        )
        tops = [str(path.relative_to(backup.source)) for path in closed]
        assert others_of(made, tops) == others_of(wanted, tops)
        new, kept, old = (without("inode", tree) for tree in (wanted, made, before))
        for path in new.keys() | kept.keys():
            assert kept.get(path) in (new.get(path), old.get(path)), path
        assert [*backup.trees().values()][1:] == older
        for path, mode in closed.items():
            path.chmod(mode)
    backup.must_publish(retain="99")
    assert read_tree(backup.snapshot(0)) == read_tree(backup.source)


def closed_ones(changes: Changes) -> dict[Path, int]:
    """Close a few files, with all of their names, and directories; their modes before."""
    found = changes.paths()
    for path in found:
        os.lchown(path, os.geteuid(), os.getegid())  # those of others are closed by themselves
    chosen = changes.random.sample(found, min(3, len(found)))
    inodes = {path.lstat().st_ino for path in chosen if not path.is_symlink()}
    closed = {
        path: stat.S_IMODE(path.lstat().st_mode)
        for path in found
        if path.lstat().st_ino in inodes and not stat.S_ISFIFO(path.lstat().st_mode)
    }
    for path in closed:
        path.chmod(0)
    return closed


def meddle(backup: Backup, changes: Changes) -> None:
    """Remove, make and replace things in what is hidden."""
    for name in (".daily.stage", ".daily.spare"):
        tree = backup.target / backup.label / name
        if tree.is_dir() and changes.random.random() < 0.7:
            hand = Changes(tree, changes.random.randrange(2**32))
            for _ in range(10):
                if any(tree.iterdir()):
                    hand.remove()
                path = hand.new_path()
                changes.random.choice([path.touch, path.mkdir, lambda p=path: p.symlink_to("/")])()


@pytest.mark.parametrize("levels", [12, 30])
def test_moved_damaged_and_renamed_it_still_tells_the_truth(backup: Backup, levels: int) -> None:
    """As above, on long paths, too; the snapshots are copied elsewhere, renamed and removed, and
    what is known of them is damaged. None is said to differ from a list that is another's."""
    chance = random.Random(new_seed())
    moves = [damaged, removed_or_renamed]
    if levels < 13:  # rsync copies no longer paths
        moves.append(copied)
    flat = backup.source / "flat"
    flat.mkdir()
    try:
        for number in range(8):
            print(f"run {number}", file=sys.stderr)
            Changes(flat, chance.randrange(2**32)).make(chance.choice([0, 3, 30]))
            with inside(backup.source, "deep", *LEVELS[: chance.randrange(levels)]):
                Path(f"file {chance.randrange(3)}").write_text(f"{number}")
            if number and chance.random() < 0.3:
                process = backup.start(retain="9", result=None)
                time.sleep(chance.uniform(0.05, 0.5))
                end_tree(process)
                process.communicate()
            before = [*backup.trees().values()]
            for move in chance.sample(moves, min(number, 1)):
                print(move.__name__, file=sys.stderr)
                before = move(backup, before, chance)
            result = backup.run(retain="4")
            assert result.exit_code == 0, result.stderr
            after = [*backup.trees().values()]
            assert after == [read_tree(backup.source), *before][:4]
            assert backup.hidden() == []
            for place in range(len(after)):
                done = backup.verify(place)
                assert done.exit_code == 0 or "list of digests" in done.result["message"]
            assert backup.verify(0).exit_code == 0
    finally:
        subprocess.run(["rm", "-rf", backup.home], check=True)  # too deep for Python


def copied(backup: Backup, before: list[Tree], chance: random.Random) -> list[Tree]:
    other = backup.home / f"backup {chance.randrange(2**32)}"
    subprocess.run(["rsync", "-aH", f"{backup.target}/", f"{other}/"], check=True)
    subprocess.run(["rm", "-rf", backup.target], check=True)
    backup.target = other
    # On long paths, rsync leaves some directories without their time.
    return [*backup.trees().values()]


def damaged(backup: Backup, before: list[Tree], chance: random.Random) -> list[Tree]:
    folder = backup.target / backup.label
    whole = (path for path in folder.glob(".daily.*") if stat.S_ISREG(path.lstat().st_mode))
    files = sorted(whole)
    chosen = chance.sample(files, min(2, len(files)))
    origin = folder / ".daily.origin"
    if chance.random() < 0.3 and origin in files:  # without it nothing is known by its inode
        chosen = [origin]
    for path in chosen:
        DAMAGES[chance.choice([*DAMAGES])](path)
    return before


def removed_or_renamed(backup: Backup, before: list[Tree], chance: random.Random) -> list[Tree]:
    number = chance.randrange(len(before))
    path = backup.snapshot(number)
    if chance.random() < 0.5:
        path.rename(backup.snapshot(len(before)))
        return [*before[:number], *before[number + 1 :], before[number]]
    subprocess.run(["rm", "-rf", path], check=True)
    return [*before[:number], *before[number + 1 :]]


def test_a_change_that_only_the_ctime_tells_is_seen(backup: Backup) -> None:
    path = backup.source / "file"
    path.write_text("old")
    info = path.stat()
    backup.must_publish()
    path.write_text("new")
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
    result = backup.must_publish().result
    assert (result["number_of_files_checked"], result["number_of_files_changed"]) == (1, 1)
    assert (backup.snapshot(0) / "file").read_text() == "new"
    assert (backup.snapshot(1) / "file").read_text() == "old"
    assert backup.must_publish().result["number_of_files_checked"] == 0


def test_one_file_that_became_two_is_two_in_the_snapshot(backup: Backup) -> None:
    one, other = backup.source / "one", backup.source / "other"
    one.write_text("the same")
    os.link(one, other)
    backup.must_publish()
    other.unlink()
    shutil.copy2(one, other)
    backup.must_publish()
    assert not (backup.snapshot(0) / "one").samefile(backup.snapshot(0) / "other")
    assert (backup.snapshot(1) / "one").samefile(backup.snapshot(1) / "other")
    assert read_tree(backup.snapshot(0)) == read_tree(backup.source)
    assert backup.must_publish().result["number_of_files_transferred"] == 0


def test_what_the_clocks_may_differ_by_is_checked_too(backup: Backup) -> None:
    """As if the source's clock were behind: its changes after a run seem to be before it."""
    path = backup.source / "file"
    path.write_text("old")
    backup.must_publish()
    assert backup.must_publish().result["number_of_files_checked"] == 0
    result = backup.must_publish(clock_skew="3600").result
    assert result["number_of_files_checked"] == 1
    assert result["number_of_files_transferred"] == 0
    assert (backup.snapshot(0) / "file").samefile(backup.snapshot(1) / "file")


def test_at_the_link_limit_files_are_copied_and_counted(
    backup: Backup, faults: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_PRELOAD", faults)
    monkeypatch.setenv("FAULT_LINKS", "3")
    for number in range(5):
        (backup.source / f"f{number}").write_text(f"content {number}")
    os.link(backup.source / "f0", backup.source / "f0 too")
    limits = []
    for _ in range(6):
        result = backup.must_publish().result
        limits.append(result["number_of_files_at_link_limit"])
        assert (backup.snapshot(0) / "f0").samefile(backup.snapshot(0) / "f0 too")
    check_history(backup, [read_tree(backup.source)] * 6)
    # Four files have names in three snapshots, then in three others; the fifth has two in each.
    assert limits == [0, 1, 1, 5, 1, 1]


def test_a_large_directory_and_a_deep_one(backup: Backup) -> None:
    large = backup.source / "large"
    large.mkdir()
    for number in range(LARGE):
        (large / f"file {number}").touch()
    deep = backup.source.joinpath(*["d" * 3] * 500)
    deep.mkdir(parents=True)
    (deep / "file").write_text("deep")
    backup.must_publish(retain="1")
    backup.must_publish(retain="1")
    shutil.rmtree(backup.source / ("d" * 3))
    for number in range(0, LARGE, 2):
        (large / f"file {number}").unlink()
    (large / "file 1").write_text("changed")
    result = backup.must_publish(retain="1").result
    assert result["number_of_files_transferred"] == 1
    assert result["number_of_files_removed"] == LARGE / 2 + 1
    assert read_tree(backup.snapshot(0)) == read_tree(backup.source)
    backup.must_publish(retain="1", no_spare="")
    assert sorted(path.name for path in (backup.target / backup.label).glob(".daily.*")) == [
        backup.about(backup.snapshot(0)).name,
        backup.list_of(backup.snapshot(0), "catalog").name,
        backup.list_of(backup.snapshot(0), "changes").name,
        backup.digests().name,
        backup.list_of(backup.snapshot(0), "directories").name,
        ".daily.origin",
        backup.list_of(backup.snapshot(0), "sharing").name,
        ".daily.snapshots",
    ]


def test_the_report_lists_what_changed(backup: Backup) -> None:
    for name in ("kept", "changed", "mode", "removed", "line\nbreak"):
        (backup.source / name).write_text("four")
    (backup.source / "tree").mkdir()
    (backup.source / "tree" / "leaf").write_text("12345")
    backup.must_publish()
    (backup.source / "changed").write_text("longer")
    (backup.source / "mode").chmod(0o600)
    (backup.source / "removed").unlink()
    shutil.rmtree(backup.source / "tree")
    (backup.source / "tree").write_text("now a file")
    result = backup.must_publish().result
    with gzip.open(backup.logs / "changes.txt.gz", "rt") as report:
        assert sorted(report.read().splitlines()) == [
            "added\t10\ttree",
            "changed\t6\tchanged",
            "metadata\t4\tmode",
            "removed\t4\tremoved",
            "removed\t5\ttree/leaf",
        ]
    names = ("added", "changed", "with_new_metadata", "removed")
    assert [result[f"number_of_files_{name}"] for name in names] == [1, 1, 1, 2]
    assert [result[f"size_{name}"] for name in names] == [10, 6, 4, 9]


def test_a_spare_that_was_replaced_by_a_link_is_not_followed(backup: Backup) -> None:
    (backup.source / "d").mkdir()
    (backup.source / "d" / "f").write_text("f")
    for _ in range(3):
        backup.must_publish(retain="1")
    outside = backup.home / "outside"
    outside.mkdir()
    (outside / "precious").write_text("precious")
    spare = backup.target / backup.label / ".daily.spare"
    shutil.rmtree(spare / "d")
    (spare / "d").symlink_to(outside)
    backup.must_publish(retain="1")
    assert (outside / "precious").read_text() == "precious"
    assert os.listdir(outside) == ["precious"]
    assert read_tree(backup.snapshot(0)) == read_tree(backup.source)


def test_restores_leftovers_are_left_out_with_a_warning(backup: Backup) -> None:
    """Only what a restore makes: by the one who runs it, at the top. A name alone hides nothing."""
    for name in (".efs-restore-1", "d/.efs-restore-1", ".efs-restore-2"):
        (backup.source / name).mkdir(parents=True)
        (backup.source / name / "f").write_text("f")
    if os.geteuid() == 0:
        os.chown(backup.source / ".efs-restore-2", 1000, 1000)
    else:
        shutil.rmtree(backup.source / ".efs-restore-2")
    wanted = part(read_tree(backup.source), lambda path: b"-1" not in path)
    outcome = backup.must_publish()
    assert any("'.efs-restore-1'" in warning for warning in outcome.result["warnings"])
    assert (backup.snapshot(0) / "d" / ".efs-restore-1" / "f").read_text() == "f"
    kept = read_tree(backup.snapshot(0))
    assert part(kept, lambda path: b"-1" not in path) == wanted
    assert b".efs-restore-1" not in kept


def test_one_of_two_names_became_a_file_that_has_another_name(backup: Backup) -> None:
    """All are alike to the last attribute: only by the inodes can they be told apart."""
    first, second, third = (backup.source / name for name in ("first", "second", "third"))
    first.write_text("the same")
    os.link(first, second)
    backup.must_publish()
    for alone, kept in ((second, first), (first, second)):
        alone.unlink()
        third.unlink(missing_ok=True)
        shutil.copy2(kept, alone)
        os.link(alone, third)
        backup.must_publish()
        tree = read_tree(backup.snapshot(0))
        assert tree[os.fsencode(third.name)].inode == tree[os.fsencode(alone.name)].inode
        assert tree == read_tree(backup.source)
