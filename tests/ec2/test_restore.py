"""A restore brings back what was asked for, and destroys nothing."""

from __future__ import annotations

import calendar
import json
import os
import random
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from local.tree import inodes, read_tree, without
from tests.changes import new_seed
from tests.trees import asked_of, others_of, visible

from .conftest import EC2, Backup, Outcome, end_tree, is_locked, until, words_of
from .engines import run_engine
from .test_backup import hostile_tree, write

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change owners and mount")

SECOND = 1_600_000_000_000_000_000


@dataclass
class Restore:
    """A backup of a source, and the restore of it into a target that has changed since."""

    backup: Backup
    target: Path

    def command(self, **changes: str | None) -> list[str]:
        options: dict[str, str | None] = {
            "backup": str(self.backup.target),
            "folder": self.backup.label,
            "interval": "daily",
            "number": "0",
            "target": str(self.target),
            "jobs": "4",
            "log_dir": str(self.backup.logs),
            "result": str(self.backup.result),
        }
        return [str(EC2 / "efs-restore.sh"), *words_of(options | changes)]

    def run(self, **changes: str | None) -> Outcome:
        return self.backup.call(*self.command(**changes))

    def must_restore(self, **changes: str | None) -> Outcome:
        outcome = self.run(**changes)
        assert outcome.exit_code == 0, outcome.stderr
        assert outcome.result["outcome"] == "restored"
        assert outcome.result["warnings"] == []
        return outcome

    def undo(self) -> None:
        """Undo all restores, the last one first; names do not tell those of one second apart."""
        scripts = self.target.rglob(".efs-restore-*.undo/undo")
        for script in sorted(scripts, key=lambda path: path.stat().st_mtime_ns, reverse=True):
            done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr

    def safety_directories(self) -> list[Path]:
        found = self.target.rglob(".efs-restore-*")
        return sorted(path for path in found if not path.name.endswith(".undo"))


def ctimes(top: Path) -> dict[bytes, int]:
    """When anything of each was changed the last time."""
    return {path: info.st_ctime_ns for path, info in inodes(top).items()}


@pytest.fixture
def restore(backup: Backup) -> Restore:
    """daily.0 holds a small tree; the target is the source itself, unchanged so far."""
    source = backup.source
    for folder in ("x", "x/y", "other"):
        for number in range(3):
            write(source / folder / f"f{number}", f"{folder} {number}", SECOND + number)
        os.utime(source / folder, ns=(SECOND, SECOND))
    os.utime(source / "x", ns=(SECOND, SECOND + 5))
    (source / "link").symlink_to("x/f0")
    os.utime(source, ns=(SECOND, SECOND + 7))
    backup.must_publish()
    return Restore(backup, source)


def damage(target: Path) -> None:
    """What users and deployments do: overwrite, delete, add, chmod, and swap types."""
    write(target / "x" / "f0", "overwritten")
    (target / "x" / "f1").unlink()
    (target / "x" / "f2").chmod(0o600)
    write(target / "x" / "new", "new")
    shutil.rmtree(target / "x" / "y")
    (target / "x" / "y").symlink_to("/etc")
    write(target / "other" / "new dir" / "deep" / "file", "precious")
    (target / "link").unlink()
    (target / "link").mkdir()
    write(target / "link" / "inside", "i")
    (target / "other").chmod(0o700)


class TestMirror:
    def test_the_target_becomes_what_the_snapshot_was(self, restore: Restore) -> None:
        damage(restore.target)
        restore.must_restore()
        assert visible(read_tree(restore.target)) == read_tree(restore.backup.snapshot(0))

    def test_hostile_names_and_types_come_back(self, backup: Backup) -> None:
        hostile_tree(backup.source)
        backup.must_publish()
        target = backup.home / "elsewhere"
        target.mkdir()
        Restore(backup, target).must_restore()
        assert visible(read_tree(target)) == read_tree(backup.snapshot(0))

    def test_hostile_names_are_set_aside_and_undone(self, backup: Backup) -> None:
        write(backup.source / "only", "1")
        backup.must_publish()
        hostile_tree(backup.source)
        before = read_tree(backup.source)
        restore = Restore(backup, backup.source)
        restore.must_restore()
        assert visible(read_tree(backup.source)) == read_tree(backup.snapshot(0))
        restore.undo()
        assert visible(read_tree(backup.source)) == before

    def test_what_was_replaced_or_removed_is_in_the_safety_directory(
        self, restore: Restore
    ) -> None:
        damage(restore.target)
        outcome = restore.must_restore()
        safety = Path(outcome.result["safety_directory"])
        assert safety.parent == restore.target
        assert (safety / "x" / "f0").read_text() == "overwritten"
        assert (safety / "x" / "new").read_text() == "new"
        assert (safety / "other" / "new dir" / "deep" / "file").read_text() == "precious"
        assert (safety / "x" / "y").is_symlink()
        assert (safety / "link" / "inside").read_text() == "i"

    def test_counts_and_sizes(self, restore: Restore) -> None:
        damage(restore.target)
        result = restore.must_restore().result
        assert result["number_of_files_created"] == 4  # f1, and three in the directory y
        assert result["number_of_files_replaced"] == 4  # f0, f2, the link y, one file in link/
        assert result["number_of_files_removed"] == 2  # x/new, and one in "new dir"
        assert result["number_of_files_unchanged"] == 3
        assert result["size_removed"] == len("new") + len("precious")
        created = (restore.backup.logs / "create.txt").read_text().splitlines()
        assert set(created) == {"x/f1", "x/y/f0", "x/y/f1", "x/y/f2"}

    def test_undo_brings_the_exact_state_back(self, restore: Restore) -> None:
        damage(restore.target)
        before = read_tree(restore.target)
        restore.must_restore()
        restore.undo()
        assert visible(read_tree(restore.target)) == before
        restore.undo()
        assert visible(read_tree(restore.target)) == before, "undoing twice must do no harm"

    def test_undo_deletes_nothing_that_was_written_since(self, restore: Restore) -> None:
        damage(restore.target)
        outcome = restore.must_restore()
        write(restore.target / "x" / "f0", "work done after the restore")
        restore.undo()
        aside = Path(outcome.result["safety_directory"] + ".undo") / "restored"
        assert (aside / "x" / "f0").read_text() == "work done after the restore"

    def test_a_file_with_another_name_elsewhere_keeps_that_name_as_it_is(
        self, restore: Restore
    ) -> None:
        """An attribute set in place would show under the other name too."""
        write(restore.target / "x" / "f0", "shared")
        os.link(restore.target / "x" / "f0", restore.backup.home / "other name")
        before = os.lstat(restore.backup.home / "other name")
        restore.must_restore(subdirectory="/x/")
        after = os.lstat(restore.backup.home / "other name")
        assert (after.st_mode, after.st_mtime_ns) == (before.st_mode, before.st_mtime_ns)
        assert (restore.backup.home / "other name").read_text() == "shared"

    def test_an_unchanged_target_is_not_written_to(self, restore: Restore) -> None:
        before = ctimes(restore.target)
        outcome = restore.must_restore()
        assert outcome.result["number_of_files_unchanged"] == 10
        after = ctimes(restore.target)
        # In the top directory, a safety directory came and went.
        assert {**after, b".": 0} == {**before, b".": 0}
        assert restore.safety_directories() == []

    def test_unchanged_files_are_neither_copied_nor_replaced(self, restore: Restore) -> None:
        write(restore.target / "x" / "f0", "overwritten")
        inode = (restore.target / "x" / "f1").stat().st_ino
        restore.must_restore()
        assert (restore.target / "x" / "f1").stat().st_ino == inode

    def test_an_older_snapshot(self, restore: Restore) -> None:
        write(restore.target / "x" / "f0", "second version")
        restore.backup.must_publish()
        restore.must_restore(number="1")
        assert (restore.target / "x" / "f0").read_text() == "x 0"
        restore.must_restore(number="0")
        assert (restore.target / "x" / "f0").read_text() == "second version"


class TestSubdirectory:
    def test_nothing_outside_of_it_is_touched(self, restore: Restore) -> None:
        damage(restore.target)
        before = read_tree(restore.target)
        (restore.target / "x" / "y").unlink()
        restore.must_restore(subdirectory="/x/")
        after = visible(read_tree(restore.target))
        assert others_of(after, ["x"]) == others_of(before, ["x"])
        assert read_tree(restore.target / "x") == read_tree(restore.backup.snapshot(0) / "x")

    def test_a_deleted_subdirectory_comes_back_with_the_way_to_it(self, restore: Restore) -> None:
        shutil.rmtree(restore.target / "x")
        before = read_tree(restore.target)
        restore.must_restore(subdirectory="/x/y/")
        snapshot = restore.backup.snapshot(0)
        assert read_tree(restore.target / "x" / "y") == read_tree(snapshot / "x" / "y")
        saved, live = (snapshot / "x").stat(), (restore.target / "x").stat()
        assert (live.st_mode, live.st_mtime_ns) == (saved.st_mode, saved.st_mtime_ns)
        assert not (restore.target / "x" / "f0").exists()
        restore.undo()
        assert visible(read_tree(restore.target)) == before

    @pytest.mark.parametrize(
        ("subdirectory", "message"),
        [
            ("x/", "must be a path like"),
            ("/../etc/", "without '..'"),
            ("/x/../other/", "without '..'"),
            ("/nowhere/", "does not exist in the snapshot"),
            ("/x/f0/deeper", "is a file in the snapshot"),
            ("/link/f", "is a symbolic link in the snapshot"),
            ("/x/f9", "do you mean '/x/f"),
            ("/link/", "is a symbolic link in the snapshot"),
            ("/x\n/", "control character"),
        ],
    )
    def test_bad_ones_are_refused(self, restore: Restore, subdirectory: str, message: str) -> None:
        before = read_tree(restore.target)
        outcome = restore.run(subdirectory=subdirectory)
        assert outcome.exit_code == 2
        assert message in outcome.stderr
        assert read_tree(restore.target) == before

    def test_a_symlink_on_the_way_in_the_target_is_refused(self, restore: Restore) -> None:
        elsewhere = restore.backup.home / "elsewhere"
        (restore.target / "x").rename(elsewhere)
        (restore.target / "x").symlink_to(elsewhere)
        before = read_tree(elsewhere)
        outcome = restore.run(subdirectory="/x/y/")
        assert outcome.exit_code == 2
        assert read_tree(elsewhere) == before


class TestOtherModes:
    def test_merge_removes_nothing(self, restore: Restore) -> None:
        write(restore.target / "x" / "new", "new")
        write(restore.target / "x" / "f0", "overwritten")
        (restore.target / "x" / "f1").unlink()
        outcome = restore.must_restore(mode="Merge")
        assert (restore.target / "x" / "new").read_text() == "new"
        assert (restore.target / "x" / "f0").read_text() == "x 0"
        assert (restore.target / "x" / "f1").read_text() == "x 1"
        assert outcome.result["number_of_files_removed"] == 0
        safety = Path(outcome.result["safety_directory"])
        assert [p.name for p in safety.rglob("*") if p.is_file()] == ["f0"]

    def test_new_directory_leaves_everything_else_alone(self, restore: Restore) -> None:
        damage(restore.target)
        before = read_tree(restore.target)
        outcome = restore.must_restore(mode="NewDirectory")
        new = Path(outcome.result["target"])
        assert new.parent == restore.target
        assert new.name.startswith("efs-restore_")
        assert visible(read_tree(new)) == read_tree(restore.backup.snapshot(0))
        after = others_of(read_tree(restore.target), [new.name])
        assert without("mtime_ns", after, b".") == without("mtime_ns", before, b".")
        assert new.name in outcome.result["delete_command"]

    def test_what_is_to_be_deleted_is_what_is_left(self, restore: Restore) -> None:
        """Nothing was in the way of a file that was missing, so nothing was set aside."""
        (restore.target / "x" / "f0").unlink()
        command = restore.must_restore().result["delete_command"]
        words = shlex.split(command)
        paths = [Path(word) for word in words[words.index("-rf") + 1 :]]
        assert paths == [*restore.target.glob(".efs-restore-*")]

    def test_dry_run_changes_nothing_and_says_what_it_would_do(self, restore: Restore) -> None:
        damage(restore.target)
        before = ctimes(restore.target)
        planned = restore.run(dry_run="")
        assert planned.exit_code == 0
        assert planned.result["outcome"] == "planned"
        assert ctimes(restore.target) == before
        assert set(planned.result["examples"]["remove"]) == {"x/new", "other/new dir"}
        done = restore.must_restore().result
        for name, value in planned.result.items():
            if name.startswith(("number_of", "size_", "examples")):
                assert done[name] == value, name


class TestPrefix:
    def test_a_prefix_that_does_not_exist_is_made_like_the_snapshot(self, restore: Restore) -> None:
        target = restore.backup.home / "file system"
        target.mkdir()
        Restore(restore.backup, target).must_restore(prefix="/app data/ünd")
        restored = target / "app data" / "ünd"
        assert visible(read_tree(restored)) == read_tree(restore.backup.snapshot(0))

    def test_what_lies_beside_it_is_left_alone(self, restore: Restore) -> None:
        target = restore.backup.home / "file system"
        write(target / "beside" / "file", "precious")
        write(target / "app" / "extra", "extra")
        os.utime(target, ns=(SECOND, SECOND))
        before = others_of(read_tree(target), ["app"])
        Restore(restore.backup, target).must_restore(prefix="/app")
        assert others_of(read_tree(target), ["app"]) == before

    def test_a_symlink_out_of_the_target_is_refused(self, restore: Restore) -> None:
        target = restore.backup.home / "file system"
        target.mkdir()
        outside = restore.backup.home / "outside"
        write(outside / "file", "precious")
        (target / "app").symlink_to(outside)
        outcome = Restore(restore.backup, target).run(prefix="/app")
        assert outcome.exit_code == 2
        assert "leads out of the target" in outcome.stderr
        assert os.listdir(outside) == ["file"]

    @pytest.mark.parametrize("prefix", ["relative", "/a/../b", "/..", "/a\nb", ""])
    def test_bad_ones_are_refused(self, restore: Restore, prefix: str) -> None:
        words = [*restore.command(), "--prefix", prefix]
        process = run_engine(*words)
        assert process.returncode == 2
        assert "--prefix" in process.stderr


class TestRefusals:
    @pytest.mark.parametrize("number", ["-1", "x", "1.5", "", "01", "999999"])
    def test_numbers_that_are_none(self, restore: Restore, number: str) -> None:
        words = [*restore.command(number=None), "--number", number]
        process = run_engine(*words)
        assert process.returncode == 2
        assert "--number" in process.stderr

    def test_a_snapshot_that_is_not_there_lists_those_that_are(self, restore: Restore) -> None:
        restore.backup.must_publish()
        outcome = restore.run(number="7")
        assert outcome.exit_code == 2
        today = time.strftime("%Y-%m-%d", time.gmtime())
        assert f"daily.0 (made {today}" in outcome.stderr
        assert f"daily.1 (made {today}" in outcome.stderr

    def test_a_folder_that_is_not_there_lists_those_that_are(self, restore: Restore) -> None:
        outcome = restore.run(folder="nothing")
        assert outcome.exit_code == 2
        assert "efs-backup" in outcome.stderr

    def test_a_target_that_cannot_be_written(self, restore: Restore) -> None:
        outcome = restore.run(target=str(restore.backup.home / "none"))
        assert outcome.exit_code == 2
        assert "does not exist" in outcome.stderr

    def test_the_backup_itself_is_no_target(self, restore: Restore) -> None:
        outcome = restore.run(target=str(restore.backup.target / "efs-backup"))
        assert outcome.exit_code == 2
        assert restore.backup.names() == ["daily.0"]

    def test_a_second_restore_of_the_same_file_system(self, restore: Restore) -> None:
        damage(restore.target)
        lock = restore.target / ".efs-restore-lock"
        holder = subprocess.Popen(["flock", "--no-fork", str(lock), "sleep", "infinity"])
        try:
            until(lambda: is_locked(lock))
            before = read_tree(restore.target)
            outcome = restore.run()
            assert outcome.exit_code == 2
            assert "another restore" in outcome.stderr
            assert outcome.result["cause"] == "busy"
            assert read_tree(restore.target) == before
        finally:
            holder.kill()
            holder.wait()

    @root_only
    def test_too_little_space_is_known_before_the_first_change(self, restore: Restore) -> None:
        with (restore.target / "x" / "big").open("wb") as file:
            file.write(os.urandom(3 << 20))
        restore.backup.must_publish()
        target = restore.backup.home / "small"
        target.mkdir()
        script = 'mount -t tmpfs -o size=1m none "$1" && touch "$1/mine" && shift && exec "$@"'
        words = Restore(restore.backup, target).command()
        words = ["unshare", "--mount", "bash", "-c", script, "bash", str(target), *words]
        process = subprocess.run(words, capture_output=True, text=True, check=False)
        assert process.returncode == 1
        result = json.loads(restore.backup.result.read_text())
        assert result["cause"] == "space"
        assert "has only" in process.stderr
        assert result["safety_directory"] == ""


def test_a_later_restore_keeps_the_earlier_safety_directory(restore: Restore) -> None:
    write(restore.target / "x" / "f0", "first damage")
    first = Path(restore.must_restore().result["safety_directory"])
    write(restore.target / "x" / "f0", "second damage")
    restore.must_restore()
    assert (first / "x" / "f0").read_text() == "first damage"
    assert len(restore.safety_directories()) == 2


def test_a_backup_leaves_safety_directories_out_and_says_so(restore: Restore) -> None:
    damage(restore.target)
    restore.must_restore()
    outcome = restore.backup.must_publish()
    assert visible(read_tree(restore.target)) == read_tree(restore.backup.snapshot(0))
    left_out = [line for line in outcome.result["warnings"] if ".efs-restore-" in line]
    assert len(left_out) == 2


def test_nothing_is_left_of_the_lock_and_the_scratch_files(restore: Restore) -> None:
    write(restore.target / "x" / "f0", "overwritten")
    outcome = restore.must_restore()
    assert list((restore.backup.home / "scratch").iterdir()) == []
    assert not (restore.target / ".efs-restore-lock").exists()
    undo = Path(outcome.result["safety_directory"] + ".undo")
    assert sorted(path.name for path in undo.iterdir()) == ["journal", "undo"]


def random_damage(target: Path, random_source: random.Random) -> Iterator[None]:
    paths = sorted(path for path in target.rglob("*") if ".efs-restore-" not in str(path))
    for path in random_source.sample(paths, len(paths) // 2):
        if not os.path.lexists(path):
            continue
        action = random_source.randrange(4)
        if action == 0 and path.is_file():
            path.write_text(f"damage {random_source.random()}")
        elif action == 1:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        elif action == 2 and not path.is_symlink():
            path.chmod(0o700)
        elif path.is_dir() and not path.is_symlink():
            (path / f"new {random_source.random()}").write_text("new")
        yield


def killed(command: list[str], target: Path, seconds: float) -> bool:
    """Begin a restore and kill it. Whether that was before it had a journal: then it may have been
    in the moment between making its lock or its directory and giving the directory above its time
    again, which nothing makes one."""

    def journals() -> set[Path]:
        return {*target.glob(".efs-restore-*.undo/journal")}

    before = journals()
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    time.sleep(seconds)
    end_tree(process)
    process.wait()
    lock = target / ".efs-restore-lock"  # which one holds that was born while the others ended
    until(lambda: not lock.exists() or not is_locked(lock))
    return journals() == before


def test_killed_at_any_moment_it_can_be_started_again_and_undone(restore: Restore) -> None:
    """SIGKILL for the whole process tree at random moments. The seed is printed on failure."""
    random_source = random.Random(new_seed())
    for number in range(400):
        write(restore.target / f"d{number % 9}" / str(number), "x" * 100)
    restore.backup.must_publish()
    for _ in range(4):
        list(random_damage(restore.target, random_source))
        before = visible(read_tree(restore.target))
        was_early = [
            killed(restore.command(), restore.target, random_source.uniform(0.1, 0.7))
            for _ in range(2)
        ]
        outcome = restore.run()
        assert outcome.exit_code == 0, outcome.stderr
        restored = visible(read_tree(restore.target))
        assert restored == read_tree(restore.backup.snapshot(0))
        restore.undo()
        undone = visible(read_tree(restore.target))
        if any(was_early):
            undone[b"."] = before[b"."]
        assert undone == before
        for leftover in restore.target.glob(".efs-restore-*"):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


def test_help_explains_the_modes_and_the_exit_status() -> None:
    words = [str(EC2 / "efs-restore.sh"), "--help"]
    process = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "Exit status: 0 restored" in process.stdout
    assert "NewDirectory" in process.stdout


class TestWhichSnapshot:
    """By number or by date: a number means another snapshot after each run."""

    @pytest.fixture
    def dated(self, restore: Restore) -> Restore:
        """Three snapshots, a day from each other, the newest on 2026-11-22 at 02:00:09."""
        write(restore.target / "x" / "f0", "second version")
        restore.backup.must_publish()
        write(restore.target / "x" / "f0", "third version")
        restore.backup.must_publish()
        for number, day in enumerate((22, 21, 20)):
            restore.backup.set_date(number, calendar.timegm((2026, 11, day, 2, 0, 9)))
        return restore

    @pytest.mark.parametrize(
        ("date", "text"),
        [
            ("2026-11-20", "x 0"),
            ("2026-11-21T02:00", "second version"),
            ("2026-11-22T02:00:09Z", "third version"),
        ],
    )
    def test_by_date(self, dated: Restore, date: str, text: str) -> None:
        write(dated.target / "x" / "f0", "damaged")
        result = dated.must_restore(number=None, date=date).result
        assert (dated.target / "x" / "f0").read_text() == text
        assert result["snapshot_date"].startswith(date)

    def test_a_date_that_means_none_or_several_lists_what_there_is(self, dated: Restore) -> None:
        outcome = dated.run(number=None, date="2026-11-23")
        assert outcome.exit_code == 2
        assert "daily.2 (made 2026-11-20T02:00:09Z)" in outcome.stderr
        dated.backup.set_date(0, calendar.timegm((2026, 11, 21, 9, 0, 0)))
        outcome = dated.run(number=None, date="2026-11-21")
        assert outcome.exit_code == 2
        those = "daily.0 (made 2026-11-21T09:00:00Z), daily.1 (made 2026-11-21T02:00:09Z)"
        assert those in outcome.stderr
        assert (
            dated.must_restore(number=None, date="2026-11-21T02:00").result["snapshot_name"]
            == "daily.1"
        )

    def test_a_second_that_means_several_is_no_date_of_one(self, dated: Restore) -> None:
        """The instance goes by the number then."""
        folder = dated.backup.target / dated.backup.label
        words = [sys.executable, EC2 / "lib/snapshot_date.py", "--interval", "daily"]
        words += ["--folder", folder, "--number", "0"]
        done = subprocess.run(words, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, "2026-11-22T02:00:09Z\n")
        dated.backup.set_date(1, calendar.timegm((2026, 11, 22, 2, 0, 9)))
        done = subprocess.run(words, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (2, "")

    @pytest.mark.parametrize("date", ["yesterday", "2026-13-01", "20261120", "", "2026-11-20 2:00"])
    def test_nonsense_is_refused(self, restore: Restore, date: str) -> None:
        outcome = restore.run(number=None, date=date) if date else restore.run(number=None)
        assert outcome.exit_code == 2

    def test_number_and_date_exclude_each_other(self, restore: Restore) -> None:
        assert restore.run(date="2026-11-20").exit_code == 2

    def test_the_command_that_a_dry_run_ends_with_holds_after_the_next_backup(
        self, restore: Restore
    ) -> None:
        write(restore.target / "x" / "f0", "damaged")
        planned = restore.run(dry_run="")
        restore.backup.must_publish()
        restore.backup.set_date(0, time.time() + 3600)
        words = shlex.split(planned.result["repeat_command"])
        assert planned.result["repeat_command"] in planned.stderr
        run_engine(EC2 / words[0], *words[1:]).check_returncode()
        assert (restore.target / "x" / "f0").read_text() == "x 0"

    def test_a_backup_that_publishes_and_expires_meanwhile_changes_nothing_of_it(
        self, restore: Restore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The only snapshot expires before rsync begins; it would become the next stage."""
        write(restore.target / "x" / "f0", "damaged")
        backup = restore.backup
        command = shlex.join(backup.command(retain="1", result=None))
        shim = backup.home / "shim"
        shim.mkdir()
        once = f"if mkdir {shim}/once; then {command} && {command} || exit 9; fi"
        (shim / "rsync").write_text(f'#!/bin/bash\nPATH=/usr/bin:/bin\n{once}\nexec rsync "$@"\n')
        (shim / "rsync").chmod(0o755)
        monkeypatch.setenv("PATH", f"{shim}:{os.environ['PATH']}")
        restore.must_restore()
        assert (restore.target / "x" / "f0").read_text() == "x 0"
        assert (backup.snapshot(0) / "x" / "f0").read_text() == "damaged"
        backup.must_publish(retain="1")
        assert backup.hidden() == [], "what was read is removed once it is not read any more"

    def test_a_snapshot_that_expires_without_a_lock_is_a_failure(
        self, restore: Restore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (restore.target / "x" / "f1").unlink()
        before = read_tree(restore.target)
        backup = restore.backup
        (backup.target / backup.label / ".readers").unlink()
        oldest = backup.snapshot(0)
        shim = backup.home / "shim"
        shim.mkdir()
        (shim / "rsync").write_text(
            f'#!/bin/bash\nmv {oldest} {oldest.parent}/.daily.spare\nexec /usr/bin/rsync "$@"\n'
        )
        (shim / "rsync").chmod(0o755)
        monkeypatch.setenv("PATH", f"{shim}:{os.environ['PATH']}")
        outcome = restore.run()
        assert (outcome.exit_code, outcome.result["cause"]) == (1, "expired")
        assert read_tree(restore.target) == before


class TestPaths:
    def test_one_file(self, restore: Restore) -> None:
        damage(restore.target)
        before = read_tree(restore.target)
        restore.must_restore(path="/x/f0")
        after = visible(read_tree(restore.target))
        assert (restore.target / "x" / "f0").read_text() == "x 0"
        assert others_of(after, ["x/f0"]) == others_of(before, ["x/f0"])

    @pytest.mark.parametrize("mode", ["Mirror", "Merge"])
    def test_several_and_no_neighbour_is_touched(self, restore: Restore, mode: str) -> None:
        damage(restore.target)
        (restore.target / "x" / "y").unlink()
        before = read_tree(restore.target)
        words = [*restore.command(mode=mode), "--path", "/x/f1", "--path", "/x/y/", "--path=/link"]
        run_engine(*words).check_returncode()
        after = visible(read_tree(restore.target))
        saved = read_tree(restore.backup.snapshot(0))
        asked = ["x/f1", "x/y", "link"]
        assert asked_of(after, asked) == asked_of(saved, asked)
        assert others_of(after, asked) == others_of(before, asked)
        restore.undo()
        assert visible(read_tree(restore.target)) == before

    def test_one_file_of_a_directory_that_is_gone(self, restore: Restore) -> None:
        shutil.rmtree(restore.target / "x")
        restore.must_restore(path="/x/y/f1")
        found = sorted(str(p.relative_to(restore.target)) for p in restore.target.rglob("x/**/*"))
        assert found == ["x/y", "x/y/f1"]

    def test_into_a_new_directory(self, restore: Restore) -> None:
        outcome = restore.must_restore(path="/x/y/f1", mode="NewDirectory")
        new = restore.target / next(p for p in os.listdir(restore.target) if p[:4] == "efs-")
        assert [p.name for p in new.rglob("*") if p.is_file() and ".efs" not in str(p)] == ["f1"]
        assert str(new) in outcome.result["delete_command"]

    @pytest.mark.parametrize(
        ("paths", "message"),
        [
            (["/x/f0", "/x/f0"], "given twice"),
            (["/x/f0", "/x/f0/"], "given twice"),
            (["/x/y", "/x"], "'/x/y' lies inside another one"),
            (["/", "/x"], "'/x' lies inside another one"),
            (["/other/f7"], "do you mean '/other/f"),
            (["/quite/different"], "does not exist in the snapshot"),
        ],
    )
    def test_what_makes_no_sense_together(
        self, restore: Restore, paths: list[str], message: str
    ) -> None:
        before = read_tree(restore.target)
        words = [*restore.command(), *(f"--path={path}" for path in paths)]
        done = run_engine(*words)
        assert (done.returncode, read_tree(restore.target)) == (2, before)
        assert message in done.stderr


class TestContent:
    """Where size and time prove nothing, content is compared: the live file with the digest."""

    def alike(self, path: Path) -> None:
        """Other content of the same size with the same time."""
        info = path.stat()
        path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))
        os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))

    @pytest.mark.parametrize(
        ("check", "clock_skew", "is_found"),
        [("changed", "0", True), ("all", "0", True), ("quick", "0", False)],
    )
    def test_what_only_the_ctime_tells(
        self, restore: Restore, check: str, clock_skew: str, is_found: bool
    ) -> None:
        self.alike(restore.target / "x" / "f0")
        result = restore.must_restore(check=check, clock_skew=clock_skew).result
        assert ((restore.target / "x" / "f0").read_text() == "x 0") is is_found
        assert result["number_of_files_compared"] == {"changed": 1, "all": 9, "quick": 0}[check]
        assert result["number_of_files_replaced"] == int(is_found)

    def test_another_target_than_the_source_is_compared_as_a_whole(self, restore: Restore) -> None:
        target = restore.backup.home / "copy"
        shutil.copytree(restore.target, target, symlinks=True)
        time.sleep(0.1)
        restore.backup.must_publish()
        self.alike(target / "x" / "f0")
        result = Restore(restore.backup, target).must_restore(clock_skew="0").result
        assert result["number_of_files_compared"] == 9
        assert result["number_of_files_replaced"] == 1

    @pytest.mark.parametrize("list_of_digests", ["there", "gone", "cut off"])
    def test_without_digests_the_files_are_compared(
        self, restore: Restore, list_of_digests: str
    ) -> None:
        self.alike(restore.target / "x" / "f0")
        digests = restore.backup.digests()
        if list_of_digests == "gone":
            digests.unlink()
        elif list_of_digests == "cut off":
            digests.write_bytes(digests.read_bytes()[:-20])
        restore.must_restore()
        assert (restore.target / "x" / "f0").read_text() == "x 0"

    def test_what_is_damaged_in_the_backup_is_kept_out_and_the_rest_is_restored(
        self, restore: Restore
    ) -> None:
        damage(restore.target)
        info = (restore.backup.snapshot(0) / "x" / "f0").stat()
        (restore.backup.snapshot(0) / "x" / "f0").write_text("rot")
        os.utime(restore.backup.snapshot(0) / "x" / "f0", ns=(info.st_atime_ns, info.st_mtime_ns))
        outcome = restore.run()
        assert (outcome.exit_code, outcome.result["cause"]) == (1, "verification")
        assert outcome.result["number_of_files_damaged"] == 1
        assert any("x/f0" in line for line in outcome.result["errors"])
        assert (restore.target / "x" / "f0").read_text() == "overwritten"
        assert (restore.target / "x" / "f1").read_text() == "x 1"
        aside = Path(outcome.result["damaged_directory"])
        assert (aside / "x" / "f0").read_text() == "rot"


class TestHardLinks:
    def test_names_of_one_file_are_one_file_again(self, restore: Restore) -> None:
        source = restore.target
        for name in ("x/h1", "other/h2", "x/y/h3"):
            os.link(source / "x" / "f0", source / name)
        shutil.copy2(source / "x" / "f1", source / "x" / "twin")
        restore.backup.must_publish()
        # One name is gone, one has become a copy, and two files have become one.
        (source / "other" / "h2").unlink()
        (source / "x" / "h1").unlink()
        shutil.copy2(source / "x" / "f0", source / "x" / "h1")
        (source / "x" / "twin").unlink()
        os.link(source / "x" / "f1", source / "x" / "twin")
        before = read_tree(source)
        restore.must_restore()
        assert visible(read_tree(source)) == read_tree(restore.backup.snapshot(0))
        restore.undo()
        assert visible(read_tree(source)) == before

    def test_a_snapshot_that_has_no_list_of_them(self, restore: Restore) -> None:
        os.link(restore.target / "x" / "f0", restore.target / "x" / "h1")
        restore.backup.must_publish()
        restore.backup.must_publish()
        for path in (restore.backup.target / restore.backup.label).glob(".daily.*sharing*"):
            path.unlink()
        (restore.target / "x" / "f0").unlink()
        restore.must_restore()
        assert (restore.target / "x" / "f0").samefile(restore.target / "x" / "h1")


@root_only
def test_what_cannot_be_moved_stays_and_everything_else_is_restored(restore: Restore) -> None:
    damage(restore.target)
    subprocess.run(["chattr", "+i", restore.target / "x" / "f0"], check=True)
    try:
        outcome = restore.run()
        assert outcome.exit_code == 1
        assert outcome.result["number_of_files_not_moved"] == 1
        assert any("x/f0" in line for line in outcome.result["errors"])
        assert (restore.target / "x" / "f0").read_text() == "overwritten"
        assert (restore.target / "x" / "f1").read_text() == "x 1"
    finally:
        subprocess.run(["chattr", "-i", restore.target / "x" / "f0"], check=True)
    restore.must_restore()
    assert visible(read_tree(restore.target)) == read_tree(restore.backup.snapshot(0))


@pytest.mark.parametrize("option", ["backup", "target", "result", "log_dir"])
def test_an_empty_value_is_not_the_current_directory(restore: Restore, option: str) -> None:
    words = restore.command(**{option: None})
    done = subprocess.run(
        [*words, f"--{option.replace('_', '-')}", ""],
        capture_output=True,
        text=True,
        cwd=restore.target,
    )
    assert done.returncode == 2
    assert "'' is empty" in done.stderr


def test_a_backup_of_a_source_that_is_being_restored_says_so(
    restore: Restore, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(restore.target)
    shim = restore.backup.home / "shim"
    shim.mkdir()
    command = shlex.join(restore.backup.command())
    once = f"if mkdir {shim}/once; then {command} || exit 9; fi"
    (shim / "rsync").write_text(f'#!/bin/bash\nPATH=/usr/bin:/bin\n{once}\nexec rsync "$@"\n')
    (shim / "rsync").chmod(0o755)
    monkeypatch.setenv("PATH", f"{shim}:{os.environ['PATH']}")
    subprocess.run(restore.command(result=None), check=True, capture_output=True)
    warnings = json.loads(restore.backup.result.read_text())["warnings"]
    assert any("was being restored meanwhile" in line for line in warnings)
