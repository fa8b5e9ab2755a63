"""Copies of large files that are continued where an earlier run was stopped.

A file can take longer than a backup window. Its copy grows in a directory beside the snapshots,
outside of everything that is published, recycled or thrown away, and is moved to its name when it
is complete. What has been copied is noted once it is on storage, so a run that is stopped or killed
at any moment loses little of it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from engine.command.files import read_state, write_atomically
from engine.command.text import size
from engine.tree.attributes import Directory, set_attributes_of
from engine.tree.entries import attributes, file_of

# What is smaller is begun anew, which takes seconds: twenty with the 50 MiB/s of a small file
# system in bursting mode.
LARGE = 1 << 30
SAVE_BYTES = 1 << 28  # between two notes of how far it came
BLOCK = 1 << 20
PIECE = 1 << 15  # of zeros that become a hole


@dataclass(frozen=True)
class Identity:
    """What tells that a file of the source is still the same, and did not change."""

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True)
class About:
    """What is noted beside a part. begun: when what was copied had been compared with the source,
    or was begun (in ns). copied: bytes that are on storage. restarts: how often in a row it was
    begun anew, as the source had changed.
    """

    path: str
    source: Identity
    begun: int
    copied: int = 0
    restarts: int = 0


class Unfinished(Exception):
    """It was stopped, or the source does not let it be read; what is there is kept."""


class Copied(NamedTuple):
    """place: where the copy is, to be moved to its name. digest: empty if not all of it was read by
    this run. transferred: bytes that this run has copied."""

    place: Path
    digest: bytes
    transferred: int


class Part:
    """One file's, while it is being copied. Reads ``source``, writes ``target`` (descriptors)."""

    def __init__(self, source: int, target: int, is_stopping: Callable[[], bool]) -> None:
        self._source = source
        self._target = target
        os.posix_fadvise(target, 0, 0, os.POSIX_FADV_DONTNEED)  # what is on storage counts
        self._is_stopping = is_stopping
        # Of all that comes before the position, unless that was copied by an earlier run.
        self.digest = hashlib.md5(usedforsecurity=False)
        self.is_digested = True

    def compare(self, start: int, end: int) -> int:
        """How far from ``start`` it holds what the source does: less than ``end`` also if it was
        stopped."""
        self.is_digested = start == 0
        for position in range(start, end, BLOCK):
            length = min(BLOCK, end - position)
            data = b"" if self._is_stopping() else self._read(length, position)
            if len(data) < length or data != os.pread(self._target, length, position):
                return position
            self.digest.update(data)
        return end

    def begin(self, position: int) -> None:
        """Drop what comes after ``position``: nothing is known of it."""
        os.ftruncate(self._target, position)
        if position == 0:
            self.digest = hashlib.md5(usedforsecurity=False)
            self.is_digested = True

    def copy(self, begin: int, end: int, is_sparse: bool) -> int:
        """Returns how far it came: less than ``end`` if it was stopped."""
        position = begin
        while position < end and not self._is_stopping():
            if is_sparse and (hole := min(self._data_after(position), end) - position):
                hole = min(hole, BLOCK)
                self.digest.update(bytes(hole))
                position += hole
                continue
            data = self._read(min(BLOCK, end - position), position)
            if not data:
                raise Unfinished("it became shorter while it was read")
            self.digest.update(data)
            step = PIECE if is_sparse else BLOCK
            for start in range(0, len(data), step):
                piece = data[start : start + step]
                if not is_sparse or piece.count(0) < len(piece):
                    self._write(piece, position + start)
            position += len(data)
        return position

    def _read(self, length: int, position: int) -> bytes:
        try:
            return os.pread(self._source, length, position)
        except OSError as error:
            raise Unfinished(error.strerror) from error

    def _write(self, data: bytes, position: int) -> None:
        rest = memoryview(data)
        while rest:
            written = os.pwrite(self._target, rest, position)
            rest, position = rest[written:], position + written

    def _data_after(self, position: int) -> int:
        """Where the next data begin; on a file system that does not know of holes, here."""
        try:
            return os.lseek(self._source, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return os.fstat(self._source).st_size
            return position

    def save(self, length: int) -> None:
        os.ftruncate(self._target, length)  # it may end with a hole
        os.fsync(self._target)


class Parts:
    """All of a folder's. ``started``, ``margin``: see :class:`engine.stage.report.Trees`."""

    def __init__(self, directory: Path, started: int, margin: int) -> None:
        self._directory = directory
        self._started = started
        self._margin = margin
        self._unfinished: set[str] = set()
        self._under_way: dict[str, int] = {}
        self._lock = threading.Lock()

    @property
    def bytes_under_way(self) -> int:
        """What this run has copied of files that are not complete yet."""
        with self._lock:
            return sum(self._under_way.values())

    def copy(self, path: str, source: int, is_stopping: Callable[[], bool]) -> Copied:
        """Copy the file that is open as ``source`` and lies at ``path``, with its attributes.

        Raises :class:`Unfinished`, also once ``is_stopping``, and OSError if it cannot be written.
        """
        info = os.fstat(source)
        self._directory.mkdir(mode=0o700, exist_ok=True)  # closed to everybody else
        target = os.open(self._place(path), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            part = Part(source, target, is_stopping)
            begin = self._copy(part, path, info)
            set_attributes_of(target, Directory(path, False, *attributes(info)))
            os.fsync(target)
        finally:
            os.close(target)
        digest = part.digest.hexdigest().encode() if part.is_digested else b""
        return Copied(self._place(path), digest, info.st_size - begin)

    def _copy(self, part: Part, path: str, info: os.stat_result) -> int:
        """Returns from where on."""
        about = self._about(path, info)
        try:
            about = self._begin(part, about)
            begin = about.copied
            is_sparse = file_of(info).is_sparse
            while about.copied < info.st_size:
                end = min(about.copied + SAVE_BYTES, info.st_size)
                reached = part.copy(about.copied, end, is_sparse)
                part.save(reached)
                about = self._note(replace(about, copied=reached))
                with self._lock:
                    self._under_way[path] = reached - begin
                if reached < end:
                    raise Unfinished
        except Unfinished as error:
            with self._lock:
                self._unfinished.add(path)
            raise error if str(error) else Unfinished(said_of(about)) from None
        return begin

    def _about(self, path: str, info: os.stat_result) -> About:
        """Of the part that there is, if it is of this very file, else of a new one."""
        now = Identity(info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
        before = self._read(path)
        if before and before.source == now:
            return before
        restarts = before.restarts + 1 if before else 0
        return self._note(About(path, now, self._started, restarts=restarts))

    def _begin(self, part: Part, about: About) -> About:
        """Have what is noted as copied compared: all of it if the source may have changed without
        another ctime, as two changes within one tick of a clock; else its end, for a storage that
        lost what it said that it has."""
        doubtful = about.source.ctime_ns >= about.begun - self._margin
        start = 0 if doubtful else max(about.copied - BLOCK, 0)
        reached = part.compare(start, about.copied)
        if start and reached < about.copied:
            reached = 0
        begun = about.begun if start and reached else self._started
        part.begin(reached)
        return self._note(replace(about, copied=reached, begun=begun))

    def finished(self, path: str) -> None:
        """Its copy was moved to its place."""
        with self._lock:
            self._under_way.pop(path, None)
            self._unfinished.discard(path)
        self._note_of(path).unlink(missing_ok=True)

    def tidy(self) -> None:
        """Remove what no file needs any more. For a run that has seen all files."""
        kept = {place.name for path in self._unfinished for place in self._both(path)}
        for entry in os.scandir(self._directory):
            if entry.name not in kept:
                os.unlink(entry.path)

    def _place(self, path: str) -> Path:
        name = hashlib.md5(os.fsencode(path), usedforsecurity=False).hexdigest()
        return self._directory / name

    def _note_of(self, path: str) -> Path:
        return self._place(path).with_suffix(".about")

    def _both(self, path: str) -> tuple[Path, Path]:
        return self._place(path), self._note_of(path)

    def _note(self, about: About) -> About:
        values = [about.path, *vars(about.source).values(), about.begun, about.copied]
        write_atomically(self._note_of(about.path), json.dumps([*values, about.restarts]))
        return about

    def _read(self, path: str) -> About | None:
        """None also for what is damaged, or of another file with the same name here."""
        place, note = self._both(path)
        with contextlib.suppress(OSError, ValueError, TypeError):
            name, inode, length, mtime, ctime, begun, copied, restarts = json.loads(
                read_state(note)
            )
            about = About(name, Identity(inode, length, mtime, ctime), begun, copied, restarts)
            if name == path and 0 <= copied <= min(length, place.stat().st_size):
                return about
        return None


def said_of(about: About) -> str:
    came = f"{size(about.copied)} of {size(about.source.size)} are copied, and the next run goes on"
    if not about.restarts:
        return f"there was no time to copy it all: {came}"
    times = "once" if about.restarts == 1 else f"{about.restarts} times in a row"
    return (
        "it takes longer to copy than there was time, and has changed before it was complete "
        f"{times}: {came} unless it changes again"
    )
