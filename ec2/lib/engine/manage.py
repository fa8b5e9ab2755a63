"""Holds, releases and removes single snapshots."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.command import arguments
from engine.command.execution import Result, RunOptions, execute
from engine.command.outcome import Failed, Refused
from engine.command.process import StopSignals
from engine.snapshots.choice import NAMES, Snapshot, Wanted, find_snapshot, hold_name, wanted
from engine.snapshots.folder import SnapshotFolder
from engine.snapshots.holds import ACTIONS, Request, check_removable, obey
from engine.snapshots.readers import Readers
from engine.snapshots.removal import remove_trees
from engine.snapshots.retention import HELD, INTERVALS
from engine.target.undo import agreed
from engine.tree.pool import PROCESSES, Pool
from engine.tree.walls import opened_path

DESCRIPTION = """\
Hold, release or remove one snapshot in BACKUP/LABEL.
  hold     --snapshot WHICH --name NAME: it becomes held.NAME, and never expires
  release  --name NAME: it is numbered again, and the next backup decides whether it is kept
  remove   --snapshot WHICH: at once and for ever; the newest complete one is not removed
"""
EXIT_STATUS = """\
Exit status: 0 done, 1 failed, 2 refused with nothing changed, 3 stopped: what is left of a removed
snapshot is hidden, and goes with the next backup.
"""


@dataclass
class Options(RunOptions):
    action: str
    backup: Path
    folder: str
    wanted: Wanted | None
    name: str | None
    yes: bool

    @property
    def request(self) -> Request:
        """What is asked for. Raises :class:`Refused` if that does not make sense."""
        needs = {"hold": (True, True), "release": (False, True), "remove": (True, False)}
        if (self.wanted is not None, bool(self.name)) != needs[self.action]:
            options = zip(("--snapshot", "--name"), needs[self.action])
            those = " and ".join(option for option, is_needed in options if is_needed)
            raise Refused(f"{self.action} takes {those}; --help explains the arguments")
        which = f"{HELD}{self.name}" if self.wanted is None else self.wanted
        return Request(self.action, which, self.name or "")


@dataclass
class ManageResult(Result):
    text: str = ""

    def headline(self) -> str:
        return self.text


def parse(words: list[str]) -> Options:
    parser = arguments.RunParser("efs-manage.sh", DESCRIPTION, EXIT_STATUS)
    add = parser.add_argument
    add("action", choices=ACTIONS, help="see above")
    add("--backup", type=arguments.directory, required=True, metavar="DIR", help="the backup")
    add("--folder", type=arguments.folder_label, required=True, metavar="LABEL", help="in it")
    add("--snapshot", type=wanted, dest="wanted", metavar="WHICH", help=NAMES)
    add("--name", type=hold_name, metavar="NAME", help="of the hold")
    add("--yes", action="store_true", help="remove without asking")
    return Options(**vars(parser.parse_args(words)))


def run(options: Options, work: Path, stop: StopSignals, result: ManageResult) -> None:
    request = options.request
    backup = arguments.writable_directory("--backup", options.backup)
    folder, snapshot = locate(backup / options.folder, request)
    if request.action == "remove":
        check_removable(folder, snapshot)
        ask(options, snapshot)
    folder.lock(0, stop)
    for problem in folder.recover():
        result.warn(problem)
    if find_snapshot(folder, request.snapshot).made != snapshot.made:
        raise Refused(f"a backup was made meanwhile, and {snapshot} has another name; start again")
    result.begin(request.action)
    with Readers(folder.readers) as readers:
        result.text = obey(folder, request, readers)
        if request.action == "remove":
            clear(folder, readers, work, stop, lambda: result.progress.update(0))


def locate(path: Path, request: Request) -> tuple[SnapshotFolder, Snapshot]:
    """The snapshot, and the folder as it is for the runs that made it."""
    folder = SnapshotFolder(path, INTERVALS[0])
    snapshot = find_snapshot(folder, request.snapshot)
    about = folder.register.of(snapshot.path)
    interval, _, _ = snapshot.path.name.partition(".")
    made_in = about.interval if about else interval if interval in INTERVALS else INTERVALS[0]
    return SnapshotFolder(path, made_in), snapshot


def ask(options: Options, snapshot: Snapshot) -> None:
    question = f"This removes {snapshot} for ever."
    if options.yes:
        return
    if not sys.stdin.isatty():
        raise Refused(f"{question} If it shall: --yes")
    if not agreed(question):
        raise Refused("nothing was removed")


def clear(
    folder: SnapshotFolder,
    readers: Readers,
    work: Path,
    stop: StopSignals,
    on_tick: Callable[[], None],
) -> None:
    with opened_path(folder.path) as top, Pool(PROCESSES, stop, work) as pool:
        names = [path.name for path in folder.leftovers(readers)]
        errors = remove_trees(pool, top, names, on_tick)
    if errors:
        raise Failed("system", f"it is out of sight, but not all could be removed: {errors[0]}")


if __name__ == "__main__":
    sys.exit(execute(parse, run, ManageResult("done")))
