"""All commands, and what each takes.

A command's module is loaded when it is carried out: help needs none of the packages that the others
need.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from admin.program import Command, Option, parser_of

if TYPE_CHECKING:
    from admin.command import Given

REGION = Option("REGION", "eu-west-1", "where the stack is, if not where your AWS session is")
YES = Option("YES", "", "do not ask")
FORMAT = Option("FORMAT", "json", "for programs; otherwise a table")


def late(module: str, *words: str) -> Callable[[Given], int]:
    """``main`` of a module, which may be that of several commands: words say of which."""

    def main(given: Given) -> int:
        code: int = importlib.import_module(module).main(*words, given)
        return code

    return main


def complete(given: Given) -> int:
    import shtab

    print(shtab.complete(parser_of(PROGRAM), given["SHELL"]))
    return 0


PAGE = Option("PAGE", "2", "the lines that follow those of the page before")
NOW = Option("NOW", "", "start a backup, which does it")
SNAPSHOT = Option("SNAPSHOT", "daily.3", "which: its name or its date")
NAME_OF_HOLD = Option("NAME", "before-migration", "what it is called as long as it is held")
WATCHED = (
    REGION,
    YES,
    Option("WATCH", "", "show how it goes on, until it has ended"),
    Option("KEEP", "", "keep the stack that does it, though it ended well"),
)
PREFLIGHT = Command(
    "preflight",
    late("admin.preflight.__main__"),
    "check the network before a deployment, or that of a stack",
    (REGION, Option("STACK", "efs-backup", "of this stack")),
    stack=False,
    parameters=True,
)
DEPLOY = Command(
    "deploy",
    late("admin.deploy"),
    "create or update a stack from the sources that are here",
    (
        REGION,
        Option(
            "BUCKET", "prefix", "publish to prefix-region instead of a bucket of the account's own"
        ),
        Option("VERSION", "v2.0.0", "what the release is called"),
        Option("ALLOW_NFS", "", "let the instances reach the source, where they do not yet"),
    ),
    parameters=True,
    interrupted="Interrupted. What CloudFormation has begun, it goes on with",
)
COST = Command(
    "cost",
    late("admin.cost.estimate"),
    "what backups cost a month",
    (
        Option("REGION", "us-east-1", "whose prices; no others are known"),
        Option("FILES", "1000000", "how many files"),
        Option("GB", "1024", "how much data"),
        Option("CHURN", "2", "percent of the files that change from one backup to the next"),
        Option("RETAIN", "7", "how many snapshots are kept"),
        Option("INTERVAL", "daily", "or weekly, monthly"),
        Option("IA", "1", "days until files are in Infrequent Access, or none"),
        Option("ARCHIVE", "none", "days until they are in Archive, or none"),
        Option("WORKERS", "0", "machines that share the copying of everything, 0 to 32"),
        Option("UPDATE", "docs/cost.md", "write the tables of a document anew instead"),
    ),
    stack=False,
)
ACCEPTANCE = Command(
    "acceptance",
    late("admin.acceptance.__main__"),
    "try in your account what no emulator can tell, and remove it again",
    (
        Option("REGION", "eu-west-1", "where"),
        Option("VPC", "vpc-…", "in which network"),
        Option("SUBNETS", "subnet-…,subnet-…", "two of its subnets"),
        Option("EMAIL", "you@example.com", "who gets the notifications"),
        Option("ONLY", "a,c", "some of what it tries, or all"),
        Option("REPLICA", "eu-central-1", "in which region a replica is tried"),
        YES,
        Option("AGAIN", "name", "the second visit of row i, a day later"),
        Option("CLEAN", "name", "remove what an earlier one has left"),
    ),
    stack=False,
)
STATUS = Command(
    "status",
    late("admin.status"),
    "the last runs, what to do about one that failed, the progress of one that is running",
    (
        REGION,
        Option("RUN", "id", "one run as a whole: its id, or when it started"),
        Option("RUNS", "10", "how many"),
        Option("WATCH", "", "show the progress of a running one until it ends"),
    ),
    more="With all as STACK: the last run of each backup stack of the region.",
)
LOGS = Command(
    "logs",
    late("admin.logs"),
    "show the logs of a run",
    (
        REGION,
        Option("RUN", "id", "which: its id, or when it started; without it, the newest"),
        Option("TO", "directory", "write them there as files, whole"),
    ),
)
BACKUP_NOW = Command("backup-now", late("admin.backup_now"), "start a backup", (REGION,))
STOP = Command(
    "stop",
    late("admin.stop"),
    "stop the backup that is running; the next one continues",
    (REGION,),
)
RESTORE = Command(
    "restore",
    late("admin.restore"),
    "restore a snapshot, or a part of it",
    (
        Option("DRYRUN", "", "say what would be done, and change nothing"),
        Option("NUMBER", "0", "which snapshot: its number, 0 is the newest"),
        Option("DATE", "2026-11-20", "or when it was made, with or without the time"),
        Option("SNAPSHOT", "weekly.2", "or what it is called"),
        Option("SUBDIR", "/a/file", "a file, or a directory as /a/, instead of everything"),
        Option("MODE", "Mirror", "or Merge, NewDirectory"),
        *WATCHED,
    ),
    parameters=True,
    interrupted="Interrupted. A restore that has begun goes on, and notifies when it ends",
)
UNDO = Command(
    "undo",
    late("admin.undo"),
    "undo a restore",
    (
        Option("ID", "20261120T021503Z-1f0a", "what follows .efs-restore- in its directory's name"),
        Option("DRYRUN", "", "say what would be put back, and change nothing"),
        *WATCHED,
    ),
    parameters=True,
    interrupted="Interrupted. An undo that has begun goes on, and notifies when it ends",
)
PUBLISH = Command(
    "publish",
    late("admin.publish"),
    "build a release, upload it, and write links that launch it",
    (
        Option("BUCKET", "prefix", "the buckets are called prefix-region"),
        Option("REGIONS", "'eu-west-1 …'", "where there is one, or shall be"),
        Option("VERSION", "v2.0.0", "what the release is called"),
        Option("CREATE", "", "make the buckets that are missing"),
    ),
    stack=False,
    parameters=True,
    more="Parameters of the templates, for the links to fill in: NAME=VALUE",
)

COMMANDS: tuple[Command, ...] = (
    PREFLIGHT,
    DEPLOY,
    COST,
    ACCEPTANCE,
    STATUS,
    LOGS,
    BACKUP_NOW,
    STOP,
    Command(
        "snapshots",
        late("admin.ask", "snapshots"),
        "each snapshot, what removing it would free, why it is kept",
        (REGION, FORMAT),
    ),
    Command(
        "find",
        late("admin.ask", "find"),
        "the versions of files, and which snapshots hold them",
        (
            REGION,
            Option("NAME", "'report*.xlsx'", "a name, or a path with a slash, with *, ? and **"),
            Option("FILE", "/a/b", "or a path as it is"),
            PAGE,
            FORMAT,
        ),
    ),
    Command(
        "diff",
        late("admin.ask", "diff"),
        "what changed from one snapshot to another",
        (
            REGION,
            Option("FROM", "daily.3", "the older one"),
            Option("TO", "daily.0", "the newer one"),
            Option("IN", "/a/", "in this directory alone"),
            PAGE,
            FORMAT,
        ),
    ),
    Command(
        "hold",
        late("admin.manage", "hold"),
        "keep a snapshot until it is released, from the next backup on",
        (REGION, SNAPSHOT, NAME_OF_HOLD, NOW),
    ),
    Command(
        "release",
        late("admin.manage", "release"),
        "let a held snapshot expire as others do, from the next backup on",
        (REGION, NAME_OF_HOLD, NOW),
    ),
    Command(
        "remove",
        late("admin.manage", "remove"),
        "remove one snapshot for ever, with the next backup",
        (REGION, SNAPSHOT, NOW, YES),
    ),
    Command(
        "verify",
        late("admin.manage", "verify"),
        "look whether a snapshot is as it was made, with the next backup",
        (REGION, SNAPSHOT, NOW),
    ),
    RESTORE,
    UNDO,
    PUBLISH,
)
# What make has no target for.
PROGRAM = (
    *COMMANDS,
    Command(
        "completion",
        complete,
        "print what completes commands in bash or zsh",
        choice=("SHELL", ("bash", "zsh")),
        more='For your ~/.bashrc or ~/.zshrc:\n  eval "$(efs2efs completion bash)"',
        stack=False,
    ),
)
