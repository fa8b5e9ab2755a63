"""The program of administrators; make's targets call it with --from-make."""

from __future__ import annotations

import os
import sys
from functools import partial

import shtab

from admin import (
    ask,
    backup_now,
    deploy,
    logs,
    manage,
    publish,
    restore,
    status,
    stop,
    undo,
)
from admin.acceptance import __main__ as acceptance
from admin.command import Given, run
from admin.cost import estimate
from admin.preflight import __main__ as preflight
from admin.program import Command, of_make, parsed, parser_of
from admin.wording import as_program

COMMANDS: tuple[Command, ...] = (
    preflight.COMMAND,
    deploy.COMMAND,
    estimate.COMMAND,
    acceptance.COMMAND,
    status.COMMAND,
    logs.COMMAND,
    backup_now.COMMAND,
    stop.COMMAND,
    *ask.COMMANDS,
    *manage.COMMANDS,
    restore.COMMAND,
    undo.COMMAND,
    publish.COMMAND,
)


def complete(given: Given) -> int:
    print(shtab.complete(parser_of(PROGRAM), given["SHELL"]))
    return 0


# What make has no target for.
PROGRAM = (
    *COMMANDS,
    Command(
        "completion",
        complete,
        'what completes commands in a shell: eval "$(efs2efs completion bash)"',
        choice=("SHELL", ("bash", "zsh")),
        stack=False,
    ),
)


def main() -> int:
    match sys.argv[1:]:
        case ["--from-make", name]:
            (command,) = (each for each in COMMANDS if each.name == name)
            given = of_make(os.environ)
        case words:
            as_program()
            command, given = parsed(PROGRAM, words)
    return run(partial(command.carry_out, given), command.interrupted)


if __name__ == "__main__":
    sys.exit(main())
