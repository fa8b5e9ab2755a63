"""Removing whole trees: many directories at the same time, each after what it holds."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Callable, Iterable
from typing import NamedTuple

from engine.command.text import Messages
from engine.tree.descent import chunks, inodes_of, is_short, opened, writable
from engine.tree.entries import DIRECTORY
from engine.tree.pool import Pool, Task, Worker

AT_ONCE = 20_000  # entries of a directory that may have millions


class Done(NamedTuple):
    """``tasks`` empty ``folder``; or it has one thing less, if there are none and no error.

    is_more: it was not read to its end.
    """

    folder: str
    tasks: list[Task]
    error: str = ""
    is_more: bool = False


class Empty(NamedTuple):
    """Unlink the files of the directory ``path``, and remove it if it has no others.

    Of a large one it is only the first of them, and the rest when these are gone: nobody knows what
    a listing shows of a directory from which others remove meanwhile.
    """

    top: int
    path: str

    def perform(self, worker: Worker) -> Done:
        try:
            with opened(self.top, self.path) as directory:
                writable(directory)
                entries = dict(itertools.islice(inodes_of(directory), AT_ONCE))
                is_more = len(entries) == AT_ONCE
                files = [name for name, inode in entries.items() if inode is not DIRECTORY]
                parts = [Unlink(self.top, self.path, part) for part in chunks(files)]
                tasks: list[Task] = [
                    Empty(self.top, f"{self.path}/{name}")
                    for name, inode in entries.items()
                    if inode is DIRECTORY
                ]
                if len(parts) > 1 or is_more:
                    tasks += parts
                else:
                    unlink(directory, files)
        except OSError as error:
            return failed(error)
        if not tasks:
            return RemoveEmpty(self.top, self.path).perform(worker)
        return Done(self.path, tasks, is_more=is_more)


class Unlink(NamedTuple):
    top: int
    path: str
    names: list[str]

    def perform(self, worker: Worker) -> Done:
        try:
            with opened(self.top, self.path) as directory:
                unlink(directory, self.names)
        except OSError as error:
            return failed(error)
        return Done(self.path, [])


class RemoveEmpty(NamedTuple):
    top: int
    path: str

    def perform(self, worker: Worker) -> Done:
        try:
            if is_short(self.path):
                os.rmdir(self.path, dir_fd=self.top)
            else:
                folder, name = os.path.split(self.path)
                with opened(self.top, folder) as directory:
                    os.rmdir(name, dir_fd=directory)
        except OSError as error:
            return failed(error)
        return Done(os.path.dirname(self.path), [])


def unlink(directory: int, names: Iterable[str]) -> None:
    for name in names:
        os.unlink(name, dir_fd=directory)


def failed(error: OSError) -> Done:
    return Done("", [], str(error))


def key(path: str) -> bytes:
    """In place of a path, of which there may be a thousand of 250 kB one below the other."""
    return hashlib.blake2b(os.fsencode(path), digest_size=16).digest()


def remove_trees(
    pool: Pool, top: int, names: Iterable[str], on_tick: Callable[[], None] = lambda: None
) -> list[str]:
    """Remove the trees ``names`` in the directory ``top``; return what went wrong.

    Raises :class:`Stopped` after a signal, with a part of them left.
    """
    errors = Messages()
    left: dict[bytes, int] = {}  # tasks before a directory is empty
    cut_off: set[bytes] = set()  # those that have more then

    def on_result(done: Done) -> list[Task]:
        if done.error:
            errors.add([done.error])
        elif done.tasks:
            left[key(done.folder)] = len(done.tasks)
            if done.is_more:
                cut_off.add(key(done.folder))
        elif done.folder:
            folder = key(done.folder)
            left[folder] -= 1
            if not left[folder]:
                del left[folder]
                if folder in cut_off:
                    cut_off.remove(folder)
                    return [Empty(top, done.folder)]
                return [RemoveEmpty(top, done.folder)]
        return done.tasks

    pool.run((Empty(top, name) for name in names), on_result, on_tick)
    return errors.lines()
