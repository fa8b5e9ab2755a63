"""Faults in the way of a backup, and what every run must leave behind in spite of them."""

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local import instance, sandbox
from local.account import Account
from local.api import Record
from local.deployment import WAIT_SECONDS, Deployment, Inbox, Notification
from local.tree import Digests, Tree, read_tree

# Stands before the real command. What it leaves in /run/efs outlives the instance, as on EFS.
COMMAND = """\
#!/bin/bash
die() { kill -9 -1; exit 137; } # all processes at once, as when the power fails
once() { [[ ! -e /run/efs/.once ]] && touch /run/efs/.once; }
hold() { touch /run/efs/.holding; until [[ -e /run/efs/.go ]]; do sleep 0.05; done; }
real() { REAL "$@"; }
case "$*" in
FAULTS
esac
exec REAL "$@"
"""
# So many cannot be done without: a backup that a stop ends before it has them is incomplete.
LAST = [f"last.{number}" for number in range(11)]
# What instances have that is not the system's.
OWN = {"aws": instance.CLI, "python3": sys.executable}
# How the engine calls rsync for a part of the files.
COPY = "*--files-from=*"
MARKS = (".once", ".holding", ".go")
# Nobody waits for what a test has broken.
QUICK = {
    "MOUNT_SECONDS": "3",
    "MOUNT_PAUSE": "0.5",
    "INSTALL_SECONDS": "1",
    "DRAIN_SECONDS": "1",
    "REPORT_SECONDS": "1",
}

Faults = dict[str, dict[str, str]]
"""By command: patterns of its arguments, and what Bash does instead or before."""


@dataclass
class Outcome:
    record: Record
    notification: Notification
    instances: list[str]
    """Those that were launched for the run, in this order."""
    new: int
    """How many snapshots there are that were not there before."""


@dataclass
class Backups:
    """Runs of a stack of which each must end, be notified, and change no snapshot."""

    stack: Deployment
    inbox: Inbox
    runs: int = 0

    @property
    def account(self) -> Account:
        return self.stack.account

    def break_instances(self, faults: Faults, **settings: str) -> None:
        """Instances that are launched from now on have these faults and variables."""
        self.mend()
        commands = self.account.image / "opt/aws/bin"
        commands.mkdir(parents=True)
        for name, cases in faults.items():
            real = OWN.get(name) or shutil.which(name, path=sandbox.SYSTEM_PATH)
            lines = "\n".join(f"{pattern}) {action} ;;" for pattern, action in cases.items())
            text = COMMAND.replace("REAL", real or "false").replace("FAULTS", lines)
            (commands / name).write_text(text)
            (commands / name).chmod(0o755)
        (self.account.image / "etc").mkdir()
        variables = "".join(f"{k}={v}\n" for k, v in {**QUICK, **settings}.items())
        (self.account.image / "etc/environment").write_text(variables)

    def hold_copies(self) -> None:
        """All but files called `last.*` is copied, these when `.go` is there, or never if a stop
        comes before."""
        # The engine must notice the first signal before the second one comes.
        self.break_instances(
            {"rsync": {COPY: 'real "$@" --exclude="last.*"; hold'}},
            DRAIN_SECONDS="3",
            REPORT_SECONDS="300",
        )

    def mend(self) -> None:
        shutil.rmtree(self.account.image, ignore_errors=True)
        for name in MARKS:
            self.mark(name).unlink(missing_ok=True)

    def mark(self, name: str) -> Path:
        return self.account.home / "efs" / name

    def run(
        self,
        meanwhile: Callable[[str], Any] = lambda run: None,
        change: bool = True,
        notes: Sequence[str] = (),
    ) -> Outcome:
        """One run, of a source that has changed, from its start until nothing is left of it.

        notes: the subjects of what the instance itself is to send.
        """
        before, old = self.snapshots(), self.instances()
        if change:
            self.runs += 1
            (self.stack.source / f"new in run {self.runs}").write_text("content")
        run = self.stack.start()
        meanwhile(run)
        self.stack.wait_until_idle()
        record = self.stack.item(run)
        assert record["BackupStatus"] != "Running"
        assert record["Message"]
        assert record["BackupStopTime"]
        *noted, end = self.notified(run, record)
        assert [note.subject for note in noted] == list(notes)
        after = self.snapshots()
        new = len(after) - len(before)
        assert after[new:] == before, "a published snapshot was changed"
        return Outcome(record, end, self.instances()[len(old) :], new)

    def notified(self, run: str, record: Record) -> list[Notification]:
        """All that was sent: last, and once, what the orchestrator says, which is in the record."""
        title, found = f"EFS backup {record['BackupStatus']}: ", self.inbox.messages()
        deadline = time.monotonic() + WAIT_SECONDS
        while not any(n.subject.startswith(title) for n in found):
            assert time.monotonic() < deadline, f"the end was not notified: {found}"
            time.sleep(0.1)
            found += self.inbox.messages()
        (end,) = (n for n in found if n.subject.startswith(title))
        assert end == found[-1]
        assert end.message["BackupId"] == run
        assert end.message["Message"] == record["Message"]
        assert end.message["WhatToDo"]
        assert end.message["Logs"].startswith("https://")
        return found

    def instances(self) -> list[str]:
        """All that were ever launched, the oldest first."""
        disks = (self.account.home / "instances").glob("*/var/lib/cloud/data/instance-id")
        return [disk.parts[-6] for disk in sorted(disks, key=lambda d: d.stat().st_mtime_ns)]

    def snapshots(self) -> list[Tree]:
        """All that is published, the newest first."""
        found = self.stack.snapshots.glob("daily.*")
        digests: Digests = {}
        return [read_tree(p, digests) for p in sorted(found, key=lambda p: int(p.suffix[1:]))]

    def expect_the_next_run_to_work(self) -> None:
        self.mend()
        outcome = self.run()
        assert outcome.record["BackupStatus"] == "Success", outcome.record
        assert outcome.new == 1
        assert self.published_is_the_source()

    def published_is_the_source(self) -> bool:
        return self.snapshots()[0] == read_tree(self.stack.source)
