"""Running the snapshot scripts on real directories."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gzip
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from local.tree import Tree, read_tree

from .engines import run_engine

EC2 = Path(__file__).parents[2] / "ec2"

BOOKKEEPING = (
    ".lock",
    ".daily.origin",
    ".daily.parts",
    ".readers",
    ".daily.spare",
    ".daily.snapshots",
    ".daily.tests",
    ".daily.untold",
)
LISTS = ("digests", "sharing", "directories", "catalog", "changes")


def on_instance() -> dict[str, str]:
    """The environment in which the scripts call Python."""
    return {**os.environ, "PYTHONPATH": str(EC2 / "lib")}


LEVELS = ["d" * 250 + f"{number:03}" for number in range(40)]  # 10,000 bytes


@contextlib.contextmanager
def inside(top: Path, *names: str) -> Iterator[None]:
    """Make directories, and work in the last of them: so no path to it is needed."""
    home = os.open(".", os.O_RDONLY)
    try:
        os.chdir(top)
        for name in names:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name)
            os.chdir(name)
        yield
    finally:
        os.fchdir(home)
        os.close(home)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "no JSON": lambda path: path.write_bytes(b"\xff\x00 no JSON"),
    "other JSON": lambda path: path.write_text('["run", 1]'),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "deep": lambda path: path.write_text("[" * 100_000),
    "a directory": lambda path: (path.unlink(), (path / "in it").mkdir(parents=True)),
    "a FIFO": lambda path: (path.unlink(), os.mkfifo(path)),
    "a link": lambda path: (path.unlink(), path.symlink_to("/etc/hostname")),
}


def until(is_so: Callable[[], object]) -> None:
    """Wait for what comes soon, unless it never comes."""
    for _ in range(12_000):
        if is_so():
            return
        time.sleep(0.05)
    pytest.fail("waited in vain")


NOT_ONES_OWN = ("link", "file", "open to others", "another user's", "other name")


def give_away(path: Path, scratch: Path, what: str, other: str) -> Path:
    """Have a directory of one's own in ``scratch`` be what it says, of NOT_ONES_OWN. other: the
    name that is not ours. Returns where it is; a link leads to ``path`` in another directory."""
    name = scratch / path.name
    if what == "link":
        name.symlink_to(path)
    elif what == "file":
        shutil.rmtree(path)
        path.write_text("a file")
    elif what == "open to others":
        path.chmod(0o770)
    elif what == "another user's":
        if os.geteuid():
            pytest.skip("needs root")
        os.chown(path, 12345, -1)
    else:
        name = path.rename(scratch / other)
    return name


def is_locked(path: Path) -> bool:
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@dataclass
class Outcome:
    exit_code: int
    stderr: str
    result: dict[str, Any]


def words_of(options: dict[str, str | None]) -> list[str]:
    """``retain="3"`` sets an option, ``dry_run=""`` has no value, ``retain=None`` is left out."""
    given = ((f"--{name.replace('_', '-')}", value) for name, value in options.items())
    return [word for name, value in given if value is not None for word in (name, value) if word]


@dataclass
class Backup:
    """One source and one backup directory, and the script between them."""

    home: Path
    source: Path = field(init=False)
    target: Path = field(init=False)
    label: str = "efs-backup"

    def __post_init__(self) -> None:
        self.source = self.home / "source"
        self.target = self.home / "backup"
        self.result = self.home / "result.json"
        self.logs = self.home / "logs"
        self.source.mkdir()
        self.target.mkdir()

    def command(self, **changes: str | None) -> list[str]:
        options: dict[str, str | None] = {
            "source": str(self.source),
            "backup": str(self.target),
            "folder": self.label,
            "interval": "daily",
            "retain": "7",
            "jobs": "4",
            "log_dir": str(self.logs),
            "result": str(self.result),
            "hold_on_change_percent": "0",  # names would be others
            "clock_skew": "0",  # source and backup are on one file system
        }
        return [str(EC2 / "efs-backup.sh"), *words_of(options | changes)]

    def start(
        self, prefix: list[str] | None = None, **changes: str | None
    ) -> subprocess.Popen[str]:
        self.result.unlink(missing_ok=True)
        return subprocess.Popen(
            [*(prefix or []), *self.command(**changes)],
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
        )

    def finish(self, process: subprocess.Popen[str]) -> Outcome:
        _, stderr = process.communicate(timeout=1000)
        result = json.loads(self.result.read_text()) if self.result.exists() else {}
        return Outcome(process.returncode, stderr, result)

    def run(self, prefix: list[str] | None = None, **changes: str | None) -> Outcome:
        if prefix:
            return self.finish(self.start(prefix, **changes))
        return self.call(*self.command(**changes))

    def call(self, *command: str | Path) -> Outcome:
        self.result.unlink(missing_ok=True)
        done = run_engine(*command)
        result = json.loads(self.result.read_text()) if self.result.exists() else {}
        return Outcome(done.returncode, done.stderr, result)

    def must_publish(self, **changes: str | None) -> Outcome:
        outcome = self.run(**changes)
        assert outcome.exit_code == 0, outcome.stderr
        assert outcome.result["outcome"] == "published"
        interval = changes.get("interval") or "daily"
        snapshots = [path for path in self.snapshot(0).parent.glob("[!.]*") if path.is_dir()]
        if all(self.digests_of(path).exists() for path in snapshots):  # none of version 1.5
            check_digests(self.snapshot(0, interval), self.digests(0, interval))
        return outcome

    def digests(self, number: int = 0, interval: str = "daily") -> Path:
        return self.digests_of(self.snapshot(number, interval))

    def about(self, snapshot: Path) -> Path:
        """The file with what is known of it; one that does not exist if there is none."""
        for path in snapshot.parent.glob(".*.about.*"):
            if json.loads(path.read_text())["inode"] == snapshot.stat().st_ino:
                return path
        return snapshot.parent / ".daily.about.none"

    def digests_of(self, snapshot: Path) -> Path:
        return self.list_of(snapshot, "digests")

    def list_of(self, snapshot: Path, kind: str) -> Path:
        about = self.about(snapshot)
        return about.with_name(about.name.replace("about", kind) + ".gz")

    def set_date(self, number: int, made: float) -> None:
        """Have a snapshot made at another time, in seconds since 1970."""
        inode = self.snapshot(number).stat().st_ino
        for path in (self.target / self.label).glob(".daily.about.*"):
            about = json.loads(path.read_text())
            if about["inode"] == inode:
                path.write_text(json.dumps({**about, "made": made}))

    def script(self, name: str, *words: str) -> list[str]:
        """The command line of a script for what is backed up."""
        return [str(EC2 / name), "--backup", str(self.target), "--folder", self.label, *words]

    def verify(self, number: int = 0) -> Outcome:
        words = ["--interval", "daily", "--number", str(number), "--result", str(self.result)]
        return self.call(*self.script("efs-verify.sh", *words))

    def snapshot(self, number: int, interval: str = "daily") -> Path:
        return self.target / self.label / f"{interval}.{number}"

    def names(self) -> list[str]:
        """What the folder shows to a user: everything that is not hidden."""
        folder = self.target / self.label
        return sorted(path.name for path in folder.glob("[!.]*")) if folder.exists() else []

    def trees(self) -> dict[str, Tree]:
        """What is in all that the folder shows."""
        return {name: read_tree(self.target / self.label / name) for name in self.names()}

    def hidden(self) -> list[str]:
        folder = self.target / self.label
        names = [path.name for path in folder.glob(".*")]
        snapshots = [folder / name for name in self.names()]
        known = {self.about(each).name for each in snapshots} | {
            self.list_of(each, kind).name for each in snapshots for kind in LISTS
        }
        return sorted(name for name in names if name not in BOOKKEEPING and name not in known)


def check_digests(snapshot: Path, digests: Path) -> None:
    """The list names each regular file once, and md5sum finds every digest right."""
    lines = gzip.decompress(digests.read_bytes())
    found = subprocess.run(
        ["find", ".", "-type", "f", "-printf", "."], cwd=snapshot, stdout=subprocess.PIPE
    )
    assert lines.count(b"\n") == len(found.stdout), "files are missing in the list"
    if lines:
        command = ["md5sum", "--check", "--quiet", "--strict"]
        done = subprocess.run(command, cwd=snapshot, input=lines, capture_output=True)
        assert done.returncode == 0, done.stdout + done.stderr


def end_tree(process: subprocess.Popen[str]) -> None:
    """SIGKILL for the whole process tree, as when the machine loses its power.

    All are stopped before: what one of them starts between being found and being killed would go
    on working, and have the locks.
    """
    victims: set[int] = set()
    while found := tree_of(process.pid) - victims:
        send(signal.SIGSTOP, found)
        victims |= found
    send(signal.SIGKILL, victims)
    while any(state_of(pid) not in ("", "Z") for pid in victims):
        time.sleep(0.005)


def tree_of(pid: int) -> set[int]:
    """A process and what it has started, and these have."""
    found = {pid}
    for children in Path("/proc", str(pid), "task").glob("*/children"):
        with contextlib.suppress(OSError):  # gone
            for child in children.read_text().split():
                found |= tree_of(int(child))
    return found


def send(number: int, pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def state_of(pid: int) -> str:
    """As ps shows it; nothing for one that is gone."""
    try:
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


EXCHANGE = 2


def exchange(one: Path, other: Path) -> None:
    """Both names at once: there is no moment at which one of them is missing."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(-100, os.fsencode(one), -100, os.fsencode(other), EXCHANGE):
        raise OSError(ctypes.get_errno(), "renameat2")


@contextlib.contextmanager
def exchanging(one: Path, other: Path) -> Iterator[None]:
    """Again and again, also after one of them was away for a time."""
    over = threading.Event()

    def attack() -> None:
        while not over.wait(0.002):
            for _ in range(2):  # so that in the end they are as they were
                with contextlib.suppress(FileNotFoundError):
                    exchange(one, other)
                over.wait(0.002)

    attacker = threading.Thread(target=attack)
    attacker.start()
    try:
        yield
    finally:
        over.set()
        attacker.join()


@pytest.fixture(scope="session")
def faults(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of faults.c as a library to preload."""
    library = tmp_path_factory.mktemp("faults") / "faults.so"
    source = Path(__file__).with_name("faults.c")
    command = ["gcc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", library, source, "-ldl"]
    subprocess.run(command, check=True)
    return str(library)


@pytest.fixture
def backup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Backup:
    scratch = tmp_path / "scratch"  # runs that are killed leave their files behind
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    return Backup(tmp_path)
