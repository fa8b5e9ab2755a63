"""Bad input: a clear message, the documented exit status, and nothing changed."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from engine.command import text

from local.tree import read_tree

from .conftest import EC2, Backup, Outcome
from .engines import run_engine


def assert_refused(backup: Backup, outcome: Outcome, *words: str) -> None:
    assert outcome.exit_code == 2, outcome.stderr
    for word in words:
        assert word in outcome.stderr
    assert list(backup.target.iterdir()) == [], "a refused run left something behind"


@pytest.mark.parametrize("retain", ["0", "-1", "seven", "1.5", "", "07", "1 ", "999999", "$(id)"])
def test_retain(backup: Backup, retain: str) -> None:
    words = [*backup.command(retain=None), "--retain", retain]
    process = run_engine(*words)
    assert_refused(backup, Outcome(process.returncode, process.stderr, {}), "--retain")


@pytest.mark.parametrize("interval", ["hourly", "Daily", "daily\n", "../daily", "daily weekly"])
def test_interval(backup: Backup, interval: str) -> None:
    assert_refused(backup, backup.run(interval=interval), "daily, weekly or monthly")


@pytest.mark.parametrize(
    "folder", ["a/b", "/", "..", "a..b", "line\nbreak", ".hidden", "-x", "bell\a", "x" * 101]
)
def test_folder(backup: Backup, folder: str) -> None:
    assert_refused(backup, backup.run(folder=folder), "--folder")


def test_source_missing(backup: Backup) -> None:
    backup.source.rmdir()
    assert_refused(backup, backup.run(), str(backup.source), "does not exist")


def test_source_is_a_file(backup: Backup) -> None:
    backup.source.rmdir()
    backup.source.write_text("x")
    assert_refused(backup, backup.run(), "is not a directory")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to drop root's right to read everything")
def test_source_unreadable(backup: Backup) -> None:
    os.chown(backup.source, 4242, 4242)
    backup.source.chmod(0o700)
    outcome = backup.run(prefix=without_override())
    assert_refused(backup, outcome, str(backup.source), "cannot be read")


def test_source_inside_the_backup_directory(backup: Backup) -> None:
    inside = backup.home / "backup" / "inside"
    inside.mkdir()
    outcome = backup.run(source=str(inside))
    assert outcome.exit_code == 2
    assert "inside the backup" in outcome.stderr
    assert os.listdir(backup.target) == ["inside"]


def test_backup_directory_inside_the_source(backup: Backup) -> None:
    outcome = backup.run(source=str(backup.home))
    assert_refused(backup, outcome, "inside the source")


def test_a_symlink_does_not_hide_that_the_source_is_inside(backup: Backup) -> None:
    inside = backup.target / "inside"
    inside.mkdir()
    link = backup.home / "link"
    link.symlink_to(inside)
    assert backup.run(source=str(link)).exit_code == 2


def test_backup_directory_missing(backup: Backup) -> None:
    outcome = backup.run(backup=str(backup.home / "none"))
    assert_refused(backup, outcome, "does not exist")


def test_unknown_option_and_missing_value(backup: Backup) -> None:
    script = str(EC2 / "efs-backup.sh")
    for words in (["--sauce", "x"], ["--source"], ["stray"], []):
        process = run_engine(script, *words)
        assert process.returncode == 2, words
        assert "refused" in process.stderr


def test_help_explains_the_exit_status(backup: Backup) -> None:
    script = str(EC2 / "efs-backup.sh")
    process = subprocess.run([script, "--help"], capture_output=True, text=True, check=True)
    assert "Exit status: 0 published" in process.stdout


def test_the_result_says_what_was_wrong_with_the_arguments(backup: Backup) -> None:
    outcome = backup.run(retain="1.5")
    assert outcome.exit_code == 2
    assert outcome.result["outcome"] == "refused"
    assert "--retain: must be a whole number" in outcome.result["message"]


class TestEmptySource:
    def test_is_not_published_over_a_snapshot_with_files(self, backup: Backup) -> None:
        (backup.source / "file").write_text("precious")
        backup.must_publish(retain="1")
        (backup.source / "file").unlink()
        before = read_tree(backup.target)
        outcome = backup.run(retain="1")
        assert outcome.exit_code == 1
        assert "is empty" in outcome.stderr
        assert "--allow-empty" in outcome.stderr
        assert outcome.result["cause"] == "empty-source"
        assert read_tree(backup.target) == before

    def test_is_published_when_allowed(self, backup: Backup) -> None:
        (backup.source / "file").write_text("x")
        backup.must_publish()
        (backup.source / "file").unlink()
        backup.must_publish(allow_empty="")
        assert list(backup.snapshot(0).iterdir()) == []
        assert (backup.snapshot(1) / "file").read_text() == "x"

    def test_is_fine_when_there_is_nothing_to_lose(self, backup: Backup) -> None:
        backup.must_publish()
        backup.must_publish()
        assert backup.names() == ["daily.0", "daily.1"]


def without_override() -> list[str]:
    """Root, but without the right to ignore permissions: files of others with mode 0 are closed."""
    return [
        "setpriv",
        "--bounding-set=-dac_override,-dac_read_search",
        "--inh-caps=-dac_override,-dac_read_search",
        "--",
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to drop root's right to read everything")
@pytest.mark.parametrize("unreadable", ["file", "directory"])
def test_what_cannot_be_read_is_no_success(backup: Backup, unreadable: str) -> None:
    (backup.source / "fine").write_text("fine")
    backup.must_publish()
    closed: Path = backup.source / "closed"
    if unreadable == "file":
        closed.write_text("secret")
    else:
        closed.mkdir()
        (closed / "inside").write_text("secret")
    os.chown(closed, 4242, 4242)
    closed.chmod(0)
    before = read_tree(backup.snapshot(0))
    outcome = backup.run(prefix=without_override())
    assert (outcome.exit_code, outcome.result["outcome"]) == (0, "partial")
    assert any("closed" in error for error in outcome.result["errors"])
    assert backup.names() == ["daily.0", "daily.1"]
    assert read_tree(backup.snapshot(1)) == before
    assert [path.name for path in backup.snapshot(0).iterdir()] == ["fine"]
    closed.chmod(0o755)
    backup.must_publish()
    assert read_tree(backup.snapshot(0)) == read_tree(backup.source)


def test_nothing_is_begun_without_rsync(backup: Backup, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("bash", "env", "dirname", "realpath", "python3"):
        (programs / name).symlink_to(shutil.which(name) or "")
    (backup.source / "file").write_text("x")
    outcome = backup.run(["env", f"PATH={programs}"])
    assert outcome.exit_code == 2
    assert outcome.result["outcome"] == "refused"
    assert "rsync is not installed; install the package rsync" in outcome.stderr
    assert list(backup.target.iterdir()) == []


def test_commands_that_are_printed_can_be_pasted_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    script, *words = shlex.split(text.command_line("efs-restore.sh", ["--path", "/a b"]))
    assert (Path(script), words) == (EC2 / "efs-restore.sh", ["--path", "/a b"])
    monkeypatch.setattr(shutil, "which", {"sudo": "/usr/bin/sudo"}.get)
    assert text.as_root(["rm", "a b"]) == "sudo rm 'a b'"
    monkeypatch.setattr(shutil, "which", {}.get)
    assert text.as_root(["rm", "a b"]) == "rm 'a b'"


@pytest.mark.parametrize(
    ("option", "place"),
    [
        ("result", "file/in"),
        ("result", "no/such"),
        ("result", "closed/new"),
        ("result", "a directory"),
        ("result", "device"),
        ("result", "link"),
        ("result", "n" * 256),
        ("progress", "device"),
        ("progress", "link"),
        ("log_dir", "file/in"),
        ("log_dir", "file"),
        ("log_dir", "closed/new"),
        ("log_dir", "n" * 256),
    ],
)
def test_where_nothing_can_be_told_nothing_is_done(backup: Backup, option: str, place: str) -> None:
    (backup.home / "file").touch()
    closed = backup.home / "closed"
    closed.mkdir(0o500)
    (backup.home / "a directory").mkdir()
    device, link = backup.home / "device", backup.home / "link"
    os.mkfifo(device)
    link.symlink_to("file")
    as_a_user = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
    words = [*as_a_user, *backup.command(**{option: str(backup.home / place)})]
    process = subprocess.run(words, capture_output=True, text=True)
    flag = f"--{option.replace('_', '-')}"
    assert_refused(backup, Outcome(process.returncode, process.stderr, {}), "refused: ", flag)
    assert "{" not in process.stderr
    assert [*closed.iterdir()] == []
    assert device.is_fifo()
    assert link.is_symlink()
