"""What version 1.5 leaves on a backup file system, made with the steps that it took.

Its rsync was older than 3.1: it knew whole seconds only, in what it compared and in what it kept.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


class V15:
    """Version 1.5's backups of `source` in `folder`, at most `retain` of them."""

    def __init__(self, source: Path, folder: Path, retain: int = 7) -> None:
        self.source = source
        self.folder = folder
        self.retain = retain

    def snapshot(self, number: int) -> Path:
        return self.folder / f"daily.{number}"

    def back_up(self) -> None:
        """A run that has the time to finish."""
        self._make_room()
        _rsync("-a", f"{self.source}/", f"{self.snapshot(0)}/")
        _drop_fractions(self.snapshot(0))
        _rsync("-r", "--delete", "--existing", "--ignore-existing",
               f"{self.source}/", f"{self.snapshot(0)}/")  # fmt: skip
        os.utime(self.snapshot(0))
        _drop_fractions(self.snapshot(0))

    def be_stopped(self, *copied: str) -> None:
        """A run whose window ends when it has copied only these of the source's files.

        What is gone from the source is still in its snapshot, which is visible all the same.
        """
        self._make_room()
        for name in copied:
            _rsync("-a", "--relative", f"{self.source}/./{name}", f"{self.snapshot(0)}/")
        _drop_fractions(self.snapshot(0))

    def _make_room(self) -> None:
        """The newest snapshot is linked to number 1, and stays where it is to be changed."""
        if not self.folder.exists():
            self.folder.mkdir(mode=0o700)
            self.snapshot(0).mkdir()
            return
        subprocess.run(["rm", "-rf", self.snapshot(self.retain - 1)], check=True)
        for number in range(self.retain - 1, 1, -1):
            if self.snapshot(number - 1).exists():
                self.snapshot(number - 1).rename(self.snapshot(number))
        _rsync("-a", "--link-dest=../daily.0", f"{self.snapshot(0)}/", f"{self.snapshot(1)}/")


def _rsync(*words: str) -> None:
    subprocess.run(["rsync", "--numeric-ids", *words], check=True)


def _drop_fractions(tree: Path) -> None:
    for path in [tree, *tree.rglob("*")]:
        info = path.lstat()
        seconds = info.st_mtime_ns // 10**9 * 10**9
        if info.st_mtime_ns != seconds:
            os.utime(path, ns=(info.st_atime_ns, seconds), follow_symlinks=False)
