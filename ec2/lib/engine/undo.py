"""Undoes a restore by its id: what the script beside the restore's journal does, with a result."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from common.words import plural

from engine.command import arguments
from engine.command.execution import Result, RunOptions, execute
from engine.command.outcome import Failed, Refused, Stopped
from engine.command.process import StopSignals
from engine.command.summary import Fact
from engine.target.request import add_target_options, resolved_prefix
from engine.target.safety import target_lock
from engine.target.undo import Undo, UndoError, agreed, open_own, shown, summary
from engine.tree.descent import names_in
from engine.tree.reserved import SAFETY_PREFIX
from engine.tree.walls import opened_path

log = logging.getLogger(__name__)

DESCRIPTION = """\
Undo the restore ID of TARGET/PREFIX: put everything back as it was before. Nothing is deleted: what
the restore put in place, and what was written to it since, is moved to
TARGET/PREFIX/.efs-restore-ID.undo/restored/.
"""
EXIT_STATUS = """\
Exit status: 0 undone (or planned, with --dry-run), 1 not all could be put back, 2 refused with
nothing changed, 3 stopped; undoing it again goes on.
"""


@dataclass
class Options(RunOptions):
    target: Path
    prefix: str
    id: str
    dry_run: bool
    yes: bool


@dataclass
class UndoResult(Result):
    id: str = ""
    target: str = ""
    number_of_entries_put_back: int = 0
    number_of_entries_set_aside: int = 0
    text: str = ""

    def headline(self) -> str:
        return self.text

    def facts(self) -> list[Fact]:
        return [Fact("Undone", self.text)] if self.exit_code and self.text else []


def parse(words: list[str]) -> Options:
    parser = arguments.RunParser("efs-undo.sh", DESCRIPTION, EXIT_STATUS)
    add = parser.add_argument
    add_target_options(
        parser,
        "top of the file system that was restored into",
        "directory in it that was restored into (/)",
    )
    add(
        "--id",
        type=arguments.identifier,
        required=True,
        metavar="ID",
        help="of the restore: what comes after .efs-restore- in the names of its directories",
    )
    add("--dry-run", action="store_true", help="say how much would be moved, and change nothing")
    add("--yes", action="store_true", help="do not ask, where there is a terminal to ask at")
    return Options(**vars(parser.parse_args(words)))


def run(options: Options, work: Path, stop: StopSignals, result: UndoResult) -> None:
    options.target = arguments.writable_directory("--target", options.target)
    options.make_log_dir()
    root = resolved_prefix(options.target, options.prefix)
    if not root.is_dir():
        raise Refused(f"{str(root)!r} does not exist", "target")
    result.id, result.target = options.id, str(root)
    name = f"{SAFETY_PREFIX}{options.id}"
    with contextlib.ExitStack() as stack:
        target = stack.enter_context(opened_path(options.target))
        top = stack.enter_context(opened_path(root))
        try:
            own = open_own(top, name)
        except UndoError as error:
            raise Refused(f"{error}; {known(top)}", "target") from error
        stack.callback(os.close, own)
        question = f"This puts {shown(str(root))} back as it was before the restore {options.id}."
        undoing = Undo(top, own, name)
        if not options.dry_run:
            if not (options.yes or undoing.is_over() or agreed(question)):
                raise Refused("nothing was done")
            # Also if it seems to be over: one that is at work has not begun to change anything.
            stack.enter_context(target_lock(target, options.target))
        undo(undoing, root, options, stop, result)


def undo(work: Undo, root: Path, options: Options, stop: StopSignals, result: UndoResult) -> None:
    def on_tick() -> None:
        done = work.result
        result.progress.update(done.put_back + done.set_aside, unit="entries")
        if stop.received:
            raise Stopped("stopped; undo it again to go on")

    result.begin("undo")
    try:
        undone = work.run(options.dry_run, on_tick)
    finally:
        result.number_of_entries_put_back = work.result.put_back
        result.number_of_entries_set_aside = work.result.set_aside
    if options.dry_run:
        result.outcome = "planned"
    restored = root / f"{SAFETY_PREFIX}{options.id}.undo" / "restored"
    result.text = summary(undone, options.dry_run, shown(str(restored)))
    result.errors += [f"not undone: {problem}" for problem in undone.problems]
    if undone.problem_count:
        stay = plural(undone.problem_count, "entry stays as it is", "entries stay as they are")
        raise Failed("files", f"{stay}; see the errors")


def known(top: int) -> str:
    """The restores that can be undone there."""
    ends = (SAFETY_PREFIX, ".undo")
    names = (name for name in names_in(top) if name.startswith(ends[0]) and name.endswith(ends[1]))
    ids = ", ".join(sorted(shown(name[len(ends[0]) : -len(ends[1])]) for name in names))
    return f"there is: {ids}" if ids else "there is none"


if __name__ == "__main__":
    sys.exit(execute(parse, run, UndoResult("undone")))
