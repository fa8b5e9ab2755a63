"""The edge of the commands: what they take, and errors as one sentence without a traceback."""

import re
import subprocess
import sys
from collections.abc import Callable
from io import StringIO

import boto3
import pytest
from botocore import exceptions
from rich.progress import Progress, TextColumn
from rich.table import Table
from rich.text import Text

from admin import command
from admin.command import AdminError, Given, clients, run
from tests.terminals import Terminal, check_width, seen


def refused(code: str, message: str) -> exceptions.ClientError:
    error = {"Error": {"Code": code, "Message": message}}
    return exceptions.ClientError(error, "DescribeStacks")


def fail(error: BaseException) -> Callable[[], int]:
    def main() -> int:
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (AdminError("There is no stack x"), 1, "There is no stack x"),
        (exceptions.NoCredentialsError(), 1, "no usable AWS credentials"),
        (exceptions.UnauthorizedSSOTokenError(), 1, "no usable AWS credentials"),
        (refused("ExpiredToken", "The token has expired"), 1, "refused the credentials (Expired"),
        (refused("AccessDenied", "not authorized"), 1, "DescribeStacks (AccessDenied): not auth"),
        (exceptions.NoRegionError(), 1, "REGION=eu-west-1"),
        (exceptions.ProfileNotFound(profile="x"), 1, "AWS_PROFILE"),
        (exceptions.EndpointConnectionError(endpoint_url="https://x"), 1, "name of the region"),
        (PermissionError(13, "Permission denied", "README.md"), 1, "README.md: Permission denied"),
        (KeyboardInterrupt(), 130, "The backup goes on"),
        (KeyboardInterrupt("It is being restored"), 130, "It is being restored"),
    ],
)
def test_an_error_is_a_sentence(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(fail(error), "The backup goes on") == code
    shown = capsys.readouterr().err.strip()
    assert said in shown
    assert len(shown.splitlines()) == 1


def test_a_terminal_breaks_no_word_of_it() -> None:
    terminal = Terminal(30)
    command.say("Nothing was done, as the stack is not there\n  and more", terminal.stream)
    output = terminal.read()
    check_width(output, 30)
    assert seen(output) == ["Nothing was done, as the stack", "  is not there", "  and more", ""]


HOSTILE = "a\x1b[2J\x07\x9b31m\u202egpj\ud800 größe"


def test_no_answer_acts_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(fail(refused("Denied", HOSTILE))) == 1
    assert capsys.readouterr().err.endswith("a [2J  31m gpj  größe\n")


@pytest.mark.parametrize("terminal", [True, False])
def test_only_rich_acts_on_the_terminal(terminal: bool) -> None:
    out = command.SafeConsole(file=StringIO(), force_terminal=terminal, markup=False, width=60)
    table = Table(title=HOSTILE)
    table.add_column(HOSTILE)
    table.add_row(Text(HOSTILE, "red"))
    out.print(table)
    out.print(HOSTILE, style="bold")
    with Progress(TextColumn("{task.description}", markup=False), console=out) as bar:
        bar.add_task(HOSTILE)
    text = out.file.getvalue()  # type: ignore[attr-defined]
    styles = re.sub(r"\x1b\[(\d+(;\d+)*)?m|\x1b\[\?25[hl]|\x1b\[[12]?[AKG]|\r", "", text)
    assert all(c.isprintable() or c == "\n" for c in styles)
    assert ("\x1b[1m" in text) == terminal
    assert "größe" in text


def test_a_locale_that_cannot_show_all_is_no_error() -> None:
    environment = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    words = [sys.executable, "-m", "admin"]
    done = subprocess.run([*words, "acceptance", "--help"], env=environment, capture_output=True)
    assert b"--vpc vpc-\\u2026 " in done.stdout, done.stderr
    done = subprocess.run([*words, "cost", "--gr\xf6\xdfe"], env=environment, capture_output=True)
    assert b"does not take --gr" in done.stderr


def test_a_bug_is_not_hidden() -> None:
    with pytest.raises(KeyError):
        run(fail(KeyError("bug")))


def test_what_is_missing_is_named_with_an_example() -> None:
    for environment in ({}, {"STACK": " "}):
        with pytest.raises(AdminError, match=r"STACK is missing.*STACK=efs-backup"):
            Given(environment).required("STACK", "efs-backup")


def test_what_is_unknown_is_named_with_what_there_is() -> None:
    given = Given({"STAK": "a", "RUNS": "3"})
    with pytest.raises(AdminError, match=r"STAK.*takes: STACK, RUNS"):
        given.only("STACK", "RUNS")


@pytest.mark.parametrize(
    ("value", "expected"), [("Yes", True), ("1", True), ("no", False), ("0", False)]
)
def test_yes_and_no(value: str, expected: bool) -> None:
    assert Given({"WATCH": value}).yes("WATCH", default=True) is expected


@pytest.mark.parametrize("value", ["maybe", "", " "])
def test_maybe(value: str) -> None:
    """An empty one is a variable that somebody forgot to set."""
    with pytest.raises(AdminError, match=f"YES is '{value}'"):
        Given({"YES": value}).yes("YES")


def test_the_region_that_is_given_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert clients("eu-west-1")("s3").meta.region_name == "eu-west-1"
    assert clients("")("s3").meta.region_name == "us-east-1"


def test_the_region_of_aws_s_own_programs_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert clients(None)("s3").meta.region_name == "eu-west-3"
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    assert clients("")("s3").meta.region_name == "eu-west-3"
    assert clients("eu-west-1")("s3").meta.region_name == "eu-west-1"


def test_without_any_region(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    assert boto3.Session().region_name is None
    with pytest.raises(exceptions.NoRegionError):
        clients(None)


def test_a_command_in_a_message_is_broken_for_a_shell() -> None:
    terminal = Terminal(30)
    command.say(
        "It is gone. See what came of it:\n  make status STACK=office RUN=0", terminal.stream
    )
    lines = terminal.read().replace("\r\n", "\n").splitlines()
    assert lines[-2:] == ["  make status STACK=office \\", "    RUN=0"]
