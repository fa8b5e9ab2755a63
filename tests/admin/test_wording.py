"""Commands and options as make has them, and as efs2efs does."""

import shlex
import subprocess
import sys

import pytest

from admin import wording
from admin.command import Given, run
from admin.commands import COMMANDS
from admin.program import parsed
from admin.wording import SWITCHES, Make, Program

VALUES = {
    "STACK": "b c",
    "REGION": "eu-west-1",
    "SUBDIR": "/a b/",
    "MODE": "Mirror",
    "DATE": "-1",
    "DRYRUN": "yes",
    "KEEP": "no",
    "RestorePrefix": "/p q",
}


def test_what_is_said_is_what_the_program_takes() -> None:
    called, *words = shlex.split(Program("./efs2efs").command("restore", VALUES))
    command, given = parsed(COMMANDS, words)
    assert (called, command.name, dict(given)) == ("./efs2efs", "restore", VALUES)


def test_make_is_told_variables() -> None:
    words = shlex.split(Make().command("restore", VALUES))
    assert words == ["make", "restore", *(f"{name}={value}" for name, value in VALUES.items())]


def test_the_switches_of_all_commands_are_known() -> None:
    options = [option for command in COMMANDS for option in command.options]
    assert {option.name for option in options if not option.metavar} == SWITCHES


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("diff s --to daily.0", "--from is missing. Give it like this: --from daily.3"),
        ("find s", "Give what to find: --name 'report*.xlsx' or --file /a/b"),
        ("find s --name a --file /b", "Give --name or --file, not both"),
        ("cost --files 1 --gb x", "--gb x is not a number"),
        ("preflight", "or --stack efs-backup for a stack"),
    ],
)
def test_the_program_speaks_of_itself(
    words: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(wording, "_way", Program())
    command, given = parsed(COMMANDS, words.split())
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert run(lambda: command.carry_out(Given(given))) == 1
    assert said in capsys.readouterr().err


def test_the_program_knows_what_it_was_called() -> None:
    words = [sys.executable, "-m", "admin", "diff", "s"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.stderr == "--from is missing. Give it like this: --from daily.3\n"
