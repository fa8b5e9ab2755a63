"""The whole of one run's record, for who wants to know what went wrong and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import takewhile

from common.consoles import Console as AwsConsole
from common.records import Run, spoken
from common.statuses import SUCCESS
from common.words import plural
from rich.cells import cell_len
from rich.console import Console

from admin.command import AdminError, Clients, printable, say_command
from admin.stack import Stack
from admin.wording import command, value_of

INDENT = "  "
# In the order in which a person asks; what else there is comes after it.
TOLD = (
    *("Message", "WhatToDo", "MassChange", "NotRestorable", "Errors", "Warnings", "Requests"),
    "Workers",
)
HEADINGS = {
    "WhatToDo": "What to do",
    "MassChange": "Mass change",
    "NotRestorable": "Could not be restored for a test",
    "Requests": "What was asked of snapshots",
    "Workers": "Copied by other machines",
}
# An instance that could not fetch its scripts, and version 1.5, did not say.
SEE_LOGS = (
    "See the logs, put right what they name, and start a backup or wait for the next one. The "
    "snapshots that exist were not touched."
)
COUNTS = {
    "NumberOfFiles": "file",
    "NumberOfFilesTransferred": "transferred",
    "NumberOfFilesFailed": "failed",
    "NumberOfDirectoriesFailed": "of these directories",
    "NumberOfFilesCarriedForward": "as they were in the snapshot before",
    "NumberOfFilesTestRestored": "restored for a test",
    "NumberOfWorkers": "worker",
}
# The head of what is shown has these in words.
IN_HEAD = {"BackupId", "BackupStatus", "BackupStartTime", "BackupStopTime", "EC2Logs", *COUNTS}


@dataclass(frozen=True)
class Links:
    """Where the console of AWS shows more about the runs of a stack."""

    console: AwsConsole
    bucket: str
    group: str

    @classmethod
    def of(cls, connect: Clients, stack: Stack) -> Links:
        console = AwsConsole(connect("s3").meta.partition, stack.region)
        bucket = stack.outputs.get("LogBucket", "")
        return cls(console, bucket, stack.resource("EFSAutoScalingGroup"))

    def for_run(self, run: Run) -> Iterator[str]:
        place = str(run.attributes.get("EC2Logs", ""))
        if place.startswith("s3://"):
            for each in (place, place.replace("/ec2-logs/", "/efs-backup-log/", 1)):
                yield self.console.objects(each)
        elif place:
            yield place  # as version 1.5 wrote it
        elif self.bucket:
            yield self.console.objects(f"s3://{self.bucket}/")
        if not run.attributes.get("InstanceId"):
            yield self.console.activity(self.group)


def chosen(runs: Iterable[Run], wanted: str) -> Run:
    """The one run with this id, or this beginning of an id or of the time when it started."""
    runs = list(runs)
    text = wanted.strip()
    for run in runs:
        if run.backup_id == text:
            return run
    time = text.replace(" ", "T")
    found = [r for r in runs if text and (r.backup_id.startswith(text) or started(r, time))]
    if len(found) == 1:
        return found[0]
    some = found or runs
    listed = "; ".join(f"{r.started:%Y-%m-%dT%H:%M} {r.backup_id}" for r in some[:5] if r.started)
    which = f"{len(found)} runs are" if found else "No run is"
    raise AdminError(
        f"{which} {value_of('RUN', text)}. Give the id of a run, or when it started: {listed}"
    )


def started(run: Run, text: str) -> bool:
    return bool(run.started) and f"{run.started:%Y-%m-%dT%H:%M:%SZ}".startswith(text)


@dataclass(frozen=True)
class Failed:
    """The newest run that did not end well, and what it is among the others."""

    run: Run
    title: str


def newest_failed(runs: list[Run]) -> Failed | None:
    failed = next((run for run in runs if run.failed), None)
    if failed is None:
        return None
    well = sum(run.status == SUCCESS for run in takewhile(lambda run: run is not failed, runs))
    since = f" ({well} since then ended well)" if well else ""
    return Failed(failed, f"The newest run that did not end well{since}")


@dataclass(frozen=True)
class Whole:
    """Shows runs as a whole."""

    out: Console
    links: Links
    same_stack: Mapping[str, str]

    def show(self, title: str, run: Run, now: datetime, with_rest: bool = False) -> None:
        self.out.print()
        self.out.print(title, style="bold")
        for line in described(run, self.links, now, self.out.width, with_rest):
            # A path or a link that is longer than a line is left whole, to be copied.
            self.out.print(line, soft_wrap=True)
        logs = command("logs", self.same_stack, RUN=run.backup_id)
        say_command(f"{INDENT}To see its logs", logs, self.out.file)


def described(
    run: Run, links: Links, now: datetime, width: int, with_rest: bool = False
) -> Iterator[str]:
    """with_rest: also what is for programs, such as the times of its phases."""
    yield from wrapped(head(run, now), width, INDENT, INDENT)
    attributes = {"WhatToDo": SEE_LOGS, **run.attributes} if run.failed else run.attributes
    for name in TOLD:
        yield from attribute(HEADINGS.get(name, name), attributes.get(name), width)
    if with_rest:
        for name in sorted(run.attributes.keys() - IN_HEAD - set(TOLD)):
            yield from attribute(name, run.attributes[name], width)
    yield from attribute("Links", list(links.for_run(run)), width)


def head(run: Run, now: datetime) -> str:
    parts = [f"{run.backup_id}: {run.status}"]
    if run.started:
        parts.append(f"started {run.started:%Y-%m-%d %H:%M} UTC")
    if duration := run.duration(now):
        parts.append(f"{'runs for' if run.running else 'took'} {spoken(duration)}")
    counted = {text: run.number(name) for name, text in COUNTS.items()}
    parts += [
        plural(count, text) if text in ("file", "worker") else f"{count:,} {text}"
        for text, count in counted.items()
        if count is not None
    ]
    return ", ".join(parts)


def attribute(name: str, value: object, width: int) -> Iterator[str]:
    """Nothing for what is not there."""
    if value in (None, "", [], {}):
        return
    line = f"{INDENT}{printable(name)}: {value}"
    if isinstance(value, str | int | Decimal) and cell_len(line) <= width and line.isprintable():
        yield line
        return
    yield f"{INDENT}{printable(name)}:"
    for text in texts(value):
        bullet = "- " if isinstance(value, list | set | tuple) else ""
        yield from wrapped(text, width, INDENT * 2 + bullet, INDENT * 2 + " " * len(bullet))


def texts(value: object) -> list[str]:
    if isinstance(value, dict):
        return [", ".join(f"{name} {inner}" for name, inner in sorted(value.items()))]
    if isinstance(value, set):
        return sorted(map(str, value))
    return list(map(str, value)) if isinstance(value, list | tuple) else [str(value)]


def wrapped(text: str, width: int, first: str, later: str) -> Iterator[str]:
    """Lines that break at spaces alone; each space of a name that does not end a line is kept."""
    line, words = first, printable(text).split(" ")
    for number, word in enumerate(words):
        joined = f"{line} {word}" if number and line != later else line + word
        if number and line != later and cell_len(joined) > width:
            yield line.rstrip()
            joined = later + word
        line = joined
    yield line.rstrip()
