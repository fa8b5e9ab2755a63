"""A file that takes longer than the window is copied over several runs, and costs no other file."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local.tree import read_tree

from .conftest import EC2, Backup, check_digests

BLOCK = 4096
SIZE = 10 * BLOCK + 5

# The engine with files that are large from 16 KiB on, noted after every two blocks. It gets the
# signal in argv[1] when it notes for the time in argv[2]; before that line what a test adds.
ENGINE = f"""
import os, signal, sys
import engine.backup as backup, engine.copying.parts as parts
backup.LARGE, parts.BLOCK, parts.SAVE_BYTES = 1 << 14, {BLOCK}, {2 * BLOCK}
number, left = int(sys.argv.pop(1)), int(sys.argv.pop(1))
note = parts.Parts._note
def noted(self, about):
    global left
    found, left = note(self, about), left - 1
    if left == 0:
        os.kill(os.getpid(), number)
        while number == signal.SIGTERM and not self_stop[0].received:
            pass
    return found
parts.Parts._note = noted
self_stop = []
LargeFiles = backup.LargeFiles
def large(trees, parts, stop, size):
    self_stop.append(stop)
    return LargeFiles(trees, parts, stop, size)
backup.LargeFiles = large
ADDED
sys.exit(backup.execute(backup.parse, backup.run, backup.BackupResult("published")))
"""


def run(backup: Backup, after: int = 0, number: int = signal.SIGTERM, added: str = "") -> Any:
    """A run that gets a signal when it has noted ``after`` times how far a file came."""
    backup.result.unlink(missing_ok=True)
    script = ENGINE.replace("ADDED", added)
    command = [sys.executable, "-B", "-c", script, str(number), str(after)]
    done = subprocess.run(
        [*command, *backup.command(retain="20")[1:]],
        env={**os.environ, "PYTHONPATH": str(EC2 / "lib"), "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
    )
    if number == signal.SIGKILL and after:
        return None
    result = json.loads(backup.result.read_text())
    assert done.returncode == result["exit_code"], done.stderr
    return result


def parts(backup: Backup) -> list[Path]:
    return sorted((backup.target / "efs-backup/.daily.parts").iterdir())


def write(path: Path, seed: int = 1, size: int = SIZE, mtime_ns: int = 10**18) -> Path:
    path.write_bytes(random.Random(seed).randbytes(size))
    path.chmod(0o640)
    os.utime(path, ns=(mtime_ns, mtime_ns))
    return path


@pytest.fixture
def large(backup: Backup) -> Path:
    (backup.source / "small").write_text("small")
    return write(backup.source / "large")


def is_exact(backup: Backup) -> None:
    assert read_tree(backup.snapshot(0)) == read_tree(backup.source)
    check_digests(backup.snapshot(0), backup.digests())
    assert parts(backup) == []


def test_it_is_continued_until_it_is_complete(backup: Backup, large: Path) -> None:
    came = []
    while (result := run(backup, after=3))["outcome"] == "partial":
        assert result["number_of_files_failed"] == 1
        (error,) = (error for error in result["errors"] if error.startswith("'large': "))
        assert "and the next run goes on; the snapshot before has no older version" in error
        assert [path.name for path in backup.snapshot(0).iterdir()] == ["small"]
        came.append(parts(backup)[0].stat().st_size)
        assert len(came) < 10
    assert came == [2 * BLOCK, 6 * BLOCK, 10 * BLOCK]
    assert result["outcome"] == "published"
    assert result["total_transferred_file_size"] == SIZE - 10 * BLOCK
    assert read_tree(backup.snapshot(0)) == read_tree(backup.source)
    assert parts(backup) == []
    # Nobody has read it at once, so there is no digest, and verifying says so.
    found = backup.verify()
    assert (found.exit_code, found.result["number_of_files_not_listed"]) == (0, 1)
    assert run(backup)["outcome"] == "published"
    assert read_tree(backup.snapshot(0)) == read_tree(backup.source)
    inodes = {backup.snapshot(number).joinpath("large").stat().st_ino for number in (0, 1)}
    assert len(inodes) == 1


def test_a_run_that_is_not_stopped_copies_it_with_its_digest(backup: Backup, large: Path) -> None:
    assert run(backup)["outcome"] == "published"
    is_exact(backup)
    found = backup.verify()
    assert (found.exit_code, found.result["number_of_files_not_listed"]) == (0, 0)


def test_the_older_version_stays_meanwhile(backup: Backup, large: Path) -> None:
    run(backup)
    before = read_tree(backup.snapshot(0))
    write(large, seed=2, mtime_ns=2 * 10**18)
    result = run(backup, after=3)
    assert (result["outcome"], result["number_of_files_carried_forward"]) == ("partial", 1)
    assert read_tree(backup.snapshot(0))[b"large"] == before[b"large"]
    assert run(backup)["outcome"] == "published"
    assert read_tree(backup.snapshot(0)) == read_tree(backup.source)


CHANGES: dict[str, Callable[[Path], object]] = {
    "grows": lambda path: write(path, size=SIZE + BLOCK),
    "shrinks": lambda path: write(path, seed=3, size=SIZE - BLOCK),
    "other content, same size and time": lambda path: write(path, seed=4),
    "another file, same size and time": lambda path: write(path.with_name("new"), 5).rename(path),
    "becomes sparse": lambda path: (os.truncate(path, 0), os.truncate(path, SIZE)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_one_that_changed_is_begun_anew(backup: Backup, large: Path, change: str) -> None:
    run(backup, after=4)
    for _ in range(2):
        CHANGES[change](large)
        result = run(backup, after=4)
    (error,) = (error for error in result["errors"] if error.startswith("'large': "))
    assert "has changed before it was complete 2 times in a row" in error
    assert run(backup)["outcome"] == "published"
    assert read_tree(backup.snapshot(0)) == read_tree(backup.source)
    assert parts(backup) == []


DAMAGES: dict[str, Callable[[Path, Path], object]] = {
    "a note that is cut off": lambda part, note: note.write_text("[1"),
    "no note": lambda part, note: note.unlink(),
    "another's note": lambda part, note: note.write_text('["other", 1, 2, 3, 4, 5, 6, 7]'),
    "a note of more than there is": lambda part, note: os.truncate(part, BLOCK),
    "an end that was lost": lambda part, note: lose_end(part),
    "more than is noted": lambda part, note: part.open("ab").write(b"x" * 3 * BLOCK),
}


def lose_end(part: Path) -> None:
    length = part.stat().st_size
    os.truncate(part, length - BLOCK // 2)
    os.truncate(part, length)


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_a_power_cut_may_leave_is_copied_again(
    backup: Backup, large: Path, damage: str
) -> None:
    run(backup, after=4)
    part, note = parts(backup)
    DAMAGES[damage](part, note)
    assert run(backup)["outcome"] == "published"
    assert read_tree(backup.snapshot(0)) == read_tree(backup.source)
    assert parts(backup) == []


def test_what_may_have_changed_unseen_is_compared(backup: Backup, large: Path) -> None:
    run(backup, after=4)
    part, _ = parts(backup)
    with part.open("r+b") as file:
        file.write(b"other than the source")
    changed = backup.command(retain="20", clock_skew="3600")  # it changed less than an hour ago
    backup.command = lambda **_: changed  # type: ignore[method-assign]
    assert run(backup)["outcome"] == "published"
    is_exact(backup)


def test_names_of_one_file_stay_one(backup: Backup, large: Path) -> None:
    (backup.source / "d").mkdir()
    os.link(large, backup.source / "d/too")
    os.link(large, backup.source / "and this")
    result = run(backup, after=3)
    assert result["number_of_files_failed"] == 3
    assert run(backup)["outcome"] == "published"
    assert read_tree(backup.snapshot(0)) == read_tree(backup.source)
    names = ("large", "d/too", "and this")
    assert len({backup.snapshot(0).joinpath(name).stat().st_ino for name in names}) == 1


def test_a_sparse_one_stays_sparse(backup: Backup) -> None:
    (backup.source / "small").write_text("small")
    path = backup.source / "sparse"
    with path.open("wb") as file:
        file.seek(1 << 27)
        file.write(b"end")
        file.truncate(1 << 28)
    added = "parts.BLOCK, parts.SAVE_BYTES = 1 << 20, 1 << 25"
    assert run(backup, after=3, added=added)["outcome"] == "partial"
    assert run(backup, added=added)["outcome"] == "published"
    assert backup.snapshot(0).joinpath("sparse").stat().st_blocks < 100
    assert read_tree(backup.snapshot(0)) == read_tree(backup.source)


def test_the_part_of_a_file_that_is_gone_goes(backup: Backup, large: Path) -> None:
    run(backup, after=3)
    assert parts(backup)
    large.unlink()
    assert run(backup)["outcome"] == "published"
    is_exact(backup)


def test_it_is_named_if_it_cannot_be_read(backup: Backup, large: Path) -> None:
    added = f"""
pread = os.pread
def failing(descriptor, length, position):
    if position >= {6 * BLOCK} and os.readlink(f"/proc/self/fd/{{descriptor}}").endswith("large"):
        raise OSError({errno.EIO}, os.strerror({errno.EIO}))
    return pread(descriptor, length, position)
os.pread = failing
"""
    result = run(backup, added=added)
    assert result["outcome"] == "partial"
    assert any(error.startswith("'large': Input/output error; ") for error in result["errors"])
    assert run(backup)["outcome"] == "published"
    assert read_tree(backup.snapshot(0)) == read_tree(backup.source)


def test_nothing_is_published_if_the_backup_is_full(backup: Backup, large: Path) -> None:
    added = f"""
def full(*_):
    raise OSError({errno.ENOSPC}, os.strerror({errno.ENOSPC}))
os.pwrite = full
"""
    result = run(backup, added=added)
    assert result["exit_code"] == 1
    assert "the copy of 'large' cannot be written: [Errno 28] No space left" in result["message"]
    assert not backup.snapshot(0).exists()
    assert run(backup)["outcome"] == "published"
    is_exact(backup)


def test_a_directory_in_the_place_of_the_parts(backup: Backup, large: Path) -> None:
    place = backup.target / "efs-backup/.daily.parts"
    run(backup)
    shutil.rmtree(place)
    place.write_text("no directory")
    assert run(backup)["outcome"] == "published"


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_moment(backup: Backup, large: Path, seed: int) -> None:
    chance = random.Random(seed)
    write(backup.source / "other large", seed + 10)
    before = {}
    for _ in range(4):
        run(backup, after=chance.randint(1, 12), number=signal.SIGKILL)
        if chance.random() < 0.3:
            write(large, seed=chance.randint(100, 200), mtime_ns=chance.randint(1, 10**18))
        for snapshot in sorted((backup.target / "efs-backup").glob("daily.*")):
            tree = read_tree(snapshot)
            assert before.setdefault(snapshot.stat().st_ino, tree) == tree
    assert run(backup)["outcome"] == "published"
    assert read_tree(backup.snapshot(0)) == read_tree(backup.source)
    assert parts(backup) == []
