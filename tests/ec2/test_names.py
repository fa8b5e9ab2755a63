"""The folder's names, as a run remembers them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from engine.command.outcome import Refused
from engine.command.process import StopSignals
from engine.snapshots.about import Note, Witness
from engine.snapshots.choice import find_snapshot
from engine.snapshots.folder import SnapshotFolder
from engine.snapshots.names import Names
from engine.snapshots.readers import Readers

DAY = 86400


def test_what_the_run_renames_and_removes_needs_no_other_listing(tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    (tmp_path / "a tree").mkdir()
    os.mkfifo(tmp_path / "a FIFO")
    (tmp_path / "a link").symlink_to("a tree")
    names = Names(tmp_path)
    names.is_ours = True
    remembered = names.all()
    names.make_tree(tmp_path / "a new tree")
    names.rename_tree(tmp_path / "a tree", tmp_path / "another tree")
    names.unlink(tmp_path / "a file")
    assert names.all() is remembered
    assert remembered == Names(tmp_path).all()
    assert names.has_tree(tmp_path / "another tree")
    assert not names.has_tree(tmp_path / "a link")
    assert remembered["a link"].kind == remembered["a FIFO"].kind == 0
    assert names.inode_of(tmp_path / "another tree") == (tmp_path / "another tree").stat().st_ino
    with pytest.raises(FileNotFoundError):
        names.unlink(tmp_path / "never there")


def test_without_the_lock_nothing_is_remembered(tmp_path: Path) -> None:
    names = Names(tmp_path)
    assert names.all() == {}
    (tmp_path / "new").touch()
    assert names.all()["new"].kind == stat.S_IFREG


@pytest.fixture
def copied(tmp_path: Path) -> SnapshotFolder:
    """A run that has locked a folder of three snapshots, and copied all into the stage."""
    folder = SnapshotFolder(tmp_path / "folder", "daily")
    folder.lock(0, StopSignals())
    for number in (2, 1, 0):
        tree = folder.snapshot(number)
        tree.mkdir()
        (tree / "which").write_text(tree.name)
        folder.register.begin(tree, Note(1, files=1))
        folder.register.note(tree, made=-number * DAY + 1e9)
    folder.names.look_again()
    assert folder.recover() == []
    with Readers(folder.readers) as readers:
        folder.begin_stage(2, readers)
    (folder.stage / "which").write_text("new")
    return folder


def published(folder: SnapshotFolder) -> dict[str, str]:
    return {path.name: (path / "which").read_text() for path in folder.trees()}


def test_a_snapshot_that_is_removed_by_hand_while_a_run_copies(copied: SnapshotFolder) -> None:
    (copied.snapshot(1) / "which").unlink()
    copied.snapshot(1).rmdir()
    copied.publish(Note(2), 1e9 + DAY, [])
    expected = {"daily.0": "new", "daily.1": "daily.0", "daily.2": "daily.2"}
    assert published(copied) == published(SnapshotFolder(copied.path, "daily")) == expected


def test_a_snapshot_that_is_renamed_by_hand_while_a_run_copies(copied: SnapshotFolder) -> None:
    copied.snapshot(2).rename(copied.path / "held.by hand")
    copied.snapshot(0).rename(copied.snapshot(2))
    copied.publish(Note(2), 1e9 + DAY, [])
    expected = {"daily.0": "new", "daily.1": "daily.1", "daily.2": "daily.0"}
    expected["held.by hand"] = "daily.2"
    assert published(copied) == published(SnapshotFolder(copied.path, "daily")) == expected


def test_one_that_is_not_the_one_compared_with_is_not_called_the_same(
    copied: SnapshotFolder,
) -> None:
    """Nothing changed since a snapshot that is gone."""
    one = [Witness("one", 1)]
    for number in (0, 1):
        copied.register.note(copied.snapshot(number), witnesses=[*one, Witness("two", number)])
    (copied.snapshot(0) / "which").unlink()
    copied.snapshot(0).rmdir()
    copied.publish(Note(2), 1e9 + DAY, [])
    about = copied.register.of(copied.snapshot(0))
    assert about
    assert about.witnesses == []


def test_what_shows_tells_although_the_changes_add_up_to_none(copied: SnapshotFolder) -> None:
    """A file that changed while it was copied anew can count less than nothing."""
    copied.register.note(copied.snapshot(0), witnesses=[Witness("one", 1)])
    copied.publish(Note(2, changes=0), 1e9 + DAY, ["which"])
    about = copied.register.of(copied.snapshot(0))
    assert about
    assert [each.path for each in about.witnesses] == ["which"]


def test_one_that_is_as_the_one_before_has_its_witnesses(copied: SnapshotFolder) -> None:
    copied.register.note(copied.snapshot(0), witnesses=[Witness("one", 1)])
    copied.snapshot(0).rename(copied.path / "held.by hand")
    copied.publish(Note(2, changes=0), 1e9 + DAY, [])
    about = copied.register.of(copied.snapshot(0))
    assert about
    assert about.witnesses == [Witness("one", 1)]


def test_a_snapshot_that_is_removed_by_hand_is_not_found(copied: SnapshotFolder) -> None:
    assert find_snapshot(copied, 1).path == copied.snapshot(1)
    (copied.snapshot(1) / "which").unlink()
    copied.snapshot(1).rmdir()
    with pytest.raises(Refused, match=r"there is no snapshot daily\.1"):
        find_snapshot(copied, 1)


def test_what_a_killed_run_was_writing_is_no_obstacle(copied: SnapshotFolder) -> None:
    for about in [*copied.path.glob(".daily.about.*")]:
        about.with_name(f"{about.name}.new").touch()
    copied.publish(Note(2), 1e9 + DAY, [])
    with Readers(copied.readers) as readers:
        copied.forget(readers)
    assert [*copied.path.glob("*.new")] == []


def test_of_an_inode_only_the_newest_note_is_there_to_be_believed(copied: SnapshotFolder) -> None:
    """The snapshot that it belonged to is gone, its run was killed before that was forgotten, and
    the note of the one that has its inode now is lost."""
    copied.register.note(copied.stage, made=1e9)
    copied.register.begin(copied.stage, Note(3))
    notes = [
        path for path in copied.path.glob(".daily.about.*") if '"started": 3' in path.read_text()
    ]
    assert len([*copied.path.glob(".daily.about.*")]) == 4
    (note,) = notes
    note.unlink()
    assert SnapshotFolder(copied.path, "daily").register.of(copied.stage) is None
