"""Going down into trees by descriptors of directories; no symbolic link is followed."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from engine.tree.entries import DIRECTORY, File, Placed, file_of
from engine.tree.linux import open_beneath

TOP = ""
CHUNK = 200  # entries of one directory that one thread settles, each after the other
NAME_MAX = 255
LONG_PATH = 4000  # below PATH_MAX
DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
PLACE_FLAGS = os.O_PATH | os.O_NOFOLLOW  # asks NFS for nothing but the attributes
# What an entry that is not there answers, and nothing else.
GONE = (FileNotFoundError, NotADirectoryError)
Item = TypeVar("Item")


@contextlib.contextmanager
def opened(top: int, path: str) -> Iterator[int]:
    """A descriptor of the directory ``path`` below ``top``. No symbolic link is followed."""
    descriptor = open_directory(top, path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def stat_of(top: int, path: str) -> os.stat_result:
    """Of whatever is at ``path``, also of a symbolic link."""
    descriptor = open_directory(top, path, PLACE_FLAGS)
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def open_directory(top: int, path: str, flags: int = DIRECTORY_FLAGS) -> int:
    """To be closed by the caller."""
    return _down(top, _parts(path or "."), lambda part, at: _open_part(part, at, flags))


def make_directories(top: int, path: str) -> None:
    """The directory ``path`` below ``top``, and what is missing above it."""
    if not path:
        return
    folder, name = os.path.split(path)
    try:
        with opened(top, folder) as directory:
            _make_directory(name, directory)
    except FileNotFoundError:
        descriptor = os.dup(top)
        for name in path.split("/"):
            try:
                _make_directory(name, descriptor)
                deeper = os.open(name, DIRECTORY_FLAGS, dir_fd=descriptor)
            finally:
                os.close(descriptor)
            descriptor = deeper
        os.close(descriptor)


def _make_directory(name: str, directory: int) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=directory)


def _open_part(path: str, top: int, flags: int) -> int:
    try:
        return open_beneath(os.fsencode(path), flags, top)
    except NotImplementedError:
        return _open_step_by_step(path, top, flags)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        # Says NotADirectoryError if it was a symbolic link.
        return _open_step_by_step(path, top, flags)


def _open_step_by_step(path: str, top: int, flags: int) -> int:
    """For kernels that have no call for it. A symbolic link is no directory."""
    return _down(top, path.split("/"), lambda part, at: os.open(part, flags, dir_fd=at))


def _down(top: int, parts: Iterable[str], step: Callable[[str, int], int]) -> int:
    """What is opened on the way is closed."""
    descriptor = top
    for part in parts:
        try:
            deeper = step(part, descriptor)
        finally:
            if descriptor != top:
                os.close(descriptor)
        descriptor = deeper
    return descriptor


def is_inner_path(path: bytes) -> bool:
    """Whether it can be that of an entry below a top."""
    parts = path.split(b"/")
    return all(0 < len(part) <= NAME_MAX and part not in (b".", b"..") for part in parts)


def is_short(path: str) -> bool:
    """Whether the kernel takes it in one call."""
    if len(path) * 4 <= LONG_PATH or len(path) > LONG_PATH:  # as many bytes as characters, or more
        return len(path) <= LONG_PATH
    return len(os.fsencode(path)) <= LONG_PATH


def _parts(path: str) -> Iterator[str]:
    """A path in parts, each of which one call takes."""
    if is_short(path):
        yield path
        return
    start, most = 0, LONG_PATH // 4
    while len(path) - start > most:
        end = path.rindex("/", start, start + most)
        yield path[start:end]
        start = end + 1
    yield path[start:]


def info_of(name: str, directory: int) -> os.stat_result | None:
    """None if there is nothing of that name."""
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def exists(name: str, directory: int) -> bool:
    return info_of(name, directory) is not None


def is_gone(top: int, path: str) -> bool:
    """Whether there is certainly nothing at ``path``. What cannot be looked at may be there."""
    folder, name = os.path.split(path)
    try:
        with opened(top, folder) as directory:
            os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError as error:
        return isinstance(error, GONE)
    return False


def names_in(directory: int) -> Iterator[str]:
    with os.scandir(directory) as entries:
        for entry in entries:
            yield entry.name


def files_of(directory: int) -> Iterator[tuple[str, File]]:
    with os.scandir(directory) as entries:
        for entry in entries:
            yield entry.name, file_of(entry.stat(follow_symlinks=False))


def listed(directory: int, names: Iterable[str] | None = None) -> Iterator[tuple[str, File]]:
    """What is in a directory that may change meanwhile; only ``names``, if they are given."""
    if names is not None:
        for name in names:
            if info := info_of(name, directory):
                yield name, file_of(info)
        return
    with os.scandir(directory) as entries:
        for entry in entries:
            try:
                info = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            yield entry.name, file_of(info)


def inodes_of(directory: int) -> Iterator[tuple[str, Placed]]:
    """Without the attributes: an entry that is the previous snapshot's inode has them."""
    with os.scandir(directory) as entries:
        for entry in entries:
            yield entry.name, DIRECTORY if entry.is_dir(follow_symlinks=False) else entry.inode()


def is_writable(info: os.stat_result) -> bool:
    return bool(info.st_mode & stat.S_IWUSR)


def writable(directory: int) -> None:
    """Let a user who is not root change a directory that its owner may not write to."""
    if not is_writable(os.fstat(directory)):
        os.fchmod(directory, 0o700)


def chunks(items: Iterable[Item], size: int = CHUNK) -> Iterator[list[Item]]:
    """The items a few at a time, read only as far as needed."""
    rest = iter(items)
    return iter(lambda: [*itertools.islice(rest, size)], [])


def join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
