#!/usr/bin/env python3
"""Undo the restore that made this directory: put everything back as it was before.

Nothing is deleted: what the restore put in place, and what was written to it since, is moved into
the folder "restored" beside this script. If it is ended in the middle, run it again.
"""

# It lies beside the journal of each restore, so it can import nothing of the engine. Python 3.9,
# standard library only.

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import shutil
import signal
import stat
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
PROBLEMS_KEPT = 20
LOCK = ".efs-restore-lock"


class UndoError(Exception):
    """Nothing was changed."""


@dataclass
class Undone:
    """put_back, set_aside: entries. problems: the first of what stays as it is, and why."""

    put_back: int = 0
    set_aside: int = 0
    problem_count: int = 0
    problems: list[str] = field(default_factory=list)
    was_done: bool = False
    had_begun: bool = True

    def problem(self, path: str, error: OSError) -> None:
        why = error.strerror or str(error)
        self.problem_count += 1
        if len(self.problems) < PROBLEMS_KEPT:
            self.problems.append(f"{shown(path)}: {why}")


def shown(path: str) -> str:
    """On one line; what is no printable text is escaped."""
    return repr(os.fsencode(path).decode(errors="backslashreplace")) if path else "the top"


@contextlib.contextmanager
def opened(top: int, path: str) -> Iterator[int]:
    """The directory ``path`` below ``top``; no symbolic link is followed."""
    descriptor = os.open(".", DIRECTORY, dir_fd=top)
    try:
        for part in filter(None, path.split("/")):
            deeper = os.open(part, DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = deeper
        yield descriptor
    finally:
        os.close(descriptor)


def make_directories(top: int, path: str) -> None:
    descriptor = os.open(".", DIRECTORY, dir_fd=top)
    try:
        for name in filter(None, path.split("/")):
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=descriptor)
            deeper = os.open(name, DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = deeper
    finally:
        os.close(descriptor)


def inode(name: str, directory: int) -> int:
    """0 if there is nothing of that name."""
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False).st_ino
    except FileNotFoundError:
        return 0


def exists(name: str, directory: int) -> bool:
    return inode(name, directory) != 0


def inode_at(path: str, top: int) -> int:
    folder, name = os.path.split(path)
    try:
        with opened(top, folder) as directory:
            return inode(name, directory)
    except (FileNotFoundError, NotADirectoryError):
        return 0


class Undo:
    """root: the restored directory. own: what the restore keeps for this. name: of the safety
    directory in the root."""

    def __init__(self, root: int, own: int, name: str) -> None:
        self.result = Undone()
        self._root = root
        self._own = own
        self._name = name

    def records(self) -> Iterator[list[Any]]:
        descriptor = os.open("journal", os.O_RDONLY | os.O_NOFOLLOW, dir_fd=self._own)
        with open(descriptor) as lines:
            for line in lines:
                yield json.loads(line)

    def is_over(self) -> bool:
        """Whether there is nothing left to undo; the result says why."""
        self.result.was_done = exists("undone", self._own)
        self.result.had_begun = self.result.was_done or exists("journal", self._own)
        return self.result.was_done or not self.result.had_begun

    def run(self, is_dry: bool, on_tick: Callable[[], None] = lambda: None) -> Undone:
        """Put back what can be; what cannot is in the result, and stays as it is."""
        if self.is_over():
            return self.result
        if not is_dry:
            for name in (self._name, f"{self._name}.undo/restored"):
                make_directories(self._root, name)
        for record in self.records():
            self._move(record, is_dry)
            on_tick()
        if is_dry:
            return self.result
        with contextlib.suppress(OSError):
            os.rmdir(self._name, dir_fd=self._root)
        with contextlib.suppress(OSError):
            os.rmdir("restored", dir_fd=self._own)
        for folder, inode, was, *_ in self.records():
            self._set_attributes(folder, inode, was)
            on_tick()
        if not self.result.problem_count:
            os.close(os.open("undone", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=self._own))
        return self.result

    def _move(self, record: list[Any], is_dry: bool) -> None:
        folder, inode, _, _, moved, files, trees = record
        try:
            with opened(self._root, folder) as here:
                if os.fstat(here).st_ino != inode:
                    raise OSError(0, "another directory is in its place by now")
                if not is_dry and not os.fstat(here).st_mode & stat.S_IWUSR:
                    os.fchmod(here, 0o700)
                for name in dict.fromkeys([*files, *trees, *moved]):
                    path = f"{folder}/{name}" if folder else name
                    try:
                        self._exchange(path, record, here, is_dry)
                    except OSError as error:
                        self.result.problem(path, error)
        except OSError as error:
            self.result.problem(folder, error)
        if not is_dry:
            self._remove_empty(folder)

    def _exchange(self, path: str, record: list[Any], here: int, is_dry: bool) -> None:
        name = os.path.basename(path)
        *_, moved, files, trees = record
        is_aside = name in moved and inode_at(f"{self._name}/{path}", self._root) != 0
        # What is not aside has stayed, or is back. What is in "new" still was not put in place, but
        # for a file that had both names when the restore was killed. What is in "restored" came,
        # and was set aside by an undo before this one: what is in its place is somebody's since.
        was_set_aside = inode_at(f"restored/{path}", self._own) != 0
        is_asked = name in files or name in trees
        came = is_asked and not was_set_aside and (is_aside or name not in moved)
        live = inode(name, here)
        if came and live and inode_at(f"new/{path}", self._own) in (0, live):
            if not is_dry:
                self._rename_aside(path, here)
            self.result.set_aside += 1
        if is_aside:
            if not is_dry:
                self._rename_back(path, here)
            self.result.put_back += 1

    def _rename_aside(self, path: str, here: int) -> None:
        folder, name = os.path.split(path)
        with opened(self._own, "restored") as restored:
            make_directories(restored, folder)
            with opened(restored, folder) as there:
                os.rename(name, name, src_dir_fd=here, dst_dir_fd=there)

    def _rename_back(self, path: str, here: int) -> None:
        folder, name = os.path.split(path)
        if exists(name, here):
            raise OSError(0, "is in the way of what was there; move it and run this again")
        with opened(self._root, f"{self._name}/{folder}") as aside:
            os.rename(name, name, src_dir_fd=aside, dst_dir_fd=here)

    def _remove_empty(self, folder: str) -> None:
        """Up to the first directory of the safety directory in which something is left."""
        while folder:
            folder, name = os.path.split(folder)
            try:
                with opened(self._root, f"{self._name}/{folder}") as directory:
                    os.rmdir(name, dir_fd=directory)
            except OSError:
                return

    def _set_attributes(self, folder: str, inode: int, was: list[int]) -> None:
        mode, uid, gid, mtime_ns = was
        try:
            with opened(self._root, folder) as here:
                info = os.fstat(here)
                if info.st_ino != inode:
                    return  # said already
                if (info.st_uid, info.st_gid) != (uid, gid):
                    os.fchown(here, uid, gid)
                os.fchmod(here, stat.S_IMODE(mode))
                os.utime(here, ns=(mtime_ns, mtime_ns))
        except OSError as error:
            self.result.problem(folder, error)


def open_own(root: int, name: str) -> int:
    """What the restore ``name`` keeps in ``root``. Raises UndoError if it may be another's."""
    try:
        own = os.open(f"{name}.undo", DIRECTORY, dir_fd=root)
    except OSError as error:
        raise UndoError(f"{shown(name + '.undo')}: {error.strerror}") from error
    info = os.fstat(own)
    if info.st_uid != os.geteuid() or info.st_mode & 0o022:
        raise UndoError(f"{shown(name + '.undo')} is not this user's own: who restored has to undo")
    return own


def is_restored_into(root: Path) -> bool:
    """Whether a restore of this user is at work in the file system of ``root``, which has its lock
    at its top."""
    for folder in (root, *root.parents):
        with contextlib.suppress(OSError):
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            lock = os.open(folder / LOCK, flags)
            try:
                if os.fstat(lock).st_uid == os.geteuid():
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            finally:
                os.close(lock)
    return False


def summary(result: Undone, is_dry: bool, restored: str) -> str:
    if result.was_done:
        return "This restore was undone before; nothing was changed."
    if not result.had_begun:
        return "This restore has changed nothing so far; there is nothing to undo."
    if is_dry:
        return (
            f"Entries that would be put back: {result.put_back}; set aside: {result.set_aside}, "
            f"into {restored}. Nothing was changed."
        )
    there = f", in {restored}" if result.set_aside else ""
    return f"Entries put back: {result.put_back}; set aside: {result.set_aside}{there}."


def say(text: str, file: TextIO | None = None) -> None:
    """On a terminal broken between words, of which each stays whole."""
    file = file or sys.stdout
    if file.isatty():
        columns = shutil.get_terminal_size().columns
        text = textwrap.fill(text, columns, break_long_words=False, break_on_hyphens=False)
    print(text, file=file)


def agreed(question: str) -> bool:
    """Asks where somebody sits at a terminal."""
    if not sys.stdin.isatty():
        return True

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # who presses it twice says no, too
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    try:
        try:
            signal.signal(signal.SIGINT, interrupt)
            say(question)
            return input("Type yes to go on: ").strip().lower() == "yes"
        finally:
            signal.signal(signal.SIGINT, before)
    except (EOFError, KeyboardInterrupt):
        print()
        return False


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="undo", description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="say how much would be moved")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    options = parser.parse_args(words)
    folder = Path(__file__).resolve().parent
    root = os.open(folder.parent, DIRECTORY)
    try:
        name = folder.name[: -len(".undo")]
        own = open_own(root, name)
        question = f"This puts {shown(str(folder.parent))} back as it was before that restore."
        undo = Undo(root, own, name)
        if not (options.dry_run or options.yes or undo.is_over() or agreed(question)):
            say("Nothing was done.")
            return 1
        if not options.dry_run and is_restored_into(folder.parent):
            raise UndoError("a restore is at work; wait until it has finished")
        result = undo.run(options.dry_run)
    except UndoError as error:
        say(f"{error}. Nothing was done.", sys.stderr)
        return 2
    for problem in result.problems:
        say(f"not undone: {problem}", sys.stderr)
    if result.problem_count > len(result.problems):
        say(f"… and {result.problem_count - len(result.problems)} more", sys.stderr)
    say(summary(result, options.dry_run, shown(str(folder / "restored"))))
    return 1 if result.problem_count else 0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # it ends in silence, and goes on when run again
    sys.exit(main(sys.argv[1:]))
