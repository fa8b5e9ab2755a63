"""What people read: names that may hold any bytes, and messages that may be many."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
MESSAGES_KEPT = 50
PATH_SHOWN = 1000  # characters; a path can have 255,000
MESSAGE_SHOWN = 2500  # and can be named twice


def spoken(seconds: float) -> str:
    """A time, in seconds since 1970."""
    return time.strftime(TIME_FORMAT, time.gmtime(seconds))


def shown(path: bytes) -> str:
    """A path as one line of text: control characters and bytes that are not UTF-8 are escaped."""
    return printable(path.decode(errors="backslashreplace"))


def printable(text: str) -> str:
    r"""
    >>> printable("a\x1b[31mb\n")
    'a\\x1b[31mb\\n'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shown_path(path: str) -> str:
    """Likewise, quoted, as a part of a message."""
    text = os.fsencode(path).decode(errors="backslashreplace")
    return repr(shortened(text, PATH_SHOWN)) if path else "the top"


def shortened(text: str, limit: int) -> str:
    """Without the middle of what is too long."""
    if len(text) <= limit:
        return text
    half = (limit - 3) // 2
    return f"{text[:half]} … {text[-half:]}"


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
                self.append(shortened(message, MESSAGE_SHOWN))

    def lines(self, before: str = "") -> list[str]:
        more = self.total - len(self)
        lines = [before + message for message in self]
        return [*lines, f"… and {more} more"] if more else lines
