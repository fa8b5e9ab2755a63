"""A machine with a real NFSv4.1 server and client on its loopback, as ordinary processes.

Debian's user-mode-linux boots a root file system made by debootstrap, in seconds and without KVM,
containers or a network. See :class:`Rig`. Its programs are of this machine's release, its kernel is
of a newer one; see `make-kernel`.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import selectors
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
BOOT_SECONDS = 120
# The machine itself ends a script at its timeout; silence for this much longer means that it hangs.
GRACE_SECONDS = 30
DISK = "16G"  # sparse


class RigError(Exception):
    """The machine could not be made or did not boot, panicked, or hangs."""


@dataclass
class Completed:
    code: int
    stdout: str
    stderr: str


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def cached(cache: Path, name: str, sources: list[Path], command: list[str]) -> Path:
    """The file that ``command`` makes when its last word is the path; made once for its sources."""
    made_of = hashlib.sha256("\0".join(command).encode())
    for source in [*sources, Path("/etc/os-release")]:
        made_of.update(source.read_bytes())
    stem, suffix = name.split(".")
    path = cache / f"{stem}-{made_of.hexdigest()[:16]}.{suffix}"
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / f"{stem}.lock"):
        if not path.exists():
            unfinished = path.with_suffix(".unfinished")
            done = subprocess.run([*command, str(unfinished)], stderr=subprocess.PIPE, text=True)
            if done.returncode:
                raise RigError(f"{name} could not be made:\n{done.stderr}")
            unfinished.rename(path)
    return path


def make_image(cache: Path, packages: tuple[str, ...]) -> Path:
    script = HERE / "make-root"
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    return cached(cache, "root.image", [script], [*sudo, str(script), *packages])


def get_kernel(cache: Path) -> Path:
    """The directory with it and what it needs."""
    script = HERE / "make-kernel"
    return cached(cache, "kernel.directory", [script], [str(script)])


def memory_directory(gigabytes: int) -> str:
    """Where the machine's memory goes: a file, on a disk only if need be."""
    with contextlib.suppress(FileNotFoundError):
        if shutil.disk_usage("/dev/shm").free >= gigabytes << 30:
            return "/dev/shm"
    return tempfile.gettempdir()


def own_processor() -> int:
    """The one that the machine runs on. Each system call and each page fault in it is a change from
    one process to another: between two processors that takes twice as long, and as much of each.

    Machines of tests that run side by side are spread over all.
    """
    processors = sorted(os.sched_getaffinity(0))
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return processors[number % len(processors)]


def parse_mountstats(text: str) -> dict[str, Counter[str]]:
    counts: dict[str, Counter[str]] = {}
    operations: Counter[str] = Counter()
    for line in text.splitlines():
        if line.startswith("device "):
            operations = Counter()
            device = re.match(r"device \S+:/srv/(\w+) mounted on /mnt/\1 with fstype nfs4 ", line)
            if device:
                counts[device[1]] = operations
        # NAME: operations transmissions timeouts …, nine or more numbers
        elif operation := re.fullmatch(r"\s+([A-Z_]+): (\d+)(?: \d+){7,}", line):
            operations[operation[1]] = int(operation[2])
    return {name: +operations for name, operations in counts.items()}


class Rig:
    """The machine, from ``with`` to its end.

    In it: this project, read-only, at /project. The server's file systems at /srv/source and
    /srv/backup, and their NFS mounts at /mnt/source (read-only) and /mnt/backup, mounted by
    mount.efs as an instance would.
    """

    def __init__(
        self,
        cache: Path = PROJECT / ".cache/nfs",
        packages: tuple[str, ...] = (),
        gigabytes: int = 1,
    ) -> None:
        self._image = make_image(cache, packages)
        self._kernel = get_kernel(cache)
        self._gigabytes = gigabytes
        self._scripts = 0

    def __enter__(self) -> Rig:
        self._directory = tempfile.TemporaryDirectory(prefix="nfs-rig.")
        self._host = Path(self._directory.name)
        self.console = self._host / "console.log"
        self._line, far_end = socket.socketpair()
        for name in ("source", "backup"):
            subprocess.run(["truncate", "--size", DISK, str(self._host / name)], check=True)
        with self.console.open("wb") as console:
            self._process = subprocess.Popen(
                [
                    *("taskset", "--cpu-list", str(own_processor())),
                    str(self._kernel / "linux.uml"),
                    "seccomp=auto",  # without, it takes three times as long
                    f"mem={self._gigabytes}G",
                    f"ubd0r={self._image}",
                    f"ubd1={self._host}/source",
                    f"ubd2={self._host}/backup",
                    *("root=/dev/ubda", "ro", "init=/sbin/rig"),
                    *("con=null", "con0=null,fd:1", "console=tty0", "panic=-1"),
                    f"ssl0=fd:{far_end.fileno()},fd:{far_end.fileno()}",
                    f"project={PROJECT}",
                    f"host={self._host}",
                    f"modules={self._kernel}/modules",
                ],
                cwd=self._kernel,  # where it looks for its C library
                env={
                    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                    "HOME": str(self._host),
                    "TMPDIR": memory_directory(self._gigabytes),
                },
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                pass_fds=[far_end.fileno()],
                start_new_session=True,
            )
        far_end.close()
        self._received = b""
        try:
            self._expect("ready", BOOT_SECONDS)
            self.fresh()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def fresh(self) -> None:
        """Make both file systems empty, and the network undelayed."""
        self._send("fresh")
        self._expect("fresh", BOOT_SECONDS)

    def remount(self) -> None:
        """Mount both again, so that the client has nothing cached, and counts from zero."""
        self._send("remount")
        self._expect("remount", BOOT_SECONDS)

    def rpcs(self) -> dict[str, Counter[str]]:
        """How many of each NFS operation the mounts "source" and "backup" have sent so far."""
        return parse_mountstats(self.run("cat /proc/self/mountstats").stdout)

    def run(self, script: str, timeout: int = 60, check: bool = True) -> Completed:
        """Run ``script`` in the machine as root; without a #! it is strict Bash.

        It is alone there: the processes and mounts that it leaves behind are ended and undone. At
        the timeout it is killed, and the exit code is 137. With ``check``, any code but 0 raises
        AssertionError with the output. It may leave files in its working directory: see
        :meth:`files`.
        """
        self._scripts += 1
        directory = self.files()
        directory.mkdir()
        if not script.startswith("#!"):
            script = f"#!/bin/bash\nset -Eeuo pipefail\n{script}"
        (directory / "script").write_text(script)
        (directory / "script").chmod(0o755)
        self._send(f"run {self._scripts} {timeout}")
        answer = self._expect(f"{self._scripts} ", timeout + GRACE_SECONDS)
        done = Completed(
            int(answer.split()[1]),
            (directory / "stdout").read_text(errors="backslashreplace"),
            (directory / "stderr").read_text(errors="backslashreplace"),
        )
        if check and done.code:
            raise AssertionError(f"exit code {done.code}\n{done.stdout}{done.stderr}")
        return done

    @property
    def pid(self) -> int:
        """The machine as a process."""
        return self._process.pid

    def files(self) -> Path:
        """The working directory of the last script, as seen from outside."""
        return self._host / str(self._scripts)

    def delay(self, milliseconds: float) -> None:
        """Set the round trip time of the network between client and server."""
        one_way = round(milliseconds * 500)
        self.run(
            "tc qdisc del dev lo root 2>/dev/null || true\n"
            + (f"tc qdisc add dev lo root netem delay {one_way}us limit 100000" if one_way else "")
        )

    def _send(self, line: str) -> None:
        try:
            self._line.sendall(f"{line}\n".encode())
        except BrokenPipeError:
            raise self._error("is not running") from None

    def _expect(self, start: str, seconds: float) -> str:
        """The machine's next line, which begins with ``start``."""
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self._line, selectors.EVENT_READ)
            while b"\n" not in self._received:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise self._error(f"did not answer within {seconds:.0f} seconds")
                received = self._line.recv(1 << 16)
                if not received:
                    raise self._error("ended")
                self._received += received
        line, self._received = self._received.split(b"\n", 1)
        text = line.decode(errors="backslashreplace")
        if not text.startswith(start):
            raise self._error(f"answered {text!r} instead of {start!r}")
        return text

    def _error(self, what: str) -> RigError:
        console = self.console.read_text(errors="backslashreplace")
        return RigError(f"the machine {what}; its console ends with:\n{console[-6000:]}")

    def _end(self) -> None:
        self._line.close()  # on which the machine powers off, if it can
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=0.5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._directory.cleanup()
