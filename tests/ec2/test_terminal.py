"""The commands themselves, on a terminal and on none: what is printed, and which logs are kept."""

from __future__ import annotations

import argparse
import ast
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from engine import ask, backup, manage, restore, undo, verify, worker
from engine.command.arguments import PlainParser
from engine.command.logs import KEPT
from engine.command.process import StopSignals
from engine.command.text import MESSAGES_KEPT
from engine.stage import helping as backup_helping
from engine.stage import request as backup_request
from engine.target import helping as restore_helping
from engine.target import request as restore_request
from engine.target import undo as target_undo
from engine.workers import request as workers_request

from tests.terminals import (
    Terminal,
    check_help,
    check_width,
    drawn,
    interrupt_question,
    run_on_terminal,
    seen,
)

from .conftest import EC2, Backup
from .test_interruptions import slow  # noqa: F401

HOSTILE = [b"\x1b[31mred", b"\x1b]0;title\x07", b"line\nbreak", b"\xff\xfe", b"\xc2\x9b2J"]


def fill(backup: Backup) -> None:
    for number, name in enumerate(HOSTILE):
        with open(os.path.join(os.fsencode(backup.source), name), "w") as file:
            file.write(f"{number}")


def scratch(backup: Backup) -> list[str]:
    return sorted(path.name for path in (backup.home / "scratch").iterdir())


def kept(output: str) -> Path:
    found = re.search(r"^  Logs\s+(/\S+)$", output, re.MULTILINE)
    assert found, output
    return Path(found[1])


@pytest.mark.parametrize("columns", [80, 120])
def test_a_backup_is_watched_and_ends_with_an_answer(backup: Backup, columns: int) -> None:
    fill(backup)
    patterns = {f"no-such-thing-{number}": None for number in range(12)}
    command = backup.command(log_dir=None, exclude_patterns=" | ".join(patterns))
    code, output = run_on_terminal(command, columns)
    assert code == 0
    check_width(output, columns)
    assert "copying" in drawn(output)
    lines = seen(output)
    assert re.fullmatch(r"Made daily\.0 in [\d.]+ s: 5 files, 5 bytes", lines[0])
    assert "  Changed   5 added (5 bytes)" in lines
    assert "  Warnings  12" in lines
    assert sum("excluded nothing" in line for line in lines) == 10
    assert lines[-1] == ""
    all_of_them = (kept("\n".join(lines)) / "engine.log").read_text()
    assert all(f"'{pattern}'" in all_of_them for pattern in patterns)


def test_a_verification_and_a_dry_run_name_what_they_found(backup: Backup) -> None:
    fill(backup)
    backup.must_publish()
    for name in HOSTILE[:3]:
        with open(os.path.join(os.fsencode(backup.snapshot(0)), name), "a") as file:
            file.write("damaged")
    code, output = run_on_terminal(backup.script("efs-verify.sh", "--number", "0"), 80)
    assert code == 1
    drawn(output)
    check_width(output, 80)
    lines = seen(output)
    for name in (r"'\x1b[31mred'", r"'\x1b]0;title\x07'", r"'line\nbreak'"):
        assert f"    changed: {name}" in lines
    assert kept("\n".join(lines)).is_dir()
    target = backup.home / "target"
    target.mkdir()
    words = ["--number", "0", "--target", str(target), "--dry-run"]
    code, output = run_on_terminal(backup.script("efs-restore.sh", *words), 80)
    assert code == 0
    drawn(output)
    lines = seen(output)
    assert lines[0].startswith("A dry run, nothing was changed: it would restore daily.0")
    assert r"    create \x1b[31mred" in lines
    assert list(target.iterdir()) == []


def test_ctrl_c_ends_it_with_a_word(slow: Backup) -> None:  # noqa: F811
    fill(slow)
    (slow.source / "large").write_bytes(bytes(1000))
    was_pressed = False

    def press(output: str, _process: int, terminal: int) -> None:
        nonlocal was_pressed
        if (slow.home / "running").exists() and not was_pressed:
            was_pressed = True
            os.write(terminal, b"\x03")
        if "second Ctrl-C" in output:
            (slow.home / "go").touch()

    code, output = run_on_terminal(
        slow.command(log_dir=None, max_failed_percent="0"), 80, {}, press
    )
    assert was_pressed
    assert code in (0, 3)
    lines = seen(output.replace("^C", ""))
    assert lines[0].startswith("stopping when what is at work is done")
    assert lines[-1] == ""
    assert "Traceback" not in output
    check_width(output, 80)


def test_ctrl_c_ends_it_in_silence_while_it_is_loaded(backup: Backup) -> None:
    """Python would show where it was."""
    module = backup.home / "lib" / "loading.py"
    module.parent.mkdir()
    module.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    paths = f"{EC2 / 'lib'}:{module.parent}"
    done = subprocess.run(
        ["python3", "-B", "-m", "engine", "loading"],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (-2, b"", b"")
    for script in EC2.glob("efs-*.sh"):
        if "exec python3" in script.read_text():
            assert " -m engine engine." in script.read_text()


INTERRUPTED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
from engine.command.process import interruptible
press = lambda *_: os.kill(os.getpid(), signal.SIGINT)
try:
    with interruptible():
        press()
except KeyboardInterrupt:
    print("interrupted", flush=True)
    press()
"""


def test_a_second_ctrl_c_ends_it_in_silence() -> None:
    done = subprocess.run(
        ["python3", "-B", "-c", INTERRUPTED],
        env={**os.environ, "PYTHONPATH": str(EC2 / "lib")},
        capture_output=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (-2, b"interrupted\n", b"")


def test_what_was_started_to_ignore_ctrl_c_goes_on() -> None:
    ignoring = INTERRUPTED.replace("SIG_DFL", "SIG_IGN", 1) + "print('went on')"
    done = subprocess.run(
        ["python3", "-B", "-c", ignoring],
        env={**os.environ, "PYTHONPATH": str(EC2 / "lib")},
        capture_output=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"went on\n", b"")


def test_ctrl_c_twice_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second comes while the first is dealt with."""
    stop = StopSignals()

    def press(*_: object) -> str:
        os.kill(os.getpid(), signal.SIGINT)
        return "yes"

    monkeypatch.setattr("sys.stdin", Terminal(80).stream)
    monkeypatch.setattr("builtins.input", press)
    monkeypatch.setattr("builtins.print", press)
    monkeypatch.setattr(target_undo, "say", lambda _: None)
    before = signal.signal(signal.SIGINT, stop._on_signal)
    try:
        assert target_undo.agreed("It is asked.") is False
    finally:
        signal.signal(signal.SIGINT, before)
    assert stop.received == 1


def test_logs_are_kept_of_a_failure_alone(backup: Backup) -> None:
    """Where they were asked for, or else where the failure says."""
    for number in range(MESSAGES_KEPT + 30):
        (backup.source / f"file {number}").write_text("text")
    assert backup.run(log_dir=None).exit_code == 0
    assert backup.run(log_dir=None, retain="0").exit_code == 2
    assert scratch(backup) == []
    for number in range(KEPT + 1):
        (backup.home / "scratch" / f"efs-backup-logs.earlier{number}").mkdir(0o700)
    for path in backup.snapshot(0).iterdir():
        path.write_text("damaged")
    done = backup.verify()
    assert done.exit_code == 1
    logs = kept(done.stderr)
    assert logs.name in scratch(backup)
    assert len(scratch(backup)) == KEPT
    assert logs.stat().st_mode & 0o777 == 0o700
    text = (logs / "engine.log").read_text()
    assert all(f"changed: 'file {number}'\n" in text for number in range(MESSAGES_KEPT + 30))
    assert "… and 70 more: see engine.log in the logs" in done.stderr
    assert re.search(r"  Errors +80\n", done.stderr)


def test_quiet_says_what_is_wrong_and_verbose_says_all(backup: Backup) -> None:
    fill(backup)
    quiet = backup.run(quiet="", exclude="no-such-thing")
    assert "the pattern 'no-such-thing' excluded nothing" in quiet.stderr
    assert "copying" not in quiet.stderr
    assert "  Copied " not in quiet.stderr, "that is no problem"
    verbose = backup.run(verbose="")
    assert "Z  phase: copy\n" in verbose.stderr
    assert "Z  published " in verbose.stderr
    refused = backup.run(verbose="", quiet="")
    assert refused.exit_code == 2
    code, output = run_on_terminal([*backup.command(), "--quiet"], 80)
    assert (code, output) == (0, "")


MODULES = {
    "efs-backup.sh": (
        backup_request.parse,
        [backup, backup_request, backup_helping, workers_request],
    ),
    "efs-restore.sh": (
        restore_request.parse,
        [restore, restore_request, restore_helping, workers_request],
    ),
    "efs-worker.sh": (worker.parse, [worker]),
    "efs-verify.sh": (verify.parse, [verify]),
    "efs-manage.sh": (manage.parse, [manage]),
    "efs-undo.sh": (undo.parse, [undo]),
    **{
        f"efs-{action}.sh": (lambda words, action=action: ask.parser_of(action).parse_args(), [ask])
        for action in ask.ACTIONS
    },
}


@pytest.mark.parametrize("name", MODULES)
def test_each_option_is_explained_and_used(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parse, modules = MODULES[name]
    parsers: list[argparse.ArgumentParser] = []

    class Seen(Exception):
        pass

    def note(parser: argparse.ArgumentParser, *_words: object) -> None:
        parsers.append(parser)
        raise Seen

    monkeypatch.setattr(PlainParser, "parse_args", note)
    with pytest.raises(Seen):
        parse([])
    (parser,) = parsers
    execution = EC2 / "lib" / "engine" / "command" / "execution.py"
    sources = [*(Path(str(module.__file__)) for module in modules), execution]
    used = {
        node.attr
        for source in sources
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Attribute)
    }
    for action in parser._actions:
        assert action.help, action
        assert action.dest == "help" or action.dest in used, action
    assert check_help(parser, monkeypatch).startswith(f"usage: {name} ")


def test_what_is_found_fits_the_terminal_and_ctrl_c_is_no_answer(backup: Backup) -> None:
    fill(backup)
    for text in ("text", "other text"):
        (backup.source / "a file with a name").write_text(text)
        backup.must_publish()
    cases = [(["find", "*"], 80), (["find", "*"], 120), (["diff", "daily.1", "daily.0"], 80)]
    for words, columns in cases:
        command = backup.script(f"efs-{words[0]}.sh", *words[1:])
        code, output = run_on_terminal(command, columns)
        assert code == 0, output
        drawn(output)
        check_width(output, columns)
        assert "a file with a name" in output

    def press(output: str, process: int, terminal: int) -> None:
        if output.endswith("Type yes to go on: "):
            interrupt_question(process, terminal)

    command = backup.script("efs-manage.sh", "remove", "--snapshot", "daily.1")
    code, output = run_on_terminal(command, 80, {}, press)
    assert code == 2
    assert seen(output.replace("^C", ""))[-2:] == ["refused: nothing was removed", ""]
    assert backup.snapshot(1).is_dir()
