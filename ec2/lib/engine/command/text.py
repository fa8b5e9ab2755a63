"""What people read: names that may hold any bytes, and messages that may be many."""

from __future__ import annotations

import logging
import os
import re
import shlex
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from common.times import TIME_FORMAT

log = logging.getLogger(__name__)

MESSAGES_KEPT = 50
MORE = "… and {} more"
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


def command_line(script: str, words: Iterable[str]) -> str:
    """A call of one of our scripts that can be pasted anywhere."""
    return shlex.join([str(Path(__file__).resolve().parents[3] / script), *words])


def as_root(words: Iterable[str]) -> str:
    """A command for people who may not be root; who has no sudo, is."""
    return shlex.join([*(["sudo"] if shutil.which("sudo") else []), *words])


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


def duration(seconds: float) -> str:
    """In two units at most.

    >>> duration(3.24), duration(200), duration(7400)
    ('3.2 s', '3 min 20 s', '2 h 3 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def counted(lines: Iterable[str]) -> tuple[list[str], int]:
    """The messages among lines of :meth:`Messages.lines`, and how many there are with those that
    these leave out."""
    pattern = re.compile(MORE.format(0).replace("0", "([0-9]+)"))
    more = [(line, pattern.fullmatch(line)) for line in lines]
    left_out = sum(int(match[1]) for _, match in more if match)
    messages = [line for line, match in more if not match]
    return messages, len(messages) + left_out


class Messages(list[str]):
    """The first few of possibly very many, and how many there are; the log of the run has all."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def add(self, messages: Iterable[str]) -> None:
        for message in messages:
            self.total += 1
            log.debug("%s", message)
            if len(self) < MESSAGES_KEPT:
                self.append(shortened(message, MESSAGE_SHOWN))

    def lines(self, before: str = "") -> list[str]:
        more = self.total - len(self)
        lines = [before + message for message in self]
        return [*lines, MORE.format(more)] if more else lines
