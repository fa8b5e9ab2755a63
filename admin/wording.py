"""How a command is given, and what it takes, in the words of who gives it: of make or of efs2efs.

>>> Make().command("restore", {"STACK": "office", "DRYRUN": "yes", "SUBDIR": "/a b/"})
"make restore STACK=office DRYRUN=yes 'SUBDIR=/a b/'"
>>> Program().command("restore", {"STACK": "office", "DRYRUN": "yes", "SUBDIR": "/a b/"})
"efs2efs restore office --dry-run --subdir '/a b/'"
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping

NAME = "efs2efs"
# Of all commands, the options that are yes or no.
SWITCHES = {"ALLOW_NFS", "CREATE", "DRYRUN", "KEEP", "NOW", "WATCH", "YES"}


class Make:
    called = "make"

    def name(self, name: str) -> str:
        return name

    def value(self, name: str, value: str) -> str:
        """Not for a shell: as in a sentence."""
        return f"{name}={value}"

    def command(self, name: str, values: Mapping[str, str]) -> str:
        return shlex.join(["make", name, *(f"{key}={value}" for key, value in values.items())])


class Program(Make):
    def __init__(self, called: str = NAME) -> None:
        self.called = called

    def name(self, name: str) -> str:
        return flag(name) if name.isupper() else name

    def value(self, name: str, value: str) -> str:
        return " ".join(self._words(name, value))

    def command(self, name: str, values: Mapping[str, str]) -> str:
        stack = [values["STACK"]] if "STACK" in values else []
        rest = {key: value for key, value in values.items() if key != "STACK"}
        words = (word for key, value in rest.items() for word in self._words(key, value))
        return shlex.join([self.called, name, *stack, *words])

    def _words(self, name: str, value: str) -> Iterator[str]:
        if not name.isupper():  # a parameter of a template
            yield f"{name}={value}"
        elif name in SWITCHES:
            no = value.lower() in ("no", "n", "false", "0")
            yield f"--no-{flag(name)[2:]}" if no else flag(name)
        elif value.startswith("-"):
            yield f"{flag(name)}={value}"
        else:
            yield from (flag(name), value)


def flag(name: str) -> str:
    return {"DRYRUN": "--dry-run"}.get(name, f"--{name.lower().replace('_', '-')}")


_way = Make()


def as_program() -> None:
    """From now on, all is said as efs2efs takes it, by the name by which it was called."""
    global _way
    _way = Program(os.environ.get("EFS2EFS") or NAME)


def name_of(name: str) -> str:
    """RUN, or --run."""
    return _way.name(name)


def value_of(name: str, value: str) -> str:
    """RUN=id, or --run id."""
    return _way.value(name, value)


def is_command(line: str) -> bool:
    """Whether a line of a message is one to be typed: those stand alone, and are indented."""
    return line.startswith(("  make ", "  aws ", f"  {_way.called} "))


def command(name: str, values: Mapping[str, str] | None = None, **more: str) -> str:
    """To be typed: make status STACK=office RUN=id, or efs2efs status office --run id."""
    return _way.command(name, {**(values or {}), **more})
