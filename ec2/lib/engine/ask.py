"""What snapshots hold, from their catalogs: find, diff, snapshots. Nothing is changed."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.command import arguments
from engine.command.outcome import FAILED, EngineError, Failed, Refused, sentence
from engine.command.process import interruptible
from engine.command.screen import Screen
from engine.command.text import command_line
from engine.history import shown
from engine.history.compare import PER_PAGE as CHANGES_PER_PAGE
from engine.history.compare import compare
from engine.history.members import Member, chosen, from_json, unambiguous, with_sizes
from engine.history.search import PER_PAGE, Pattern, Question, search
from engine.history.upkeep import InFolder, members_of
from engine.snapshots.choice import check_folder
from engine.snapshots.folder import SnapshotFolder
from engine.snapshots.retention import INTERVALS

FIND = """\
Find files in all snapshots in BACKUP/LABEL: each version of each that matches, the snapshots that
hold it, and how to restore it.
  report*.xlsx     a name; * and ? stand for anything but a slash, [a-z] for one of these
  /a/b             that file, or all below that directory
  /a/**/b          ** stands for anything
  photos/*.jpg     wherever such a path ends so
"""
DIFF = """\
What was added, changed and removed from one snapshot in BACKUP/LABEL to another.
"""
SNAPSHOTS = """\
The snapshots in BACKUP/LABEL: when each was made, what it holds, what removing it would free, and
why it is kept.
"""
EXIT_STATUS = """\
Exit status: 0 answered, 1 failed, 2 refused.
"""
INTERRUPTED = 130  # as shells call it
Answer = Any  # lines, or with --json what is written as that
WHICH = "2026-11-20, 2026-11-20T02:00, daily.3 or the name under which it is held"


def parser_of(action: str) -> argparse.ArgumentParser:
    description = {"find": FIND, "diff": DIFF, "snapshots": SNAPSHOTS}[action]
    parser = arguments.PlainParser(f"efs-{action}.sh", description, EXIT_STATUS)
    add = parser.add_argument
    add("--backup", type=arguments.directory, required=True, metavar="DIR", help="the backup")
    add("--folder", type=arguments.folder_label, required=True, metavar="LABEL", help="in it")
    add("--json", action="store_true", help="for programs")
    if action == "find":
        add("patterns", nargs="*", metavar="PATTERN", help="a name or a path, see above")
        add("--file", action="append", default=[], metavar="/PATH", help="a path, taken literally")
    if action == "diff":
        add("begin", metavar="FROM", help=WHICH)
        add("end", metavar="TO", help="likewise")
        add("--in", dest="inside", default="/", metavar="/PATH", help="only there (/)")
    if action != "snapshots":
        usual = PER_PAGE if action == "find" else CHANGES_PER_PAGE
        add("--page", type=arguments.count, default=1, metavar="N", help="which page (1)")
        add(
            "--per-page",
            type=arguments.count,
            default=usual,
            metavar="N",
            help=f"files on a page ({usual})",
        )
    return parser


def opened(options: argparse.Namespace) -> tuple[SnapshotFolder, list[Member]]:
    """The folder, and its snapshots with what the last runs have said of them."""
    backup = arguments.readable_directory("--backup", options.backup)
    path = backup / options.folder
    check_folder(path)
    folder = SnapshotFolder(path, INTERVALS[0])
    known = reasons(path)
    members = members_of(folder)
    return folder, [replace(each, why=known.get((each.id, each.name), "")) for each in members]


def reasons(path: Path) -> dict[tuple[str, str], str]:
    """Why each snapshot is kept, as the last run of each interval has decided: of one that was held
    or released since, the reason is another."""
    found: dict[tuple[str, str], str] = {}
    for interval in INTERVALS:
        try:
            members = from_json(SnapshotFolder(path, interval).listed.read_bytes())
        except (OSError, ValueError):
            continue
        found.update({(each.id, each.name): each.why for each in members if each.why})
    return found


def find(options: argparse.Namespace) -> Answer:
    asked = [*options.patterns, *options.file]
    if not asked or not all(asked):
        raise Refused("give what to find: a PATTERN, or --file; --help explains the arguments")
    folder, members = opened(options)
    patterns = [*map(Pattern.glob, options.patterns), *map(Pattern.path, options.file)]
    question = Question(patterns, options.page, options.per_page)
    answer = search(members, InFolder(folder), question)
    if options.json:
        return shown.answer_json(answer, options.page, options.per_page)

    def restore(member: Member, path: str, is_apart: bool) -> str:
        which = unambiguous(member, members)
        words = ["--backup", str(options.backup), "--folder", options.folder, "--snapshot", which]
        words += ["--target", "DIR", "--path", path]
        words += ["--mode", "NewDirectory"] if is_apart else []
        return command_line("efs-restore.sh", words)

    return shown.answer_lines(answer, options.page, options.per_page, restore, paging)


def diff(options: argparse.Namespace) -> Answer:
    folder, members = opened(options)
    begin, end = (chosen(text, members) for text in (options.begin, options.end))
    found = compare(
        begin, end, members, InFolder(folder), options.inside, options.page, options.per_page
    )
    if options.json:
        return shown.changes_json(begin, end, found, options.page, options.per_page)
    page = (options.page, options.per_page)
    return shown.changes_lines(begin, end, options.inside, found, *page, paging)


def paging(page: int) -> str:
    return f"--page {page}"


def snapshots(options: argparse.Namespace) -> Answer:
    folder, members = opened(options)
    found = with_sizes(members, InFolder(folder), set())
    if options.json:
        return shown.members_json(found)
    return shown.table(found, time.time())


ACTIONS = {"find": find, "diff": diff, "snapshots": snapshots}


def main(words: list[str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    errors = Screen(sys.stderr, os.environ)
    action, *rest = words
    try:
        with interruptible():
            options = parser_of(action).parse_args(rest)
            with errors.waiting("reading catalogs"):
                answer = ACTIONS[action](options)
            if options.json:
                print(json.dumps(answer, indent=1))
            else:
                for line in Screen(sys.stdout, os.environ).fitted(answer):
                    print(line)
            sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except EngineError as error:
        errors.line(sentence(error.outcome, str(error)), 2)
        return error.exit_code
    except BrokenPipeError:  # whoever read it has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        errors.line(sentence(Failed.outcome, str(error)), 2)
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
