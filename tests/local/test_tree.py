"""The reader of trees sees everything that a backup must keep, and says what differs."""

import os
import stat
import subprocess
import sys

import pytest

from local import sandbox
from local.tree import differences, inodes, parse, part, read_tree, usages

ODD = os.fsdecode(b"\xff\n")
TIME = 1_600_000_000_123_456_789


def write(path, text="content"):
    path.unlink(missing_ok=True)
    path.write_text(text)
    os.utime(path, ns=(TIME, TIME))


def make(top):
    for name in ("directory", "empty"):
        (top / name).mkdir(parents=True)
    for name in ("directory/file", "directory/twin", ODD):
        write(top / name)
    os.link(top / "directory/file", top / "another name")
    (top / "link").symlink_to("nowhere")
    os.mkfifo(top / "pipe")
    for path in (top / "link", top / "pipe", *top.glob("*/"), top):
        os.utime(path, ns=(TIME, TIME), follow_symlinks=False)


@pytest.fixture
def trees(tmp_path):
    make(tmp_path / "one")
    make(tmp_path / "other")
    return tmp_path


def told(trees):
    """How the other differs."""
    return differences(read_tree(trees / "one"), read_tree(trees / "other"))


def test_trees_that_are_alike(trees):
    assert told(trees) == []
    assert len(read_tree(trees / "one")) == 9


def replace(name, make):
    def change(top):
        (top / name).unlink()
        make(top / name)
        os.utime(top / name, ns=(TIME, TIME), follow_symlinks=False)

    return change


CHANGES = {
    "mode": (lambda top: (top / "directory/twin").chmod(0o4600), "directory/twin: mode -rw-"),
    "mode of a directory": (lambda top: (top / "empty").chmod(0o1777), "empty: mode drwxr-xr-x → "),
    "time": (lambda top: os.utime(top / "pipe", ns=(0, TIME + 1)), "pipe: mtime_ns 16"),
    "content": (lambda top: write(top / ODD, "CONTENT"), "\\xff\n: content "),
    "size": (lambda top: write(top / ODD, "a"), "\\xff\n: size 7 → 1, content "),
    "target": (
        replace("link", lambda path: path.symlink_to("here")),
        "link: size 7 → 4, content nowhere → here",
    ),
    "type": (replace("pipe", lambda path: path.touch(0o644)), "pipe: mode prw-r--r-- → -rw-r--r--"),
    "gone": (lambda top: (top / "link").unlink(), "link is missing"),
    "more": (lambda top: (top / "more").touch(), "more should not be there"),
    "no longer one file": (
        replace("another name", write),
        "directory/file: inode another name → directory/file",
    ),
    "one file": (
        replace("directory/twin", lambda path: os.link(path.with_name("file"), path)),
        "directory/twin: inode directory/twin → another name",
    ),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_difference_is_told(trees, kind):
    change, says = CHANGES[kind]
    change(trees / "other")
    os.utime(trees / "other", ns=(TIME, TIME))
    os.utime(trees / "other/directory", ns=(TIME, TIME))
    (line,) = told(trees)
    assert line.startswith(says)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can")
def test_owners_and_numbers_of_devices_are_told(trees):
    for name, number in (("one", 3), ("other", 4)):
        for kind in (stat.S_IFCHR, stat.S_IFBLK):
            os.mknod(trees / name / f"device {kind}", kind | 0o600, os.makedev(1, number))
            os.utime(trees / name / f"device {kind}", ns=(TIME, TIME))
        os.lchown(trees / name / "link", number, number)
        os.utime(trees / name, ns=(TIME, TIME))
    assert [line.partition(": ")[2] for line in told(trees)] == [
        "device 259 → 260",
        "device 259 → 260",
        "owner 3:3 → 4:4",
    ]


def test_in_a_part_the_first_name_is_the_first_of_the_part(trees):
    whole = read_tree(trees / "one")
    assert whole[b"directory/file"].inode == "another name"
    assert part(whole, lambda path: b"/" in path)[b"directory/file"].inode == "directory/file"


def test_paths_may_be_longer_than_a_system_call_takes(trees, monkeypatch):
    monkeypatch.chdir(trees / "one")
    for _ in range(20):
        os.mkdir("d" * 250)
        os.chdir("d" * 250)
    os.mkfifo("deep")
    deep = b"/".join([b"d" * 250] * 20) + b"/deep"
    assert read_tree(trees / "one")[deep].mode.startswith("p")
    assert stat.S_ISFIFO(inodes(trees / "one")[deep].st_mode)


def test_a_tree_is_read_elsewhere_and_understood_here(trees):
    words = [sys.executable, "-I", sandbox.REPOSITORY / "local/tree.py", trees / "one", trees]
    told = subprocess.check_output(words, text=True).splitlines()
    assert [parse(line) for line in told] == [read_tree(trees / "one"), read_tree(trees)]


def test_names_of_one_file_are_read_once(trees):
    digests = {}
    read_tree(trees / "one", digests)
    assert len(digests) == 3
    info = (trees / "one/another name").stat()
    digests[info.st_dev, info.st_ino] = "known"
    assert read_tree(trees / "one", digests)[b"directory/file"].content == "known"


def test_sizes(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    (one / "shared").write_bytes(bytes(8192))
    os.link(one / "shared", two / "shared")
    (two / "own").write_bytes(b"x" * 4096)
    first, second = usages([one, two])
    assert second.total - first.total == second.unique - first.unique == 4096
    assert (first.files, second.files) == (1, 2)
