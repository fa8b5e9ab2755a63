"""What must be true of the snapshots after every run."""

import os
import stat
from pathlib import Path

from local.deployment import DeploymentError
from local.tree import Digests, Tree, differences, inodes, read_tree

SHOWN = 5


class Backups:
    """The snapshots daily.0 and up of a source, checked after each run against those before it."""

    def __init__(self, source: Path, snapshots: Path) -> None:
        self._source = source
        self._snapshots = snapshots
        self._known: list[Tree] = []

    def verify(self) -> None:
        """Raises DeploymentError with what was expected of which snapshot, and what was found."""
        names = [f"daily.{number}" for number in range(len(self._known) + 1)]
        found = sorted(os.listdir(self._snapshots)) if self._snapshots.is_dir() else []
        visible = [name for name in found if not name.startswith(".")]
        if visible != names:
            raise DeploymentError(f"expected the snapshots {names}, found {visible}")
        digests: Digests = {}
        source = read_tree(self._source, digests)
        expected = [source, *self._known]
        for name, known in zip(names, expected, strict=True):
            now = read_tree(self._snapshots / name, digests)
            because = "the source" if name == "daily.0" else "what it was before this run"
            _same(name, because, differences(known, now))
        if self._known:
            self._verify_sharing(source)
        self._known = expected

    def _verify_sharing(self, after: Tree) -> None:
        """A regular file that has not changed is one file in both snapshots."""
        new, old = (inodes(self._snapshots / name) for name in ("daily.0", "daily.1"))
        before = self._known[0]
        copied = [
            os.fsdecode(name)
            for name in new.keys() & old.keys()
            if stat.S_ISREG(new[name].st_mode)
            and before[name] == after[name]
            and new[name].st_ino != old[name].st_ino
        ]
        _same("daily.0", "daily.1 by hard links for unchanged files", sorted(copied))


def _same(name: str, expected: str, differences: list[str]) -> None:
    if differences:
        raise DeploymentError(
            f"expected {name} to be the same as {expected}, found {len(differences)} differences:\n"
            + "\n".join(f"  {difference}" for difference in differences[:SHOWN])
        )
