"""Re-checking a snapshot finds whatever is not as it was when it was made."""

from __future__ import annotations

import gzip
import os
import subprocess
from pathlib import Path

import pytest

from .conftest import Backup, check_digests

NAMES = [
    b"plain",
    b" space ",
    b"line\nbreak",
    b"back\\slash",
    b"\\#012",
    b"\xff\xfe",
    b"-f",
    b"cr\r",
]


@pytest.fixture
def made(backup: Backup) -> Backup:
    """A snapshot of files with odd names, one with two names, and things without content."""
    folder = os.fsencode(backup.source) + b"/folder \\ \n"
    os.mkdir(folder)
    for number, name in enumerate(NAMES):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(b"content %d" % number)
    (backup.source / "hole").touch()
    os.truncate(backup.source / "hole", 1 << 20)
    os.link(backup.source / "hole", backup.source / "hole too")
    (backup.source / "link").symlink_to("hole")
    os.mkfifo(backup.source / "pipe")
    (backup.source / "empty").touch()
    backup.must_publish()
    return backup


def flip(path: Path) -> None:
    """Change one bit, and nothing that a listing shows."""
    info = path.stat()
    with path.open("r+b") as file:
        file.seek(3)
        byte = file.read(1)
        file.seek(3)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


def test_what_is_as_it_was_made_is_said_to_be(made: Backup) -> None:
    done = made.verify()
    assert done.exit_code == 0, done.stderr
    assert done.result["outcome"] == "verified"
    assert done.result["number_of_files_checked"] == len(NAMES) + 3
    assert done.result["number_of_files_not_listed"] == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_flipped_bit_is_found_and_named(made: Backup, name: bytes) -> None:
    path = Path(os.fsdecode(os.fsencode(made.snapshot(0)) + b"/folder \\ \n/" + name))
    flip(path)
    done = made.verify()
    assert done.exit_code == 1
    assert done.result["cause"] == "verification"
    shown = repr(f"folder \\ \n/{name.decode(errors='backslashreplace')}")
    assert done.result["errors"] == [f"changed: {shown}"]
    assert done.result["number_of_files_mismatched"] == 1


def test_both_names_of_a_file_are_listed(made: Backup) -> None:
    flip(made.snapshot(0) / "hole")
    assert made.verify().result["errors"] == ["changed: 'hole'", "changed: 'hole too'"]


def test_what_is_missing_or_was_put_there_is_told(made: Backup) -> None:
    (made.snapshot(0) / "empty").unlink()
    (made.snapshot(0) / "new").touch()
    result = made.verify().result
    assert result["errors"] == ["missing: 'empty'"]
    assert (result["number_of_files_missing"], result["number_of_files_not_listed"]) == (1, 1)


def test_every_snapshot_has_a_list_of_its_own_as_long_as_it_exists(made: Backup) -> None:
    for number in range(6):
        (made.source / "changing").write_text(f"version {number}")
        if number == 3:
            (made.source / "empty").unlink()
        made.must_publish(retain="3")
    for number in range(3):
        assert made.verify(number).exit_code == 0
        check_digests(made.snapshot(number), made.digests(number))
    lists = list((made.target / made.label).glob(".daily.digests.*"))
    assert len(lists) == 3


def test_a_snapshot_without_a_list_is_refused(made: Backup) -> None:
    made.digests().unlink()
    done = made.verify()
    assert done.exit_code == 2
    assert "no list of digests" in done.result["message"]


def test_a_snapshot_that_is_not_there_is_refused(made: Backup) -> None:
    done = made.verify(5)
    assert done.exit_code == 2
    assert "there are daily.0" in done.result["message"]


def test_a_damaged_list_is_told(made: Backup) -> None:
    path = made.digests()
    path.write_bytes(path.read_bytes()[:-20])
    done = made.verify()
    assert (done.exit_code, done.result["cause"]) == (1, "verification")
    assert "list of digests" in done.result["message"]


def test_the_list_can_be_checked_by_hand(made: Backup) -> None:
    """As the documentation says."""
    command = "zcat ../.daily.digests.$(stat -c %i .).gz | md5sum --quiet --check"
    subprocess.run(["bash", "-c", command], cwd=made.snapshot(0), check=True)
    flip(made.snapshot(0) / "hole")
    done = subprocess.run(["bash", "-c", command], cwd=made.snapshot(0), capture_output=True)
    assert done.returncode == 1
    assert b"./hole: FAILED" in done.stdout


def test_lists_are_sorted_by_bytes(made: Backup) -> None:
    with gzip.open(made.digests()) as file:
        names = [line for line in file if not line.startswith(b"\\")]
    assert [line[34:] for line in names] == sorted(line[34:] for line in names)
