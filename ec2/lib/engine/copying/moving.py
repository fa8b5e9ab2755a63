"""Putting what was copied elsewhere in the same file system at its place."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from engine.tree.descent import GONE, chunks, opened

AT_ONCE = 32
PER_TASK = 50
NO_LINK = (errno.EEXIST, errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP)
IN_THE_WAY = (errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY, errno.EEXIST)


class Mover:
    """Linux lets one process at a time rename from one directory of a file system to another one,
    and on NFS all others wait for the server's answer to it. So what has its place in another
    directory gets a second name there, which many can get at once, and loses the first."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(AT_ONCE)

    def move(self, source: int, target: int, names: list[bytes]) -> bool:
        """Move those that are there from below one descriptor to below another one; return whether
        the directories below ``target`` took them. Raises OSError for what concerns all files."""
        paths = sorted(os.path.split(os.fsdecode(name.removeprefix(b"./"))) for name in names)
        parts = (
            Part(source, target, folder, part)
            for folder, inside in itertools.groupby(paths, lambda path: path[0])
            for part in chunks((name for _, name in inside), PER_TASK)
        )
        return all([*self._executor.map(Part.move, parts)])

    def close(self) -> None:
        self._executor.shutdown()


class Part(NamedTuple):
    """Some of the files of one directory."""

    source: int
    target: int
    folder: str
    names: list[str]

    def move(self) -> bool:
        with opened_if_there(self.source, self.folder) as source:
            if source is None:
                return True  # none of them was copied
            with opened_if_there(self.target, self.folder) as target:
                if target is None:
                    return False
                moved = [move(name, source, target) for name in self.names]
                return all(moved)


def move(name: str, source: int, target: int) -> bool:
    try:
        os.link(name, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno not in NO_LINK:
            raise
        return rename(name, source, target)
    os.unlink(name, dir_fd=source)
    return True


def rename(name: str, source: int, target: int) -> bool:
    """For what has as many names as it can have, or is a directory by now."""
    try:
        os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
    except OSError as error:
        if error.errno not in IN_THE_WAY:
            raise
        return False
    return True


@contextlib.contextmanager
def opened_if_there(top: int, path: str) -> Iterator[int | None]:
    with contextlib.ExitStack() as stack:
        try:
            directory = stack.enter_context(opened(top, path))
        except GONE:
            yield None
        else:
            yield directory
