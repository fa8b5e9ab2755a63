"""What is known of the snapshots after they were copied, renamed or removed; or is damaged."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from engine.snapshots.about import About, Note
from engine.snapshots.folder import SnapshotFolder
from engine.snapshots.recognition import claims, recognised, witnesses

from local.tree import read_tree
from tests.changes import new_seed

from .conftest import DAMAGES, Backup


def change(backup: Backup, text: str) -> None:
    """In a directory further down: the top directories of the snapshots stay alike."""
    path = backup.source / "a" / "b" / "changing"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def folder_of(backup: Backup) -> Path:
    return backup.target / backup.label


def dates(backup: Backup) -> list[tuple[str, float]]:
    return SnapshotFolder(folder_of(backup), "daily").dated()


def copy_elsewhere(backup: Backup) -> None:
    """Everything gets other inodes; the worst that these can be is those of other snapshots."""
    copied = backup.home / "copied"
    subprocess.run(["rsync", "-aH", f"{backup.target}/", f"{copied}/"], check=True)
    backup.target = copied
    inodes = [backup.snapshot(n).stat().st_ino for n in range(len(backup.names()))]
    for number, about in enumerate(sorted(folder_of(backup).glob(".daily.about.*"))):
        noted = json.loads(about.read_text())
        noted["inode"] = inodes[number % len(inodes)]
        about.write_text(json.dumps(noted))


@pytest.fixture
def five(backup: Backup) -> Backup:
    """Five snapshots; between the second and the third nothing changed."""
    for number in (1, 2, 3, 3, 4):
        change(backup, f"version {number}")
        backup.must_publish()
    return backup


@pytest.fixture
def two(backup: Backup) -> Backup:
    for number in (1, 2):
        change(backup, f"version {number}")
        backup.must_publish()
    return backup


def test_a_copied_backup_is_known_by_what_is_in_it(five: Backup) -> None:
    before = dates(five)
    copy_elsewhere(five)
    assert dates(five) == before
    for number in range(5):
        assert five.verify(number).exit_code == 0
    result = five.must_publish().result
    assert result["warnings"] == []
    assert result["number_of_files_checked"] == 0, "it did not know when daily.0 was made"
    assert dates(five)[1:] == [(f"daily.{n + 1}", made) for n, (_, made) in enumerate(before)]
    assert [five.verify(number).exit_code for number in range(6)] == [0] * 6


def test_snapshots_are_known_however_they_are_named(five: Backup) -> None:
    made = dict(dates(five))
    shutil.rmtree(five.snapshot(1))
    five.snapshot(0).rename(five.snapshot(8))
    five.snapshot(4).rename(five.snapshot(0))
    wanted = {
        "daily.0": "daily.4",
        "daily.2": "daily.2",
        "daily.3": "daily.3",
        "daily.8": "daily.0",
    }
    assert dict(dates(five)) == {now: made[before] for now, before in wanted.items()}
    assert [five.verify(number).exit_code for number in (0, 2, 3, 8)] == [0] * 4
    change(five, "once more")
    five.must_publish()
    assert read_tree(five.snapshot(0)) == read_tree(five.source)


def test_a_copy_made_while_a_run_published_claims_nothing_wrong(five: Backup) -> None:
    """The notes are of before the run, the snapshots of after it: each has another's name."""
    notes = five.home / "notes"
    notes.mkdir()
    for path in folder_of(five).glob(".daily.*"):
        if path.is_file():
            shutil.copy2(path, notes)
    made = dict(dates(five))
    change(five, "version 5")
    five.must_publish(retain="5")
    for path in folder_of(five).glob(".daily.*"):
        if path.is_file():
            path.unlink()
    for path in notes.iterdir():
        shutil.copy2(path, folder_of(five))
    copy_elsewhere(five)
    now = dict(dates(five))
    for number in (2, 3, 4):
        assert now[f"daily.{number}"] == made[f"daily.{number - 1}"]
        assert five.verify(number).exit_code == 0
    for number in (0, 1):
        done = five.verify(number)
        assert (done.exit_code, done.result["number_of_files_mismatched"]) in [(0, 0), (2, 0)]
    change(five, "version 6")
    five.must_publish()
    assert read_tree(five.snapshot(0)) == read_tree(five.source)


def publish_alike(backup: Backup) -> Path:
    """Two snapshots of a file of which only the content tells them apart: old, then new."""
    path = backup.source / "same size and time"
    for text in ("old", "new"):
        change(backup, text)
        path.write_text(text)
        os.utime(path, ns=(0, 0))
        backup.must_publish()
    return path


def test_what_cannot_be_recognised_is_compared_by_content(backup: Backup) -> None:
    """As if the newest snapshot of a copy were another one: here, the one before it."""
    publish_alike(backup)
    copy_elsewhere(backup)
    shutil.rmtree(backup.snapshot(0))
    shutil.copytree(backup.snapshot(1), backup.snapshot(0), symlinks=True)
    result = backup.must_publish().result
    assert read_tree(backup.snapshot(0)) == read_tree(backup.source)
    assert any("daily.0' was copied here" in text for text in result["warnings"])


def test_a_snapshot_that_was_exchanged_proves_nothing(backup: Backup) -> None:
    path = publish_alike(backup)
    newest = backup.snapshot(0)  # its inode stays, as if its number were used again
    subprocess.run(["rsync", "-a", "-c", f"{backup.snapshot(1)}/", f"{newest}/"], check=True)
    assert (newest / path.name).read_text() == "old"
    result = backup.must_publish().result
    assert read_tree(backup.snapshot(0)) == read_tree(backup.source)
    assert any("was changed after it was made" in text for text in result["warnings"])


def test_nor_does_one_that_is_the_newest_since_another_was_removed(backup: Backup) -> None:
    path = publish_alike(backup)
    (backup.source / "more").write_text("x")
    backup.must_publish()
    about = backup.about(backup.snapshot(0))
    known = json.loads(about.read_text())
    known["run"]["is_partial"] = True  # else it may not be removed
    about.write_text(json.dumps(known))
    command = ["rsync", "-a", "-c", f"{backup.snapshot(2)}/", f"{backup.snapshot(1)}/"]
    subprocess.run(command, check=True)
    assert (backup.snapshot(1) / path.name).read_text() == "old"
    requests = backup.home / "requests.json"
    requests.write_text(json.dumps({"1": {"Action": "remove", "Snapshot": "daily.0"}}))
    result = backup.must_publish(requests=str(requests)).result
    assert "is removed" in result["requests"]["1"]
    assert read_tree(backup.snapshot(0)) == read_tree(backup.source)
    assert any("was changed after it was made" in text for text in result["warnings"])


class Copied:
    """Snapshots of one file each, and what is known of them, as in a copy.

    contents: newest first. Of a capital only the content is another than of the small letter.
    """

    def __init__(self, home: Path, contents: str) -> None:
        self.trees = [home / f"{number}" for number in range(len(contents))]
        self.abouts: list[About] = []
        before = None
        for tree, content in reversed([*zip(self.trees, contents, strict=True)]):
            tree.mkdir()
            (tree / "file").write_text(content * (1 + ord(content) % 32))
            os.utime(tree / "file", (0, 0))
            same = before and (before / "file").read_text() == (tree / "file").read_text()
            found = self.abouts[0].witnesses if same else witnesses(tree, before, ["file"])
            about = About(tree.name, len(self.abouts), 0, (0, 0), Note(1), 1.0, found)
            self.abouts.insert(0, about)
            before = tree

    def recognised(self, trees: str, abouts: str) -> str:
        """Which of ``abouts`` each of ``trees`` is taken for."""
        those = [self.trees[int(number)] for number in trees]
        known = [about for about in self.abouts if about.id in abouts]
        found = {about.inode: about.id for about in recognised(those, known)}
        return "".join(found.get(tree.stat().st_ino, "-") for tree in those)


@pytest.mark.parametrize(
    ("contents", "trees", "abouts", "expected"),
    [
        ("abcd", "0123", "0123", "0123"),
        ("abcd", "013", "0123", "013"),  # one was removed by hand
        ("abcd", "3120", "0123", "3120"),  # renamed
        ("abcd", "012", "12", "-12"),  # newer than what is known
        ("abcd", "0123", "013", "01-3"),  # one is not known
        ("abbcd", "01234", "01234", "01234"),  # nothing changed in between
        ("abbcd", "0134", "01234", "0134"),
        ("abbcd", "01234", "0134", "0--34"),  # which of two is the one that is known?
        ("aaaa", "0123", "0123", "0123"),
        ("abad", "0123", "0123", "-1-3"),  # put back to what it was before, times and all
        ("aBbc", "0123", "0123", "0--3"),  # a difference that does not show
        ("aBbc", "0213", "0123", "0--3"),  # renamed
        ("BbcC", "0123", "0123", "----"),
        ("aBbc", "013", "0123", "0-3"),
        ("aBbc", "023", "0123", "0-3"),
    ],
)
def test_what_is_recognised(
    tmp_path: Path, contents: str, trees: str, abouts: str, expected: str
) -> None:
    assert Copied(tmp_path, contents).recognised(trees, abouts) == expected


@pytest.mark.parametrize(
    ("fits", "sizes", "expected"),
    [
        ([{0}, {1}, set()], [1, 1], [0, 1, None]),
        ([{0, 1}, {1}], [1, 1], [0, 1]),  # what is 1 is known already
        ([{0, 1}, {1}], [1, 2], [None, 1]),
        ([{0, 1}, {0, 1}], [1, 1], [None, None]),
        ([{0, 1, 2}, {1, 2}, {2}], [1, 1, 1], [0, 1, 2]),
        ([{0, 1}, {0}, {1}], [1, 1], [None, 0, 1]),  # a stranger
    ],
)
def test_who_is_left(fits: list[set[int]], sizes: list[int], expected: list[int | None]) -> None:
    assert claims(fits, sizes) == expected


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_ends_nothing_and_is_said_once(two: Backup, damage: str) -> None:
    """All of the small files at once."""
    trees = [read_tree(two.snapshot(number)) for number in range(2)]
    for path in sorted(folder_of(two).glob(".daily.*")):
        if path.is_file() and path.name != ".daily.origin":
            DAMAGES[damage](path)
    for name in ("suspects", "notes"):
        path = folder_of(two) / f".daily.{name}"
        path.write_bytes(b"some bytes\0../../etc/passwd\0/\0" + b"x" * 300 + b"\0")
        DAMAGES[damage](path)
    hostname = Path("/etc/hostname").read_bytes()
    for name, made in dates(two):
        assert made > 0, name
    change(two, "version 5")
    result = two.must_publish().result
    assert sum("is damaged" in text for text in result["warnings"]) == 2
    assert read_tree(two.snapshot(0)) == read_tree(two.source)
    assert [read_tree(two.snapshot(n + 1)) for n in range(2)] == trees
    assert two.must_publish().result["warnings"] == []
    assert two.verify(0).exit_code == 0
    assert two.hidden() == []
    assert Path("/etc/hostname").read_bytes() == hostname


@pytest.mark.parametrize("kind", ["digests", "sharing", "directories"])
@pytest.mark.parametrize("damage", ["a link", "a FIFO", "a directory"])
def test_nothing_is_written_where_another_thing_than_a_list_leads(
    two: Backup, kind: str, damage: str
) -> None:
    """The run before was killed just before it published."""
    path = two.list_of(two.snapshot(0), kind)
    wanted = read_tree(two.snapshot(0))
    two.snapshot(0).rename(folder_of(two) / ".daily.stage")
    outside = two.home / "outside"
    outside.write_text("precious")
    path.unlink()
    if damage == "a link":
        path.symlink_to(outside)
    elif damage == "a FIFO":
        os.mkfifo(path)
    else:
        (path / "in it").mkdir(parents=True)
    two.must_publish()
    assert outside.read_text() == "precious"
    assert stat.S_ISREG(path.lstat().st_mode)
    assert read_tree(two.snapshot(0)) == wanted
    assert two.verify(0).exit_code == 0


def test_notes_of_a_newer_version_are_understood(two: Backup) -> None:
    about = two.about(two.snapshot(0))
    noted = json.loads(about.read_text())
    noted["new"] = {"field": [1]}
    noted["run"]["new"] = "field"
    about.write_text(json.dumps(noted))
    result = two.must_publish().result
    assert (result["warnings"], result["number_of_files_checked"]) == ([], 0)


@pytest.mark.parametrize("name", ["stage", "spare", "complete"])
@pytest.mark.parametrize("kind", ["file", "link"])
def test_something_in_place_of_a_hidden_tree_is_removed(two: Backup, name: str, kind: str) -> None:
    outside = two.home / "outside"
    outside.mkdir()
    (outside / "file").write_text("text")
    path = folder_of(two) / f".daily.{name}"
    if kind == "file":
        path.write_text("in the way")
    else:
        path.symlink_to(outside)
    two.must_publish()
    assert read_tree(two.snapshot(0)) == read_tree(two.source)
    assert (outside / "file").read_text() == "text"


def test_a_lock_that_is_none_is_said(two: Backup) -> None:
    lock = folder_of(two) / ".lock"
    lock.unlink()
    lock.mkdir()
    done = two.run()
    assert (done.exit_code, done.result["outcome"]) == (2, "refused")
    assert ".lock" in done.result["message"]


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_a_list_with_a_line_that_is_none_is_told_from_a_damaged_snapshot(
    two: Backup, place: str
) -> None:
    path = two.digests()
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    lines.insert({"first": 0, "middle": len(lines) // 2, "last": len(lines)}[place], b"rubbish\n")
    path.write_bytes(gzip.compress(b"".join(lines)))
    done = two.verify()
    assert (done.exit_code, done.result["errors"]) == (1, [])
    assert "list of digests" in done.result["message"]
    change(two, "version 5")
    assert any("digest" in text for text in two.must_publish().result["warnings"])


def test_random_bytes_in_the_small_files_never_end_a_run(two: Backup) -> None:
    chance = random.Random(new_seed())
    for number in range(8):
        paths = [path for path in folder_of(two).glob(".daily.*") if path.is_file()]
        for path in chance.sample(sorted(paths), 3):
            data = bytearray(path.read_bytes()) or bytearray(1)
            data[chance.randrange(len(data))] = chance.randrange(256)
            path.write_bytes(data[: chance.randrange(len(data) + 1)] if number % 2 else data)
        change(two, f"again {number}")
        done = two.run(retain="3")
        assert done.exit_code == 0, done.stderr
        assert read_tree(two.snapshot(0)) == read_tree(two.source)
