"""What is in a directory tree, and how two of them differ. Names are bytes: any name is legal."""

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """A file of any kind, as a backup must keep it.

    content: the SHA-256 of a regular file, the target of a symbolic link, nothing for others.
    """

    mode: str
    owner: str
    mtime_ns: int
    content: str

    def difference(self, found: "Entry") -> str:
        """Which attributes differ, as `name expected → found`."""
        pairs = ((name, getattr(self, name), getattr(found, name)) for name in self.__annotations__)
        return ", ".join(f"{name} {a} → {b}" for name, a, b in pairs if a != b)


Tree = Mapping[bytes, Entry]
Inodes = Mapping[bytes, os.stat_result]


def inodes(root: Path) -> Inodes:
    """All files of all kinds below the root, and itself as `.`, by their relative names."""
    top = os.fsencode(root)
    return {b".": os.lstat(top), **dict(_walk(top, b""))}


def read(root: Path, digests: dict[tuple[int, int], str]) -> Tree:
    """The tree below the root. `digests`, by device and inode, spares reading hard links twice."""
    top = os.fsencode(root)
    return {name: _entry(top + b"/" + name, s, digests) for name, s in inodes(root).items()}


def differences(expected: Tree, found: Tree) -> list[str]:
    """One line for each difference, nothing for equal trees."""
    return [
        *(f"{_shown(name)} is missing" for name in sorted(expected.keys() - found.keys())),
        *(f"{_shown(name)} should not be there" for name in sorted(found.keys() - expected.keys())),
        *(
            f"{_shown(name)}: {expected[name].difference(found[name])}"
            for name in sorted(expected.keys() & found.keys())
            if expected[name] != found[name]
        ),
    ]


@dataclass(frozen=True)
class Usage:
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


def _walk(top: bytes, directory: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
    with os.scandir(os.path.join(top, directory)) as entries:
        for entry in entries:
            name = os.path.join(directory, entry.name)
            yield name, entry.stat(follow_symlinks=False)
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(top, name)


def _entry(path: bytes, status: os.stat_result, digests: dict[tuple[int, int], str]) -> Entry:
    content = ""
    if stat.S_ISLNK(status.st_mode):
        content = os.fsdecode(os.readlink(path))
    elif stat.S_ISREG(status.st_mode):
        inode = (status.st_dev, status.st_ino)
        content = digests.get(inode) or digests.setdefault(inode, _digest(path))
    return Entry(
        mode=stat.filemode(status.st_mode),
        owner=f"{status.st_uid}:{status.st_gid}",
        mtime_ns=status.st_mtime_ns,
        content=content,
    )


def _digest(path: bytes) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _shown(name: bytes) -> str:
    return name.decode(errors="backslashreplace")
