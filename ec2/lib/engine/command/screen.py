"""What people see on stderr: lines, and on a terminal one below them that is drawn again and again.

Watching must not disturb: a terminal that has gone away is given up, and nothing comes of it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
import time
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TextIO

from engine.command.text import duration, printable

CLEAR_LINE = "\r\x1b[K"
RESET = "\x1b[0m"
# With the blanks before it; an option with its value.
SHELL_WORD = re.compile(r""" *(?:--[\w-]+ (?!-))?(?:[^ '"\\]|'[^']*'|"[^"]*"|\\.)+""")
WAIT_SECONDS = 0.5
USUAL_COLUMNS = 80  # of a terminal that does not say how many it has
ANSWER = 25  # a level of logging: what a run says in the end, if all is well
COLOURS = {logging.ERROR: "\x1b[31m", logging.WARNING: "\x1b[33m", ANSWER: "\x1b[1m"}


class Command(str):
    """A line that is to be typed."""


class Screen:
    """is_terminal: people look at it now, and not at a log later. is_live: a line can be drawn."""

    def __init__(self, stream: TextIO | None, environment: Mapping[str, str]) -> None:
        self._stream = stream
        self.is_terminal = stream is not None and stream.isatty()
        self.is_live = self.is_terminal and environment.get("TERM", "dumb") != "dumb"
        self._has_colours = self.is_live and not environment.get("NO_COLOR")
        self._is_drawn = False

    @property
    def columns(self) -> int | None:
        """As it is now: a terminal is resized at any time. None where lines may have any length."""
        if not self.is_terminal or self._stream is None:
            return None
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or USUAL_COLUMNS
        except OSError:
            return USUAL_COLUMNS

    def draw(self, line: str) -> None:
        """In place of the line that was drawn before."""
        self._is_drawn = True
        self._write(CLEAR_LINE + printable(line))

    def line(self, text: str, indent: int = 0, colour: str = "") -> None:
        """Above the line that is drawn. indent: of its second line and further ones."""
        lines = (each for part in text.split("\n") for each in self._broken(part, indent))
        found = "\n".join(lines)
        if colour and self._has_colours:
            found = f"{colour}{found}{RESET}"
        self._write((CLEAR_LINE if self._is_drawn else "") + found + "\n")
        self._is_drawn = False

    def command(self, text: str) -> None:
        """To be copied: it is broken so that a shell does not mind."""
        self._write("".join(f"{line}\n" for line in self._broken_command(text)))

    def fitted(self, found: Iterable[str]) -> Iterator[str]:
        """The lines of an answer. Where one has to be broken, the rest of it is indented."""
        for line in found:
            if isinstance(line, Command):
                yield from self._broken_command(line)
            else:
                yield from self._broken(line, indentation(line))

    @contextlib.contextmanager
    def waiting(self, title: str) -> Iterator[None]:
        """Show for how long. Not for a process that forks meanwhile."""
        over = threading.Event()

        def show() -> None:
            began = time.monotonic()
            while not over.wait(WAIT_SECONDS):
                self.draw(f"{title}, {duration(time.monotonic() - began)}")

        clock = threading.Thread(target=show, daemon=True)
        if self.is_live:
            clock.start()
        try:
            yield
        finally:
            over.set()
            if self.is_live:
                clock.join()
                self.clear()

    def clear(self) -> None:
        if self._is_drawn:
            self._write(CLEAR_LINE)
            self._is_drawn = False

    def _broken(self, text: str, indent: int) -> Iterator[str]:
        columns = self.columns
        if columns is None:
            return iter([printable(text)])
        return broken(printable(text), columns, indent)

    def _broken_command(self, text: str) -> Iterator[str]:
        columns = self.columns
        if columns is None:
            return iter([printable(text)])
        return broken_command(printable(text), columns)

    def _write(self, text: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._stream = None


class ToScreen(logging.Handler):
    """The log, for who looks at the screen."""

    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self._screen = screen
        self.setLevel(level(screen))

    def emit(self, record: logging.LogRecord) -> None:
        self._screen.line(self.format(record), 2, COLOURS.get(record.levelno, ""))


def level(screen: Screen, quiet: bool = False, verbose: bool = False) -> int:
    """From which on the log is shown. What a line shows that is drawn needs no others."""
    if verbose:
        return logging.DEBUG
    if quiet:
        return logging.WARNING
    return ANSWER if screen.is_live else logging.INFO


def width(text: str) -> int:
    """In columns.

    >>> width("a\u0301\u4e2d")
    3
    """
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def broken(text: str, columns: int, indent: int) -> Iterator[str]:
    """Lines of at most so many columns. A word stays whole, also if it is longer than that: names
    are to be copied.

    >>> [*broken("ab cd efg", 5, 2)]
    ['ab cd', '  efg']
    """
    return filled(re.findall(" *[^ ]+", text), columns, indent)


def broken_command(command: str, columns: int) -> Iterator[str]:
    r"""Lines that are one command for a shell.

    >>> [*broken_command("rm -rf /a '/b c'", 12)]
    ['rm -rf /a \\', "  '/b c'"]
    """
    words = [each[0] for each in SHELL_WORD.finditer(command)]
    return filled(words, columns, indentation(command), " \\")


def indentation(line: str) -> int:
    """Of what follows when it is broken."""
    return len(line) - len(line.lstrip(" ")) + 2


def filled(words: Sequence[str], columns: int, indent: int, end: str = "") -> Iterator[str]:
    """words: with the blanks before them. end: of each line but the last. A word that has room in
    a line, but not beside the indentation, gets some of that.

    >>> [*filled(["a", " bcdef"], 5, 2)]
    ['a', 'bcdef']
    """
    line = words[0] if words else ""
    for word in words[1:]:
        if width(line + word + end) > columns:
            yield line + end
            word = word.lstrip(" ")
            spare = columns - width(word + end)
            line = " " * (min(indent, spare) if spare >= 0 else indent)
        line += word
    yield line
