"""efs2efs: each command, what it takes, and the same from make."""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from admin.command import AdminError, Given
from admin.commands import COMMANDS, PROGRAM
from admin.program import Command, Option, of_make, parsed, parser_of
from tests.terminals import Terminal, check_help, check_width
from tools import build

MAKEFILE = Path("Makefile").read_text()


def made_up(**values: object) -> Command:
    options = (Option("RUN", "id", "which"), Option("DRYRUN", "", "change nothing"))
    return Command("look", dict, "look at it", options, **values)  # type: ignore[arg-type]


def given(words: str, command: Command | None = None) -> dict[str, str]:
    return dict(parsed([command or made_up()], words.split())[1])


def test_options_are_named_as_in_make() -> None:
    assert given("look s --run a=b --dry-run") == {"STACK": "s", "RUN": "a=b", "DRYRUN": "yes"}
    assert given("look --no-dry-run s") == {"STACK": "s", "DRYRUN": "no"}
    assert given("look", made_up(stack=False)) == {}


def test_parameters_of_a_template_come_between_options() -> None:
    found = given("look s A=1=2 --run x Subnets=a,b", made_up(parameters=True))
    assert found == {"STACK": "s", "RUN": "x", "A": "1=2", "Subnets": "a,b"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("look", "required: STACK"),
        ("see s", "invalid choice: 'see'"),
        ("look s A=1", "efs2efs look does not take A=1"),
        ("look s --rum x", "efs2efs look does not take --rum x"),
        ("look s --dry-run perhaps", "does not take perhaps"),
        ("look s --dry", "efs2efs look does not take --dry"),
        ("", "    look "),
    ],
)
def test_what_a_command_does_not_take(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        given(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", ["look s STACK=t", "look s --dry-run DRYRUN=no", "look s A=1 A=2"]
)
def test_what_is_given_twice_is_refused(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        given(words, made_up(parameters=True))
    assert "twice" in capsys.readouterr().err


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """The project's programs, with a Python that tells what it is called with."""
    (tmp_path / "tools").mkdir()
    (tmp_path / ".venv/bin").mkdir(parents=True)
    for name in ("Makefile", "efs2efs"):
        shutil.copy(name, tmp_path)
    for name, script in {
        "tools/setup.sh": f'echo "$@" >>{tmp_path}/set-up; echo {tmp_path}/.venv/bin/python',
        ".venv/bin/python": f'echo "$@: $MAKEFLAGS"; exec {sys.executable} -c "import platform"',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    return tmp_path


def make(top: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", "-C", top, *words], capture_output=True, text=True)


def test_make_carries_out_nothing_that_the_name_of_a_file_says(elsewhere: Path) -> None:
    done = make(elsewhere, "find", "STACK=s", f"FILE=/a/$(shell touch {elsewhere}/owned)")
    assert "--from-make find" in done.stdout
    assert "FILE=/a/$$(shell" in done.stdout
    assert not (elsewhere / "owned").exists()


@pytest.mark.parametrize("words", ["restore STACK=s YES=1 DRYRUN", "restore DRYRUN= yes"])
def test_make_carries_out_nothing_when_a_word_is_too_many(elsewhere: Path, words: str) -> None:
    done = make(elsewhere, *words.split())
    assert done.returncode == 2
    assert "restore" not in done.stdout
    assert "NAME=value" in done.stderr


@pytest.mark.parametrize("words", ["demo source=/etc", "build VERSION=v1 bucket=b", "bench ARG=1"])
def test_make_carries_out_nothing_with_a_variable_that_it_does_not_know(
    elsewhere: Path, words: str
) -> None:
    done = make(elsewhere, *words.split())
    assert done.returncode == 2
    assert "python" not in done.stdout
    name = words.split()[-1].partition("=")[0]
    assert f"Unknown: {name}.\nmake {words.split()[0]} takes: " in done.stderr
    assert max(map(len, done.stderr.splitlines())) <= 80


def test_make_passes_on_what_it_knows(elsewhere: Path) -> None:
    done = make(elsewhere, "demo", "SOURCE=/a b", "PAGE=no")
    assert "-m local.demo --source /a b --page no" in done.stdout


def test_the_program_imports_nothing_from_where_it_is_called(
    elsewhere: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    here = tmp_path_factory.mktemp("hostile")
    (here / "platform.py").write_text("raise SystemExit('owned')")
    assert subprocess.run([elsewhere / "efs2efs", "status"], cwd=here).returncode == 0


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("", "python"),
        ("--version", "python"),
        ("status --help", "python"),
        ("find office -h", "python"),
        ("status office", "admin"),
        ("deploy office --version v2.0.0", "admin"),
        ("find office --name=--help", "admin"),
    ],
)
def test_questions_need_nothing_that_set_up_installs(
    elsewhere: Path, words: str, what: str
) -> None:
    subprocess.run([elsewhere / "efs2efs", *words.split()], check=True, capture_output=True)
    assert (elsewhere / "set-up").read_text() == f"{what}\n"


@pytest.mark.parametrize("words", ["--help", "--version", "restore --help", "restore", ""])
def test_questions_are_answered_without_any_packages(words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-m", "admin", *words.split()], capture_output=True, text=True
    )
    assert "efs2efs" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_ends_it_in_silence_while_it_is_loaded(tmp_path: Path) -> None:
    """Python would show where it was."""
    (tmp_path / "boto3.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    done = subprocess.run(
        [sys.executable, "-m", "admin", "status", "office"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (-2, b"", b"")


def test_help_breaks_no_word(monkeypatch: pytest.MonkeyPatch) -> None:
    program = parser_of(PROGRAM)
    check_help(program, monkeypatch)
    (commands,) = (a for a in program._actions if isinstance(a, argparse._SubParsersAction))
    for parser in commands.choices.values():
        assert check_help(parser, monkeypatch).startswith(f"usage: {parser.prog} ")


def test_a_refusal_breaks_no_word(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(60)
    monkeypatch.setattr(sys, "stderr", terminal.stream)
    with pytest.raises(SystemExit):
        given("complete", made_up())
    output = terminal.read()
    assert "invalid choice: 'complete'" in output
    check_width(output, 60)


def test_make_may_not_give_anything_else() -> None:
    with pytest.raises(AdminError, match=r"Unknown: STAK\. This command takes: STACK, RUN, DRYRUN"):
        made_up().carry_out(Given({"STAK": "s"}))


def test_with_make_e_all_is_given_or_it_says_that_nothing_is(elsewhere: Path) -> None:
    (flags,) = re.findall("status: (.*)", make(elsewhere, "-e", "status", "STACK=s").stdout)
    if "STACK" in flags:
        assert of_make({"MAKEFLAGS": flags}) == {"STACK": "s"}
    else:
        with pytest.raises(SystemExit, match="without -e"):
            of_make({"MAKEFLAGS": flags})


def test_without_make_nothing_is_given() -> None:
    assert dict(of_make({})) == {}
    assert dict(of_make({"MAKEFLAGS": "-k -j2"})) == {}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_each_is_a_target_of_make_and_has_help(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    (targets,) = re.findall("^ADMIN := (.*)$", MAKEFILE, re.MULTILINE)
    assert command.name in targets.split()
    assert re.search(rf"^{command.name}: ## \w", MAKEFILE, re.MULTILINE)
    with pytest.raises(SystemExit):
        parser_of(COMMANDS).parse_args([command.name, "--help"])
    shown = capsys.readouterr().out
    assert all(option.help.split()[0] in shown for option in command.options)


def test_all_targets_are_commands() -> None:
    (targets,) = re.findall("^ADMIN := (.*)$", MAKEFILE, re.MULTILINE)
    assert sorted(targets.split()) == sorted(command.name for command in COMMANDS)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--help"], "\n  completion "),
        (["completion", "--help"], "bash or zsh"),
        (["completion", "fish"], "(choose from bash, zsh)"),
        (["complete"], " completion)"),
        (["--version"], f"efs2efs {build.source_version()}"),
    ],
)
def test_what_make_has_no_target_for(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parsed(PROGRAM, words)
    assert said in "".join(capsys.readouterr()).replace("'", "")  # some versions quote choices


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_shells_complete_the_commands(shell: str) -> None:
    words = [sys.executable, "-m", "admin", "completion", shell]
    script = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert "backup-now" in script
    assert "--dry-run" in script


@pytest.mark.parametrize("target", ["demo", "build", "bench"])
def test_what_a_recipe_uses_it_takes(target: str) -> None:
    (recipe,) = re.findall(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    (taken,) = re.findall(rf"^TAKES_{target} := (.*)$", MAKEFILE, re.MULTILINE)
    assert set(re.findall(r"\$\$([A-Z]+)", recipe)) == set(taken.split())
