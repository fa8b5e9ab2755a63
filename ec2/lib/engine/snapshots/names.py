"""What is in the folder of the snapshots, by name.

Each listing costs calls over NFS, and so does each look at a name that is not there.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path


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
        self._kinds: dict[str, int] | None = None

    def look_again(self) -> None:
        self._kinds = None

    def kinds(self) -> dict[str, int]:
        """Of each name, as :func:`stat.S_IFMT` tells; 0 for what is no directory and no file."""
        if self._kinds is not None:
            return self._kinds
        found = {}
        with os.scandir(self._folder) as entries:
            for entry in entries:
                is_directory = entry.is_dir(follow_symlinks=False)
                is_file = entry.is_file(follow_symlinks=False)
                found[entry.name] = stat.S_IFDIR * is_directory or stat.S_IFREG * is_file
        if self.is_ours:
            self._kinds = found
        return found

    def has(self, path: Path) -> bool:
        return path.name in self.kinds()

    def has_tree(self, path: Path) -> bool:
        """Whether it is a directory itself, and no link to one."""
        return self.kinds().get(path.name) == stat.S_IFDIR

    def starting_with(self, prefix: str) -> list[Path]:
        return [self._folder / name for name in self.kinds() if name.startswith(prefix)]

    def make_tree(self, path: Path) -> None:
        path.mkdir(mode=0o700)
        self._note(path)

    def rename_tree(self, path: Path, target: Path) -> None:
        path.rename(target)
        self._forget(path)
        self._note(target)

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

    def _note(self, tree: Path) -> None:
        if self._kinds is not None:
            self._kinds[tree.name] = stat.S_IFDIR

    def _forget(self, path: Path) -> None:
        if self._kinds is not None:
            self._kinds.pop(path.name, None)
