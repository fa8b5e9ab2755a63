"""The demo as its user sees it."""

import contextlib
import fcntl
import os
import select
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from local import sandbox, source

DEMO = [sys.executable, "-m", "local.demo"]
HOME = sandbox.STATE / "demo"


def demo(*arguments):
    """With a terminal at which nobody answers: what asks there waits for ever."""
    ends = os.openpty()
    try:
        return subprocess.run(
            [*DEMO, *map(str, arguments)],
            cwd=sandbox.REPOSITORY,
            stdin=ends[1],
            capture_output=True,
            text=True,
        )
    finally:
        for end in ends:
            os.close(end)


def nothing_is_left(seconds=300):
    """Whether all that a demo runs ends soon: the kernel needs a moment for it."""
    deadline = time.monotonic() + seconds
    while left() and time.monotonic() < deadline:
        time.sleep(0.1)
    return not left()


def left():
    """The command lines of this demo's processes; those of other accounts do not matter, nor those
    of a demo of another copy of the project."""
    here = os.fsencode(sandbox.REPOSITORY)
    marks = (os.fsencode(HOME), b"-m\0local.demo\0", b"\0local.sandbox\0local.demo\0")
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes()
            is_of_here = here in command or os.fsencode((process / "cwd").readlink()) == here
            if is_of_here and any(mark in command for mark in marks):
                found.append(command)
    return found


def made_by_demos():
    """Other tests make things beside these meanwhile."""
    places = (HOME, HOME.with_suffix(".lock"), sandbox.STATE / "release")
    return {path: path.stat().st_mtime_ns for path in places if path.exists()}


@pytest.fixture
def small(tmp_path):
    (tmp_path / "a directory").mkdir()
    (tmp_path / "a directory" / "a file").write_text("content")
    (tmp_path / os.fsdecode(b"-\xff'\n")).write_text("content")
    (tmp_path / "link").symlink_to("nowhere")
    return tmp_path


@pytest.fixture
def terminal():
    """The two ends of a terminal: the user's and the program's."""
    ends = os.openpty()
    yield ends
    for end in ends:
        os.close(end)


def start(small, terminal):
    """A demo on a terminal, that has got as far as its first backup."""
    user, program = terminal
    process = subprocess.Popen(
        [*DEMO, "--source", small],
        cwd=sandbox.REPOSITORY,
        stdin=program,
        stdout=program,
        stderr=program,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    shown = read_until(user, b"executes its user data")
    assert b"executes its user data" in shown, shown.decode(errors="replace")
    return process


def read_until(terminal, text, seconds=300):
    shown = b""
    while text not in shown and select.select([terminal], [], [], seconds)[0]:
        shown += os.read(terminal, 1024)
    return shown


@pytest.mark.timeout(600)
def test_three_backups_of_a_directory_of_the_users_own(small):
    done = demo("--source", small)
    assert done.returncode == 0, done.stdout + done.stderr
    snapshots = Path(done.stdout.partition("The snapshots stay here:")[2].split()[0])
    assert sorted(path.name for path in snapshots.glob("daily.*")) == [
        "daily.0",
        "daily.1",
        "daily.2",
    ]
    assert (snapshots / "daily.2" / "a directory" / "a file").read_text() == "content"
    assert (snapshots / "daily.0" / "notes-of-the-demo.txt").read_text().count("\n") == 3
    assert "EFS backup Success" in done.stdout
    assert sorted(os.listdir(small)) == sorted(["a directory", os.fsdecode(b"-\xff'\n"), "link"])
    assert nothing_is_left()


def test_a_deviation_ends_it(small, monkeypatch, capsys):
    """Not in the sandbox: only what becomes of an error."""
    from local import demo as module
    from local.deployment import DeploymentError

    def fail(directory, page, workers):
        raise DeploymentError("expected this, found that [x]")

    monkeypatch.setattr(sandbox, "inside", lambda: True)
    monkeypatch.setattr(module, "run", fail)
    assert module.main([]) == 1
    assert "expected this, found that [x]" in capsys.readouterr().out


def test_ctrl_c_leaves_nothing_running(small, terminal):
    process = start(small, terminal)
    os.write(terminal[0], b"\x03")
    assert b"Interrupted" in read_until(terminal[0], b"Interrupted")
    assert process.wait() == 130
    assert nothing_is_left()


def test_a_kill_leaves_nothing_running(small, terminal):
    process = start(small, terminal)
    sudo = ["sudo"] if os.geteuid() else []
    subprocess.run([*sudo, "kill", "-KILL", str(process.pid)], check=True)
    process.wait()
    assert nothing_is_left()


def test_another_one_is_noticed_before_anything_is_built(small, monkeypatch, tmp_path, capsys):
    from local import demo as module

    monkeypatch.setattr(module, "HOME", tmp_path / "home")
    monkeypatch.setattr(module, "_build", lambda: pytest.fail("a release was built"))
    with (tmp_path / "home.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert module.main(["--source", str(small)]) == 2
    out, err = capsys.readouterr()
    assert "Another one is running here" in err
    assert "Logs:" not in out + err


@pytest.mark.parametrize(
    ("directory", "said"),
    [
        ("", "is empty"),
        ("/no/such/directory", "/no/such/directory does not exist"),
        ("/etc/hostname", "/etc/hostname is not a directory"),
        (sandbox.STATE, "is inside"),
        (sandbox.STATE / "release", "is inside"),
        (sandbox.REPOSITORY, "contains"),
        ("/", "contains"),
    ],
)
def test_a_source_that_cannot_be_backed_up(directory, said):
    (sandbox.STATE / "release").mkdir(parents=True, exist_ok=True)
    before = made_by_demos()
    done = demo("--source", directory)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert made_by_demos() == before


def test_what_a_restore_has_left_in_a_source_is_not_copied(tmp_path):
    for path in ("from/.efs-restore-1.undo", "from/a/.efs-restore-1", "to"):
        (tmp_path / path).mkdir(parents=True)
    source.copy(tmp_path / "from", tmp_path / "to")
    assert [*(tmp_path / "to").rglob(".*")] == [tmp_path / "to/a/.efs-restore-1"]


@pytest.mark.parametrize("workers", ["x", "-1", "33"])
def test_a_number_of_workers_that_is_none(workers, capsys):
    from local import demo as module

    assert module.main([f"--workers={workers}"]) == 2
    assert f"WORKERS is '{workers}'; it must be a number" in capsys.readouterr().err


def test_a_source_that_cannot_be_read(tmp_path, monkeypatch):
    """Root can read everything, so the refusal itself is simulated."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(source.SourceError, match=f"SOURCE {tmp_path} cannot be read"):
        source.checked(str(tmp_path))
