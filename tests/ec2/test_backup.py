"""What a snapshot holds, and that it never changes again."""

from __future__ import annotations

import os
import re
import shutil
import stat
from pathlib import Path

import pytest

from local.tree import inodes, read_tree

from .conftest import Backup

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change owners")


def write(path: Path, text: str, mtime_ns: int | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    if mtime_ns is not None:
        os.utime(path, ns=(mtime_ns, mtime_ns))


def hostile_tree(source: Path) -> None:
    """Names and types that have broken backups before."""
    top = os.fsencode(source)
    names = [
        b"new\nline",
        b" leading and trailing ",
        b"-rf",
        b"--delete",
        b'it\'s "quoted" `id` $HOME \\ *?[x]',
        b"\xff\xfe not utf-8",
        "ümläut 漢字".encode(),
        b".snapshot-x",
        b".hidden",
        b"x" * 255,
        b";|&<>",
        b"...",
    ]
    for name in names:
        with open(os.path.join(top, name), "wb") as file:
            file.write(name)
        os.mkdir(os.path.join(top, b"d" + name[:250]))
        with open(os.path.join(top, b"d" + name[:250], name), "wb") as file:
            file.write(name)
    for folder in [".zfs", ".ckpt", ".snapshot", ".snapshots"]:
        write(source / folder / "kept", folder)
    (source / "empty" / "nested").mkdir(parents=True)
    write(source / "empty file", "")
    (source / "dangling").symlink_to("nowhere/at\nall")
    (source / "to directory").symlink_to("empty")
    (source / "absolute").symlink_to("/etc/passwd")
    os.mkfifo(source / "fifo")
    with open(source / "sparse", "wb") as file:
        file.truncate(64 * 1024 * 1024)
        file.seek(32 * 1024 * 1024)
        file.write(b"island")
    write(source / "setuid", "s")
    (source / "setuid").chmod(0o6755)
    (source / "sticky").mkdir()
    (source / "sticky").chmod(0o1777)
    write(source / "read only", "r")
    (source / "read only").chmod(0o400)
    write(source / "before 1970", "b", -86_400_123_456_789)
    write(source / "far future", "f", 32_503_680_000_999_999_999)
    write(source / "nanoseconds", "n", 1_600_000_000_123_456_789)
    (source / "empty" / "nested").chmod(0o500)
    os.utime(source / "empty" / "nested", ns=(1, 1_500_000_000_987_654_321))
    os.utime(source / "dangling", ns=(1, 1_400_000_000_555_555_555), follow_symlinks=False)
    os.utime(source, ns=(1, 1_300_000_000_111_111_111))


def test_first_snapshot_equals_the_source_in_everything(backup: Backup) -> None:
    hostile_tree(backup.source)
    expected = read_tree(backup.source)
    backup.must_publish()
    assert read_tree(backup.snapshot(0)) == expected
    assert read_tree(backup.source) == expected, "the source itself was changed"


@root_only
def test_owners_devices_and_setuid_survive(backup: Backup) -> None:
    write(backup.source / "owned", "o")
    os.chown(backup.source / "owned", 1234, 4321)
    (backup.source / "owned").chmod(0o6755)
    (backup.source / "link").symlink_to("owned")
    os.lchown(backup.source / "link", 77, 78)
    backup.must_publish()
    assert read_tree(backup.snapshot(0)) == read_tree(backup.source)


def test_sparse_files_stay_sparse(backup: Backup) -> None:
    hostile_tree(backup.source)
    backup.must_publish()
    assert (backup.snapshot(0) / "sparse").stat().st_blocks * 512 < 1024 * 1024


def test_second_snapshot_of_a_hostile_tree_links_everything(backup: Backup) -> None:
    hostile_tree(backup.source)
    backup.must_publish()
    outcome = backup.must_publish()
    assert outcome.result["number_of_files_transferred"] == 0
    assert read_tree(backup.snapshot(1)) == read_tree(backup.snapshot(0))
    newer, older = inodes(backup.snapshot(0)), inodes(backup.snapshot(1))
    for path, info in newer.items():
        if stat.S_ISREG(info.st_mode):
            assert info.st_ino == older[path].st_ino, path


def test_each_snapshot_keeps_its_own_state(backup: Backup) -> None:
    source = backup.source
    states = []

    def snapshot() -> None:
        states.insert(0, read_tree(source))
        backup.must_publish()
        for number, state in enumerate(states):
            assert read_tree(backup.snapshot(number)) == state, f"daily.{number} changed"

    for number in range(6):
        write(source / "docs" / f"file {number}", f"first {number}")
    snapshot()
    write(source / "docs" / "file 0", "rewritten")
    snapshot()
    (source / "docs" / "file 1").chmod(0o600)
    snapshot()
    if os.geteuid() == 0:
        os.chown(source / "docs" / "file 2", 99, 99)
    os.utime(source / "docs" / "file 3", ns=(0, 1_234_567_890_123_456_789))
    snapshot()
    (source / "docs" / "file 4").unlink()
    (source / "docs").chmod(0o700)
    write(source / "new" / "file", "new")
    snapshot()
    (source / "docs" / "file 5").unlink()
    (source / "docs" / "file 5").mkdir()
    shutil.rmtree(source / "new")
    (source / "new").symlink_to("docs")
    snapshot()


def test_change_within_the_same_second_and_size_is_seen(backup: Backup) -> None:
    second = 1_700_000_000_000_000_000
    write(backup.source / "file", "old", second + 1_000)
    backup.must_publish()
    write(backup.source / "file", "new", second + 2_000)
    backup.must_publish()
    assert (backup.snapshot(0) / "file").read_text() == "new"
    assert (backup.snapshot(1) / "file").read_text() == "old"


def test_counts_are_those_of_the_tree(backup: Backup) -> None:
    for number in range(5):
        write(backup.source / "d" / str(number), "12345")
    (backup.source / "link").symlink_to("d")
    first = backup.must_publish().result
    assert first["number_of_files"] == 6
    assert first["number_of_files_transferred"] == 6
    assert first["total_transferred_file_size"] == 25
    write(backup.source / "d" / "0", "1234567")
    second = backup.must_publish().result
    assert second["number_of_files"] == 6
    assert second["number_of_files_transferred"] == 1
    assert second["total_transferred_file_size"] == 7


def test_the_line_in_the_log_adds_up(backup: Backup) -> None:
    """Links, special files and names of one file among them."""
    for number in range(5):
        write(backup.source / "d" / str(number), "12345")
    (backup.source / "link").symlink_to("d")
    os.mkfifo(backup.source / "fifo")
    os.link(backup.source / "d/0", backup.source / "zero")
    for change in ("2", "3"):
        outcome = backup.must_publish()
        line = re.search(
            r"(\d+) files in .*: (\d+) unchanged .*, (\d+) continued, (\d+) carried forward, "
            r"(\d+) of (\d+) copied",
            outcome.stderr,
        )
        assert line
        files, unchanged, continued, carried, copied, listed = map(int, line.groups())
        assert files == outcome.result["number_of_files"] == 8
        assert files == unchanged + continued + carried + copied
        assert copied == listed == outcome.result["number_of_files_transferred"]
        assert copied == (8 if change == "2" else 2)
        write(backup.source / "d" / change, "1234567")
        (backup.source / "link").unlink()
        (backup.source / "link").symlink_to("elsewhere")


def test_many_files_go_through_many_jobs(backup: Backup) -> None:
    for folder in range(30):
        (backup.source / str(folder)).mkdir()
        for number in range(100):
            (backup.source / str(folder) / str(number)).write_bytes(b"x")
    outcome = backup.must_publish()
    assert outcome.result["number_of_files"] == 3000
    assert len(list(backup.snapshot(0).rglob("*"))) == 3030
    assert (backup.logs / "rsync.log").read_text().count("Number of files:") >= 3


class TestRotation:
    def test_numbers_go_up_and_the_oldest_expires(self, backup: Backup) -> None:
        for number in range(5):
            write(backup.source / "file", f"run {number}")
            outcome = backup.must_publish(retain="3")
        assert backup.names() == ["daily.0", "daily.1", "daily.2"]
        contents = [(backup.snapshot(n) / "file").read_text() for n in range(3)]
        assert contents == ["run 4", "run 3", "run 2"]
        assert outcome.result["expired"] == ["daily.3"]
        assert backup.hidden() == []

    def test_lowering_retain_by_several_expires_all_of_them(self, backup: Backup) -> None:
        for number in range(5):
            write(backup.source / "file", f"run {number}")
            backup.must_publish(retain="9")
        outcome = backup.must_publish(retain="2")
        assert backup.names() == ["daily.0", "daily.1"]
        assert outcome.result["expired"] == ["daily.2", "daily.3", "daily.4", "daily.5"]
        assert backup.hidden() == []

    def test_intervals_do_not_touch_each_other(self, backup: Backup) -> None:
        write(backup.source / "file", "1")
        backup.must_publish(interval="weekly", retain="1")
        backup.must_publish(interval="daily", retain="1")
        backup.must_publish(interval="daily", retain="1")
        assert backup.names() == ["daily.0", "weekly.0"]

    def test_other_things_in_the_folder_are_left_alone(self, backup: Backup) -> None:
        write(backup.source / "file", "1")
        backup.must_publish()
        folder = backup.target / backup.label
        for name in ["daily.old", "daily.01", "daily.9x", "notes.txt", "daily.8"]:
            write(folder / name, "a user's own")
        (folder / "daily.7").symlink_to("/etc")
        backup.must_publish(retain="1")
        left = {"daily.0", "daily.old", "daily.01", "daily.9x", "notes.txt", "daily.8", "daily.7"}
        assert set(backup.names()) == left
        assert Path("/etc/passwd").exists()

    def test_a_gap_made_by_hand_is_closed_and_nothing_is_lost(self, backup: Backup) -> None:
        for number in range(4):
            write(backup.source / "file", f"run {number}")
            backup.must_publish()
        shutil.rmtree(backup.snapshot(1))
        write(backup.source / "file", "run 4")
        backup.must_publish()
        contents = [(backup.snapshot(n) / "file").read_text() for n in range(4)]
        assert contents == ["run 4", "run 3", "run 1", "run 0"]

    def test_publishing_goes_on_where_it_was_killed(self, backup: Backup) -> None:
        for number in range(3):
            write(backup.source / "file", f"run {number}")
            backup.must_publish()
        folder = backup.target / backup.label
        # Killed in the middle of renumbering: daily.2 and daily.1 had moved up, daily.0 had not.
        backup.snapshot(2).rename(backup.snapshot(3))
        backup.snapshot(1).rename(backup.snapshot(2))
        shutil.copytree(backup.snapshot(0), folder / ".daily.complete")
        (folder / ".daily.complete" / "file").write_text("run 3")
        write(backup.source / "file", "run 4")
        backup.must_publish()
        contents = [(backup.snapshot(n) / "file").read_text() for n in range(5)]
        assert contents == ["run 4", "run 3", "run 2", "run 1", "run 0"]
        assert backup.hidden() == []


def test_snapshots_of_the_earlier_product_are_continued(backup: Backup) -> None:
    write(backup.source / "file", "same", 1_700_000_000_000_000_000)
    old = backup.snapshot(0)
    old.mkdir(parents=True)
    shutil.copy2(backup.source / "file", old / "file")
    outcome = backup.must_publish()
    assert outcome.result["number_of_files_transferred"] == 0
    assert backup.names() == ["daily.0", "daily.1"]
    assert (backup.snapshot(0) / "file").samefile(backup.snapshot(1) / "file")


def test_the_result_names_the_phases_with_their_times(backup: Backup) -> None:
    write(backup.source / "file", "1")
    phases = backup.must_publish().result["phases"]
    assert list(phases) == ["copy", "directories", "publish", "expire"]
    assert all(times["start"] <= times["stop"] for times in phases.values())


def test_directory_attributes_are_those_of_the_source(backup: Backup) -> None:
    write(backup.source / "a" / "b" / "file", "1")
    (backup.source / "a").chmod(stat.S_IRWXU | stat.S_ISGID)
    os.utime(backup.source / "a" / "b", ns=(0, 1_111_111_111_222_222_222))
    os.utime(backup.source / "a", ns=(0, 1_222_222_222_333_333_333))
    backup.must_publish()
    backup.must_publish()
    assert read_tree(backup.snapshot(0)) == read_tree(backup.source)
