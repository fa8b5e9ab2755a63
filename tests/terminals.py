"""Terminals to print on, and what a person sees on them."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import time
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TextIO

import pytest

# What may reach a terminal besides text: begin a line anew, clear it, colours.
KNOWN = re.compile(r"\r\n|\r\x1b\[K|\x1b\[(?:0|1|31|33)m")


def resize(descriptor: int, columns: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))


class Terminal:
    """One in this process: ``stream`` writes to it."""

    def __init__(self, columns: int) -> None:
        self.master, slave = pty.openpty()
        resize(slave, columns)
        os.set_blocking(self.master, False)
        self.stream: TextIO = os.fdopen(slave, "w", encoding="utf-8")

    def read(self) -> str:
        """What was written since."""
        found = b""
        with contextlib.suppress(BlockingIOError):
            while block := os.read(self.master, 1 << 16):
                found += block
        return found.decode()

    def close(self) -> None:
        os.close(self.master)


def run_on_terminal(
    command: list[str],
    columns: int,
    environment: Mapping[str, str] | None = None,
    on_output: Callable[[str, int, int], None] = lambda output, process, terminal: None,
) -> tuple[int, str]:
    """Exit status, and all that was printed. on_output: gets that so far, after each part of it,
    the process and the terminal's descriptor."""
    master, slave = pty.openpty()
    resize(slave, columns)
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *command],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": "xterm", "NO_COLOR": "", **(environment or {})},
    )
    os.close(slave)
    output = b""
    with contextlib.suppress(OSError):  # the end of a terminal is an error
        while block := os.read(master, 1 << 16):
            output += block
            on_output(output.decode(errors="replace"), process.pid, master)
    os.close(master)
    return process.wait(), output.decode()


def interrupt_question(process: int, terminal: int) -> None:
    """Presses Ctrl-C once the process waits for an answer: just before, nobody would notice."""
    while "wait_woken" not in Path(f"/proc/{process}/wchan").read_text():
        time.sleep(0.01)
    os.write(terminal, b"\x03")


def check_help(parser: argparse.ArgumentParser, monkeypatch: pytest.MonkeyPatch) -> str:
    """Breaks no word, whatever the width. Returns it as it is at 80 columns."""
    monkeypatch.setenv("COLUMNS", "1000")
    words = parser.format_help().split()
    for columns in (60, 80):
        monkeypatch.setenv("COLUMNS", str(columns))
        text = parser.format_help()
        assert text.split() == words
        check_width(text.replace("\n", "\r\n"), columns)
    return text


def width(text: str) -> int:
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def drawn(output: str) -> list[str]:
    """Each state of each line, in order. Raises AssertionError at what a terminal would act on
    otherwise."""
    texts = KNOWN.split(output)
    assert all(text.isprintable() for text in texts), [t for t in texts if not t.isprintable()]
    return texts


def seen(output: str) -> list[str]:
    """The lines that are there in the end."""
    drawn(output)
    plain = re.sub(r"\x1b\[\d+m", "", output)
    return [line.rpartition("\r\x1b[K")[2] for line in plain.split("\r\n")]


def check_width(output: str, columns: int) -> None:
    """No terminal has to break a line, but one that is a single word, or one of a command that is
    an option with its value."""
    for text in re.split(r"\r\n|\r\x1b\[K", re.sub(r"\x1b\[\d+m", "", output)):
        is_one = re.fullmatch(r" *(--[a-z-]+ )?\S+( \\)?", text)
        assert width(text) <= columns or is_one, text
