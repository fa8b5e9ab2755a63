"""What the rsync jobs of a run did, from how they ended and from their statistics."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field

from engine.command.summary import Fact
from engine.command.text import Messages, plural, shown_path, size
from engine.tree.descent import TOP, is_gone, join, opened

LINES_SHOWN = 20

RSYNC_PARTIAL = 23  # some files could not be copied
RSYNC_VANISHED = 24  # files were gone before rsync could copy them
# "Protocol incompatibility" of a program with itself: rsync 3.5 loses its place when it cannot
# read several names of one file.
RSYNC_CONFUSED = 2


@dataclass
class Tally:
    """Sums over all jobs. Sizes are bytes; files are everything that is not a directory.

    vanished: paths of files that were listed, and were gone before they could be copied. workers:
    what each has copied. warnings: what was wrong with them.
    """

    number_of_files: int = 0
    number_of_files_transferred: int = 0
    total_transferred_file_size: int = 0
    vanished: Messages = field(default_factory=Messages)
    errors: Messages = field(default_factory=Messages)
    messages: list[str] = field(default_factory=list)  # of jobs that leave doubts
    workers: dict[str, dict[str, int]] = field(default_factory=dict)
    warnings: Messages = field(default_factory=Messages)

    def add_worker(self, name: str, statistics: Iterable[str]) -> None:
        """What one of the lists that it has copied has said, each rsync of it."""
        done = self.workers.setdefault(name, {"lists": 0, "files": 0, "bytes": 0})
        done["lists"] += 1
        for stats in map(parse_stats, statistics):
            done["files"] += stats.get("number of files", 0) - stats.get("dir", 0)
            done["bytes"] += stats.get("total transferred file size", 0)


def of_workers(workers: dict[str, dict[str, int]]) -> list[Fact]:
    """For people; the field ``workers`` of results is what programs read."""
    lines = [
        f"{name}: {plural(done['files'], 'file')}, {size(done['bytes'])}"
        f" in {plural(done['lists'], 'list')}"
        for name, done in sorted(workers.items())
    ]
    return [Fact("Workers", f"{len(lines)}", lines)] if lines else []


def leaves_doubts(
    tally: Tally, exit_code: int, statistics: str, messages: str, number_of_names: int
) -> bool:
    """Whether some of the files that a job was given have to be looked at, each: it says that some
    could not be copied, or are gone, or passed over some in silence. Nothing is added then."""
    stats = parse_stats(statistics)
    seen = stats.get("number of files", 0) - stats.get("dir", 0)
    is_silent = exit_code == 0 and seen < number_of_names
    if is_silent or exit_code in (RSYNC_PARTIAL, RSYNC_VANISHED, RSYNC_CONFUSED):
        tally.messages = [*tally.messages, *messages.splitlines()][-LINES_SHOWN:]
        return True
    return False


def judge_job(
    tally: Tally,
    number: int,
    exit_code: int,
    statistics: str,
    messages: str,
    names: list[bytes],
    source: int,
    base: str = TOP,
) -> None:
    """Add the rsync job ``number``, which was given ``names`` in the directory ``source``.

    base: the path of that directory, for people.
    """
    stats = parse_stats(statistics)
    seen = stats.get("number of files", 0) - stats.get("dir", 0)
    tally.number_of_files += seen
    tally.number_of_files_transferred += stats.get("number of regular files transferred", 0)
    tally.total_transferred_file_size += stats.get("total transferred file size", 0)
    if exit_code not in (0, RSYNC_VANISHED):
        tally.errors.add([f"rsync job {number} ended with exit code {exit_code}"])
        tally.errors.add(messages.splitlines()[:LINES_SHOWN])
        return
    # rsync passes over missing names in silence: fewer files seen than listed means some vanished.
    if exit_code == RSYNC_VANISHED or seen < len(names):
        vanished = [name for name in names if is_gone(source, in_base(TOP, name))]
        changed = [name for name in names if _is_directory(source, in_base(TOP, name))]
        add_vanished(tally, vanished, base)
        if seen + len(vanished) + len(changed) < len(names):
            tally.errors.add([f"rsync job {number} passed over files that are there"])


def add_vanished(tally: Tally, names: list[bytes], base: str) -> None:
    tally.vanished.add(shown_path(in_base(base, name)) for name in names)


def in_base(base: str, name: bytes) -> str:
    """A name that rsync was given in the directory ``base``, as a path from the top."""
    return join(base, os.fsdecode(name.removeprefix(b"./")))


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
    info = _look(target, in_base(TOP, path))
    return [info.st_ino] if info and info.st_nlink > 1 and stat.S_ISREG(info.st_mode) else []


def _is_directory(top: int, path: str) -> bool:
    info = _look(top, path)
    return info is not None and stat.S_ISDIR(info.st_mode)


def _look(top: int, path: str) -> os.stat_result | None:
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
