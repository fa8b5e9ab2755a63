"""What earlier runs knew of a path: which directory was there, and what was compared with what.

A file that did not change since the last run is told by its attributes, **if it was in that
directory then**: to rename a directory touches nothing below it. So each run notes the numbers of
the source's directories. One with the number that was noted under its path is the same directory:
another one with that number would have been made since, and so would be what was put into it.

Records of one length in a sorted file, by a digest of the path: they are looked up by halving, and
memory does not grow with the tree.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import logging
import mmap
import os
import shutil
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from engine.command.files import nul_separated, opened_gzip, sort_records
from engine.copying.digests import COMPARED, DIRECTORY, LENGTH, Notes
from engine.tree.descent import TOP
from engine.tree.entries import File

log = logging.getLogger(__name__)

KEY = 32
RECORD = KEY + LENGTH + 1

# In place of a directory's number: what the stage or the snapshot has there is of several ones.
DOUBTFUL = DIRECTORY + b"0" * (LENGTH - 1)


def directory_mark(inode: int) -> bytes:
    return DIRECTORY + b"%031x" % inode


def compared_mark(now: File, other: int) -> bytes:
    """That the source's file ``now`` has the content of the inode ``other`` of the backup."""
    text = f"{now.inode} {now.ctime_ns} {other}"
    return COMPARED + hashlib.blake2b(text.encode(), digest_size=15).hexdigest().encode() + b"-"


class Memory:
    """What was noted last of each path, in a file of records."""

    def __init__(self, records: Path) -> None:
        with records.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            self._map = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) if size else b""

    def of(self, path: str) -> bytes | None:
        key = _key(os.fsencode(path))
        low, high = 0, len(self._map) // RECORD
        while low < high:
            middle = (low + high) // 2
            if self._key_at(middle) <= key:
                low = middle + 1
            else:
                high = middle
        if low == 0 or self._key_at(low - 1) != key:
            return None
        return self._map[(low - 1) * RECORD + KEY : low * RECORD - 1]

    def _key_at(self, number: int) -> bytes:
        return self._map[number * RECORD : number * RECORD + KEY]


class Known(NamedTuple):
    """previous: of the newest snapshot. stage: of the runs that worked on the stage before, and did
    not finish. None: nothing is known."""

    previous: Memory | None
    stage: Memory | None

    def was_in_previous(self, path: str, mark: bytes) -> bool:
        return self.previous is not None and self.previous.of(path) == mark

    def was_in_stage(self, path: str, mark: bytes) -> bool:
        return self.stage is not None and self.stage.of(path) == mark

    def to_note(self, path: str, mark: bytes) -> bytes | None:
        """What to note of a directory that is visited, if it is not noted already.

        Once there was another one, or might have been, nothing tells any more of which of them the
        stage has a copy.
        """
        noted = self.stage.of(path) if self.stage else DOUBTFUL
        if self.stage and noted in (mark, DOUBTFUL):
            return None
        return mark if noted is None else DOUBTFUL


def known(directories: Path | None, notes: Notes, is_resumed: bool, work: Path) -> Known:
    """directories: the newest snapshot's list, if there is a snapshot. work: a scratch directory in
    which to put what is looked up."""
    previous = _unpacked(directories, work / "known.previous") if directories else None
    stage = Memory(_sorted_records(notes, work / "known.stage"))
    if is_resumed and stage.of(TOP) is None:
        return Known(previous, None)  # an earlier release left it
    return Known(previous, stage)


def write_directories(target: Path, notes: Notes, work: Path) -> None:
    """Write the list of the snapshot that the stage is about to become."""
    records = _sorted_records(notes, work / "directories.sorted")
    with gzip.GzipFile(target, "wb", compresslevel=1, mtime=0) as packed:
        for record in _last_ones(nul_separated(records)):
            if record[KEY:].startswith(DIRECTORY):
                packed.write(record + b"\0")


def _sorted_records(notes: Notes, records: Path) -> Path:
    """By path; of one path, in the order of time."""
    with records.open("wb") as file:
        file.writelines(_key(path) + mark + b"\0" for mark, path in notes.remembered())
    sort_records(records, "--stable", f"--key=1.1,1.{KEY}")
    return records


def _last_ones(records: Iterable[bytes]) -> Iterator[bytes]:
    for _, group in itertools.groupby(records, lambda record: record[:KEY]):
        *_, last = group
        yield last


def _key(path: bytes) -> bytes:
    return hashlib.blake2b(path, digest_size=KEY // 2).hexdigest().encode()


def _unpacked(packed: Path, records: Path) -> Memory | None:
    """None, said in the log, if the list is missing, as an earlier release made the snapshot, or
    damaged."""
    try:
        with opened_gzip(packed) as source, records.open("wb") as target:
            shutil.copyfileobj(source, target)
        memory = Memory(records)
        if memory.of(TOP):
            return memory
        error: Exception = EOFError(f"{str(packed)!r} is empty")
    except (OSError, EOFError, zlib.error) as problem:
        error = problem
    log.info("all that seems unchanged is compared by content, this once: %s", error)
    return None
