"""Answers as text for a terminal of 80 columns, and as JSON for programs."""

from __future__ import annotations

import base64
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from common.words import plural

from engine.command.screen import Command
from engine.command.text import printable, shown, size, spoken
from engine.history.catalog import Version
from engine.history.compare import KINDS, ChangedFile, Changes
from engine.history.members import Member
from engine.history.search import Answer, File, Range
from engine.snapshots.retention import HELD_REASON

NAME = 11
BAR = 10
SIGNS = {"added": "+", "changed": "*", "removed": "-", "metadata": "m"}
UNKNOWN = "?"

# How to restore a path from a snapshot; the path begins with a slash.
Restoring = Callable[[Member, str, bool], str]
# How to ask for a page, in a sentence.
Paging = Callable[[int], str]


def day(member: Member) -> str:
    return member.date[:10]


def minute(member: Member) -> str:
    return f"{member.date[:10]} {member.date[11:16]}"


def pages(total: int, page: int, per_page: int, give: Paging | None = None) -> str:
    last = max(1, -(-total // per_page))
    if page > last:
        return f"There is no page {page}; the last is {last}."
    if last == 1:
        return ""
    more = f"; the next: {give(page + 1)}" if give and page < last else ""
    return f"Page {page} of {last}{more}."


# --- find ----------------------------------------------------------------------------------------


def answer_lines(
    answer: Answer, page: int, per_page: int, restore: Restoring, give: Paging
) -> Iterator[str]:
    """Counts first."""
    match = "matches" if answer.files == 1 else "match"
    how_many = f"{plural(answer.files, 'file')} {match}, in {plural(answer.versions, 'version')}."
    where = pages(answer.files, page, per_page, give)
    yield " ".join([how_many, *searched(answer), where]).rstrip()
    yield from lost_lines(answer.lost)
    for file in answer.found:
        yield ""
        yield from file_lines(file, restore)


def searched(answer: Answer) -> list[str]:
    if not answer.searched:
        return ["No snapshot was searched."]
    dates = sorted(answer.searched, key=lambda member: member.made)
    snapshots = plural(len(dates), "snapshot")
    return [f"Searched: {snapshots}, {days(dates)}."]


def lost_lines(lost: Iterable[Member]) -> Iterator[str]:
    for member in lost:
        yield (
            f"Not searched: {member}, as its catalog is missing or damaged. The next backup writes "
            "it anew."
        )


def file_lines(file: File, restore: Restoring) -> Iterator[str]:
    yield "/" + shown(file.path)
    if file.gone:
        yield f"  gone since {minute(file.gone)} ({file.gone.name})"
    for held in file.versions:
        version = held.version
        time = spoken(version.mtime_ns // 10**9).replace("T", " ").replace("Z", "")
        where = [f"{days(each.members)}: {names(each)}" for each in held.ranges]
        yield f"  {size(version.size):>10}  {time}  {where[0]}"
        yield from (f"{'':35}{each}" for each in where[1:])
        yield Command(f"    {printable(restore_command(held.newest, file.path, restore))}")


def restore_command(member: Member, path: bytes, restore: Restoring) -> str:
    """A name that cannot be typed is restored with its directory, beside what is there."""
    parts = path.split(b"/")
    good = [*itertools.takewhile(is_typed, parts)]
    if len(good) == len(parts):
        return restore(member, "/" + os.fsdecode(path), False)
    return restore(member, "".join(f"/{each.decode()}" for each in good) + "/", True)


def is_typed(name: bytes) -> bool:
    try:
        return name.decode().isprintable()
    except UnicodeDecodeError:
        return False


def days(members: Sequence[Member]) -> str:
    dates = sorted(day(member) for member in members)
    return dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"


def names(range_: Range) -> str:
    """Consecutive numbers as the first and the last; the shortest interval first.

    The others of a range are older, and so come before within an interval.
    """
    folded: list[str] = []
    members = sorted(range_.members, key=lambda each: (interval_of(each), -number_of(each)))
    for _, group in itertools.groupby(
        enumerate(members), lambda each: (interval_of(each[1]), number_of(each[1]) + each[0])
    ):
        those = [member.name for _, member in group]
        folded.append(those[0] if len(those) == 1 else f"{those[0]} to {those[-1]}")
    return ", ".join(folded)


def interval_of(member: Member) -> int:
    order = ("daily", "weekly", "monthly")
    interval, _, _ = member.name.partition(".")
    return order.index(interval) if interval in order else len(order)


def number_of(member: Member) -> int:
    """Of a hold none: two of them are never folded."""
    _, _, number = member.name.partition(".")
    if interval_of(member) < 3 and number.isdecimal():
        return int(number)
    return -int(member.made) * 10


def answer_json(answer: Answer, page: int, per_page: int) -> dict[str, Any]:
    return {
        "files": answer.files,
        "versions": answer.versions,
        "page": page,
        "per_page": per_page,
        "searched": [member_json(each) for each in answer.searched],
        "not_searched": [member_json(each) for each in answer.lost],
        "found": [
            {
                **path_json(file.path),
                "gone_since": member_json(file.gone) if file.gone else None,
                "versions": [
                    {
                        **version_json(held.version),
                        "ranges": [[member_json(m) for m in each.members] for each in held.ranges],
                    }
                    for held in file.versions
                ],
            }
            for file in answer.found
        ],
    }


def path_json(path: bytes) -> dict[str, str]:
    """Bytes that are not UTF-8 cannot be said in JSON: then ``path_base64`` has all of them."""
    found = {"path": "/" + path.decode(errors="backslashreplace")}
    try:
        path.decode()
    except UnicodeDecodeError:
        found["path_base64"] = base64.b64encode(b"/" + path).decode()
    return found


def version_json(version: Version) -> dict[str, Any]:
    found = version._asdict()
    return {**found, "mode": f"{version.mode:o}"}


def member_json(member: Member) -> dict[str, Any]:
    return {"name": member.name, "made": member.date}


# --- diff ----------------------------------------------------------------------------------------


def changes_lines(
    begin: Member, end: Member, inside: str, found: Changes, page: int, per_page: int, give: Paging
) -> Iterator[str]:
    where = f", in {printable(inside)}" if inside.strip("/") else ""
    yield f"{begin} to {end}{where}"
    if not found.is_anything:
        yield "  Neither has a file there."
        return
    for kind in KINDS:
        yield f"  {kind:8} {found.files[kind]:>12,}  {size(found.bytes[kind]):>10}"
    text = pages(found.total, page, per_page, give)
    if text:
        yield text
    if found.found:
        yield ""
    yield from map(change_line, found.found)


def change_line(change: ChangedFile) -> str:
    path = "/" + shown(change.path)
    before, after = change.before, change.after
    sizes = size(change.size)
    if before and after and before.size != after.size:
        sizes = f"{size(before.size)} -> {sizes}"
    details = [
        f"{name} {text(before)} -> {text(after)}"
        for name, text in DETAILS.items()
        if before and after and change.kind == "metadata" and text(before) != text(after)
    ]
    return f"{SIGNS[change.kind]} {path}  ({', '.join(details or [sizes])})"


DETAILS: dict[str, Callable[[Version], str]] = {
    "mode": lambda version: f"{version.mode:o}",
    "owner": lambda version: f"{version.uid}:{version.gid}",
    "time": lambda version: spoken(version.mtime_ns // 10**9),
}


def changes_json(
    begin: Member, end: Member, found: Changes, page: int, per_page: int
) -> dict[str, Any]:
    return {
        "from": member_json(begin),
        "to": member_json(end),
        "files": found.files,
        "bytes": found.bytes,
        "page": page,
        "per_page": per_page,
        "changes": [
            {
                **path_json(each.path),
                "change": each.kind,
                "before": version_json(each.before) if each.before else None,
                "after": version_json(each.after) if each.after else None,
            }
            for each in found.found
        ],
    }


# --- snapshots -----------------------------------------------------------------------------------


def table(members: Sequence[Member], now: float) -> Iterator[str]:
    """80 columns."""
    most = max((each.frees or 0 for each in members), default=0)
    heading = ("Name", "Made (UTC)", "Age", "Files", "Size", "Frees")
    yield row(*heading, "")
    for member in members:
        files = UNKNOWN if member.files is None else f"{member.files:,}"
        bar = "#" * round(BAR * (member.frees or 0) / most) if most else ""
        cells = (age(now - member.made), files, amount(member.bytes), amount(member.frees), bar)
        name = printable(member.name)
        if len(name) > NAME:
            yield name
            name = ""
        yield row(name, minute(member), *cells)
        state = "partial" if member.is_partial else "complete"
        unsaid = HELD_REASON if member.is_held else "the next backup decides whether it is kept"
        yield from wrapped(f"{state}; {printable(member.why or unsaid)}")


def row(*cells: str) -> str:
    name, made, age_, files, size_, frees, bar = cells
    return f"{name:{NAME}} {made:16} {age_:>6} {files:>11} {size_:>10} {frees:>10} {bar}".rstrip()


def wrapped(text: str) -> Iterator[str]:
    for line in re.findall(r".{1,76}(?:\s+|$)|\S{76}", text):
        yield f"  {line.rstrip()}"


def amount(count: int | None) -> str:
    return UNKNOWN if count is None else size(count).replace(" bytes", " B").replace(" byte", " B")


def age(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return "0 min"


def members_json(members: Iterable[Member]) -> list[dict[str, Any]]:
    return [
        {
            "name": each.name,
            "made": each.date,
            "complete": not each.is_partial,
            "held": each.is_held,
            "files": each.files,
            "bytes": each.bytes,
            "frees": each.frees,
            "why": each.why,
        }
        for each in members
    ]
