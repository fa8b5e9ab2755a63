"""However a run ends, there is a result that says what it was; and what is written is readable."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from engine.command.execution import as_engine_error
from engine.command.outcome import Stopped
from engine.command.process import StopSignals
from engine.tree.pool import Pool

from .conftest import EC2, Backup, is_locked, until

NAMES = [b"\xff\xfe", b"\x1b[31mred", b"\xc3\xbc", b"line\nbreak", b"\xc2\x9b31m", b"\xe2\x80\xae"]
LOCALES = {
    "none": {},
    "C": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"},
    "Latin-1": {"LC_ALL": "en_US.ISO-8859-1"},
}


@pytest.fixture(scope="session")
def locales(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A place with a locale in which a byte is a character."""
    place = tmp_path_factory.mktemp("locales")
    command = ["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(place / "en_US.ISO-8859-1")]
    subprocess.run(command, check=True, capture_output=True)
    return str(place)


@pytest.mark.parametrize("locale", LOCALES)
def test_names_are_the_same_in_every_locale(backup: Backup, locale: str, locales: str) -> None:
    for name in NAMES:
        path = os.path.join(os.fsencode(backup.source), name)
        os.mkdir(path)
        with open(os.path.join(path, name), "wb") as file:
            file.write(name)
    backup.must_publish()
    here = os.fsencode(backup.snapshot(0))
    os.unlink(os.path.join(here, NAMES[0], NAMES[0]))
    with open(os.path.join(here, NAMES[1], NAMES[1]), "ab") as file:
        file.write(b"damaged")
    for name in NAMES[:4]:
        with open(os.path.join(os.fsencode(backup.source), name, b"new"), "wb"):
            pass
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG"))}
    environment |= {"LOCPATH": locales, **LOCALES[locale]}
    options = ["--backup", backup.target, "--folder", backup.label, "--interval", "daily"]
    commands: list[list[str | Path]] = [
        [EC2 / "efs-verify.sh", *options, "--number", "0", "--result", backup.result],
        [*backup.command(retain="7")],
        [EC2 / "efs-restore.sh", *options, "--number=1", "--target", backup.source],
        [EC2 / "efs-verify.sh", "--nonsense", "\x1b[31m\udcff", "--result", backup.result],
    ]
    for command in commands:
        done = subprocess.run(command, env=environment, capture_output=True)
        assert done.returncode in (0, 1, 2)
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        written = done.stdout + done.stderr + backup.result.read_bytes()
        for line in written.decode().splitlines():
            assert line.isprintable(), line
    assert sorted(os.listdir(os.fsencode(backup.snapshot(0)))) == sorted(NAMES)
    assert sorted(os.listdir(os.fsencode(backup.snapshot(0)) + b"/" + NAMES[0])) == [
        b"new",
        NAMES[0],
    ]


def broken(backup: Backup, program: str, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shim = backup.home / "shim"
    shim.mkdir()
    (shim / program).write_text(f"#!/bin/bash\n{body}\n")
    (shim / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{shim}:{os.environ['PATH']}")


def test_a_sort_that_finds_no_space_is_said(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    (backup.source / "file").write_text("text")
    body = 'echo "sort: write failed: /x: No space left on device" >&2; exit 2'
    broken(backup, "sort", body, monkeypatch)
    done = backup.run()
    assert (done.exit_code, done.result["cause"]) == (1, "system")
    assert "No space left on device" in done.result["message"]
    assert "Traceback" not in done.stderr


def test_what_memory_is_missing_for_is_a_cause_of_its_own() -> None:
    for error in (MemoryError(), OSError(errno.ENOMEM, "Cannot allocate memory")):
        assert as_engine_error(error).cause == "memory"


def test_an_error_that_nobody_foresaw_has_a_result(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Statistics of rsync that no version prints: any mistake of the program would do."""
    (backup.source / "file").write_text("text")
    broken(backup, "rsync", "printf 'Number of files: %09999d\\n' 1", monkeypatch)
    done = backup.run()
    assert (done.exit_code, done.result["outcome"]) == (1, "failed")
    assert done.result["cause"] == "unforeseen"
    assert "ValueError" in done.result["message"]
    assert "Traceback" in done.stderr
    assert list((backup.home / "scratch").iterdir()) == []


def test_logs_that_cannot_be_kept_are_a_warning_of_the_result(backup: Backup) -> None:
    (backup.source / "file").write_text("text")
    backup.logs.mkdir()
    for name in ("rsync.log", "changes.txt.gz"):
        (backup.logs / name).mkdir()
    result = backup.must_publish().result
    assert len([w for w in result["warnings"] if "could not be kept" in w]) == 2


def test_logs_are_written_through_no_link(backup: Backup) -> None:
    (backup.source / "file").write_text("text")
    backup.logs.mkdir()
    victim = backup.home / "victim"
    victim.write_text("precious")
    for name in ("engine.log", "changes.txt.gz"):
        (backup.logs / name).symlink_to(victim)
    assert backup.must_publish().result["warnings"] == []
    assert victim.read_text() == "precious"
    assert "published" in (backup.logs / "engine.log").read_text()


def is_open(file: Path, group: int) -> bool:
    """Whether one of a group of processes has it open."""
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if link.readlink() == file and os.getpgid(int(link.parts[2])) == group:
                return True
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_verification_is_stopped_at_once_in_the_middle_of_a_file(
    backup: Backup, number: signal.Signals
) -> None:
    (backup.source / "large").write_text("text")
    backup.must_publish()
    large = backup.snapshot(0) / "large"
    os.truncate(large, 100 << 30)  # a minute of reading
    options = ["--backup", backup.target, "--folder", backup.label, "--interval", "daily"]
    command = [EC2 / "efs-verify.sh", *options, "--number", "0", "--result", backup.result]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)
    until(lambda: is_open(large, process.pid))
    os.killpg(process.pid, number)  # as a terminal does
    _, said = process.communicate()
    result = json.loads(backup.result.read_text())
    assert (process.returncode, result["outcome"], result["errors"]) == (3, "stopped", [])
    assert result["message"] == "stopped before all files were checked"
    assert b"Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_waits_for_the_lock_is_stopped_at_once(
    backup: Backup, number: signal.Signals
) -> None:
    (backup.source / "file").write_text("text")
    backup.must_publish()
    lock = backup.target / backup.label / ".lock"
    with subprocess.Popen(["flock", "--no-fork", lock, "sleep", "infinity"]) as holder:
        until(lambda: is_locked(lock))
        process = backup.start(lock_wait="60")
        assert process.stderr
        assert any("waiting for its lock" in line for line in process.stderr)
        process.send_signal(number)
        done = backup.finish(process)
        holder.kill()
    assert (done.exit_code, done.result["outcome"]) == (3, "stopped")
    assert "another run is working" in done.result["message"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_backup_that_is_syncing_is_stopped_and_not_broken(
    backup: Backup, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    (backup.source / "file").write_text("text")
    broken(backup, "sync", f"touch {backup.home}/syncing; exec sleep 60", monkeypatch)
    process = backup.start()
    while not (backup.home / "syncing").exists():
        time.sleep(0.05)
    process.send_signal(number)
    done = backup.finish(process)
    assert (done.exit_code, done.result["outcome"]) == (3, "stopped")
    assert backup.names() == []


def test_what_a_stop_means_is_said_by_who_asked_the_workers(tmp_path: Path) -> None:
    stop = StopSignals()
    stop.received = 1
    with (
        Pool(1, stop, tmp_path, stopped="nothing was changed") as pool,
        pytest.raises(Stopped, match="nothing was changed"),
    ):
        pool.run([], lambda _: [])
