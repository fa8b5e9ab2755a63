"""The program of administrators; make's targets call it with --from-make."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial


def main() -> int:
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # in silence, until something has begun
    from admin.commands import COMMANDS, PROGRAM  # which takes its time
    from admin.program import of_make, parsed
    from admin.wording import as_program

    # In a locale that cannot show all characters, they are escaped.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    match sys.argv[1:]:
        case ["--from-make", name]:
            (command,) = (each for each in COMMANDS if each.name == name)
            given = of_make(os.environ)
        case words:
            as_program()
            command, given = parsed(PROGRAM, words)
    from admin.command import Given, run  # whose packages nobody needs for help

    return run(partial(command.carry_out, Given(given)), command.interrupted)


if __name__ == "__main__":
    sys.exit(main())
