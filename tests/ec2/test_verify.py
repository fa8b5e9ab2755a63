"""Re-checking a snapshot finds whatever is not as it was when it was made."""

from __future__ import annotations

import gzip
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from engine.stage.reading_back import Window

from local.tree import read_tree

from .conftest import Backup, check_digests
from .test_interruptions import slow_rsync

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
    assert "there are: daily.0 (made 2" in done.result["message"]


def test_a_damaged_list_is_told(made: Backup) -> None:
    path = made.digests()
    path.write_bytes(path.read_bytes()[:-20])
    done = made.verify()
    assert (done.exit_code, done.result["cause"]) == (1, "verification")
    assert "list of digests" in done.result["message"]


@pytest.mark.parametrize("place", [-20, 15])
def test_a_damaged_list_does_not_end_backups(made: Backup, place: int) -> None:
    data = made.digests().read_bytes()
    made.digests().write_bytes(data[:place] + b"\xff" * 5)
    assert made.verify().result["cause"] == "verification"
    (made.source / "new").write_text("new")
    done = made.run()
    assert done.exit_code == 0, done.stderr
    assert "no digest any more" in done.result["warnings"][0]
    assert made.verify().exit_code == 0


@pytest.mark.parametrize(
    ("retain", "is_locked", "expected"),
    [("1", True, (0, "")), ("1", False, (1, "expired")), ("7", True, (0, ""))],
)
def test_a_snapshot_may_expire_or_be_renumbered_while_its_files_are_found(
    made: Backup,
    monkeypatch: pytest.MonkeyPatch,
    retain: str,
    is_locked: bool,
    expected: tuple[int, str],
) -> None:
    """It is not removed as long as it is read; where that cannot be said, the reader fails."""
    if not is_locked:
        (made.target / made.label / ".readers").unlink()
    (made.source / "empty").write_text("not any more")
    shim = made.home / "shim"
    shim.mkdir()
    command = shlex.join(made.command(retain=retain, result=None))
    once = f"[[ -n ${{INNER:-}} ]] || INNER=1 {command} || exit 9"
    (shim / "sort").write_text(f'#!/bin/bash\n{once}\nexec /usr/bin/sort "$@"\n')
    (shim / "sort").chmod(0o755)
    monkeypatch.setenv("PATH", f"{shim}:{os.environ['PATH']}")
    done = made.verify()
    assert (done.exit_code, done.result["cause"]) == expected, done.stderr


def test_the_list_can_be_checked_by_hand(made: Backup) -> None:
    """As the documentation says."""
    command = (
        'about=$(grep -l "\\"inode\\": $(stat -c %i .)," ../.daily.about.*)\n'
        'zcat "${about/about/digests}.gz" | md5sum --quiet --check'
    )
    subprocess.run(["bash", "-c", command], cwd=made.snapshot(0), check=True)
    flip(made.snapshot(0) / "hole")
    done = subprocess.run(["bash", "-c", command], cwd=made.snapshot(0), capture_output=True)
    assert done.returncode == 1
    assert b"./hole: FAILED" in done.stdout


def test_lists_are_sorted_by_bytes(made: Backup) -> None:
    with gzip.open(made.digests()) as file:
        names = [line for line in file if not line.startswith(b"\\")]
    assert [line[34:] for line in names] == sorted(line[34:] for line in names)


def test_what_vanishes_before_it_is_copied_at_the_link_limit_is_not_listed(
    backup: Backup, faults: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (backup.source / "gone").write_text("content")
    (backup.source / "kept").write_text("content")
    backup.must_publish()
    body = f'case "$*" in *--files-from*) rm -f "{backup.source}/gone" ;; esac; exec "$REAL" "$@"'
    shim = slow_rsync(backup.home / "shim", body)
    monkeypatch.setenv("PATH", shim["PATH"])
    prefix = ["env", f"LD_PRELOAD={faults}", "FAULT_LINKS=1"]
    assert backup.run(prefix=prefix).exit_code == 0
    assert not (backup.snapshot(0) / "gone").exists()
    check_digests(backup.snapshot(0), backup.digests())


class TestReadingBack:
    """``--verify-percent``, right after publishing."""

    def test_everything(self, made: Backup) -> None:
        result = made.must_publish(verify_percent="100").result
        assert result["number_of_files_verified"] == len(NAMES) + 3
        assert result["number_of_files_mismatched"] == 0
        assert "read back" in result["phases"]

    def test_a_difference_is_a_failure_with_the_path_and_the_next_run_mends_it(
        self, made: Backup
    ) -> None:
        flip(made.snapshot(0) / "folder \\ \n" / "plain")
        failed = made.run(verify_percent="100")
        assert (failed.exit_code, failed.result["cause"]) == (1, "verification")
        assert failed.result["errors"] == ["differs from the source: 'folder \\\\ \\n/plain'"]
        assert failed.result["snapshot"] == str(made.snapshot(0))
        assert made.names() == ["daily.0", "daily.1"]

        mended = made.run()
        assert mended.exit_code == 0, mended.stderr
        assert mended.result["number_of_files_changed"] == 1
        assert read_tree(made.snapshot(0)) == read_tree(made.source)
        check_digests(made.snapshot(0), made.digests())
        assert made.must_publish(verify_percent="100").result["number_of_files_checked"] == 0

    def test_what_was_to_be_mended_may_be_below_a_file_by_now(self, made: Backup) -> None:
        flip(made.snapshot(0) / "folder \\ \n" / "plain")
        assert made.run(verify_percent="100").result["cause"] == "verification"
        shutil.rmtree(made.source / "folder \\ \n")
        (made.source / "folder \\ \n").write_text("no folder any more")
        made.must_publish()
        assert read_tree(made.snapshot(0)) == read_tree(made.source)

    def test_what_changes_meanwhile_is_no_difference(
        self, made: Backup, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As soon as it is copied, one file changes visibly, one as if it had not, one is gone."""
        for name in ("visibly", "secretly", "gone", "kept"):
            (made.source / name).write_text("before")
        body = (
            '"$REAL" "$@"; code=$?; cd SOURCE; echo longer >>visibly; rm -f gone\n'
            "touch -r secretly ../time; printf after! >secretly; touch -r ../time secretly\n"
            "exit $code"
        )
        shim = slow_rsync(made.home / "shim", body.replace("SOURCE", str(made.source)))
        monkeypatch.setenv("PATH", shim["PATH"])
        result = made.must_publish(verify_percent="100").result
        assert result["number_of_files_changed_since"] == 3
        assert result["number_of_files_verified"] == len(NAMES) + 3 + 1
        assert (made.snapshot(0) / "secretly").read_text() == "before"

    def test_all_files_have_their_turn(self, backup: Backup) -> None:
        for number in range(200):
            (backup.source / f"f{number}").write_text(f"{number}")
        counts = [
            backup.must_publish(verify_percent="30").result["number_of_files_verified"]
            for _ in range(4)
        ]
        assert all(30 < count < 90 for count in counts)
        assert sum(counts[:3]) < 200 <= sum(counts)

    def test_windows_come_round(self) -> None:
        paths = [f"directory/{number}" for number in range(1000)]
        windows = [Window(0, 30)]
        for _ in range(3):
            windows.append(Window(windows[-1].end, 30))
        times = [sum(window.includes(path) for window in windows) for path in paths]
        assert set(times) == {1, 2}
        assert all(Window(7, 100).includes(path) for path in paths)
        assert not any(Window(7, 0).includes(path) for path in paths)

    @pytest.mark.parametrize("value", ["-1", "101", "1.5", "ten", ""])
    def test_nonsense_is_refused(self, made: Backup, value: str) -> None:
        done = made.run(prefix=[], verify_percent=value or " ")
        assert done.exit_code == 2
        assert "--verify-percent" in done.result["message"]
        assert made.names() == ["daily.0"]
