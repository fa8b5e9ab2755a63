"""What a command is called, and takes, in `efs2efs` and in make.

efs2efs status office --run 20261120-021503
make status STACK=office RUN=20261120-021503
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from engine.command.arguments import Help
from engine.command.screen import Screen

from admin.wording import NAME, flag
from tools import build

if TYPE_CHECKING:
    from admin.command import Given

PARAMETER = re.compile(r"([A-Za-z][A-Za-z0-9]*)=(.*)", re.DOTALL)
ANY_PARAMETER = "Any parameter of the template: NAME=VALUE"


class Option(NamedTuple):
    """name: as in make. metavar: what its value looks like; empty if it is yes or no."""

    name: str
    metavar: str
    help: str

    @property
    def flag(self) -> str:
        return flag(self.name)


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        Screen(sys.stderr, os.environ).line(f"{self.prog}: error: {message}; --help tells more", 2)
        self.exit(2)


@dataclass(frozen=True)
class Command:
    """One subcommand, and make target.

    stack: whether it is about one backup stack, which is its first argument. parameters: whether it
    takes parameters of a template, too, as NAME=VALUE. interrupted: what to say at Ctrl-C. choice:
    the name of its first argument, if it has to be one of these.
    """

    name: str
    main: Callable[[Given], int]
    summary: str
    options: tuple[Option, ...] = ()
    stack: bool = True
    parameters: bool = False
    interrupted: str = "Interrupted"
    choice: tuple[str, tuple[str, ...]] | None = None
    more: str = ""

    @property
    def takes(self) -> tuple[str, ...]:
        """The names of what it takes, but for parameters of a template."""
        first = ("STACK",) if self.stack else (self.choice[0],) if self.choice else ()
        return *first, *(option.name for option in self.options)

    def carry_out(self, given: Given) -> int:
        if not self.parameters:  # those that take parameters know which, of which template
            given.only(*self.takes)
        return self.main(given)

    def add_to(self, commands: argparse._SubParsersAction[Parser]) -> None:
        parser = commands.add_parser(
            self.name,
            help=self.summary,
            description=f"{self.summary[0].upper()}{self.summary[1:]}.",
            epilog=self.more or (ANY_PARAMETER if self.parameters else ""),
            allow_abbrev=False,
            formatter_class=Help,
        )
        if self.stack:
            parser.add_argument("STACK", help="the name of the backup stack")
        if self.choice:
            name, choices = self.choice
            parser.add_argument(name, choices=choices, help=" or ".join(choices))
        for option in self.options:
            if option.metavar:
                parser.add_argument(
                    option.flag, dest=option.name, metavar=option.metavar, help=option.help
                )
            else:
                parser.add_argument(
                    option.flag,
                    dest=option.name,
                    action=argparse.BooleanOptionalAction,
                    help=option.help,
                )


class Version(argparse.Action):
    """Of the sources, as deploy calls their release: to know it takes reading them all."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(f"{NAME} {build.source_version()}")
        parser.exit()


def parser_of(commands: Iterable[Command]) -> argparse.ArgumentParser:
    parser = Parser(
        prog=NAME,
        formatter_class=Help,
        description="Deploy, operate and restore backups of Amazon EFS.",
        epilog=f"{NAME} COMMAND --help tells what a command takes.",
    )
    parser.add_argument("--version", action=Version, nargs=0, help="of the sources that it deploys")
    found = parser.add_subparsers(
        title="commands", dest="COMMAND", metavar="COMMAND", required=True
    )
    for command in commands:
        command.add_to(found)
    return parser


def parsed(
    commands: Sequence[Command], words: Sequence[str] | None
) -> tuple[Command, dict[str, str]]:
    """The command that is meant, and what it is given. Ends the program if there is none."""
    parser = parser_of(commands)
    if words is not None and not words:
        parser.print_help(sys.stderr)
        sys.exit(2)
    known, others = parser.parse_known_args(words)
    found = vars(known)
    (command,) = (each for each in commands if each.name == found["COMMAND"])
    parameters = [PARAMETER.fullmatch(word) for word in others if command.parameters]
    if unknown := [word for word, is_one in zip_longest(others, parameters) if not is_one]:
        parser.error(f"{NAME} {command.name} does not take {' '.join(unknown)}")
    if command.stack and not found["STACK"].strip():
        parser.error(f"{NAME} {command.name} is given no name of a stack")
    yes_or_no = {True: "yes", False: "no"}
    values = {
        name: yes_or_no.get(value, value)
        for name in command.takes
        if (value := found[name]) is not None
    }
    for name, value in (match.groups() for match in parameters if match):
        if name in values:
            parser.error(f"{NAME} {command.name} is given {name} twice")
        values[name] = value
    return command, values


def of_make(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of make's command line, as they were typed.

    make passes them on in MAKEFLAGS: blanks and backslashes with a backslash before them, and each
    dollar sign twice. With -e, make 4.3 passes on the name of its own variable that has them.
    """
    _, _, words = f" {environment.get('MAKEFLAGS', '')}".partition(" -- ")
    if words == "$(MAKEOVERRIDES)":
        sys.exit("make -e hands on none of the values: call it without -e")
    return dict(assignments(words))


def assignments(words: str) -> Iterator[tuple[str, str]]:
    for word in re.findall(r"(?:[^\\ ]|\\.)+", words, re.DOTALL):
        name, is_one, value = re.sub(r"\\(.)", r"\1", word, flags=re.DOTALL).partition("=")
        if is_one:
            yield name.rstrip(":"), value.replace("$$", "$")
