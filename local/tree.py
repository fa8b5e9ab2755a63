"""What is in a directory tree, and how two of them differ. Names are bytes: any name is legal.

    python3 tree.py ROOT…

prints a line for each tree, of which `parse` makes it again. Needs nothing but Python.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

Digests = dict[tuple[int, int], str]
Root = Path | str | bytes


class Entry(NamedTuple):
    """A file of any kind, as a backup must keep it."""

    mode: str
    """With the type, as ls shows it."""
    owner: str
    mtime_ns: int
    size: int
    """Of a regular file or a symbolic link."""
    device: int
    """The number of a device."""
    content: str
    """The SHA-256 of a regular file, the target of a symbolic link."""
    inode: str
    """The first path with the same one: names that are one file stay one file."""

    def difference(self, found: Entry) -> str:
        """Which attributes differ, as `name expected → found`."""
        pairs = zip(self._fields, self, found, strict=True)
        return ", ".join(f"{name} {a} → {b}" for name, a, b in pairs if a != b)


Tree = dict[bytes, Entry]


def read_tree(root: Root, digests: Digests | None = None) -> Tree:
    """What is at and below the root, which is `.`, by relative paths: these may be longer than
    a system call takes. `digests`, by device and inode, spares reading hard links twice."""
    digests = {} if digests is None else digests
    tree = {
        path: _entry(name, directory, info, digests) for path, name, directory, info in _walk(root)
    }
    return part(tree, lambda _: True)


def part(tree: Tree, is_in: Callable[[bytes], bool]) -> Tree:
    """What of a tree is in it; of the names of an inode, the first that is."""
    first: dict[str, str] = {}
    return {
        path: tree[path]._replace(inode=first.setdefault(tree[path].inode, os.fsdecode(path)))
        for path in sorted(tree)
        if is_in(path)
    }


def without(attribute: str, tree: Tree, *paths: bytes) -> Tree:
    """A tree in which an attribute does not count: of these paths, or of all."""
    nothing: dict[str, Any] = {attribute: None}
    return {
        path: entry._replace(**nothing) if not paths or path in paths else entry
        for path, entry in tree.items()
    }


def differences(expected: Tree, found: Tree) -> list[str]:
    """One line for each difference, nothing for equal trees."""
    lines = [
        *(f"{os.fsdecode(path)} is missing" for path in sorted(expected.keys() - found.keys())),
        *(f"{os.fsdecode(p)} should not be there" for p in sorted(found.keys() - expected.keys())),
        *(
            f"{os.fsdecode(path)}: {expected[path].difference(found[path])}"
            for path in sorted(expected.keys() & found.keys())
            if expected[path] != found[path]
        ),
    ]
    return [os.fsencode(line).decode(errors="backslashreplace") for line in lines]


def parse(line: str) -> Tree:
    return {os.fsencode(path): Entry(*entry) for path, entry in json.loads(line).items()}


def inodes(root: Root) -> dict[bytes, os.stat_result]:
    """As `read_tree`, without reading a file."""
    return {path: info for path, _, _, info in _walk(root)}


class Usage(NamedTuple):
    """files: all but directories. Sizes in bytes on disk, as du counts them, directories too.
    unique: in no other of the trees."""

    files: int
    total: int
    unique: int


def usages(roots: Sequence[Path]) -> list[Usage]:
    trees = [inodes(root).values() for root in roots]
    sizes = [{(s.st_dev, s.st_ino): s.st_blocks * 512 for s in tree} for tree in trees]
    owners = Counter(inode for by_inode in sizes for inode in by_inode)
    return [
        Usage(
            sum(not stat.S_ISDIR(s.st_mode) for s in tree),
            sum(by_inode.values()),
            sum(size for inode, size in by_inode.items() if owners[inode] == 1),
        )
        for tree, by_inode in zip(trees, sizes, strict=True)
    ]


Place = tuple[bytes, bytes, int | None, os.stat_result]


def _walk(root: Root) -> Iterator[Place]:
    """Of each file its path, its name in an open directory, this, and what it is."""
    return _visit(b"", os.path.join(os.fsencode(root), b"."), None)


def _visit(path: bytes, name: bytes, directory: int | None) -> Iterator[Place]:
    info = os.stat(name, dir_fd=directory, follow_symlinks=False)
    yield path or b".", name, directory, info
    if stat.S_ISDIR(info.st_mode):
        below = os.open(name, os.O_RDONLY, dir_fd=directory)
        try:
            for entry in map(os.fsencode, os.listdir(below)):
                yield from _visit(os.path.join(path, entry), entry, below)
        finally:
            os.close(below)


def _entry(name: bytes, directory: int | None, info: os.stat_result, digests: Digests) -> Entry:
    kind, inode, content = stat.S_IFMT(info.st_mode), (info.st_dev, info.st_ino), ""
    if kind == stat.S_IFLNK:
        content = os.fsdecode(os.readlink(name, dir_fd=directory))
    elif kind == stat.S_IFREG:
        content = digests.get(inode) or digests.setdefault(inode, _digest(name, directory))
    return Entry(
        mode=stat.filemode(info.st_mode),
        owner=f"{info.st_uid}:{info.st_gid}",
        mtime_ns=info.st_mtime_ns,
        size=info.st_size if content else 0,
        device=info.st_rdev if kind in (stat.S_IFCHR, stat.S_IFBLK) else 0,
        content=content,
        inode=f"{inode}",
    )


def _digest(name: bytes, directory: int | None) -> str:
    with open(os.open(name, os.O_RDONLY, dir_fd=directory), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    digests: Digests = {}
    for root in sys.argv[1:]:
        tree = read_tree(root, digests)
        print(json.dumps({os.fsdecode(path): entry for path, entry in tree.items()}))
