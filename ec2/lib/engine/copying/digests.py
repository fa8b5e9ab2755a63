"""What each file of a snapshot held when it was copied: a list that ``md5sum --check`` reads.

rsync computes a checksum of what it copies anyway, so a list costs no reading. MD5 finds what went
wrong by accident; whoever can write to the backup can also write a list.

The list of a snapshot is that of the snapshot before with what its run noted of the stage. Both are
sorted by the bytes of the paths and read side by side: memory does not grow with the tree.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import itertools
import os
import re
import stat
import threading
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Optional

from engine.command.files import anew, nul_separated, opened_gzip, sort_records
from engine.command.outcome import Failed
from engine.command.text import Messages, shown_path
from engine.tree.content import CHECK_BYTES, reader
from engine.tree.descent import chunks, opened
from engine.tree.pool import Pool, Task, Worker

Line = tuple[bytes, Optional[bytes]]  # a path and its digest

LENGTH = 32
VOID = b"-" * LENGTH  # what was known of this path does not hold any more
CONTINUED = b"+" * LENGTH  # but it does, as its file was copied by a run that did not finish
LINKED = b"?" * LENGTH  # it is one more name of a file
UNKNOWN = b"!" * LENGTH  # nobody read all of it at once: several runs copied it
CARRIED = b"<" * LENGTH  # its file is the previous snapshot's, though the source has another

# First bytes of what is noted for :mod:`engine.stage.memory`, which says nothing of digests.
DIRECTORY, COMPARED = b"@", b"="
REMEMBERED = (DIRECTORY, COMPARED)
RECORDS_IN_MEMORY = 20_000

LINE = re.compile(rb"\\?[0-9a-f]{32}  \./[^/].*\n", re.DOTALL)
RECORD = re.compile(
    rb"([0-9a-f]{32}|-{32}|\+{32}|\?{32}|!{32}|<{32}|=[0-9a-f]{30}-)  [^/]|@[0-9a-f]{31}  (?!/)"
)

# In a line that begins with a backslash. Older versions of md5sum do not know the last one.
ESCAPES = {b"\\": b"\\\\", b"\n": b"\\n", b"\r": b"\\r"}
UNESCAPED = {escaped: byte for byte, escaped in ESCAPES.items()}


class DamagedList(Failed):
    def __init__(self, path: Path, error: Exception) -> None:
        super().__init__("verification", f"the list of digests {str(path)!r}: {error}")


class Notes:
    """What this run, and those before it that did not finish, know of the files in the stage.

    ``path`` lies on the backup file system, as a stage may be filled by several runs. Each record
    is a digest or one of the marks above (or what :mod:`engine.stage.memory` makes of them), two
    spaces, and a path. That a file is about to change is
    on storage before its copying begins, and its digest only after that: a run that is killed in
    between has lost a digest, and left no wrong one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._records: list[bytes] = []
        self._earlier = 0
        self.are_new = False  # whether this run noted anything of a digest
        if path.exists():
            self._earlier = _size_of_whole_records(path)
            os.truncate(path, self._earlier)

    def add(self, mark: bytes, paths: Iterable[bytes]) -> None:
        records = [mark + b"  " + path + b"\0" for path in paths]
        with self._lock:
            self._records += records
            self.are_new |= bool(records) and mark[:1] not in REMEMBERED
        if len(self._records) >= RECORDS_IN_MEMORY:
            self.save()

    def save(self) -> None:
        with self._lock:
            if self._records:
                with self._path.open("ab") as file:  # NFS has it on storage when it is closed
                    file.write(b"".join(self._records))
                self._records = []

    def remembered(self) -> Iterator[tuple[bytes, bytes]]:
        """Marks and paths, in the order of time, of what says nothing of digests."""
        self.save()
        if self._path.exists():
            for record in nul_separated(self._path):
                if record[:1] in REMEMBERED:
                    yield record[:LENGTH], record[LENGTH + 2 :]

    def by_path(self, work: Path) -> Iterator[tuple[bytes, list[tuple[bool, bytes]]]]:
        """Each path, in the order of its bytes, and its marks in the order of time, each with
        whether this run noted it. ``work`` is a scratch directory."""
        if not self._path.exists():
            return
        copy = work / "notes.sorted"
        position = 0
        with copy.open("wb") as file:
            for record in nul_separated(self._path):
                if record[:1] not in REMEMBERED:
                    file.write((b"1" if position >= self._earlier else b"0") + record + b"\0")
                position += len(record) + 1
        start = 1 + LENGTH + 2
        sort_records(copy, "--stable", f"--key=1.{start + 1}")
        for path, group in itertools.groupby(nul_separated(copy), lambda record: record[start:]):
            yield path, [(record[:1] == b"1", record[1 : 1 + LENGTH]) for record in group]


def _size_of_whole_records(path: Path) -> int:
    """Without the last one, if whoever wrote it was killed at that.

    0 if there is anything that no run writes: without a note of a copy its digest is computed, with
    a wrong one it is wrong.
    """
    size = 0
    for record in nul_separated(path):
        if not RECORD.match(record):
            return 0
        size += len(record) + 1
    return size


def known(marks: Iterable[bytes]) -> tuple[bytes | None, bool]:
    """The digest that holds after all ``marks`` of one path (empty if it has none), and whether
    there is such a file."""
    digest: bytes | None = None
    before: bytes | None = None
    there = False
    for mark in marks:
        if mark == VOID:
            digest, before, there = None, digest, False
        elif mark == CONTINUED:
            digest, there = before, True
        elif mark == LINKED:
            there = True
        elif mark == UNKNOWN:
            digest, there = b"", True
        else:
            digest, there = mark, True
    return digest, there


def merged(
    previous: Iterator[Line], notes: Iterable[tuple[bytes, list[tuple[bool, bytes]]]]
) -> Iterator[Line]:
    """The files of the new snapshot, with None for a digest that has to be computed, and an empty
    one for a file that has none.

    Paths of which this run noted nothing are as they were in the previous snapshot, if they are
    there at all.
    """
    old = next(previous, None)
    for path, marks in notes:
        while old and old[0] < path:
            yield old
            old = next(previous, None)
        inherited = None
        if old and old[0] == path:
            inherited = old[1]
            old = next(previous, None)
        ours = {mark for is_ours, mark in marks if is_ours}
        if marks[-1][1] == CARRIED:
            digest, there = inherited, True
        elif ours <= {LINKED}:
            digest, there = inherited, bool(inherited or ours)
        else:
            digest, there = known(mark for _, mark in marks)
        if there:
            yield path, digest
    while old:
        yield old
        old = next(previous, None)


def make_list(
    target: Path, previous: Path | None, notes: Notes, pool: Pool, stage: int, work: Path
) -> None:
    """Write the list of what is in the directory ``stage`` (a descriptor) to ``target``.

    previous: the list of the previous snapshot, if there is one. Raises :class:`Failed` if a file
    that has to be read cannot be.
    """
    notes.save()
    if previous and not notes.are_new and _is_whole(previous):
        same = previous
        with contextlib.suppress(OSError):  # a list, too, has only so many names
            anew(target, lambda: os.link(same, target))
            return
    old = previous if previous and previous.exists() else None

    def lines() -> Iterator[Line]:
        return merged(read_list(old) if old else iter(()), notes.by_path(work))

    errors = _note_missing((path for path, digest in lines() if digest is None), notes, pool, stage)
    if errors:
        raise Failed("files", f"some files in the stage cannot be read: {errors[0]}")
    new = target.with_name(target.name + ".new")
    new.unlink(missing_ok=True)
    with gzip.GzipFile(new, "wb", compresslevel=1, mtime=0) as file:
        for path, digest in lines():
            if digest:
                file.write(line_of(path, digest))
    new.replace(target)


def _is_whole(path: Path) -> bool:
    """Whether the list can be read to its end: quicker than to look at its lines."""
    try:
        with opened_gzip(path) as file:
            while file.read(CHECK_BYTES):
                pass
    except (OSError, EOFError, zlib.error):
        return False
    return True


def _note_missing(paths: Iterable[bytes], notes: Notes, pool: Pool, stage: int) -> list[str]:
    """Compute what is not known: what the last jobs of a killed run copied, and names that were
    added to a file that was there before. These can be as many as the files."""
    errors = Messages()

    def on_result(found: list[Digested]) -> list[Task]:
        for file in found:
            if file.digest:
                notes.add(file.digest, [os.fsencode(file.path)])
            elif not file.is_missing:
                errors.add([file.error])
        notes.save()  # ``paths`` come from a copy of the notes, made at the first of them
        return []

    files = ((os.fsdecode(path), b"") for path in paths)
    pool.run((DigestFiles(stage, part) for part in chunks(files)), on_result)
    return errors


def line_of(path: bytes, digest: bytes) -> bytes:
    r"""The line of a file, as ``md5sum`` writes it.

    >>> line_of(b"a\nb", b"5d41402abc4b2a76b9719d911017c592")
    b'\\5d41402abc4b2a76b9719d911017c592  ./a\\nb\n'
    """
    escaped = re.sub(rb"[\\\n\r]", lambda found: ESCAPES[found[0]], path)
    mark = b"\\" if escaped != path else b""
    return mark + digest + b"  ./" + escaped + b"\n"


def read_list(path: Path) -> Iterator[Line]:
    """Raises :class:`DamagedList` if it cannot be read to its end, or is no such list."""
    last = b""
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(opened_gzip(path))
            lines = iter(file)
        except OSError as error:
            raise DamagedList(path, error) from error
        while True:
            try:
                line = next(lines, None)
            except (OSError, EOFError, zlib.error) as error:
                raise DamagedList(path, error) from error
            if line is None:
                return
            escaped = line.startswith(b"\\")
            digest, name = line[escaped : LENGTH + escaped], line[LENGTH + escaped + 4 : -1]
            if escaped:
                name = re.sub(rb"\\[\\nr]", lambda found: UNESCAPED[found[0]], name)
            if not LINE.match(line) or name <= last:
                raise DamagedList(path, ValueError(f"{line[:100]!r} is not what a run writes"))
            last = name
            yield name, digest


class Digested(NamedTuple):
    """digest: empty if the file could not be read. size: what was read, in bytes."""

    path: str
    expected: bytes
    digest: bytes
    size: int = 0
    error: str = ""
    is_missing: bool = False


class DigestFiles(NamedTuple):
    """Compute the digests of files below ``top``. files: paths and what they are expected to be."""

    top: int
    files: list[tuple[str, bytes]]

    def perform(self, worker: Worker) -> list[Digested]:
        found = []
        for path, expected in self.files:
            if worker.stopping:
                break
            try:
                digest, size = digest_of(self.top, path, worker)
                if worker.stopping:
                    break  # perhaps in the middle of it
                found.append(Digested(path, expected, digest, size))
            except OSError as error:
                is_missing = isinstance(error, (FileNotFoundError, NotADirectoryError))
                text = f"{shown_path(path)}: {error.strerror}"
                found.append(Digested(path, expected, b"", 0, text, is_missing))
        return found


def digest_of(top: int, path: str, worker: Worker) -> tuple[bytes, int]:
    folder, name = os.path.split(path)
    size = 0
    digest = hashlib.md5(usedforsecurity=False)
    with opened(top, folder) as directory:
        if not stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
            raise FileNotFoundError(errno.ENOENT, "no regular file")
        with reader(name, directory) as file:
            while not worker.stopping and (data := file.read(CHECK_BYTES)):
                digest.update(data)
                size += len(data)
    return digest.hexdigest().encode(), size
