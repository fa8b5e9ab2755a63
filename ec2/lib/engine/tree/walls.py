"""What keeps rsync inside of the trees that it is given.

Whoever can write to a tree can exchange a directory for a symbolic link while root works on it, and
rsync goes by names. So it gets each tree at a place of its own in a mount namespace of the run's
own, where no symbolic link is followed, by anybody. Our own code goes by descriptors, see
:mod:`engine.tree.descent`, and uses the same places: links and renames do not cross mounts.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from engine.command.scratch import WALLS, Scratch
from engine.tree.descent import opened
from engine.tree.linux import mount_again, unmount, unshare_mounts


@dataclass(frozen=True)
class Root:
    """The top of a tree. path: by which programs get at it. name: what people call it. home: where
    directories further down can be mounted, if there are walls."""

    path: Path
    name: Path
    home: Path | None = None

    @contextlib.contextmanager
    def deeper(self, descriptor: int) -> Iterator[Path]:
        """A short path of a directory further down that is open as ``descriptor``."""
        if self.home is None:
            os.set_inheritable(descriptor, True)
            yield Path(f"/proc/self/fd/{descriptor}")  # rsync 3.5 takes this for a source only
            return
        place = Path(tempfile.mkdtemp(dir=self.home))
        try:
            mount_again(descriptor, os.fsencode(place), read_only=False)
            try:
                yield place
            finally:
                unmount(os.fsencode(place))
        finally:
            place.rmdir()


class Walls:
    """For the time of a run; to be made before the process has threads.

    why_not: empty if there are walls. A user who is not root needs none: what a link leads to is
    theirs already, or closed to them. ``beside``: where to make a directory for the places.
    """

    def __init__(self, beside: Path) -> None:
        self.why_not = "the run is not root's" if os.geteuid() else ""
        self._places: list[Path] = []
        # Never in that for lists, which is removed with all that is in it.
        self._scratch = Scratch(beside, WALLS)
        self._home = self._scratch.path
        if not self.why_not:
            try:
                unshare_mounts()
            except OSError as error:
                self.why_not = str(error)

    def __enter__(self) -> Walls:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        for place in self._places:
            with contextlib.suppress(OSError):  # an empty directory that stays harms nobody
                unmount(os.fsencode(place))
                place.rmdir()
        self._scratch.remove()

    @property
    def warning(self) -> str:
        if not self.why_not or os.geteuid():
            return ""
        return (
            "symbolic links could not be shut out of what rsync copies, as this system does not "
            f"let root mount: {self.why_not}. Let nobody write to the file systems meanwhile"
        )

    def around(self, descriptor: int, root: Root, read_only: bool = False) -> Root:
        """The tree whose top is open as ``descriptor``, with a wall around it; if there cannot be
        one, ``root`` itself, whose path may go by the descriptor: programs inherit it then."""
        if self.why_not:
            os.set_inheritable(descriptor, True)
            return root
        place = self._home / str(len(self._places))
        place.mkdir(mode=0o700)
        try:
            mount_again(descriptor, os.fsencode(place), read_only)
        except OSError as error:
            place.rmdir()
            if self._places:
                raise
            self.why_not = str(error)
            return self.around(descriptor, root, read_only)
        self._places.append(place)
        return Root(place, root.name, self._home)


@contextlib.contextmanager
def opened_path(directory: Path) -> Iterator[int]:
    """A descriptor of an absolute path in which no component is a symbolic link."""
    top = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    try:
        with opened(top, str(directory).lstrip("/")) as descriptor:
            yield descriptor
    finally:
        os.close(top)
