"""What goes wrong around a run: programs, disks, clocks, and a source that does not keep still.

Each run ends truthfully, changes no snapshot that there is, and the next one is exact.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.tree import part, read_tree
from tests.changes import new_seed

from .conftest import Backup, is_locked
from .test_interruptions import fill, slow_rsync

SUDO = [] if os.geteuid() == 0 else ["sudo", "-n"]


@pytest.fixture
def published(backup: Backup) -> Backup:
    fill(backup.source, 10)
    backup.must_publish()
    return backup


def fails(backup: Backup, **options: str) -> dict[str, object]:
    """A run that publishes nothing and changes nothing; its result."""
    before = backup.trees()
    outcome = backup.run(**options)
    assert outcome.exit_code in (1, 2), outcome.stderr
    assert outcome.result["outcome"] in ("failed", "refused")
    assert backup.trees() == before
    return outcome.result


def works(backup: Backup) -> None:
    backup.must_publish()
    assert read_tree(backup.snapshot(0)) == read_tree(backup.source)


class TestRsyncEndsWith:
    def test_any_code(self, published: Backup, monkeypatch: pytest.MonkeyPatch) -> None:
        """After it copied what it was told to: the code alone is enough."""
        for code in (*(n for n in range(1, 36) if n not in (2, 23, 24)), 137, 143):
            fill(published.source, 10, f"changed for {code}")
            with monkeypatch.context() as patch:
                body = f'case "$*" in *--files-from*) "$REAL" "$@"; exit {code} ;; esac'
                shim = slow_rsync(published.home / "shim", f'{body}\nexec "$REAL" "$@"')
                patch.setenv("PATH", shim["PATH"])
                result = fails(published)
            assert result["cause"] == "files", code
            assert f"exit code {code}" in str(result["errors"])
        works(published)

    @pytest.mark.parametrize("code", [2, 23])
    def test_a_failure_of_files_that_are_right(
        self, published: Backup, monkeypatch: pytest.MonkeyPatch, code: int
    ) -> None:
        """It copied one anew, say, that was truncated meanwhile: each is looked at. So it is when
        it lost its place, with the code for other versions, as it could not read a shared inode."""
        fill(published.source, 10, "changed")
        body = f'case "$*" in *--files-from*) "$REAL" "$@"; exit {code} ;; esac'
        body += '\nexec "$REAL" "$@"'
        monkeypatch.setenv("PATH", slow_rsync(published.home / "shim", body)["PATH"])
        works(published)

    @pytest.mark.parametrize("code", [0, 2, 23, 24])
    def test_success_without_the_work(
        self, published: Backup, monkeypatch: pytest.MonkeyPatch, code: int
    ) -> None:
        fill(published.source, 20, "changed")
        with monkeypatch.context() as patch:
            shim = slow_rsync(published.home / "shim", f"exit {code}")
            patch.setenv("PATH", shim["PATH"])
            result = fails(published)
        assert result["cause"] == "files"
        assert sum(error.startswith("'d") for error in result["errors"]) == 20
        works(published)

    def test_a_signal(self, published: Backup, monkeypatch: pytest.MonkeyPatch) -> None:
        fill(published.source, 10, "changed")
        with monkeypatch.context() as patch:
            shim = slow_rsync(published.home / "shim", "kill -KILL $$")
            patch.setenv("PATH", shim["PATH"])
            assert "exit code -9" in str(fails(published)["errors"])
        works(published)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[Path, str], None]]:
    """disk(directory, options): mounts a small file system of its own there, or mounts it anew."""
    mounted: list[Path] = []

    def mount(directory: Path, options: str) -> None:
        if directory in mounted:
            options += ",remount"
        command = ["mount", "-t", "tmpfs", "-o", f"{options},mode=0777", "none", str(directory)]
        subprocess.run([*SUDO, *command], check=True)
        mounted.append(directory)

    yield mount
    for directory in {*mounted}:
        subprocess.run([*SUDO, "umount", str(directory)], check=True)


class TestTheBackupFileSystem:
    def test_is_full(self, backup: Backup, disk: Callable[[Path, str], None]) -> None:
        disk(backup.target, "size=4m")
        fill(backup.source, 10)
        backup.must_publish()
        (backup.source / "large").write_bytes(os.urandom(6 << 20))
        result = fails(backup)
        assert "No space left on device" in str(result["errors"])
        (backup.source / "large").unlink()
        works(backup)

    def test_has_no_room_for_one_more_name(
        self, backup: Backup, disk: Callable[[Path, str], None]
    ) -> None:
        disk(backup.target, "nr_inodes=100")
        fill(backup.source, 50)
        backup.must_publish()
        fill(backup.source, 90, "changed")
        assert "No space left on device" in str(fails(backup))
        disk(backup.target, "nr_inodes=1000")
        works(backup)

    def test_is_read_only(self, backup: Backup, disk: Callable[[Path, str], None]) -> None:
        disk(backup.target, "rw")
        fill(backup.source, 10)
        backup.must_publish()
        disk(backup.target, "ro")
        result = fails(backup)
        assert "cannot be written" in str(result) or "Read-only file system" in str(result)
        disk(backup.target, "rw")
        works(backup)


def test_the_scratch_directory_is_full(
    published: Backup, disk: Callable[[Path, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(published.source, 3000, "a text that changed")
    scratch = published.home / "small"
    scratch.mkdir()
    disk(scratch, "size=16k")
    with monkeypatch.context() as patch:
        patch.setenv("TMPDIR", str(scratch))
        assert "No space left on device" in str(fails(published))
    works(published)


WILD = """
import os, random, sys, time
from pathlib import Path
from tests.changes import Changes, new_seed
source, outside, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
changes = Changes(source, seed)
while True:
    try:
        changes.make(5)
        for name in ("swapped", "swapped deeper/d"):
            path = source / name
            if path.is_symlink():
                path.unlink()
                path.mkdir()
                (path / "precious").write_text("of the source")
            else:
                if path.exists():
                    path.rename(source / f"was {name} {random.random()}".replace("/", " "))
                path.parent.mkdir(exist_ok=True)
                path.symlink_to(outside)
    except OSError:
        pass
    time.sleep(0.001)
"""


def test_the_source_does_not_keep_still(backup: Backup) -> None:
    """Everything in it changes all the time, directories into links that lead out of it too."""
    outside = backup.home / "outside"
    outside.mkdir()
    (outside / "precious").write_text("outside")
    before = read_tree(outside)
    fill(backup.source, 300)
    command = [sys.executable, "-c", WILD, str(backup.source), str(outside), str(new_seed())]
    states: dict[int, object] = {}
    with subprocess.Popen(command, cwd=Path(__file__).parents[2]) as wild:
        try:
            for _ in range(8):
                outcome = backup.run(retain="20")
                assert outcome.result["outcome"] in ("published", "failed"), outcome.stderr
                snapshots = [backup.target / backup.label / name for name in backup.names()]
                trees = {path.stat().st_ino: read_tree(path) for path in snapshots}
                assert all(trees[inode] == tree for inode, tree in states.items())
                states.update(trees)
                assert wild.poll() is None
        finally:
            wild.kill()
    assert states, "no run was published"
    assert read_tree(outside) == before
    works(backup)
    assert read_tree(outside) == before


@pytest.mark.parametrize("days", [-400, -1, 1, 400])
def test_the_clock_was_wrong_when_the_last_run_was_made(published: Backup, days: int) -> None:
    """Even a change that only the ctime tells is found."""
    about = published.about(published.snapshot(0))
    noted = json.loads(about.read_text())
    noted["run"]["started"] += days * 86400 * 10**9
    about.write_text(json.dumps(noted))
    path = next(published.source.rglob("f3"))
    info = path.stat()
    path.write_text("CONTENT 3")
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
    assert path.stat().st_size == info.st_size
    works(published)


@pytest.mark.parametrize("days", [-400, -1, 1, 400])
def test_the_clock_jumps_during_a_run(
    published: Backup, faults: str, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    """All is exact, also a change of which only the ctime tells, and the runs after it."""
    with monkeypatch.context() as patch:
        patch.setenv("LD_PRELOAD", faults)
        patch.setenv("FAULT_CLOCK", str(days * 86400))
        fill(published.source, 10, "changed")
        outcome = published.must_publish()
    assert read_tree(published.snapshot(0)) == read_tree(published.source)
    made = json.loads(published.about(published.snapshot(0)).read_text())["made"]
    assert abs(made - time.time() - days * 86400) < 60, "it did not jump"
    assert outcome.result["warnings"] == []
    path = next(published.source.rglob("f3"))
    info = path.stat()
    path.write_text("CHANGED 3"[: info.st_size].ljust(info.st_size))
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
    for _ in range(2):
        works(published)


class TestListing:
    """Directories that change while they are read: names come twice, or not at all."""

    @pytest.fixture
    def wide(self, published: Backup, faults: str, monkeypatch: pytest.MonkeyPatch) -> Backup:
        fill(published.source, 10, "changed")
        (published.source / "deep/er").mkdir(parents=True)
        (published.source / "deep/er/file").write_text("text")
        monkeypatch.setenv("LD_PRELOAD", faults)
        return published

    @pytest.mark.parametrize("name", ["f3", "deep", "er"])
    def test_a_name_comes_twice(
        self, wide: Backup, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setenv("FAULT_TWICE", inode_of(wide, name))
        for _ in range(3):  # new, unchanged, and from the spare
            result = wide.must_publish().result
            assert read_tree(wide.snapshot(0)) == read_tree(wide.source)
            assert result["number_of_files"] == len(files_of(wide.source))

    @pytest.mark.parametrize("name", ["f3", "deep", "er"])
    def test_a_name_does_not_come(
        self, wide: Backup, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        """It is as if it had been removed: nothing else is, and it is back with the next run."""
        works(wide)
        with monkeypatch.context() as patch:
            patch.setenv("FAULT_UNSEEN", inode_of(wide, name))
            wide.must_publish()
        now, source = read_tree(wide.snapshot(0)), read_tree(wide.source)
        lost = {path for path in source if name.encode() in path.split(b"/")}
        assert now == part(source, lambda path: path not in lost)
        works(wide)


def inode_of(backup: Backup, name: str) -> str:
    return str(next(backup.source.rglob(name)).stat().st_ino)


def files_of(tree: Path) -> list[Path]:
    return [path for path in tree.rglob("*") if path.is_symlink() or not path.is_dir()]


def test_a_lock_that_a_process_holds_ends_with_it(published: Backup) -> None:
    """What a machine that was killed leaves is the kernel's to clear, not a file to remove."""
    lock = published.target / published.label / ".lock"
    with subprocess.Popen(["flock", str(lock), "sleep", "infinity"]) as holder:
        while not is_locked(lock):
            time.sleep(0.01)
        assert "another run" in str(fails(published)["message"])
        subprocess.run(["pkill", "-KILL", "-P", str(holder.pid)], check=True)
        holder.kill()
    works(published)


def test_the_log_directory_cannot_be_written(published: Backup) -> None:
    shutil.rmtree(published.logs)
    published.logs.write_text("in the way")
    result = fails(published)
    assert result["outcome"] in ("failed", "refused")
    with contextlib.suppress(FileNotFoundError):
        published.logs.unlink()
    works(published)
