"""A snapshot's catalog, and how it differs from that of the next newer one.

A catalog names everything in a snapshot that is no directory, sorted by the bytes of the paths: a
compressed table that any program for such tables reads. The changes are what the next newer
snapshot has otherwise. Neighbours are nearly equal, so one catalog and the changes tell of all.
See docs/adr/0022.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import os
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Optional

from engine.command.files import NEW_FILE, anew, opened_gzip
from engine.command.outcome import Failed
from engine.tree.descent import chunks

HEADER = b"path\tkind\tsize\tmtime_ns\tmd5\tmode\tuid\tgid\tshared\n"
ABSENT = b"-"
BLOCK = 1 << 18
LINES_AT_ONCE = 1000  # written
LONGEST_HEADER = 1000
ALIKE = 16  # lines that are compared at once
LONGEST_LINE = 1 << 22  # a path can have 255,000 bytes, and each be escaped

ODD = re.compile(rb"[\x00-\x1f\x7f-\xff\\]")
TO_ESCAPE = re.compile("[\x00-\x1f\x7f\\\\\udc80-\udcff]")
ESCAPED = re.compile(rb"\\x([0-9a-f]{2})")
FIELDS = re.compile(
    rb"[a-z]([\t ])[0-9]+\1-?[0-9]+\1(?:[0-9a-f]{32})?\1[0-7]+\1[0-9]+\1[0-9]+\1[0-9]*"
)

# A path, and what older and newer snapshot have there, as fields.
Difference = tuple[bytes, Optional[bytes], Optional[bytes]]


class DamagedCatalog(Failed):
    def __init__(self, path: Path, error: object) -> None:
        super().__init__("catalog", f"{str(path)!r} is damaged: {error}")
        self.path = path


def escaped(path: bytes) -> bytes:
    r"""Text in one field: control characters, backslashes and what is not UTF-8 as ``\xNN``.

    >>> escaped(b"a\tb\xff")
    b'a\\x09b\\xff'
    """
    if not ODD.search(path):
        return path
    text = path.decode(errors="surrogateescape")
    return TO_ESCAPE.sub(lambda found: f"\\x{ord(found[0]) & 0xFF:02x}", text).encode()


def unescaped(field: bytes) -> bytes:
    if b"\\" not in field:
        return field
    return ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), field)


class Version(NamedTuple):
    """What a snapshot has at a path. kind: as ``find -type`` says. md5: empty if it is not known.
    shared: its inode's number if it has other names in the snapshot, or 0."""

    kind: str
    size: int
    mtime_ns: int
    md5: str
    mode: int
    uid: int
    gid: int
    shared: int

    @classmethod
    def parse(cls, fields: bytes) -> Version:
        kind, size, mtime, md5, mode, uid, gid, shared = fields.decode("ascii").split("\t")
        numbers = int(mode, 8), int(uid), int(gid), int(shared or 0)
        return cls(kind, int(size), int(mtime), md5, *numbers)

    def fields(self) -> bytes:
        kind, size, mtime, md5, mode, uid, gid, shared = self
        text = f"{kind}\t{size}\t{mtime}\t{md5}\t{mode:o}\t{uid}\t{gid}\t{shared or ''}"
        return text.encode()

    def has_content_of(self, other: Version) -> bool:
        """Whatever they are called and whoever may read them."""
        are_known = bool(self.md5 and other.md5)
        same = self.kind == other.kind and self.size == other.size
        return same and (self.md5 == other.md5 if are_known else self.mtime_ns == other.mtime_ns)

    def is_like(self, other: Version) -> bool:
        """Whether it may be the same inode."""
        same = (self[:3], self[4:7]) == (other[:3], other[4:7])
        return same and (self.md5 == other.md5 or not self.md5 or not other.md5)


def may_be_same(old: bytes | None, new: bytes | None) -> bool:
    if old is None or new is None:
        return old is new
    return old == new or Version.parse(old).is_like(Version.parse(new))


class Totals(NamedTuple):
    files: int
    bytes: int


class Link(NamedTuple):
    """Of which snapshot these are the changes, to which newer one (empty: to none), and how many
    files and bytes it has."""

    snapshot: str
    newer: str
    files: int
    bytes: int


@contextlib.contextmanager
def failing(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error, ValueError, IndexError) as error:
        raise DamagedCatalog(path, error) from error


def blocks(path: Path, header: bytes | None = HEADER) -> Iterator[bytes]:
    """Whole lines, many at a time, without the first line. Raises :class:`DamagedCatalog`, at last
    at the end: what was read of a damaged file need not be right."""
    with failing(path), opened_gzip(path) as file:
        first = file.readline(LONGEST_HEADER)
        if header is not None and first != header:
            raise ValueError("it is no catalog")
        rest = b""
        while block := file.read(BLOCK):
            end = block.rfind(b"\n") + 1
            if end:
                yield rest + block[:end]
                rest = block[end:]
            else:
                rest += block
            if len(rest) > LONGEST_LINE:
                raise ValueError("a line is too long")
        if rest:
            raise EOFError("its last line is not whole")


def lines(path: Path) -> Iterator[bytes]:
    """Of a catalog, without line feeds. Raises :class:`DamagedCatalog`."""
    for block in blocks(path):
        yield from block[:-1].split(b"\n")


def path_in(line: bytes) -> bytes:
    return unescaped(line[: line.index(b"\t")])


def entries(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Paths and their lines, in order."""
    last = b""
    for line in lines(path):
        name, tab, _ = line.partition(b"\t")
        if b"\\" in name:
            name = unescaped(name)
        if not tab or name <= last:
            raise DamagedCatalog(path, f"{line[:100]!r} is not what a run writes")
        yield name, line
        last = name


def changes(path: Path) -> Iterator[Difference]:
    for block in blocks(path, None):
        with failing(path):
            found = [*map(parsed_change, block[:-1].split(b"\n"))]
        yield from found


def parsed_change(line: bytes) -> Difference:
    name, old, new = line.split(b"\t")
    return unescaped(name), _fields(old), _fields(new)


def older_in(rest: bytes) -> bytes | None:
    """Of the part of such a line that follows the path."""
    return _fields(rest[: rest.find(b"\t")])


def _fields(text: bytes) -> bytes | None:
    return None if text == ABSENT else checked(text).replace(b" ", b"\t")


def checked(fields: bytes) -> bytes:
    """Raises ValueError for what no run writes."""
    if not FIELDS.fullmatch(fields):
        raise ValueError(f"{fields[:100]!r} is not what a run writes")
    return fields


def link_of(path: Path | None) -> Link | None:
    """What the first line says; None if there is no such file, or another one."""
    if path is None:
        return None
    with contextlib.suppress(
        OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, RecursionError
    ):
        with opened_gzip(path) as file:
            found = json.loads(file.readline(LONGEST_HEADER))
        return Link(
            str(found["snapshot"]), str(found["newer"]), int(found["files"]), int(found["bytes"])
        )
    return None


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[gzip.GzipFile]:
    """A compressed file, under its name when it is whole."""
    new = target.with_name(target.name + ".new")
    with open(anew(new, lambda: os.open(new, NEW_FILE, 0o644)), "wb") as raw:
        with gzip.GzipFile("", "wb", compresslevel=1, fileobj=raw, mtime=0) as file:
            yield file
        raw.flush()
        os.fsync(raw.fileno())
    new.replace(target)


def write_catalog(target: Path, found: Iterable[bytes]) -> None:
    """found: lines without line feeds, in order."""
    with replacing(target) as file:
        file.write(HEADER)
        _write_lines(file, found)


def _write_lines(file: gzip.GzipFile, found: Iterable[bytes]) -> None:
    for part in chunks(found, LINES_AT_ONCE):
        file.write(b"\n".join(part) + b"\n")


def write_changes(
    target: Path, snapshot: str, newer: str, older: Path, other: Path | None, totals: Totals
) -> None:
    """other: the catalog of the newer one, if there is any. totals: of the older one."""
    found = differences(older, other) if other and not older.samefile(other) else ()
    with replacing(target) as file:
        link = Link(snapshot, newer, *totals)
        file.write(json.dumps(link._asdict()).encode() + b"\n")
        _write_lines(file, itertools.starmap(change_line, found))


def change_line(path: bytes, old: bytes | None, new: bytes | None) -> bytes:
    both = (ABSENT if each is None else each.replace(b"\t", b" ") for each in (old, new))
    return b"\t".join((escaped(path), *both))


def totals_of(catalog: Path) -> Totals:
    """Bytes of an inode with several names count once."""
    files = size = 0
    shared: dict[bytes, int] = {}
    with failing(catalog):
        for line in lines(catalog):
            files += 1
            if line[-1:] == b"\t":
                size += int(line.split(b"\t", 3)[2])
            else:
                shared[line[line.rindex(b"\t") :]] = int(line.split(b"\t", 3)[2])
    return Totals(files, size + sum(shared.values()))


class Cursor:
    """A place in a catalog."""

    def __init__(self, path: Path) -> None:
        self._blocks = blocks(path)
        self._lines: list[bytes] = []
        self._place = 0

    def line(self) -> bytes | None:
        """The one that is next."""
        if self._place == len(self._lines):
            block = next(self._blocks, None)
            if block is None:
                return None
            self._lines, self._place = block[:-1].split(b"\n"), 0
        return self._lines[self._place]

    def advance(self, count: int = 1) -> None:
        self._place += count

    def some(self) -> list[bytes]:
        return self._lines[self._place : self._place + ALIKE]


def differences(older: Path, newer: Path) -> Iterator[Difference]:
    """What differs from one catalog to the other, in order. Most lines are the same."""
    one, other = Cursor(older), Cursor(newer)
    while True:
        old, new = one.line(), other.line()
        while old == new and old is not None:
            some = one.some()
            one_more = len(some) if some == other.some() else 1
            one.advance(one_more)
            other.advance(one_more)
            old, new = one.line(), other.line()
        if old is None and new is None:
            return
        path, old, new = _first(_parted(old, older), _parted(new, newer))
        if old is not None:
            one.advance()
        if new is not None:
            other.advance()
        if not may_be_same(old, new):
            yield path, old, new


def _first(
    old: tuple[bytes, bytes | None] | None, new: tuple[bytes, bytes | None] | None
) -> Difference:
    """The fields of both lines, or of that which comes first."""
    path = min(each[0] for each in (old, new) if each)
    one, other = (each[1] if each and each[0] == path else None for each in (old, new))
    return path, one, other


def _parted(line: bytes | None, source: Path) -> tuple[bytes, bytes | None] | None:
    """Path and fields."""
    if line is None:
        return None
    with failing(source):
        return path_in(line), checked(line[line.index(b"\t") + 1 :])
