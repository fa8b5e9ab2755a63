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
from admin.command import run
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


def main() -> int:
    match sys.argv[1:]:
        case ["--from-make", name]:
            (command,) = (each for each in COMMANDS if each.name == name)
            given = of_make(os.environ)
        case ["completion", ("bash" | "zsh") as shell]:
            print(shtab.complete(parser_of(COMMANDS), shell))
            return 0
        case words:
            as_program()
            command, given = parsed(COMMANDS, words)
    return run(partial(command.carry_out, given), command.interrupted)


if __name__ == "__main__":
    sys.exit(main())
