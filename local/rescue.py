"""The demo's accident, and what must be true of the restores after it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from local.deployment import DeploymentError
from local.tree import Tree, differences, part, read_tree

SAFETY = b".efs-restore-"
NEWER = "written after the last backup\n"


class Rescue:
    """A source in which files are lost and overwritten, and which is restored from `snapshot`.

    directory: one of its directories, relative; it is restored before all the rest.
    """

    def __init__(self, source: Path, snapshot: Path) -> None:
        self.directory = _directory_with_most_files(snapshot)
        self._source = source
        self._snapshot = snapshot
        self._overwritten: list[Path] = []
        self._after_the_accident: Tree = {}

    def accident(self) -> Iterator[str]:
        """Overwrites, deletes and adds, inside the directory and outside. Yields what it does."""
        inside = _files(self._source / self.directory)
        outside = [path for path in _files(self._source) if path not in set(inside)]
        for path in [*inside[:2], *outside[:2]]:
            path.write_text(NEWER)
            self._overwritten.append(path.relative_to(self._source))
            yield f"overwrote {self._name(path)}"
        for path in [*inside[2:5], *outside[2:5]]:
            path.unlink()
            yield f"deleted {self._name(path)}"
        victim = next(iter(_directories(self._source / self.directory)), None)
        if victim:
            shutil.rmtree(victim)
            yield f"deleted all of {self._name(victim)}/"
        added = self._source / self.directory / "added after the last backup"
        added.write_text(NEWER)
        yield f"added {self._name(added)}"
        self._after_the_accident = self._visible(self._source)

    def verify_directory(self) -> None:
        """The directory is as in the snapshot, and all else as it was after the accident."""
        now = self._visible(self._source)
        snapshot, before = read_tree(self._snapshot), self._after_the_accident
        self._same("the directory", part(snapshot, self._is_inside), part(now, self._is_inside))
        self._same("all else", part(before, self._is_outside), part(now, self._is_outside))

    def verify_all(self) -> list[str]:
        """The source is as in the snapshot; returns the names of where the newer files are now."""
        self._same("the source", read_tree(self._snapshot), self._visible(self._source))
        kept = []
        for path in self._overwritten:
            found = list(self._source.glob(f"{SAFETY.decode()}*/{_escaped(path)}"))
            if not any(p.read_text() == NEWER for p in found):
                raise DeploymentError(f"expected {path} in a safety directory, found {found}")
            kept += [self._name(path) for path in found]
        return kept

    def undo(self) -> None:
        """Undoes the restores, the last one first; then all is as it was after the accident."""
        scripts = sorted(self._source.glob(f"{SAFETY.decode()}*.undo/undo"), reverse=True)
        for script in scripts:
            # It asks at a terminal, which the demo may have.
            subprocess.run([sys.executable, script, "--yes"], check=True, capture_output=True)
        self._same("the source", self._after_the_accident, self._visible(self._source))

    def _visible(self, root: Path) -> Tree:
        return part(read_tree(root), lambda path: not path.startswith(SAFETY))

    def _is_inside(self, name: bytes) -> bool:
        top = os.fsencode(self.directory)
        return name == top or name.startswith(top + b"/")

    def _is_outside(self, name: bytes) -> bool:
        return not self._is_inside(name)

    def _same(self, what: str, expected: Tree, found: Tree) -> None:
        if lines := differences(expected, found):
            shown = "\n".join(f"  {line}" for line in lines[:5])
            raise DeploymentError(
                f"after the restore, expected {what} without differences, found\n{shown}"
            )

    def _name(self, path: Path) -> str:
        name = str(path.relative_to(self._source))
        return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _escaped(path: Path) -> str:
    """A path as a pattern that matches only itself."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in str(path))


def _directory_with_most_files(snapshot: Path) -> str:
    """One that a parameter can name: without control characters."""
    found = [path for path in _directories(snapshot) if path.name.isprintable()]
    if not found:
        raise DeploymentError(
            "expected a directory in the source, to be restored alone; found none"
        )
    return max(found, key=lambda path: len(_files(path))).name


def _directories(root: Path) -> list[Path]:
    return sorted(
        path
        for path in root.iterdir()
        if path.is_dir() and not path.is_symlink() and not path.name.startswith(SAFETY.decode())
    )


def _files(root: Path) -> list[Path]:
    """The regular files below the root, but for those in safety directories."""
    return [
        Path(folder, name)
        for folder, folders, names in os.walk(root)
        for name in sorted(names)
        if SAFETY.decode() not in folder
        and not os.path.islink(os.path.join(folder, name))
        and os.path.isfile(os.path.join(folder, name))
    ]
