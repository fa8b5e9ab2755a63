"""What goes wrong around a restore: until everything has arrived, the live tree has not changed."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from engine.snapshots.choice import opened_snapshot
from engine.snapshots.folder import SnapshotFolder
from engine.target.records import Record
from engine.target.swap import Swap, Tops
from engine.tree.entries import attributes
from engine.tree.walls import opened_path

from local.tree import read_tree, without
from tests.trees import visible

from .conftest import EC2, Outcome, end_tree, is_locked, until
from .engines import run_engine
from .test_backup import write
from .test_interruptions import ask_to_stop
from .test_restore import SECOND, Restore, damage
from .test_restore import restore as restore  # the fixture
from .test_walls import exchanging

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount and change owners")


def shimmed(restore: Restore, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Have ``script`` run in the place of rsync; "$real" "$@" is the real one."""
    shim = restore.backup.home / "shim"
    shim.mkdir(exist_ok=True)
    (shim / "rsync").write_text(f"#!/bin/bash\nreal=/usr/bin/rsync\n{script}\n")
    (shim / "rsync").chmod(0o755)
    monkeypatch.setenv("PATH", f"{shim}:{os.environ['PATH']}")


def on_small_file_system(restore: Restore, options: str, **changes: str | None) -> Outcome:
    """A restore into an empty tmpfs; what is in it afterwards is in the file ``left``."""
    target = restore.backup.home / "small"
    target.mkdir()
    script = (
        f'mount -t tmpfs -o {options} none "$1"; touch "$1/mine"; top=$1; shift; "$@"; code=$?\n'
        f'find "$top" -mindepth 1 -printf "%P\\n" >{restore.backup.home}/left; exit $code'
    )
    words = Restore(restore.backup, target).command(**changes)
    prefix = ["unshare", "--mount", "bash", "-c", script, "bash", str(target)]
    done = subprocess.run([*prefix, *words], capture_output=True, text=True)
    result = json.loads(restore.backup.result.read_text())
    return Outcome(done.returncode, done.stderr, result)


@root_only
@pytest.mark.parametrize(
    ("options", "cause"), [("size=2m", "space"), ("size=64m,nr_inodes=20", "space")]
)
def test_a_file_system_that_is_too_small(restore: Restore, options: str, cause: str) -> None:
    for number in range(30):
        write(restore.target / "many" / str(number), "x" * 70_000)
    restore.backup.must_publish()
    outcome = on_small_file_system(restore, options)
    assert (outcome.exit_code, outcome.result["cause"]) == (1, cause)
    assert (restore.backup.home / "left").read_text().split() == ["mine"]
    assert outcome.result["safety_directory"] == outcome.result["delete_command"] == ""


@root_only
def test_a_disk_that_fills_up_while_files_are_copied(
    restore: Restore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else takes what was free when the restore looked."""
    write(restore.target / "big", "x" * 3_000_000)
    restore.backup.must_publish()
    fill = f"head -c 9000000 /dev/zero >{restore.backup.home}/small/theirs 2>/dev/null"
    shimmed(restore, monkeypatch, f'{fill}\nexec "$real" "$@"')
    outcome = on_small_file_system(restore, "size=8m")
    assert (outcome.exit_code, outcome.result["cause"]) == (1, "files")
    left = (restore.backup.home / "left").read_text().split()
    assert sorted(left) == ["mine", "theirs"]


@root_only
def test_a_disk_that_has_no_room_for_the_journal(restore: Restore) -> None:
    """Empty files take no space where they go, but each has a name in the journal."""
    for number in range(3000):
        write(restore.target / f"{number} {'x' * 100}", "")
    restore.backup.must_publish()
    outcome = on_small_file_system(restore, "size=200k")
    assert outcome.exit_code == 1
    assert "No space left" in outcome.stderr
    assert (restore.backup.home / "left").read_text().split() == ["mine"]


@pytest.mark.parametrize("code", [1, 11, 23, 24, 30, 137])
def test_whatever_rsync_says_nothing_has_changed(
    restore: Restore, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    damage(restore.target)
    before = read_tree(restore.target)
    shimmed(restore, monkeypatch, f'"$real" "$@"; exit {code}')
    outcome = restore.run()
    if code == 24:  # files were gone, which is not so
        assert outcome.exit_code in (0, 1)
        return
    assert outcome.exit_code == 1
    assert read_tree(restore.target) == before
    assert outcome.result["undo_command"] == outcome.result["delete_command"] == ""


def test_a_file_that_is_gone_from_the_snapshot(
    restore: Restore, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(restore.target)
    before = read_tree(restore.target)
    gone = restore.backup.snapshot(0) / "x" / "f1"
    shimmed(restore, monkeypatch, f'rm -f {gone}\nexec "$real" "$@"')
    outcome = restore.run()
    assert outcome.exit_code == 1
    assert any("f1" in line for line in outcome.result["errors"])
    assert read_tree(restore.target) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_ended_while_it_copies_the_live_tree_is_as_it_was(
    restore: Restore, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    damage(restore.target)
    before = read_tree(restore.target)
    mark, go = restore.backup.home / "copying", restore.backup.home / "go"
    shimmed(
        restore,
        monkeypatch,
        f'touch {mark}; until [[ -e {go} ]]; do sleep 0.05; done; exec "$real" "$@"',
    )
    process = subprocess.Popen(restore.command(), stderr=subprocess.DEVNULL)
    while not mark.exists():
        time.sleep(0.02)
    if number == signal.SIGKILL:
        end_tree(process)
    else:
        ask_to_stop(process, number)
    go.touch()
    process.wait()
    if number == signal.SIGKILL:
        assert visible(read_tree(restore.target)) == visible(before)
    else:
        assert read_tree(restore.target) == before
        assert json.loads(restore.backup.result.read_text())["outcome"] == "stopped"
    monkeypatch.undo()
    monkeypatch.setenv("TMPDIR", str(restore.backup.home / "scratch"))
    restore.must_restore()
    assert visible(read_tree(restore.target)) == read_tree(restore.backup.snapshot(0))


def test_killed_before_its_first_change_there_is_nothing_to_undo(
    restore: Restore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What others write where it would have put something is theirs, and stays."""
    damage(restore.target)
    mark = restore.backup.home / "copying"
    shimmed(restore, monkeypatch, f"touch {mark}; exec sleep infinity")
    process = subprocess.Popen(restore.command(id="one"), stderr=subprocess.DEVNULL)
    while not mark.exists():
        time.sleep(0.02)
    end_tree(process)
    process.wait()
    write(restore.target / "x" / "f1", "written since")
    before = visible(read_tree(restore.target))
    done = undo_by_engine(restore, "one")
    assert done.returncode == 0
    assert "nothing to undo" in done.stderr
    assert visible(read_tree(restore.target)) == before


def test_what_cannot_be_put_in_place_leaves_what_was_there(tmp_path: Path) -> None:
    """The old entry is set aside by then, and has to come back."""
    for folder in ("live", "aside", "other type"):
        (tmp_path / folder).mkdir()
    write(tmp_path / "live" / "file", "old")
    write(tmp_path / "live" / "tree" / "inside", "old")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere, contextlib.ExitStack() as stack:
        write(Path(elsewhere) / "file", "new")
        write(Path(elsewhere) / "tree" / "inside", "new")
        live, aside, new = (
            stack.enter_context(opened_path(path))
            for path in (tmp_path / "live", tmp_path / "aside", Path(elsewhere))
        )
        assert os.fstat(new).st_dev != os.fstat(live).st_dev, "else it can be put in place"
        before = read_tree(tmp_path / "live")
        was = attributes(os.fstat(live))
        names = ["file", "tree"]
        record = Record("", os.fstat(live).st_ino, was, was, names, names[:1], names[1:])
        worker = SimpleNamespace(context=Tops(-1, live, aside, new), stopping=False)
        done = Swap(record).perform(worker)  # type: ignore[arg-type]
    assert [line.split(":")[0] for line in done.not_moved] == ["'file'", "'tree'"]
    assert len(done.record) == 0
    after = read_tree(tmp_path / "live")
    assert without("mtime_ns", after, b".") == without("mtime_ns", before, b".")
    assert not any((tmp_path / "aside").iterdir())


@root_only
def test_a_mount_point_stays_and_everything_else_is_restored(restore: Restore) -> None:
    damage(restore.target)
    mounted = restore.target / "x" / "new mount"
    mounted.mkdir()
    script = 'mount -t tmpfs none "$1"; echo theirs >"$1/file"; shift; exec "$@"'
    prefix = ["unshare", "--mount", "bash", "-c", script, "bash", str(mounted)]
    done = subprocess.run([*prefix, *restore.command()], capture_output=True, text=True)
    assert done.returncode == 1
    result = json.loads(restore.backup.result.read_text())
    assert result["number_of_files_not_moved"] == 1
    assert any("new mount" in line for line in result["errors"])
    mounted.rmdir()
    saved = read_tree(restore.backup.snapshot(0))
    after = visible(read_tree(restore.target))
    assert without("mtime_ns", after) == without("mtime_ns", saved)


def test_what_somebody_writes_to_a_name_meanwhile_is_not_lost(
    restore: Restore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file and a directory that come into being between plan and swap."""
    damage(restore.target)
    there = restore.target / "x"
    shimmed(
        restore,
        monkeypatch,
        f'echo theirs >{there}/f1; mkdir -p {there}/fresh; exec "$real" "$@"',
    )
    outcome = restore.run()
    assert (there / "f1").read_text() == "theirs\n"
    assert any("x/f1" in line for line in outcome.result["warnings"])
    assert (there / "fresh").is_dir()
    assert (there / "f0").read_text() == "x 0"


@root_only
def test_nobody_is_led_out_of_the_target(restore: Restore) -> None:
    """A user exchanges a directory of theirs for a link to another, again and again."""
    outside = restore.backup.home / "outside"
    eve = restore.target / "eve"
    for number in range(60):
        write(eve / f"d{number}" / "f", "eve's")
        write(outside / f"d{number}" / "theirs", "of somebody else")
    restore.backup.must_publish()
    for number in range(60):
        (eve / f"d{number}" / "f").unlink()
        write(eve / f"d{number}" / "theirs", "new")
    link = restore.target / "link to"
    link.symlink_to(outside)
    before = read_tree(outside)
    with exchanging(eve, link):
        for _ in range(4):
            restore.run()
            for script in restore.target.glob(".efs-restore-*.undo/undo"):
                subprocess.run([sys.executable, str(script)], capture_output=True)
    assert read_tree(outside) == before


class TestDamagedInTheBackup:
    def test_all_names_of_a_file_are_kept_out(self, restore: Restore) -> None:
        write(restore.target / "a" / "one", "shared")
        os.link(restore.target / "a" / "one", restore.target / "two")
        restore.backup.must_publish()
        (restore.target / "a" / "one").unlink()
        (restore.target / "two").unlink()
        (restore.backup.snapshot(0) / "two").write_text("rotten")
        outcome = restore.run()
        assert (outcome.exit_code, outcome.result["cause"]) == (1, "verification")
        assert outcome.result["number_of_files_damaged"] == 2
        assert not (restore.target / "a" / "one").exists()
        assert not (restore.target / "two").exists()

    def test_the_directories_around_it_are_as_in_the_snapshot(self, restore: Restore) -> None:
        wanted = read_tree(restore.backup.snapshot(0))
        del wanted[b"x/y/f1"]
        shutil.rmtree(restore.target / "x")
        (restore.backup.snapshot(0) / "x" / "y" / "f1").write_text("rotten")
        assert restore.run().exit_code == 1
        assert visible(read_tree(restore.target)) == wanted


class TestNotesOfASnapshot:
    """Lists and notes that are lost or damaged cost time, never exactness."""

    @pytest.mark.parametrize("state", ["missing", "empty", "truncated"])
    @pytest.mark.parametrize("kind", ["sharing", "digests", "runs", "dates"])
    def test_lost_or_damaged(self, restore: Restore, kind: str, state: str) -> None:
        top = restore.target
        write(top / "a" / "one", "shared", SECOND)
        os.link(top / "a" / "one", top / "two")
        restore.backup.must_publish()
        snapshot = restore.backup.snapshot(0)
        wanted = read_tree(top)
        for path in snapshot.parent.glob(f".daily.{kind}*"):
            content = path.read_bytes()
            path.unlink()
            if state != "missing":
                path.write_bytes(content[: len(content) // 2] if state == "truncated" else b"")
        damage(top)
        (top / "two").unlink()
        write(top / "two", "SHARED", SECOND)
        outcome = restore.run()
        assert outcome.exit_code == 0, outcome.stderr
        assert visible(read_tree(top)) == wanted


class TestRenumberedInBetween:
    """A run publishes between two looks at the names of the snapshots."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> SnapshotFolder:
        for number in (0, 1):
            write(tmp_path / f"daily.{number}" / "file", str(number))
            os.utime(tmp_path / f"daily.{number}", ns=(SECOND, SECOND - number * 10**12))
        return SnapshotFolder(tmp_path, "daily")

    @staticmethod
    def publish(folder: SnapshotFolder) -> None:
        for number in (1, 0):
            (folder.path / f"daily.{number}").rename(folder.path / f"daily.{number + 1}")
        write(folder.path / "daily.0" / "file", "new")

    def once(self, folder: SnapshotFolder, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Publish right after the method ``name`` looked for the first time."""
        look = getattr(folder, name)

        def looked(*words: str) -> object:
            monkeypatch.undo()
            found = look(*words)
            self.publish(folder)
            return found

        monkeypatch.setattr(folder, name, looked)

    @pytest.mark.parametrize(
        ("wanted", "content"), [(0, "new"), ((1_600_000_000, 1_600_000_001), "0")]
    )
    def test_what_is_opened_is_what_was_meant(
        self,
        folder: SnapshotFolder,
        monkeypatch: pytest.MonkeyPatch,
        wanted: int | tuple[int, int],
        content: str,
    ) -> None:
        self.once(folder, "dated", monkeypatch)
        with opened_snapshot(folder, wanted) as (snapshot, top, _):
            assert Path(f"/proc/self/fd/{top}/file").read_text() == content
            assert os.path.samestat(os.fstat(top), snapshot.path.stat())
            assert snapshot.made == os.fstat(top).st_mtime

    def test_a_name_that_goes_meanwhile_is_looked_for_again(
        self, folder: SnapshotFolder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        look = folder.trees

        def looked() -> list[Path]:
            monkeypatch.undo()
            found = look()
            (folder.path / "daily.1").rename(folder.path / "weekly.0")
            return found

        monkeypatch.setattr(folder, "trees", looked)
        assert [name for name, _ in folder.dated()] == ["daily.0", "weekly.0"]

    def test_what_got_another_number_is_still_published(
        self, folder: SnapshotFolder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with opened_path(folder.path / "daily.1") as top:
            self.once(folder, "_numbered", monkeypatch)
            assert folder.publishes(top)
            shutil.rmtree(folder.path / "daily.2")
            assert not folder.publishes(top)


class TestPlanted:
    """Names that a user may have put where a restore has its own."""

    @root_only
    def test_a_lock_that_is_a_link_or_somebody_elses(self, restore: Restore) -> None:
        lock = restore.target / ".efs-restore-lock"
        victim = restore.backup.home / "victim"
        lock.symlink_to(victim)
        assert restore.run().exit_code == 2
        assert not victim.exists()
        lock.unlink()
        lock.touch()
        os.chown(lock, 12345, 12345)
        outcome = restore.run()
        assert outcome.exit_code == 2
        assert "remove it" in outcome.stderr

    @root_only
    def test_a_directory_of_such_a_name_is_a_users_and_treated_like_any_other(
        self, restore: Restore
    ) -> None:
        write(restore.target / ".efs-restore-mine" / "file", "eve's")
        os.chown(restore.target / ".efs-restore-mine", 12345, 12345)
        outcome = restore.must_restore()
        safety = Path(outcome.result["safety_directory"])
        assert (safety / ".efs-restore-mine" / "file").read_text() == "eve's"

    def test_the_id_of_another_restore(self, restore: Restore) -> None:
        damage(restore.target)
        restore.must_restore(id="once")
        damage(restore.target)
        before = read_tree(restore.target)
        outcome = restore.run(id="once")
        assert outcome.exit_code == 2
        assert read_tree(restore.target) == before

    @root_only
    def test_an_undo_directory_that_is_somebody_elses_is_not_trusted(
        self, restore: Restore
    ) -> None:
        undo = restore.target / ".efs-restore-evil.undo"
        write(undo / "journal", json.dumps(["x", 0, [0o40777, 1, 1, 0], [0, 0, 0, 0], [], [], []]))
        os.chown(undo, 12345, 12345)
        before = read_tree(restore.target / "x")
        done = undo_by_engine(restore, "evil")
        assert done.returncode == 2
        assert "not this user's own" in done.stderr
        assert read_tree(restore.target / "x") == before


def undo_by_engine(restore: Restore, name: str, *words: str) -> subprocess.CompletedProcess[str]:
    script = Path(restore.command()[0]).with_name("efs-undo.sh")
    command = [script, "--target", restore.target, "--id", name, *words]
    return run_engine(*command)


class TestUndo:
    def test_by_the_engine(self, restore: Restore) -> None:
        damage(restore.target)
        before = read_tree(restore.target)
        restore.must_restore(id="one")
        after = visible(read_tree(restore.target))
        planned = undo_by_engine(restore, "one", "--dry-run")
        assert (planned.returncode, visible(read_tree(restore.target))) == (0, after)
        done = undo_by_engine(restore, "one", "--result", str(restore.backup.result))
        assert done.returncode == 0, done.stderr
        assert visible(read_tree(restore.target)) == before
        result = json.loads(restore.backup.result.read_text())
        assert result["outcome"] == "undone"
        said = f"put back: {result['number_of_entries_put_back']}; set aside: "
        assert f"Entries {said}" in done.stderr
        assert f"Entries that would be {said}" in planned.stderr
        assert "was undone before" in undo_by_engine(restore, "one").stderr

    def test_one_that_is_not_there_names_those_that_are(self, restore: Restore) -> None:
        damage(restore.target)
        restore.must_restore(id="one")
        done = undo_by_engine(restore, "other")
        assert done.returncode == 2
        assert "'one'" in done.stderr

    @pytest.mark.parametrize("word", ["--help", "--dry-run"])
    def test_the_script_changes_nothing_when_it_is_only_asked(
        self, restore: Restore, word: str
    ) -> None:
        damage(restore.target)
        restore.must_restore(id="one")
        before = read_tree(restore.target)
        script = restore.target / ".efs-restore-one.undo" / "undo"
        done = subprocess.run([sys.executable, script, word], capture_output=True, text=True)
        assert done.returncode == 0
        assert read_tree(restore.target) == before

    def test_the_script_waits_for_a_restore_that_is_at_work(self, restore: Restore) -> None:
        damage(restore.target)
        restore.must_restore(id="one", prefix="/x")
        before = read_tree(restore.target / "x")
        script = restore.target / "x" / ".efs-restore-one.undo" / "undo"
        lock = restore.target / ".efs-restore-lock"
        with subprocess.Popen(["flock", "--no-fork", lock, "sleep", "infinity"]) as holder:
            until(lambda: lock.exists() and is_locked(lock))
            done = subprocess.run([sys.executable, script], capture_output=True, text=True)
            holder.kill()
        assert (done.returncode, done.stdout) == (2, "")
        assert "a restore is at work" in done.stderr
        assert read_tree(restore.target / "x") == before
        assert subprocess.run([sys.executable, script], capture_output=True).returncode == 0

    def test_it_asks_at_a_terminal(self, restore: Restore) -> None:
        damage(restore.target)
        restore.must_restore(id="one")
        before = read_tree(restore.target)
        script = restore.target / ".efs-restore-one.undo" / "undo"
        command = shlex.join([sys.executable, str(script)])
        done = subprocess.run(
            ["script", "--quiet", "--return", "--command", command, "/dev/null"],
            input="no\n",
            capture_output=True,
            text=True,
        )
        assert "Type yes to go on" in done.stdout
        assert read_tree(restore.target) == before

    @pytest.mark.parametrize("was", ["undone", "killed before"])
    def test_it_asks_only_if_there_is_something_to_undo(self, restore: Restore, was: str) -> None:
        damage(restore.target)
        restore.must_restore(id="one")
        script = restore.target / ".efs-restore-one.undo" / "undo"
        if was == "undone":
            assert undo_by_engine(restore, "one").returncode == 0
            said = "was undone before; nothing was changed"
        else:
            (script.parent / "journal").unlink()
            said = "has changed nothing so far; there is nothing to undo"
        words = ["--target", str(restore.target), "--id", "one"]
        for command in ([sys.executable, str(script)], [str(EC2 / "efs-undo.sh"), *words]):
            done = subprocess.run(
                ["script", "--quiet", "--return", "--command", shlex.join(command), "/dev/null"],
                input="no\n",
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0
            assert "Type yes" not in done.stdout
            assert said in " ".join(done.stdout.split())

    def test_one_that_is_at_work_is_not_over(self, restore: Restore) -> None:
        """It has changed nothing as long as it copies, and will."""
        undo = restore.target / ".efs-restore-one.undo"
        undo.mkdir(mode=0o700)
        (undo / "journal.new").touch()
        lock = restore.target / ".efs-restore-lock"
        with subprocess.Popen(["flock", "--no-fork", lock, "sleep", "infinity"]) as holder:
            until(lambda: lock.exists() and is_locked(lock))
            at_work = undo_by_engine(restore, "one")
            holder.kill()
        assert at_work.returncode == 2
        assert "another restore is working" in at_work.stderr
        killed = undo_by_engine(restore, "one")
        assert killed.returncode == 0
        assert "has changed nothing so far" in killed.stderr

    def test_one_that_goes_on_takes_nothing_that_came_after_it_began(
        self, restore: Restore
    ) -> None:
        (restore.target / "x" / "f0").unlink()
        write(restore.target / "extra", "removed by the restore")
        restore.must_restore(id="one")
        write(restore.target / "x" / "f0", "work done after the restore")
        write(restore.target / "extra", "in the way")
        assert undo_by_engine(restore, "one").returncode == 1
        write(restore.target / "x" / "f0", "work done after the undo")
        (restore.target / "extra").unlink()
        assert undo_by_engine(restore, "one").returncode == 0
        restored = restore.target / ".efs-restore-one.undo" / "restored"
        assert (restored / "x" / "f0").read_text() == "work done after the restore"
        assert (restore.target / "x" / "f0").read_text() == "work done after the undo"
        assert (restore.target / "extra").read_text() == "removed by the restore"

    def test_names_are_never_printed_raw(self, restore: Restore) -> None:
        evil = "evil\x1b[31m\n\udcff"
        write(restore.target / evil / "f", "1")
        restore.backup.must_publish()
        (restore.target / evil / "f").unlink()
        restore.must_restore(id="one")
        (restore.target / evil).rename(restore.target / "moved")
        (restore.target / evil).mkdir()
        done = undo_by_engine(restore, "one")
        assert done.returncode == 1
        assert "\x1b" not in done.stdout + done.stderr
        assert "another directory is in its place" in done.stderr

    def test_memory_does_not_grow_with_the_journal(self, restore: Restore) -> None:
        undo = restore.target / ".efs-restore-large.undo"
        undo.mkdir(mode=0o700)
        script = Path(restore.command()[0]).parent / "lib/engine/target/undo.py"
        (undo / "undo").write_bytes(script.read_bytes())
        inode = restore.target.stat().st_ino
        names = [f"name {number}" for number in range(200)]
        line = json.dumps(["", inode, [0o40755, 0, 0, 0], [0o40755, 0, 0, 0], [], names, []]) + "\n"
        peaks = []
        for count in (1, 1000):
            (undo / "journal").write_text(line * count)
            program = (
                "import resource, runpy, sys; sys.argv = [sys.argv[1], '--dry-run']\n"
                "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
                "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
            )
            words = ["env", sys.executable, "-c", program, undo / "undo"]
            done = subprocess.run(words, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            peaks.append(int(done.stdout.split()[-1]))
        assert peaks[1] - peaks[0] < 5_000, f"{peaks} kB"
