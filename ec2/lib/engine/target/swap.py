"""Putting in place what has been fetched: renames and links only, many directories at once.

Everything goes by descriptors of directories, in which no symbolic link is followed, and which are
the very directories that were compared.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.command.text import shown_path
from engine.target.figures import Figures
from engine.target.records import Record
from engine.tree.attributes import Directory, set_attributes_of
from engine.tree.descent import exists, info_of, join, make_directories, opened, writable
from engine.tree.entries import attributes, file_of
from engine.tree.pool import Worker

# What somebody has put where something was to come to answers.
IN_THE_WAY = (errno.EEXIST, errno.ENOTDIR, errno.ENOTEMPTY)


class Tops(NamedTuple):
    """Descriptors. aside: gets what leaves the live tree. new: has what comes into it."""

    saved: int
    live: int
    aside: int
    new: int


class Places(NamedTuple):
    """Descriptors of one directory of the live tree, and of what corresponds to it."""

    here: int
    aside: int
    new: int


@dataclass
class Done:
    """record: what has been done of the one that was asked for. not_moved: what could not be moved,
    and stays as it was. warnings: what somebody else did meanwhile. missing: paths that were to be
    put in place, and are not there.
    """

    record: Record
    figures: Figures = field(default_factory=Figures)
    not_moved: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def refuse(self, path: str, error: OSError, entries: int = 1) -> None:
        self.not_moved.append(f"{shown_path(path)}: {error.strerror}")
        self.figures.number_of_files_not_moved += entries


@contextlib.contextmanager
def opened_again(live: int, record: Record) -> Iterator[int]:
    """The live directory of a record, if it is still the same."""
    with opened(live, record.folder) as here:
        if os.fstat(here).st_ino != record.inode:
            raise OSError(errno.ESTALE, "another directory is in its place by now")
        yield here


class Swap(NamedTuple):
    """Exchange names of one directory."""

    record: Record

    def perform(self, worker: Worker) -> Done:
        record, tops = self.record, worker.context
        done = Done(record.blank())
        try:
            with contextlib.ExitStack() as stack:
                here = stack.enter_context(opened_again(tops.live, record))
                writable(here)
                aside = new = -1
                if record.moved:
                    make_directories(tops.aside, record.folder)
                    aside = stack.enter_context(opened(tops.aside, record.folder))
                if record.files or record.trees:
                    new = stack.enter_context(opened(tops.new, record.folder))
                places = Places(here, aside, new)
                for name in record.names:
                    if worker.stopping:
                        return done
                    self._swap(name, places, done)
        except OSError as error:
            done.refuse(record.folder, error, len(record))
        return done

    def _swap(self, name: str, places: Places, done: Done) -> None:
        record = self.record
        path = join(record.folder, name)
        comes = name in record.files or name in record.trees
        if comes and not exists(name, places.new):
            return  # it was damaged, and is kept out
        if name in record.moved:
            try:
                os.rename(name, name, src_dir_fd=places.here, dst_dir_fd=places.aside)
            except FileNotFoundError:
                done.warnings.append(f"was gone before it was set aside: {shown_path(path)}")
            except OSError as error:
                done.refuse(path, error)
                return
        if comes:
            self._put(name, path, places, done)
        else:
            done.record.moved.append(name)

    def _put(self, name: str, path: str, places: Places, done: Done) -> None:
        here, aside, new = places
        is_tree = name in self.record.trees
        try:
            if is_tree:
                os.rename(name, name, src_dir_fd=new, dst_dir_fd=here)
            else:
                put_file(name, new, here)
        except OSError as error:
            if error.errno in IN_THE_WAY:
                done.warnings.append(f"was written meanwhile, and stays: {shown_path(path)}")
                return
            done.refuse(path, error)
            if name in self.record.moved and exists(name, aside) and not exists(name, here):
                os.rename(name, name, src_dir_fd=aside, dst_dir_fd=here)
        else:
            (done.record.trees if is_tree else done.record.files).append(name)


def put_file(name: str, new: int, here: int) -> None:
    """A link, unlike renaming, replaces nothing that somebody has written in this moment."""
    try:
        os.link(name, name, src_dir_fd=new, dst_dir_fd=here, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:  # it has as many names as it can have, or cannot have two
        if exists(name, here):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        os.rename(name, name, src_dir_fd=new, dst_dir_fd=here)
    else:
        os.unlink(name, dir_fd=new)


class Settle(NamedTuple):
    """Give a live directory its attributes, and look at what was touched in it."""

    record: Record

    def perform(self, worker: Worker) -> Done:
        record, tops = self.record, worker.context
        done = Done(record)
        try:
            with contextlib.ExitStack() as stack:
                here = stack.enter_context(opened_again(tops.live, record))
                set_attributes_of(here, Directory(record.folder, False, *record.then))
                comes = record.files or record.trees  # else the snapshot may not have the directory
                saved = stack.enter_context(opened(tops.saved, record.folder)) if comes else -1
                self._check(here, saved, done)
        except OSError as error:
            done.refuse(record.folder, error, entries=0)
        return done

    def _check(self, here: int, saved: int, done: Done) -> None:
        record = self.record
        coming = {*record.files, *record.trees}
        for name in record.names:
            path = shown_path(join(record.folder, name))
            now = info_of(name, here)
            if name not in coming:
                if now:
                    done.warnings.append(f"was written meanwhile, and stays: {path}")
            elif not now:
                done.missing.append(path)
            elif not self._is_as_saved(name, now, saved):
                done.warnings.append(f"was changed meanwhile: {path}")

    def _is_as_saved(self, name: str, now: os.stat_result, saved: int) -> bool:
        then = os.stat(name, dir_fd=saved, follow_symlinks=False)
        if name in self.record.trees:
            return attributes(now) == attributes(then)
        return file_of(now).kept == file_of(then).kept
