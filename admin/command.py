"""The edge of each command: what the user gave, and errors as one plain sentence."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, Any, TextIO, cast

import boto3
from botocore import exceptions
from engine.command.process import interruptible
from engine.command.screen import Command, Screen, width
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from admin.wording import is_command, name_of, value_of

Clients = Callable[..., Any]
"""boto3's way to make the client of a service; typed Any, as its methods are made at run time."""

WIDTH_ELSEWHERE = 120
BAD_CREDENTIALS = {
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
NO_CREDENTIALS = (
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.CredentialRetrievalError,
    exceptions.TokenRetrievalError,
    exceptions.SSOError,
    exceptions.LoginError,
)
SET_CREDENTIALS = "Run `aws configure`, or set AWS_PROFILE to a profile of yours"


class AdminError(Exception):
    """The command cannot be carried out; the message says why, and what to do."""


class Given(Mapping[str, str]):
    """What the user gave to a command, as it was typed."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def required(self, name: str, example: str) -> str:
        if (value := self.get(name, "")).strip():
            return value
        raise AdminError(
            f"{name_of(name)} is missing. Give it like this: {value_of(name, example)}"
        )

    def yes(self, name: str, default: bool = False) -> bool:
        if name not in self:
            return default
        value = self[name].lower()
        if value in ("yes", "y", "true", "1"):
            return True
        if value in ("no", "n", "false", "0"):
            return False
        raise AdminError(f"{name_of(name)} is {self[name]!r}; it must be yes or no")

    def only(self, *names: str) -> None:
        """Raises AdminError for a variable that is none of these."""
        if unknown := sorted(self.keys() - set(names)):
            raise AdminError(
                f"Unknown: {', '.join(unknown)}. This command takes: "
                + ", ".join(map(name_of, names))
            )


def same_stack(given: Given) -> dict[str, str]:
    """What names the stack in another command."""
    return {name: given[name] for name in ("STACK", "REGION") if given.get(name)}


def clients(region: str | None) -> Clients:
    """The clients of the user's session, in a region or in the session's own."""
    # Of AWS's own programs, boto3 alone knows no AWS_REGION.
    session = boto3.Session(region_name=region or os.environ.get("AWS_REGION") or None)
    if not session.region_name:
        raise exceptions.NoRegionError()
    connect: Clients = session.client
    return connect


class SafeConsole(Console):
    """What is shown may hold the name of any file: only rich itself acts on the terminal."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(printable_lines(text), style)


def console(elsewhere: int = WIDTH_ELSEWHERE) -> Console:
    """On a terminal as wide as that; elsewhere of a fixed width and without colours."""
    columns = None if sys.stdout.isatty() else elsewhere
    return SafeConsole(width=columns, highlight=False, markup=False)


def needed(out: Console, shown: RenderableType) -> int:
    """The columns in which nothing of it would be broken."""
    return out.measure(shown, options=out.options.update(width=1000)).maximum


def confirmed(given: Given, what: str, look_first: str, verb: str, can_ask: bool) -> None:
    """Raises AdminError unless the user wants what is about to be done."""
    if given.yes("YES"):
        return
    text = f"{what}.\n{look_first}"
    if not can_ask:
        raise AdminError(f"{text}\nTo {verb} without a question, add {value_of('YES', '1')}")
    say(text)
    if answer(f"Type yes to {verb}: ") != "yes":
        raise AdminError("Nothing was done")


def answer(question: str) -> str:
    """What is typed, in small letters; empty when the input ends instead."""
    try:
        return input(question).strip().lower()
    except EOFError:
        return ""


def printable(text: str) -> str:
    """The text on one line, without what no terminal should get, as in the name of a file."""
    return "".join(c if c.isprintable() else " " for c in text)


def printable_lines(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))


def say(text: object, file: IO[str] | None = None) -> None:
    """Print lines in which a name or an answer of AWS may stand, on a terminal broken between
    words; a command so that a shell does not mind."""
    screen = Screen(cast(TextIO, file or sys.stdout), os.environ)
    lines = printable_lines(str(text)).split("\n")
    for line in screen.fitted(Command(each) if is_command(each) else each for each in lines):
        print(line, file=file)


def say_command(why: str, typed: str, file: IO[str] | None = None) -> None:
    """A command to be typed, beside what it is for. Where that is too long, it is below it, broken
    so that a shell does not mind."""
    screen = Screen(cast(TextIO, file or sys.stdout), os.environ)
    line = f"{why}: {typed}"
    if screen.columns is None or width(line) <= screen.columns:
        say(line, file)
    else:
        say(f"{why}:", file)
        screen.command(f"  {typed}")


def run(main: Callable[[], int], interrupted: str = "Interrupted") -> int:
    """The exit code of a command: what main returns, or 1 after an error.

    interrupted: what to say at Ctrl-C, when something goes on without this command.
    """
    try:
        with interruptible():
            return main()
    except KeyboardInterrupt as stop:
        say(f"\n{str(stop) or interrupted}", sys.stderr)
        return 130
    except (AdminError, exceptions.ClientError, exceptions.BotoCoreError, OSError) as error:
        say(said(error), sys.stderr)
    return 1


def said(error: Exception) -> object:
    """What went wrong, for the user, and what to do."""
    match error:
        case exceptions.NoRegionError():
            give = value_of("REGION", "eu-west-1")
            return f"No region is set. Give one, {give}, or set AWS_REGION"
        case exceptions.ProfileNotFound():
            return f"{error}. {SET_CREDENTIALS}"
        case exceptions.ClientError():
            return explained(error)
        case exceptions.BotoCoreError() if isinstance(error, NO_CREDENTIALS):
            return f"There are no usable AWS credentials ({sentence(error)}). {SET_CREDENTIALS}"
        case exceptions.BotoCoreError():
            return f"{sentence(error)}. Check the name of the region, and the network"
        case OSError(strerror=str(why), filename=file) if file is not None:
            return f"{file}: {why}"
    return error


def explained(error: exceptions.ClientError) -> str:
    code, message = (error.response["Error"].get(key, "") for key in ("Code", "Message"))
    if code in BAD_CREDENTIALS:
        return f"AWS refused the credentials ({code}: {message}). {SET_CREDENTIALS}"
    return f"AWS refused {error.operation_name} ({code}): {message}"


def sentence(error: Exception) -> str:
    """A message without the full stop and the line breaks that it may have."""
    return " ".join(str(error).split()).rstrip(".")
