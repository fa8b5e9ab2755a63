"""What is drawn and written on a terminal, and what on none."""

from __future__ import annotations

import io
import logging
import shlex
import subprocess

import pytest
from engine.command.process import StopSignals
from engine.command.progress import LIVE_SECONDS, LOG_SECONDS, Progress, State
from engine.command.screen import Command, Screen, ToScreen, broken, broken_command, level, width
from hypothesis import given
from hypothesis import strategies as st

from tests.terminals import Terminal, check_width, drawn, resize, seen

XTERM = {"TERM": "xterm"}
HOSTILE = [
    "\x1b[31mred",
    "\x1b]0;title\x07",
    "line\nbreak",
    "\r\x1b[K",
    "\x9b2J",
    "\u202e",
    "\u2028",
    "\x00\x08\x7f",
]
STATE = State(
    "copying", 100, 200_000, 1_000_000, counts={"bytes": 1 << 34, "copies": 9, "listed": 90}
)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        self.now += LIVE_SECONDS
        return self.now


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (
            120,
            "copying: 200,000 of 1,000,000 files (20 %), 9 of 90 copied, 16.0 GiB, 2,000 files/s,"
            " 163.8 MiB/s, 15 min 0 s left",
        ),
        (
            80,
            "copying: 200,000 of 1,000,000 files, 9 of 90 copied, 16.0 GiB, 15 min 0 s left",
        ),
        (60, "copying: 200,000 of 1,000,000 files, 15 min 0 s left"),
        (40, "copying: 200,000 of 1,000,000 files"),
        (10, "copying: 2"),
        (0, ""),
    ],
)
def test_a_line_says_first_how_far_and_how_long(columns: int, line: str) -> None:
    assert STATE.described(columns) == line
    assert len(line) <= columns


def test_what_is_not_known_is_not_said() -> None:
    assert State("writing to storage", 0, 0).described() == "writing to storage"
    assert State("writing to storage", 75, 0).described() == "writing to storage, 1 min 15 s"
    assert State("comparing", 2, 500).described() == "comparing: 500 files, 250 files/s"
    assert State("reading", 0.5, 0, 0).described() == "reading"


def test_the_line_is_drawn_in_place_and_fits_also_after_a_resize() -> None:
    terminal = Terminal(80)
    progress = Progress(None, Screen(terminal.stream, XTERM), clock=Clock())
    progress.begin("read back")
    progress.update(12_345, 1_000_000, bytes=1 << 40)
    first = terminal.read()
    assert first.startswith("\r\x1b[Kreading\r\x1b[Kreading: 12,345 of 1,000,000 files (1 %)")
    resize(terminal.stream.fileno(), 30)
    progress.update(12_346, 1_000_000, bytes=1 << 40)
    second = terminal.read()
    assert second == "\r\x1b[Kreading: 12,346 of 1,000,000 "[: len("\r\x1b[K") + 29]
    resize(terminal.stream.fileno(), 1)
    progress.update(12_347, 1_000_000)
    assert terminal.read() == "\r\x1b[K"
    check_width(first, 79)


def test_a_line_of_text_takes_the_place_of_the_drawn_one_for_good() -> None:
    terminal = Terminal(80)
    screen = Screen(terminal.stream, XTERM)
    screen.draw("half")
    screen.line("found")
    screen.draw("all")
    screen.line("done")
    assert seen(terminal.read()) == ["found", "done", ""]


@pytest.mark.parametrize("environment", [{}, {"TERM": "dumb"}])
def test_a_terminal_that_can_do_nothing_gets_text_alone(environment: dict[str, str]) -> None:
    terminal = Terminal(40)
    screen = Screen(terminal.stream, environment)
    progress = Progress(None, screen, clock=Clock())
    progress.begin("copy")
    progress.update(1)
    screen.line("a word " * 10, 2, "\x1b[31m")
    text = terminal.read()
    assert "\x1b" not in text
    check_width(text, 40)
    assert level(screen) == logging.INFO


def test_no_color_takes_the_colours_and_leaves_the_line() -> None:
    terminal = Terminal(80)
    for environment, is_coloured in ((XTERM, True), ({**XTERM, "NO_COLOR": "1"}, False)):
        screen = Screen(terminal.stream, environment)
        screen.draw("half")
        screen.line("failed", colour="\x1b[31m")
        text = terminal.read()
        assert ("\x1b[31m" in text) == is_coloured
        assert seen(text) == ["failed", ""]
        assert "half" in text


def test_where_there_is_no_terminal_the_log_has_a_line_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    stream, clock = io.StringIO(), Clock()
    progress = Progress(None, Screen(stream, XTERM), clock=clock)
    progress.begin("copy")
    for number in range(1, 601):
        progress.update(number * 1000, 1_000_000)
    assert stream.getvalue() == ""
    spent = clock.now
    assert len(caplog.messages) == spent // LOG_SECONDS == 2
    assert caplog.messages[0].startswith("copying: ")
    assert " of 1,000,000 files" in caplog.messages[0]


def test_that_it_is_to_stop_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    stop = StopSignals()
    progress = Progress(None, Screen(io.StringIO(), {}), stop)
    progress.begin("copy")
    assert not caplog.messages
    stop.received = 1
    progress.update(1)
    progress.update(2)
    (message,) = caplog.messages
    assert "Ctrl-C" in message


@pytest.mark.parametrize("columns", [20, 80, 120])
def test_nothing_that_a_name_holds_reaches_the_terminal(columns: int) -> None:
    terminal = Terminal(columns)
    screen = Screen(terminal.stream, XTERM)
    handler = ToScreen(screen)
    for name in HOSTILE:
        screen.line(f"vanished: {name}", 2)
        screen.command(f"rm -rf {name}")
        screen.draw(name)
        handler.emit(logging.LogRecord("", logging.ERROR, "", 0, name, None, None))
        for line in screen.fitted([name, Command(name)]):
            print(line, file=terminal.stream)
    output = terminal.read()
    drawn(output)  # raises
    for word in ("red", "title", "break", "2J"):
        assert word in output


def test_a_terminal_that_has_gone_away_ends_nothing() -> None:
    terminal = Terminal(80)
    screen = Screen(terminal.stream, XTERM)
    terminal.close()
    screen.draw("half")
    screen.line("done")
    Progress(None, screen).begin("copy")
    with Screen(None, XTERM).waiting("reading"):
        Screen(None, XTERM).line("done")


def test_who_waits_sees_for_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.command.screen.WAIT_SECONDS", 0.02)
    terminal = Terminal(80)
    screen = Screen(terminal.stream, XTERM)
    output = ""
    with screen.waiting("reading catalogs"):
        while "0.1 s" not in output:
            output += terminal.read()
    output += terminal.read()
    assert "\r\x1b[Kreading catalogs, 0.1 s" in output
    assert seen(output) == [""]


WORDS = st.text("ab中\u0301-/'", min_size=1, max_size=12)


@given(st.lists(WORDS, min_size=1, max_size=12), st.integers(1, 30), st.integers(0, 4))
def test_text_is_broken_between_words_and_says_the_same(
    words: list[str], columns: int, indent: int
) -> None:
    lines = [*broken(" ".join(words), columns, indent)]
    assert " ".join(line.strip(" ") for line in lines).split(" ") == words
    for line in lines:
        assert width(line) <= columns or " " not in line.strip(" ")


@pytest.mark.parametrize("columns", [1, 20, 40, 200])
def test_a_command_that_was_broken_is_the_same_for_a_shell(columns: int) -> None:
    words = ["printf", "%s\\n", "--path", "/a b/it's  1", "--mode", "x", "-n", 'qu"ote', "", "a\\b"]
    lines = [*broken_command("    " + shlex.join(words), columns)]
    done = subprocess.run(["bash", "-c", "\n".join(lines)], capture_output=True, text=True)
    assert done.stdout.splitlines() == words[2:], lines
    assert (len(lines) > 1) == (columns < 200)


def test_quiet_and_verbose() -> None:
    live = Screen(Terminal(80).stream, XTERM)
    log = Screen(io.StringIO(), XTERM)
    for screen in (live, log):
        assert level(screen, quiet=True) == logging.WARNING
        assert level(screen, verbose=True) == logging.DEBUG
    assert logging.INFO < level(live) < logging.WARNING
    assert level(log) == logging.INFO
