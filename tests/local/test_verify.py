"""The demo notices everything that a snapshot must not be."""

import os
import shutil
import subprocess

import pytest

from local.deployment import DeploymentError
from local.verify import Backups


@pytest.fixture
def source(tmp_path):
    source = tmp_path / "source"
    (source / "directory").mkdir(parents=True)
    (source / "directory" / "file").write_text("content")
    (source / os.fsdecode(b"\xff\n")).touch()
    (source / "link").symlink_to("nowhere")
    os.mkfifo(source / "pipe")
    return source


@pytest.fixture
def snapshots(tmp_path):
    (tmp_path / "snapshots").mkdir()
    return tmp_path / "snapshots"


@pytest.fixture
def backups(source, snapshots):
    return Backups(source, snapshots)


def copy(source, target, *options):
    options = ["-a", "--modify-window=-1", *options]
    subprocess.run(["rsync", *options, f"{source}/", f"{target}/"], check=True)


def back_up(source, snapshots):
    """What the product does, as simple as can be."""
    for number in reversed(range(5)):
        if (snapshots / f"daily.{number}").exists():
            (snapshots / f"daily.{number}").rename(snapshots / f"daily.{number + 1}")
    copy(source, snapshots / "daily.0", f"--link-dest={snapshots}/daily.1")


def change_mode(path):
    path.chmod(0o600)


def change_content(path):
    status = path.stat()
    path.write_text("CONTENT")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def change_time(path):
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


def remove(path):
    path.unlink()


def break_link(path):
    shutil.copy2(path, path.with_name("copy"))
    path.with_name("copy").replace(path)


def test_good_snapshots(backups, source, snapshots):
    for run in range(3):
        (source / "directory" / f"file.{run}").write_text("more")
        back_up(source, snapshots)
        backups.verify()


def test_a_hidden_directory_is_no_snapshot(backups, source, snapshots):
    back_up(source, snapshots)
    (snapshots / ".stage").mkdir()
    backups.verify()


@pytest.mark.parametrize("damage", [change_mode, change_content, change_time, remove])
@pytest.mark.parametrize("name", ["daily.0", "daily.1"])
def test_a_damaged_snapshot(backups, source, snapshots, damage, name):
    back_up(source, snapshots)
    backups.verify()
    back_up(source, snapshots)
    break_link(snapshots / name / "directory" / "file")
    damage(snapshots / name / "directory" / "file")
    with pytest.raises(DeploymentError, match=rf"expected {name} to be .*\n  directory.*"):
        backups.verify()


def test_an_unchanged_file_that_was_copied(backups, source, snapshots):
    back_up(source, snapshots)
    backups.verify()
    back_up(source, snapshots)
    file = snapshots / "daily.0" / "directory" / "file"
    directory_times = file.parent.stat()
    break_link(file)
    os.utime(file.parent, ns=(0, directory_times.st_mtime_ns))
    with pytest.raises(DeploymentError, match="hard links for unchanged files"):
        backups.verify()


def test_a_missing_snapshot(backups):
    with pytest.raises(DeploymentError, match=r"expected the snapshots \['daily.0'\], found \[\]"):
        backups.verify()
