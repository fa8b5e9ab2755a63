"""Comparing a snapshot with a live directory, entry by entry, in the terms of a restore."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

Ignore = Callable[[bytes], bool]


class Kind(Enum):
    """What a restore has to do about one path."""

    UNCHANGED = "unchanged"
    CREATE = "create"
    REPLACE = "replace"  # the live entry has to go, and the snapshot's takes its place
    REMOVE = "remove"  # the live entry is not in the snapshot
    ENTER = "enter"  # a directory on both sides


@dataclass(frozen=True)
class Change:
    """``path`` is relative to both roots; ``b"."`` is the roots themselves.

    saved: the entry of the snapshot, live: the entry of the live directory, where there is one.
    """

    kind: Kind
    path: bytes
    saved: os.stat_result | None
    live: os.stat_result | None


def compare(saved: bytes, live: bytes, ignore: Ignore = lambda path: False) -> Iterator[Change]:
    """All changes that turn ``live`` into ``saved``, each directory before what it holds.

    What is below a directory that only the snapshot has is listed too; a directory that only the
    live tree has stands for all that is in it. Live paths for which ``ignore`` is true do not exist
    for it. Neither tree is changed, and no symbolic link is followed. ``live`` need not exist.
    """
    if not os.path.lexists(live):
        yield from _creations(saved, b"")
        return
    yield Change(Kind.ENTER, b".", os.lstat(saved), os.lstat(live))
    folders = [b""]
    while folders:
        folder = folders.pop()
        for change in _compare_folder(saved, live, folder, ignore):
            yield change
            if change.kind is Kind.ENTER:
                folders.append(change.path)
            elif change.kind in (Kind.CREATE, Kind.REPLACE) and is_directory(change.saved):
                yield from _creations(saved, change.path)


def _compare_folder(saved: bytes, live: bytes, folder: bytes, ignore: Ignore) -> Iterator[Change]:
    ours = _entries(os.path.join(saved, folder))
    theirs = _entries(os.path.join(live, folder))
    for name, info in theirs.items():
        path = os.path.join(folder, name)
        if name not in ours and not ignore(path):
            yield Change(Kind.REMOVE, path, None, info)
    for name, info in ours.items():
        path = os.path.join(folder, name)
        other = theirs.get(name)
        if other is None:
            yield Change(Kind.CREATE, path, info, None)
        elif is_directory(info) and is_directory(other):
            yield Change(Kind.ENTER, path, info, other)
        elif _equal(os.path.join(saved, path), info, os.path.join(live, path), other):
            yield Change(Kind.UNCHANGED, path, info, other)
        else:
            yield Change(Kind.REPLACE, path, info, other)


def _creations(saved: bytes, top: bytes) -> Iterator[Change]:
    folders = [top]
    while folders:
        folder = folders.pop()
        for name, info in _entries(os.path.join(saved, folder)).items():
            path = os.path.join(folder, name)
            yield Change(Kind.CREATE, path, info, None)
            if is_directory(info):
                folders.append(path)


def _entries(folder: bytes) -> dict[bytes, os.stat_result]:
    found = {}
    with os.scandir(folder or b".") as entries:
        for entry in entries:
            try:
                found[entry.name] = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # a live directory changes while it is read
    return found


def is_directory(info: os.stat_result | None) -> bool:
    return info is not None and stat.S_ISDIR(info.st_mode)


def same_attributes(one: os.stat_result, other: os.stat_result) -> bool:
    def attributes(info: os.stat_result) -> tuple[int, ...]:
        return info.st_mode, info.st_uid, info.st_gid, info.st_mtime_ns

    return attributes(one) == attributes(other)


def _equal(path: bytes, info: os.stat_result, other_path: bytes, other: os.stat_result) -> bool:
    """Whether two entries that are not directories are the same, as rsync's quick check judges."""
    if not same_attributes(info, other):
        return False
    if stat.S_ISREG(info.st_mode):
        return info.st_size == other.st_size
    if stat.S_ISLNK(info.st_mode):
        return os.readlink(path) == os.readlink(other_path)
    return info.st_rdev == other.st_rdev


def tree_size(path: bytes, info: os.stat_result) -> tuple[int, int]:
    """Files (everything that is not a directory) and bytes at and below ``path``."""
    if not is_directory(info):
        return 1, info.st_size
    files = size = 0
    for change in _creations(path, b""):
        if change.saved and not is_directory(change.saved):
            files += 1
            size += change.saved.st_size
    return files, size
