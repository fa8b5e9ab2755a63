"""What people read: names that may hold any bytes, and messages that may be many."""

from __future__ import annotations

import os
from collections.abc import Iterable

MESSAGES_KEPT = 50


def shown(path: bytes) -> str:
    """A path as one line of text: control characters and bytes that are not UTF-8 are escaped."""
    text = path.decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shown_path(path: str) -> str:
    return repr(os.fsencode(path).decode(errors="backslashreplace")) if path else "the top"


def size(count: int) -> str:
    """A number of bytes.

    >>> size(1536)
    '1.5 KiB'
    """
    number, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while number >= 1024 and len(units) > 1:
        number /= 1024
        units.pop(0)
    if units[0] == "B":
        return "1 byte" if count == 1 else f"{count} bytes"
    return f"{number:.1f} {units[0]}"


class Messages(list[str]):
    """The first few of possibly very many, and how many there are."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def add(self, messages: Iterable[str]) -> None:
        for message in messages:
            self.total += 1
            if len(self) < MESSAGES_KEPT:
                self.append(message)

    def lines(self) -> list[str]:
        more = self.total - len(self)
        return [*self, f"… and {more} more"] if more else [*self]
