"""The trees that a run works on, behind walls."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from engine.stage.request import Options
from engine.tree.walls import Root, Walls, opened_path


class Roots(NamedTuple):
    """The walled tops of both file systems."""

    source: Root
    backup: Root

    def inside(self, path: Path) -> Root:
        """A directory of the backup."""
        place = self.backup.path / path.relative_to(self.backup.name)
        return replace(self.backup, path=place, name=path)


def open_roots(options: Options, walls: Walls) -> Roots:
    with opened_path(options.source) as source, opened_path(options.backup) as backup:
        return Roots(
            walls.around(source, Root(options.source, options.source), read_only=True),
            walls.around(backup, Root(options.backup, options.backup)),
        )
