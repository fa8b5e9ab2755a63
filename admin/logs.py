"""Shows the logs of a run: make logs STACK=name [RUN=…] [TO=a/directory]

RUN is the id of a run, or when it started; without it, the newest run. TO=… writes them as files
into a directory, whole. Otherwise they are shown: of a large one the end, and of what is compressed
only that it is there. Exit code 1: there are none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from common.records import Run, runs_of
from common.words import plural
from engine.command.text import size

from admin import listing
from admin.command import AdminError, Given, clients, printable, same_stack, say
from admin.run_details import chosen
from admin.runs import table_of
from admin.stack import Stack
from admin.wording import command, value_of

# Where each instance that worked on a run has a folder of its own, named by time and run.
FOLDERS = ("ec2-logs/", "efs-backup-log/")
# Where Systems Manager has one for each command and instance.
STOPS = "ssm-logs/"
SHOWN_BYTES = 1 << 20
COMPRESSED = (".gz", ".zst")


@dataclass(frozen=True)
class Log:
    key: str
    size: int


@dataclass(frozen=True)
class Bucket:
    client: Any
    name: str

    def logs_of(self, run: Run) -> Iterator[Log]:
        for folder in FOLDERS:
            for prefix in self._folders(folder, run):
                yield from self._below(prefix)
        instance = str(run.attributes.get("InstanceId", ""))
        if instance:
            yield from (log for log in self._below(STOPS) if instance in log.key.split("/"))

    def _folders(self, folder: str, run: Run) -> Iterator[str]:
        """A run has several when its instance was replaced. A record may name one of its own."""
        after = folder + since(run.started)
        for found in listing.folders(self.client, self.name, folder, after):
            if found.endswith(f"-{run.backup_id}/"):
                yield found

    def _below(self, prefix: str) -> Iterator[Log]:
        for found in listing.objects(self.client, self.name, prefix):
            yield Log(found["Key"], found["Size"])

    def end_of(self, log: Log) -> str:
        """As much of its end as is shown, from the beginning of a line."""
        if not log.size:
            return ""
        request = {"Bucket": self.name, "Key": log.key, "Range": f"bytes=-{SHOWN_BYTES}"}
        body: bytes = self.client.get_object(**request)["Body"].read()
        text = body.decode(errors="replace")
        return text.partition("\n")[2] if log.size > SHOWN_BYTES else text

    def save(self, log: Log, directory: Path) -> Path:
        path = directory.joinpath(*safe_parts(log.key))
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            self.client.download_file(self.name, log.key, str(part))
            part.replace(path)  # a file with this name is whole
        finally:
            part.unlink(missing_ok=True)
        return path


def since(started: datetime | None) -> str:
    """What the folders of a run come after, whatever the clock of its instance."""
    return f"{started - timedelta(days=1):%Y%m%d}" if started else ""


def safe_parts(key: str) -> list[str]:
    """Whatever the bucket's keys are, they are paths below the directory."""
    parts = [printable(part) for part in key.split("/")]
    if any(part in ("", ".", "..") for part in parts):
        raise AdminError(f"{key!r} is no key of a log")
    return parts


def main(given: Given) -> int:
    name = given.required("STACK", "efs-backup")
    connect = clients(given.get("REGION"))
    stack = Stack.backup(connect, name)
    if not (bucket_name := stack.outputs.get("LogBucket")):
        raise AdminError(f"The stack {name} tells no log bucket (output LogBucket)")
    runs = runs_of(table_of(connect, stack).items())
    if not runs:
        start = command("backup-now", same_stack(given))
        raise AdminError(f"{name} has made no backup yet. To start one:\n  {start}")
    wanted = given.get("RUN", "")
    run = chosen(runs, wanted) if wanted.strip() else runs[0]
    bucket = Bucket(connect("s3"), bucket_name)
    logs = list(bucket.logs_of(run))
    say(
        f"{plural(len(logs), 'log')} of the run {run.backup_id}, {run.status}, in s3://{bucket_name}/"
    )
    if not logs:
        say(why_none(run, same_stack(given)))
        return 1
    if to := given.get("TO", ""):
        save_all(bucket, logs, Path(to))
    else:
        show_all(bucket, logs)
    return 0


def why_none(run: Run, stack: Mapping[str, str]) -> str:
    if run.running:
        return "It is running: its instance uploads them when it ends."
    place = run.attributes.get("EC2Logs")
    where = f"Its record says that they were in {place}. " if place else ""
    return (
        f"{where}They have expired, or its instance ended early, could not reach S3, or never came."
        f" What its record says:\n  {command('status', stack, RUN=run.backup_id)}"
    )


def save_all(bucket: Bucket, logs: list[Log], directory: Path) -> None:
    for log in logs:
        say(f"{bucket.save(log, directory)}  {size(log.size)}")


def show_all(bucket: Bucket, logs: list[Log]) -> None:
    as_file = value_of("TO", "a/directory")
    for log in logs:
        folder, _, file = log.key.rpartition("/")
        say(f"\n==> {folder}/\n    {file}  {size(log.size)} <==")
        if log.key.endswith(COMPRESSED):
            say(f"(compressed; to have it as a file: {as_file})")
            continue
        if log.size > SHOWN_BYTES:
            say(f"(its end; to have the whole as a file: {as_file})")
        say(bucket.end_of(log).removesuffix("\n"))
