"""Paths longer than PATH_MAX, which no system call takes and no rsync, are as good as others."""

from __future__ import annotations

import gzip
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.tree import read_tree
from tests.trees import visible

from .conftest import LEVELS, Backup, inside
from .engines import run_engine


def publish(backup: Backup, **changes: str) -> dict[str, Any]:
    """md5sum cannot look at such paths, so the list is left to :meth:`Backup.verify`."""
    outcome = backup.run(**changes)
    assert outcome.exit_code == 0, outcome.stderr
    return outcome.result


def paths_in(top: Path) -> int:
    done = subprocess.run(["find", top, "-printf", "."], stdout=subprocess.PIPE, check=True)
    return len(done.stdout)


def write(name: str, text: str) -> None:
    Path(name).write_text(text)


@pytest.fixture(autouse=True)
def removed_at_the_end(tmp_path: Path) -> Iterator[None]:
    """Python, and so pytest, cannot remove what is as deep as this."""
    yield
    subprocess.run(["rm", "-rf", tmp_path], check=True)


@pytest.fixture
def deep(backup: Backup) -> Backup:
    (backup.source / "shallow").write_text("shallow")
    for depth in range(1, len(LEVELS) + 1, 3):  # shorter and longer than one call and one rsync
        with inside(backup.source, *LEVELS[:depth]):
            write("file", f"level {depth}")
            write("other\n\udcff", f"other {depth}")
            os.link("file", "its other name")
            os.symlink("file", "link")
            os.mkfifo("fifo")
            with open("sparse", "wb") as file:
                file.truncate(1 << 20)
    return backup


def test_long_paths_are_backed_up_kept_and_verified(deep: Backup) -> None:
    publish(deep)
    first = read_tree(deep.source)
    assert read_tree(deep.snapshot(0)) == first
    assert deep.verify().exit_code == 0
    with inside(deep.source, *LEVELS):
        write("file", "changed")  # with its other name
        os.unlink("link")
        write("new", "new")
        os.chmod(".", 0o700)
    result = publish(deep)
    assert read_tree(deep.snapshot(0)) == read_tree(deep.source)
    assert read_tree(deep.snapshot(1)) == first
    assert result["warnings"] == []
    names = ("added", "changed", "removed", "transferred")
    assert [result[f"number_of_files_{name}"] for name in names] == [1, 2, 1, 3]
    with gzip.open(deep.logs / "changes.txt.gz", "rt") as report:
        assert len([line for line in report if line.startswith("removed")]) == 1
    assert deep.verify().exit_code == 0


def test_long_paths_are_restored(deep: Backup) -> None:
    publish(deep)
    wanted = read_tree(deep.source)
    with inside(deep.source, *LEVELS):
        write("file", "changed")
    subprocess.run(["rm", "-rf", *deep.source.glob(f"{LEVELS[0]}/{LEVELS[1]}")], check=True)
    words = ["--interval", "daily", "--number", "0", "--target", str(deep.source)]
    done = run_engine(*deep.script("efs-restore.sh", *words))
    assert done.returncode == 0, done.stderr
    assert visible(read_tree(deep.source)) == wanted


def test_what_changed_at_a_long_path_is_found_and_named(deep: Backup) -> None:
    publish(deep)
    with inside(deep.snapshot(0), *LEVELS):
        write("file", "damaged")
    done = deep.verify()
    assert (done.exit_code, done.result["number_of_files_mismatched"]) == (1, 2)
    assert all(line.startswith("changed: 'd") for line in done.result["errors"])
    assert all(len(line) < 3000 for line in done.result["errors"])


def test_names_of_one_file_whose_paths_have_nothing_in_common(backup: Backup) -> None:
    """No single rsync can copy both."""
    (backup.source / "near").write_text("one file")
    near = os.open(backup.source, os.O_RDONLY)
    for name in ("x", "y"):
        with inside(backup.source, name, *LEVELS):
            os.link("near", "far", src_dir_fd=near)
    os.close(near)
    for _ in range(2):
        result = publish(backup)
        assert read_tree(backup.snapshot(0)) == read_tree(backup.source)
    assert (result["number_of_files_transferred"], result["number_of_files_linked"]) == (0, 3)
    assert backup.verify().exit_code == 0


def test_long_paths_expire(deep: Backup) -> None:
    publish(deep)
    subprocess.run(["rm", "-rf", deep.source / LEVELS[0]], check=True)
    result = publish(deep, retain="1", no_spare="")
    assert result["warnings"] == []
    assert result["number_of_files_removed"] == 14 * 6
    assert paths_in(deep.target) < 15
    assert read_tree(deep.snapshot(0)) == read_tree(deep.source)


def test_what_cannot_be_read_at_a_long_path_has_not_vanished(deep: Backup) -> None:
    body = 'case "$*" in *walls.*/tmp*) echo "rsync: failed" >&2; exit 23 ;; esac'
    publish(deep)
    with inside(deep.source, *LEVELS):
        write("new", "new")
    shim = deep.home / "shim"
    shim.mkdir()
    (shim / "rsync").write_text(f'#!/bin/bash\n{body}\nexec /usr/bin/rsync "$@"\n')
    (shim / "rsync").chmod(0o755)
    path = os.environ["PATH"]
    os.environ["PATH"] = f"{shim}:{path}"
    try:
        done = deep.run()
    finally:
        os.environ["PATH"] = path
    assert done.result["outcome"] == "partial"
    counts = [done.result[f"number_of_files_{name}"] for name in ("vanished", "failed")]
    assert counts == [0, 1]
    assert "/new'" in done.result["errors"][0]


def test_a_thousand_levels(backup: Backup) -> None:
    """As many as EFS allows, with the longest names."""
    names = ["\xfc" * 127 + "x"] * 1000  # 255 bytes
    with inside(backup.source, *names):
        write("file", "at the bottom")
    publish(backup, retain="1")
    with inside(backup.snapshot(0), *names):
        assert Path("file").read_text() == "at the bottom"
    assert paths_in(backup.snapshot(0)) == 1002
    assert backup.verify().exit_code == 0
    subprocess.run(["rm", "-rf", backup.source / names[0]], check=True)
    (backup.source / "file").touch()
    publish(backup, retain="1", no_spare="")
    assert paths_in(backup.target) < 15
