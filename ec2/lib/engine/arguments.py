"""Checks of what a user can type. Each message names the value and what to do."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import NoReturn

from engine.outcome import Refused

INTERVALS = ("daily", "weekly", "monthly")
LABEL_LIMIT = 100


class Parser(argparse.ArgumentParser):
    """An argument parser that raises :class:`Refused` instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        raise Refused(f"{message}; --help explains the arguments")


def interval(value: str) -> str:
    if value not in INTERVALS:
        raise argparse.ArgumentTypeError(f"must be daily, weekly or monthly, not {value!r}")
    return value


def count(value: str) -> int:
    """A whole number from 1 to 99999."""
    if not re.fullmatch(r"[1-9][0-9]{0,4}", value, re.ASCII):
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 99999, not {value!r}")
    return int(value)


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


def check_apart(source: Path, backup: Path) -> None:
    """A snapshot inside its own source would contain itself, and more so each day."""
    if source == backup or backup in source.parents:
        raise Refused(f"the source {str(source)!r} lies inside the backup {str(backup)!r}")
    if source in backup.parents:
        raise Refused(f"the backup {str(backup)!r} lies inside the source {str(source)!r}")
