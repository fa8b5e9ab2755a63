"""What a backup is asked for, and what can be known to be wrong with it beforehand."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from engine.command import arguments
from engine.command.execution import CommonOptions
from engine.command.outcome import Refused
from engine.copying.job import find_rsync
from engine.snapshots.retention import INTERVALS, Policy
from engine.tree.excluding import Excludes
from engine.tree.patterns import BadPattern, Patterns, checked, split
from engine.tree.walls import opened_path
from engine.workers.request import GroupOptions, add_group_options, add_queue_options

DESCRIPTION = """\
Make the snapshot BACKUP/LABEL/INTERVAL.0 of SOURCE, renumber the older ones, and keep N of them.
Files that did not change are hard links to the snapshot before. A snapshot never changes again.
"""
EXIT_STATUS = """\
Exit status: 0 published (the result has warnings, and names files that could not be copied),
1 failed, 2 refused with nothing touched, 3 stopped before completion. SIGTERM or SIGINT lets
running jobs finish; a second one ends them.
"""


@dataclass
class Options(CommonOptions, GroupOptions):
    jobs: int
    source: Path
    retain: int
    retain_weekly: int
    retain_monthly: int
    hold_on_change_percent: int
    requests: Path | None
    exclude: list[str]
    exclude_caches: bool
    catalogs: Path | None
    allow_empty: bool
    spare: bool
    clock_skew: int
    verify_percent: int
    restore_test_percent: int
    max_failed_percent: int
    lock_wait: int
    workers_queue: str | None
    lease: int

    @property
    def excludes(self) -> Excludes:
        return Excludes(Patterns(self.exclude), self.exclude_caches)

    @property
    def policy(self) -> Policy:
        longer = {"weekly": self.retain_weekly, "monthly": self.retain_monthly}
        return Policy(self.interval, {**longer, self.interval: self.retain})


def parse(words: list[str]) -> Options:
    parser = arguments.Parser("efs-backup.sh", DESCRIPTION, EXIT_STATUS)
    add = parser.add_argument
    add("--source", type=arguments.directory, required=True, metavar="DIR", help="what to back up")
    add("--retain", type=arguments.count, required=True, metavar="N", help="snapshots to keep")
    for name in INTERVALS[1:]:
        add(
            f"--retain-{name}",
            type=arguments.number,
            default=0,
            metavar="N",
            help=f"{name} snapshots to keep of those that would expire (0)",
        )
    add(
        "--hold-on-change-percent",
        type=arguments.percent,
        default=50,
        metavar="P",
        help="hold the snapshot before if more than P %% of at least 1000 files were changed or "
        "removed since (50); 0 never does",
    )
    add(
        "--requests",
        type=arguments.directory,
        metavar="FILE",
        help="first hold, release or remove snapshots as this JSON asks, by identifier",
    )
    add(
        "--exclude",
        type=pattern,
        action="append",
        default=[],
        metavar="PATTERN",
        help="leave out what matches, as rsync does; can be given several times",
    )
    add(
        "--exclude-patterns",
        type=pattern_list,
        action="extend",
        dest="exclude",
        metavar="'A | B'",
        help="likewise, several as one text",
    )
    add(
        "--exclude-caches",
        action="store_true",
        help="leave out what is in directories that have a CACHEDIR.TAG, but for that",
    )
    add(
        "--catalogs",
        type=arguments.directory,
        metavar="DIR",
        help="leave links to the snapshots' catalogs there, to be uploaded",
    )
    add("--allow-empty", action="store_true", help="accept that the source is empty now")
    add("--no-spare", dest="spare", action="store_false", help="remove what expires at once")
    arguments.add_clock_skew(parser)
    arguments.add_jobs(parser)
    add(
        "--verify-percent",
        type=arguments.percent,
        default=0,
        metavar="P",
        help="read back P %% of the files and compare them with the source (0)",
    )
    add(
        "--restore-test-percent",
        type=arguments.percent,
        default=0,
        metavar="P",
        help="restore P %% of the files of all snapshots to this machine's disk for a test (0)",
    )
    add(
        "--max-failed-percent",
        type=arguments.percent,
        default=1,
        metavar="P",
        help="publish nothing if more than P %% of the files and more than 10 cannot be copied (1)",
    )
    add(
        "--lock-wait",
        type=arguments.number,
        default=0,
        metavar="SECONDS",
        help="how long to wait for another run to let go of the folder (0)",
    )
    add_queue_options(parser)
    add_group_options(parser)
    return Options(**vars(parser.parse_args(words)))


def check(options: Options) -> Options:
    options.source = arguments.readable_directory("--source", options.source)
    options.backup = arguments.writable_directory("--backup", options.backup)
    arguments.check_apart("source", options.source, options.backup)
    find_rsync()
    for name, number in (("weekly", options.retain_weekly), ("monthly", options.retain_monthly)):
        if number and INTERVALS.index(name) <= INTERVALS.index(options.interval):
            raise Refused(
                f"--retain-{name} {number} is for snapshots that are made more often than {name}, "
                f"and --interval is {options.interval}; use --retain for those"
            )
    return options


def check_something_is_left(options: Options) -> list[str]:
    """Patterns that leave out all of the source were not meant. Returns warnings of those that
    leave out so much that they may not have been, either."""
    if not options.excludes:
        return []
    with opened_path(options.source) as source:
        if options.excludes.leave_nothing(source):
            raise Refused(
                f"all that is in the source {str(options.source)!r} is excluded; change that"
            )
    return [
        f"the pattern {text!r} excludes every directory: only files at the top are backed up"
        for text in options.excludes.patterns.of_every_directory
    ]


def pattern(value: str) -> str:
    try:
        return checked(value)
    except BadPattern as error:
        raise argparse.ArgumentTypeError(f"the pattern {value!r} {error}") from None


def pattern_list(value: str) -> list[str]:
    return [pattern(part) for part in split(value)]
