"""What rsync prints: digests, and statistics."""

from __future__ import annotations

import contextlib
import os
import re
import stat

from engine.tree.descent import TOP, join, opened


def printed_digests(output: bytes, target: int) -> tuple[dict[bytes, bytes], bytes]:
    """The digests by path in what rsync printed, and the rest of it.

    A line of them is ``=DIGEST PATH``, of entries without a checksum with blanks for it. Among
    these are further names of one file: they get the digest of the first. ``target``: the directory
    that it copied to.
    """
    lines = output.splitlines(keepends=True)
    rest = b"".join(line for line in lines if not line.startswith(b"="))
    found: dict[bytes, bytes] = {}
    others: list[bytes] = []
    for line in lines:
        if line.startswith(b"="):
            digest, path = line[1:33].strip(), unescaped(line[34:-1])
            if digest:
                found[path] = digest
            else:
                others.append(path)
    if others and found:
        found.update(_of_same_files(found, others, target))
    return found, rest


def _of_same_files(
    found: dict[bytes, bytes], others: list[bytes], target: int
) -> dict[bytes, bytes]:
    inodes = {inode: found[path] for path in found for inode in _shared_inode(target, path)}
    return {
        path: inodes[inode]
        for path in others
        for inode in _shared_inode(target, path)
        if inode in inodes
    }


def _shared_inode(target: int, path: bytes) -> list[int]:
    """The inode, if it has more names and is no directory."""
    info = look(target, in_base(TOP, path))
    return [info.st_ino] if info and info.st_nlink > 1 and stat.S_ISREG(info.st_mode) else []


def in_base(base: str, name: bytes) -> str:
    """A name that rsync was given in the directory ``base``, as a path from the top."""
    return join(base, os.fsdecode(name.removeprefix(b"./")))


def look(top: int, path: str) -> os.stat_result | None:
    folder, name = os.path.split(path)
    with contextlib.suppress(OSError), opened(top, folder) as directory:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    return None


def unescaped(name: bytes) -> bytes:
    r"""A name as rsync prints it, where ``\#ooo`` stands for a byte.

    >>> unescaped(rb"line\#012break \#303\#274")
    b'line\nbreak \xc3\xbc'
    """
    return re.sub(rb"\\#([0-3][0-7]{2})", lambda match: bytes([int(match[1], 8)]), name)


def parse_stats(text: str) -> dict[str, int]:
    """The figures of rsync's --stats (C locale, plain digits), by their lower-case titles.

    >>> parse_stats("Number of files: 5 (reg: 3, dir: 2)\\nTotal file size: 7 bytes")
    {'number of files': 5, 'reg': 3, 'dir': 2, 'total file size': 7}
    """
    figures: dict[str, int] = {}
    for line in text.splitlines():
        match = re.match(r"([A-Z][\w ]+): (\d+)", line)
        if match:
            figures[match[1].lower()] = int(match[2])
            if match[1] == "Number of files":
                kinds = re.findall(r"(reg|dir|link|dev|special): (\d+)", line)
                figures.update({kind: int(number) for kind, number in kinds})
    return figures
