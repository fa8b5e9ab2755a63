"""What is removed of runs that were killed, in a directory that others may write to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from engine.command.scratch import WALLS, Scratch, remove_left

from .conftest import NOT_ONES_OWN, Backup, end_tree, give_away, until
from .test_interruptions import fill, slow  # noqa: F401

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def left(parent: Path, name: str = "efs-backup.abcdefgh") -> Path:
    """As a killed run leaves it."""
    path = parent / name
    path.mkdir(0o700)
    (path / "0").mkdir()
    if not name.startswith(WALLS):
        (path / "0/list").write_text("a list")
    return path


@pytest.mark.parametrize("name", ["efs-backup.abcdefgh", "efs-backup.walls.abcdefgh"])
def test_what_a_dead_run_left_goes(tmp_path: Path, name: str) -> None:
    left(tmp_path, name)
    remove_left(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["efs-backup.abcdefgh", "efs-backup.walls.abcdefgh"])
def test_what_a_living_run_uses_stays(tmp_path: Path, name: str) -> None:
    path = left(tmp_path, name)
    with subprocess.Popen(["flock", path, "cat"], stdin=subprocess.PIPE) as holder:
        # flock's lock is its child's, too
        until(lambda: subprocess.run(["flock", "-n", path, "true"]).returncode == 1)
        remove_left(tmp_path)
        assert (path / "0").is_dir()
        holder.kill()
        remove_left(tmp_path)
        assert (path / "0").is_dir()
        assert holder.stdin
        holder.stdin.close()
    until(lambda: subprocess.run(["flock", "-n", path, "true"]).returncode == 0)
    remove_left(tmp_path)
    assert not path.exists()


def test_its_children_keep_what_a_run_has_made(tmp_path: Path) -> None:
    made = Scratch(tmp_path)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False) as child:
        os.close(made._lock)
        remove_left(tmp_path)
        assert made.path.exists()
        assert child.stdin
        child.stdin.close()
    remove_left(tmp_path)
    assert not made.path.exists()


@pytest.mark.parametrize("what", NOT_ONES_OWN)
def test_what_may_be_of_others_is_left_alone(tmp_path: Path, what: str) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    path = left(tmp_path if what == "link" else scratch)
    name = give_away(path, scratch, what, "efs-backup.of-mine")
    before = os.lstat(name)
    remove_left(scratch)
    assert os.lstat(name) == before
    assert what == "file" or (path if path.exists() else name).joinpath("0/list").exists()


@root_only
@pytest.mark.parametrize("name", ["efs-backup.abcdefgh", "efs-backup.walls.abcdefgh"])
def test_nothing_is_removed_through_a_mount(tmp_path: Path, name: str) -> None:
    """Not even of the same file system, where rm does not see it."""
    scratch, saved = tmp_path / "scratch", tmp_path / "saved"
    for each in (scratch, saved):
        each.mkdir()
    (saved / "empty").mkdir()
    path = left(scratch, name)
    program = (
        "import sys; from pathlib import Path; from engine.command.scratch import *;"
        "remove_left(Path(sys.argv[1]))"
    )
    script = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
    where = [str(saved), str(path / "0")]
    python = [sys.executable, "-c", program, str(scratch)]
    subprocess.run(
        ["unshare", "--mount", "bash", "-c", script, "bash", *where, *python],
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (saved / "empty").is_dir()
    assert (path / "0").is_dir()


def test_the_walls_have_only_what_is_empty_removed(tmp_path: Path) -> None:
    path = left(tmp_path, "efs-backup.walls.abcdefgh")
    (path / "0/file").write_text("")
    remove_left(tmp_path)
    assert (path / "0/file").exists()


def test_the_next_run_removes_what_a_killed_one_left(slow: Backup) -> None:  # noqa: F811
    fill(slow.source, 3)
    scratch = slow.home / "scratch"
    process = slow.start(result=None)
    until((slow.home / "running").exists)
    end_tree(process)
    process.communicate()
    assert list(scratch.glob("efs-backup.*"))
    (slow.home / "go").touch()
    slow.must_publish()
    assert list(scratch.iterdir()) == []
