"""What is in the folder of the snapshots, by name.

Each listing costs calls over NFS, and so does each look at a name that is not there.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import NamedTuple


class Found(NamedTuple):
    """kind: as :func:`stat.S_IFMT` tells; 0 for what is no directory and no file. inode: of a
    directory, as renaming it makes NFS forget its attributes."""

    kind: int
    inode: int


class Names:
    """The entries of ``folder``.

    is_ours: this process has it locked, so that but for people only it changes anything. Then what
    was listed is remembered, and kept true by renaming and removing with the methods here; after
    what takes long it is to be listed anew. Without the lock a name means something else at any
    time, and each question lists them.
    """

    def __init__(self, folder: Path) -> None:
        self.is_ours = False
        self._folder = folder
        self._found: dict[str, Found] | None = None

    def look_again(self) -> None:
        self._found = None

    def all(self) -> dict[str, Found]:
        if self._found is not None:
            return self._found
        found = {}
        with os.scandir(self._folder) as entries:
            for entry in entries:
                is_directory = entry.is_dir(follow_symlinks=False)
                is_file = entry.is_file(follow_symlinks=False)
                kind = stat.S_IFDIR * is_directory or stat.S_IFREG * is_file
                inode = entry.stat(follow_symlinks=False).st_ino if is_directory else 0
                found[entry.name] = Found(kind, inode)
        if self.is_ours:
            self._found = found
        return found

    def has(self, path: Path) -> bool:
        return path.name in self.all()

    def has_tree(self, path: Path) -> bool:
        """Whether it is a directory itself, and no link to one."""
        found = self.all().get(path.name)
        return found is not None and found.kind == stat.S_IFDIR

    def is_other_than(self, kind: int, path: Path) -> bool:
        """Whether there is something else."""
        found = self.all().get(path.name)
        return found is not None and found.kind != kind

    def inode_of(self, tree: Path) -> int:
        known = self._found.get(tree.name) if self._found else None
        return known.inode if known and tree.parent == self._folder else tree.stat().st_ino

    def starting_with(self, prefix: str) -> list[Path]:
        return [self._folder / name for name in self.all() if name.startswith(prefix)]

    def make_tree(self, path: Path) -> None:
        path.mkdir(mode=0o700)
        self._note(path, Found(stat.S_IFDIR, path.stat().st_ino))

    def rename_tree(self, path: Path, target: Path) -> None:
        path.rename(target)
        self._note(target, self._forget(path) or Found(stat.S_IFDIR, target.stat().st_ino))

    def remove_empty(self, tree: Path) -> bool:
        """Whether it is empty, and is gone."""
        with contextlib.suppress(OSError):
            tree.rmdir()
            self._forget(tree)
            return True
        return False

    def unlink(self, path: Path) -> None:
        path.unlink()
        self._forget(path)

    def _note(self, tree: Path, found: Found) -> None:
        if self._found is not None:
            self._found[tree.name] = found

    def _forget(self, path: Path) -> Found | None:
        return self._found.pop(path.name, None) if self._found is not None else None
