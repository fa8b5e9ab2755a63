"""Checks of what a user can type. Each message names the value and what to do."""

from __future__ import annotations

import argparse
import calendar
import contextlib
import itertools
import os
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NoReturn

from engine.command.outcome import Refused
from engine.command.screen import broken, filled

INTERVALS = ("daily", "weekly", "monthly")
LABEL_LIMIT = 100


class Help(argparse.HelpFormatter):
    """As wide as the terminal, and broken between words. Lines of a description that are indented
    stay lines. The usage has what must be given; what may be is below it."""

    def _format_usage(
        self,
        usage: str | None,
        actions: Iterable[argparse.Action],
        groups: Iterable[argparse._MutuallyExclusiveGroup],
        prefix: str | None,
    ) -> str:
        actions = [*actions]
        begin = f"{'usage: ' if prefix is None else prefix}{self._prog}"
        parts = [*self._needed(actions, groups)]
        optional = [each for each in actions if not each.required and each.dest != "help"]
        if optional and not any(isinstance(each, argparse._SubParsersAction) for each in actions):
            parts.append("[OPTION ...]")
        indent = len(begin) + 1 if len(begin) < self._width // 2 else 4
        lines = filled([begin, *(f" {part}" for part in parts)], self._width, indent)
        return "\n".join(lines) + "\n\n"

    def _needed(
        self,
        actions: Iterable[argparse.Action],
        groups: Iterable[argparse._MutuallyExclusiveGroup],
    ) -> Iterator[str]:
        for action in actions:
            if action.required:
                yield self._said(action)
        for group in groups:
            if group.required:
                first, *others = map(self._said, group._group_actions)
                yield "(" + first
                yield from (f"| {other}" for other in others[:-1])
                yield f"| {others[-1]})"

    def _said(self, action: argparse.Action) -> str:
        if not action.option_strings:
            return self._format_args(action, self._get_default_metavar_for_positional(action))
        value = self._format_args(action, self._get_default_metavar_for_optional(action))
        return f"{action.option_strings[0]} {value}".rstrip()

    def _format_action(self, action: argparse.Action) -> str:
        if isinstance(action, argparse._SubParsersAction):  # each of them, and no title
            return "".join(map(self._format_action, action._get_subactions()))
        return super()._format_action(action)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if isinstance(action, argparse.BooleanOptionalAction):
            return f"--[no-]{action.option_strings[0][2:]}"
        return super()._format_action_invocation(action)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return [*broken(" ".join(text.split()), width, 0)]

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        parts: list[str] = []
        for line in text.strip("\n").split("\n"):
            if parts and not any(each.startswith(" ") for each in (parts[-1], line)):
                parts[-1] += f" {line}"
            else:
                parts.append(line)
        lines = (broken(part, width, self._hanging(part)) for part in parts)
        return "\n".join(itertools.chain.from_iterable(lines)) + "\n"

    @staticmethod
    def _hanging(line: str) -> int:
        """How far what follows is indented: in a table of two columns, to the second."""
        column = re.match(r" +\S+  +", line)
        return column.end() if column else 0


class PlainParser(argparse.ArgumentParser):
    """Raises :class:`Refused` for bad arguments."""

    def __init__(self, prog: str, description: str, epilog: str) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            formatter_class=Help,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        raise Refused(f"{message}; --help explains the arguments")


class RunParser(PlainParser):
    """What the engine's commands that do something are told alike."""

    def __init__(self, prog: str, description: str, epilog: str) -> None:
        super().__init__(prog, description, epilog)
        told = self.add_argument_group("what is said and kept")
        add = told.add_argument
        add(
            "--log-dir",
            type=directory,
            metavar="DIR",
            help="keep the logs there; without, those of the last few failures are in $TMPDIR or "
            "/var/tmp",
        )
        add("--result", type=directory, metavar="FILE", help="write what was done as JSON")
        add("--progress", type=directory, metavar="FILE", help="write what is being done as JSON")
        loudness = told.add_mutually_exclusive_group().add_argument
        loudness("--quiet", action="store_true", help="say only what is wrong")
        loudness("--verbose", action="store_true", help="say all that is done, and each warning")


class Parser(RunParser):
    """Likewise for those that need a backup. usual: the interval that needs not be given."""

    def __init__(self, prog: str, description: str, epilog: str, usual: str = "") -> None:
        super().__init__(prog, description, epilog)
        add = self.add_argument
        add("--backup", type=directory, required=True, metavar="DIR", help="where snapshots live")
        add("--folder", type=folder_label, required=True, metavar="LABEL", help="folder in it")
        add(
            "--interval",
            type=interval,
            required=not usual,
            default=usual or None,
            metavar="daily|weekly|monthly",
            help="what the snapshots are called" + (f" ({usual})" if usual else ""),
        )


def add_jobs(parser: argparse.ArgumentParser) -> None:
    jobs = 4 * (os.cpu_count() or 1)
    parser.add_argument(
        "--jobs", type=count, default=jobs, metavar="N", help=f"rsync jobs ({jobs})"
    )


def add_clock_skew(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--clock-skew",
        type=number,
        default=60,
        metavar="SECONDS",
        help="how far the clocks of both file systems may be apart (60)",
    )


def directory(value: str) -> Path:
    """Without this, an empty variable would mean the current directory."""
    if not value:
        raise argparse.ArgumentTypeError("'' is empty; give a directory, like /mnt/data")
    return Path(value)


def interval(value: str) -> str:
    if value not in INTERVALS:
        raise argparse.ArgumentTypeError(f"must be daily, weekly or monthly, not {value!r}")
    return value


def count(value: str) -> int:
    """A whole number from 1 to 99999."""
    if not re.fullmatch(r"[1-9][0-9]{0,4}", value, re.ASCII):
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 99999, not {value!r}")
    return int(value)


def percent(value: str) -> int:
    if not re.fullmatch(r"0|[1-9][0-9]?|100", value, re.ASCII):
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to 100, not {value!r}")
    return int(value)


def number(value: str) -> int:
    """A snapshot's number: 0 is the newest."""
    if not re.fullmatch(r"0|[1-9][0-9]{0,4}", value, re.ASCII):
        raise argparse.ArgumentTypeError(f"must be a whole number, 0 or more, not {value!r}")
    return int(value)


def inner_path(value: str) -> str:
    """An absolute path inside a file system as a relative one, without detours ('' for '/')."""
    parts = [part for part in value.split("/") if part not in ("", ".")]
    if not value.startswith("/") or ".." in parts:
        raise argparse.ArgumentTypeError(f"{value!r} must be a path like /a/b, without '..'")
    if re.search(r"[\x00-\x1f\x7f]", value):
        raise argparse.ArgumentTypeError(f"{value!r} contains a control character")
    return "/".join(parts)


def path_to_restore(value: str) -> str:
    """A path as one relative to the snapshot's top; a slash at its end stays, and says that it is a
    directory's."""
    path = inner_path(value)
    return f"{path}/" if path and value.endswith("/") else path


def moment(value: str) -> tuple[int, int]:
    """A time in UTC, or a day or minute, as its first second and the one after its last."""
    for form, seconds in (("%Y-%m-%d", 86400), ("%Y-%m-%dT%H:%M", 60), ("%Y-%m-%dT%H:%M:%SZ", 1)):
        with contextlib.suppress(ValueError):
            begin = calendar.timegm(time.strptime(value, form))
            return begin, begin + seconds
    raise argparse.ArgumentTypeError(
        f"{value!r} must be a time in UTC like 2026-11-20, 2026-11-20T02:00 or 2026-11-20T02:00:11Z"
    )


def identifier(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}", value):
        raise argparse.ArgumentTypeError(f"{value!r} must be letters, digits and dashes")
    return value


def folder_label(value: str) -> str:
    """One directory name that is not hidden: the same rule as the template's pattern."""
    problems = [
        (not value, "is empty"),
        (value.startswith((".", "-")), f"starts with {value[:1]!r}"),
        ("/" in value, "contains '/'"),
        (".." in value, "contains '..'"),
        (bool(re.search(r"[\x00-\x1f\x7f]", value)), "contains a control character"),
        (len(value) > LABEL_LIMIT, f"is longer than {LABEL_LIMIT} characters"),
    ]
    for found, problem in problems:
        if found:
            raise argparse.ArgumentTypeError(f"{value!r} {problem}; use one plain directory name")
    return value


def readable_directory(option: str, path: Path) -> Path:
    """``path`` in its canonical form. Raises :class:`Refused` if it cannot be listed."""
    if not path.exists():
        raise Refused(f"{option} {str(path)!r} does not exist")
    if not path.is_dir():
        raise Refused(f"{option} {str(path)!r} is not a directory")
    if not os.access(path, os.R_OK | os.X_OK):
        raise Refused(f"{option} {str(path)!r} cannot be read by this user")
    return path.resolve(strict=True)


def writable_directory(option: str, path: Path) -> Path:
    path = readable_directory(option, path)
    if not os.access(path, os.W_OK):
        raise Refused(f"{option} {str(path)!r} cannot be written by this user")
    return path


def check_apart(role: str, live: Path, backup: Path) -> None:
    """A snapshot inside its own source would contain itself, and more so each day.

    ``role`` is what messages call ``live``: source or target.
    """
    if live == backup or backup in live.parents:
        raise Refused(f"the {role} {str(live)!r} lies inside the backup {str(backup)!r}")
    if live in backup.parents:
        raise Refused(f"the backup {str(backup)!r} lies inside the {role} {str(live)!r}")
