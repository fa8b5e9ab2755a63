"""The tree that the demo backs up: a copy of a directory, which it may then change."""

import os
import stat
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from engine.tree.reserved import SAFETY_PREFIX

from local import sandbox
from local.deployment import DeploymentError

# On every machine that can run this. Together: thousands of files, symbolic links, empty files.
_DEFAULTS = (Path("/etc"), Path("/var/lib/dpkg"), Path(sysconfig.get_path("stdlib")))
_LEFT_OUT = ("__pycache__", "dist-packages", "site-packages")
DEFAULT = ", ".join(map(str, _DEFAULTS))


class SourceError(Exception):
    """The directory cannot be backed up; the message says which, and why."""


def checked(directory: str) -> Path:
    """The directory's absolute path. Raises SourceError unless the demo can back it up."""
    if not directory:
        raise SourceError("SOURCE is empty: give it a directory")
    path = Path(directory).resolve()
    if not path.exists():
        raise SourceError(f"SOURCE {directory} does not exist")
    if not path.is_dir():
        raise SourceError(f"SOURCE {directory} is not a directory")
    if not os.access(path, os.R_OK | os.X_OK):
        raise SourceError(f"SOURCE {directory} cannot be read: permission denied")
    if path.is_relative_to(sandbox.STATE):
        raise SourceError(f"SOURCE {directory} is inside {sandbox.STATE}, where the snapshots go")
    if sandbox.STATE.is_relative_to(path):
        raise SourceError(f"SOURCE {directory} contains {sandbox.STATE}, where the snapshots go")
    return path


def copy(directory: Path | None, target: Path) -> None:
    """Copies a directory, or the default trees, with all attributes that a backup keeps. What an
    earlier restore has left in the directory stays out, as it does of a backup."""
    if directory:
        _run("cp", "--archive", "--", f"{directory}/.", str(target))
        left = [str(path) for path in target.glob(f"{SAFETY_PREFIX}*")]
        _run("rm", "--recursive", "--force", "--", *left)
        return
    for default in _DEFAULTS:
        # What only root may read is nothing for a demo.
        private = [f"--exclude={name}" for name in _private(default)]
        left_out = [f"--exclude={name}/" for name in _LEFT_OUT]
        _run("rsync", "--archive", *left_out, *private, f"{default}/", f"{target}/{default.name}/")


def _private(top: Path) -> Iterator[str]:
    for directory, subdirectories, files in os.walk(top):
        for name in (*subdirectories, *files):
            path = os.path.join(directory, name)
            if not os.lstat(path).st_mode & stat.S_IROTH:
                yield f"/{os.path.relpath(path, top)}"


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise DeploymentError(f"expected the source to be copied, found {done.stderr.strip()}")


class Changes:
    """Changes the source before each run, and says so in a file of the source."""

    NOTES = "notes-of-the-demo.txt"

    def __init__(self, source: Path) -> None:
        self._source = source
        self._untouched = _some_files(source)

    def make(self, run: int) -> Iterator[str]:
        """Yields what it changes. Before the first run, only the notes appear."""
        if run > 1:
            yield from self._change(run)
        with (self._source / self.NOTES).open("a") as notes:
            notes.write(f"written for backup {run}\n")
        yield f"wrote to {self.NOTES}"

    def _change(self, run: int) -> Iterator[str]:
        for path in self._take(3):
            with path.open("ab") as file:
                file.write(f"changed for backup {run}\n".encode())
            yield f"changed {self._name(path)}"
        for path in self._take(1):
            path.chmod(stat.S_IMODE(path.stat().st_mode) ^ stat.S_IXUSR)
            yield f"changed only the mode of {self._name(path)}"
        for path in self._take(1):
            path.unlink()
            yield f"deleted {self._name(path)}"
        added = self._source / f"added for backup {run}" / "an empty file"
        added.parent.mkdir()
        added.touch()
        yield f"added {self._name(added)}"

    def _take(self, count: int) -> Iterator[Path]:
        """The next files that were not changed yet, as far as there are any."""
        for _ in range(min(count, len(self._untouched))):
            yield self._untouched.pop()

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self._source))


def _some_files(source: Path) -> list[Path]:
    """At most a hundred of the regular files, from all over the source."""
    found = [
        Path(directory, name)
        for directory, _, names in os.walk(source)
        for name in sorted(names)
        if stat.S_ISREG(os.lstat(os.path.join(directory, name)).st_mode)
    ]
    return found[:: len(found) // 100 + 1]
