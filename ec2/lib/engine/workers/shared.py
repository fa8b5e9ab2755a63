"""What a run and its workers leave for each other, in a directory of the target file system that is
open to nobody else:

    N.list        what shall be copied, until it is
    N.ID/         what one delivery of its message copies; nobody else writes there
    N.ID.BEAT     a worker is at that; BEAT grows as long as it is
    N.ID.done     what became of it
    old/          deliveries that have been taken, or are not wanted
    lock          held by the run

A message only says that there is a list. One that comes twice, late or of another attempt does no
harm: it leads to a list that is gone, or to another copy that nobody takes.

Both say what they are about in a way that a worker with other file systems, or other directories
of them, cannot take for its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from engine.copying.job import RSYNC_KNOWN, Done, Groups, flat, parsed_groups
from engine.tree.descent import info_of, is_inner_path, opened

FORMAT = 1  # of all that follows; a worker of another release may know another
LEASE = 60  # seconds
LOCK = "lock"
Marks = dict[str, list[int]]
Made = TypeVar("Made")
NAME = re.compile(r"([0-9]+)\.(?:list|([0-9a-f]{16})(?:\.([0-9]+|done))?)", re.ASCII)


class Malformed(Exception):
    """It is not what a run or a worker of this release writes."""


class NotOurs(Exception):
    """It is of a run with another source or target."""


class NotWanted(Exception):
    """The list has been copied by somebody else, or taken back, or its run is over; or the run does
    it better."""


class Invitation(NamedTuple):
    """A message. work: the directory, from the top of the target. run: one attempt's name. place:
    a directory there that outlives the run, and its inode."""

    work: str
    run: str
    number: int
    place: str
    inode: int

    def text(self) -> str:
        return json.dumps({"format": FORMAT, **self._asdict()})

    @classmethod
    def parse(cls, text: str) -> Invitation:
        fields = parsed_object(text)
        invitation = fields_of(cls, fields, work=str, run=str, number=int, place=str, inode=int)
        if not invitation.work or invitation.number < 1:
            raise Malformed("it names no directory or no list")
        for path in (invitation.work, invitation.place):
            check_inside(encoded(path))
        return invitation


class Order(NamedTuple):
    """A list. source: the tree, from the top of the source, and its inode. base: a directory in it,
    from which the names go. marks: see :func:`marks_of`. options: rsync's."""

    run: str
    source: str
    inode: int
    base: str
    marks: Marks
    options: list[str]
    groups: Groups

    def write(self) -> bytes:
        fields = {**self._asdict(), "format": FORMAT}
        del fields["groups"]
        groups = (b"".join(name + b"\0" for name in group) + b"\0" for group in self.groups)
        return json.dumps(fields).encode() + b"\n" + b"".join(groups)

    @classmethod
    def parse(cls, text: bytes) -> Order:
        head, _, names = text.partition(b"\n")
        fields = {**parsed_object(head), "groups": parsed_groups(names)}
        types = {"run": str, "source": str, "inode": int, "base": str, "marks": dict}
        order = fields_of(cls, fields, **types, options=list, groups=list)
        if not all(isinstance(o, str) and o in RSYNC_KNOWN for o in order.options):
            raise Malformed("its options are not a run's")
        if not all(isinstance(mark, list) for mark in order.marks.values()):
            raise Malformed("its marks make no sense")
        for path in (encoded(order.source), encoded(order.base), *flat(order.groups)):
            check_inside(path)
        return order


class Outcome(NamedTuple):
    """worker: what it is called, for people."""

    worker: str
    done: list[Done]

    def write(self) -> bytes:
        done = [
            {
                **each._asdict(),
                "listed": [*map(os.fsdecode, each.listed)],
                "digests": {os.fsdecode(name): d.decode() for name, d in each.digests.items()},
            }
            for each in self.done
        ]
        return json.dumps({"format": FORMAT, "worker": self.worker, "done": done}).encode()

    @classmethod
    def parse(cls, text: bytes, groups: Groups) -> Outcome:
        """Raises :class:`Malformed` also if it is not of the list ``groups``."""
        outcome = fields_of(cls, parsed_object(text), worker=str, done=list)
        done = [parsed_done(each) for each in outcome.done]
        if sorted(name for each in done for name in each.listed) != sorted(flat(groups)):
            raise Malformed("it is of another list")
        return outcome._replace(done=done)


def parsed_done(fields: Any) -> Done:
    types = {"listed": list, "code": int, "statistics": str, "messages": str, "digests": dict}
    done = fields_of(Done, fields, **types)
    digests = done.digests.values()
    if not all(isinstance(name, str) for name in done.listed) or not all(
        isinstance(digest, str) and re.fullmatch("[0-9a-f]{32}", digest) for digest in digests
    ):
        raise Malformed("its names or digests make no sense")
    listed = [encoded(name) for name in fields["listed"]]
    by_name = {encoded(name): encoded(digest) for name, digest in fields["digests"].items()}
    return done._replace(listed=listed, digests=by_name)


def encoded(name: str) -> bytes:
    try:
        return os.fsencode(name)
    except ValueError as error:  # half of a character, which JSON can hold
        raise Malformed(f"it has a name that is none: {error}") from error


def check_inside(path: bytes) -> None:
    inner = path.removeprefix(b"./")
    if inner and not (is_inner_path(inner) and b"\0" not in inner):
        raise Malformed(f"{path!r} leads out")


def parsed_object(text: str | bytes) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Malformed(str(error)) from error
    if not isinstance(fields, dict):
        raise Malformed("it is no JSON object")
    if fields.get("format") != FORMAT:
        raise OtherFormat(f"it has the format {fields.get('format')!r}, not {FORMAT}")
    return fields


class OtherFormat(Malformed):
    """It is another release's."""


def fields_of(make: Callable[..., Made], fields: Any, **types: type) -> Made:
    for name, kind in types.items():
        if not isinstance(fields, dict) or not isinstance(fields.get(name), kind):
            raise Malformed(f"{name!r} is missing, or no {kind.__name__}")
    return make(**{name: fields[name] for name in types})


@contextlib.contextmanager
def opened_work(top: int, path: str) -> Iterator[int]:
    """The directory ``path`` below ``top``, which must be ours and closed to others: then what is
    in it was written by us. Raises :class:`Malformed`."""
    with opened(top, path) as directory:
        info = os.fstat(directory)
        if info.st_uid != os.geteuid() or info.st_mode & 0o077:
            raise Malformed(f"{path!r} is not a run's")
        yield directory


def is_abandoned(work: int) -> bool:
    """Whether the run that lists are of is at work no more. A machine that was killed is missed
    when its lease on NFS ends."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    with open(os.open(LOCK, flags, dir_fd=work), "rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def marks_of(base: int, names: list[bytes]) -> Marks:
    """By which a tree is known: of some of its files, what no other file system has, the inode and
    when it last changed. The inode of a top directory can be the same in all."""
    found = {}
    for number in {0, len(names) // 2, len(names) - 1}:
        folder, name = os.path.split(os.fsdecode(names[number].removeprefix(b"./")))
        with contextlib.suppress(OSError), opened(base, folder) as directory:
            if info := info_of(name, directory):
                found[str(number)] = [info.st_ino, info.st_ctime_ns]
    return found


def check_marks(base: int, order: Order) -> None:
    """One is enough, as files change meanwhile. Raises :class:`NotOurs`, or :class:`NotWanted` if
    all have changed."""
    ours = marks_of(base, flat(order.groups))
    pairs = [(mark, order.marks[number]) for number, mark in ours.items() if number in order.marks]
    if any(mark == theirs for mark, theirs in pairs):
        return
    if any(mark[:1] == theirs[:1] for mark, theirs in pairs):
        raise NotWanted
    raise NotOurs("files that it names are others here")


def check_place(top: int, invitation: Invitation) -> None:
    """Raises :class:`NotOurs`."""
    with contextlib.suppress(FileNotFoundError), opened(top, invitation.place) as place:
        if os.fstat(place).st_ino == invitation.inode:
            return
    raise NotOurs(f"{invitation.place or 'the top'!r} of what it copies to is another one here")


@contextlib.contextmanager
def opened_tree(top: int, order: Order) -> Iterator[int]:
    """The tree that an order is about, wherever it is by now: a snapshot's number may change.
    Raises :class:`NotOurs`."""
    folder, name = os.path.split(order.source)
    with opened(top, folder) as directory:
        names = [name or ".", *(os.listdir(directory) if name else [])]
        for each in names:
            info = info_of(each, directory)
            if info and info.st_ino == order.inode and stat.S_ISDIR(info.st_mode):
                with opened(directory, "" if each == "." else each) as tree:
                    if os.fstat(tree).st_ino == order.inode:
                        yield tree
                        return
    raise NotOurs(f"{order.source or 'the top'!r} of what it copies is another one here")


@dataclass
class Seen:
    """What the directory tells of one list. deliveries: those that have been begun, each with its
    last beat. done: those that are complete."""

    deliveries: dict[str, int] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)


def seen(names: Iterable[str]) -> dict[int, Seen]:
    """By number. What else is there is nobody's."""
    found: dict[int, Seen] = {}
    for name in names:
        match = NAME.fullmatch(name)
        if not match:
            continue
        number, delivery, what = int(match[1]), match[2], match[3]
        each = found.setdefault(number, Seen())
        if what == "done":
            each.done.add(delivery)
        elif delivery:
            beat = int(what) if what else 0
            each.deliveries[delivery] = max(beat, each.deliveries.get(delivery, 0))
    return found


def read_file(name: str, directory: int) -> bytes | None:
    """None if there is none. Raises :class:`Malformed` if it is not ours."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
    except FileNotFoundError:
        return None
    with open(descriptor, "rb") as file:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode) or info.st_uid != os.geteuid():
            raise Malformed(f"{name!r} is not a run's")
        return file.read()


def write_file(name: str, directory: int, text: bytes) -> None:
    """A reader sees all of it or nothing."""
    new = f"{name}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with open(os.open(new, flags, 0o600, dir_fd=directory), "wb") as file:
        file.write(text)
    os.rename(new, name, src_dir_fd=directory, dst_dir_fd=directory)
