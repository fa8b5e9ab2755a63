"""Whoever can write to a tree cannot lead a run, which is root's, out of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from engine.tree.descent import opened

from local.tree import read_tree
from tests.trees import visible

from .conftest import EC2, Backup, exchanging
from .test_restore import Restore

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root needs, and can build, walls")


@pytest.mark.parametrize("knows_openat2", [True, False])
def test_no_link_is_followed_on_the_way_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, knows_openat2: bool
) -> None:
    if not knows_openat2:

        def unknown(*_: object) -> int:
            raise NotImplementedError

        monkeypatch.setattr("engine.tree.descent.open_beneath", unknown)
    (tmp_path / "top" / "a" / "b").mkdir(parents=True)
    (tmp_path / "outside" / "b").mkdir(parents=True)
    (tmp_path / "top" / "link").symlink_to("../outside")
    (tmp_path / "top" / "a" / "last").symlink_to("b")
    (tmp_path / "top" / "absolute").symlink_to(tmp_path / "top" / "a")
    top = os.open(tmp_path / "top", os.O_RDONLY)
    with opened(top, "a/b") as descriptor:
        assert os.fstat(descriptor).st_ino == (tmp_path / "top/a/b").stat().st_ino
    for path in ("link/b", "a/last", "absolute/b", "link"):
        with pytest.raises(OSError, match=r"symbolic links|Not a directory"), opened(top, path):
            pass
    os.close(top)


@root_only
def test_files_of_the_instance_do_not_get_into_a_snapshot(backup: Backup) -> None:
    """A user exchanges a directory for a link to another, again and again, while rsync copies."""
    outside = backup.home / "outside"
    eve = backup.source / "eve"
    for number in range(200):
        for place in (eve, outside):
            (place / f"d{number}").mkdir(parents=True)
        (eve / f"d{number}" / "file").write_text("eve's")
        (outside / f"d{number}" / "file").write_text("of the instance")
    link = backup.source / "link"
    link.symlink_to(outside)
    os.lchown(link, 12345, 12345)
    with exchanging(eve, link):
        for _ in range(3):
            backup.run()
    found = {path.read_text() for path in backup.target.rglob("file") if not path.is_symlink()}
    assert "of the instance" not in found


@root_only
def test_root_without_the_right_to_mount_is_warned(backup: Backup) -> None:
    (backup.source / "file").write_text("text")
    drop = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]
    outcome = backup.run(prefix=drop)
    assert outcome.exit_code == 0, outcome.stderr
    assert any("symbolic links could not be shut out" in w for w in outcome.result["warnings"])
    saved = read_tree(backup.snapshot(0))
    assert saved == read_tree(backup.source)
    (backup.source / "file").unlink()
    command = Restore(backup, backup.source).command()
    done = subprocess.run([*drop, *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "symbolic links could not be shut out" in done.stderr
    assert visible(read_tree(backup.source)) == saved


@root_only
def test_nothing_stays_mounted_and_what_is_mounted_below_the_source_is_backed_up(
    backup: Backup,
) -> None:
    script = (
        'mount -t tmpfs none "$1/inner" && echo inner >"$1/inner/file" && shift && "$@" &&'
        " ! grep efs-backup.walls /proc/self/mounts"
    )
    (backup.source / "inner").mkdir()
    prefix = ["unshare", "--mount", "bash", "-c", script, "bash", str(backup.source)]
    outcome = backup.run(prefix=prefix)
    assert outcome.exit_code == 0, outcome.stderr
    assert (backup.snapshot(0) / "inner" / "file").read_text() == "inner\n"
    assert list((backup.home / "scratch").iterdir()) == []
    assert subprocess.run(["grep", "-c", "walls", "/proc/mounts"], stdout=sys.stderr).returncode


@root_only
def test_behind_a_wall_no_link_is_followed_and_what_is_to_be_read_cannot_be_written(
    tmp_path: Path,
) -> None:
    """However well the rsync at hand looks after itself: cat does not."""
    for name in ("read", "written"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "link").symlink_to("/etc/passwd")
    program = f"""
import subprocess
from pathlib import Path
from engine.tree.walls import Root, Walls, opened_path
top = Path({str(tmp_path)!r})
def around(name, read_only):
    with opened_path(top / name) as descriptor:
        return walls.around(descriptor, Root(top / name, top / name), read_only).path
with Walls(top) as walls:
    read, written = around("read", True), around("written", False)
    print([(read / "link").readlink(), walls.warning])
    for command in (["cat", read / "link"], ["cat", written / "link"], ["touch", read / "new"]):
        print(subprocess.run(command, capture_output=True, text=True).stderr.split(": ")[-1])
    (written / "new").touch()
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(EC2 / "lib")},
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    assert done.stdout.split("\n\n")[0] == "[PosixPath('/etc/passwd'), '']\n" + (
        "Too many levels of symbolic links"
    )
    assert done.stdout.count("Too many levels of symbolic links") == 2
    assert done.stdout.count("Read-only file system") == 1
    assert sorted(os.listdir(tmp_path / "written")) == ["link", "new"]
    assert sorted(os.listdir(tmp_path)) == ["read", "written"]
