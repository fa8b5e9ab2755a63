"""What a restore is asked for, and everything that can be known to be wrong with it before the
first change."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import itertools
import os
import secrets
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from engine.command import arguments
from engine.command.execution import CommonOptions
from engine.command.outcome import Refused
from engine.command.text import shown_path
from engine.copying.job import find_rsync
from engine.snapshots.choice import Wanted, add_snapshot_options
from engine.snapshots.folder import SnapshotFolder
from engine.target.records import is_inside
from engine.target.result import RestoreResult
from engine.tree.descent import names_in, opened
from engine.tree.excluding import Excludes
from engine.tree.patterns import BadPattern, Patterns
from engine.workers.request import GroupOptions, add_group_options, add_queue_options

MODES = ("Mirror", "Merge", "NewDirectory")
CHECKS = ("quick", "changed", "all")
NAMES_LOOKED_AT = 10_000  # for one that is like what was asked for

DESCRIPTION = """\
Restore a snapshot in BACKUP/LABEL, or paths of it, into TARGET/PREFIX.
  Mirror        the target becomes what the snapshot was (default)
  Merge         nothing is removed
  NewDirectory  into PREFIX/efs-restore_<UTC time>; everything else is left alone
Nothing of the target changes before all that is needed has been copied to it. What is replaced or
removed is moved to TARGET/PREFIX/.efs-restore-<id>/, and efs-undo.sh, or the script `undo` in
.efs-restore-<id>.undo/, puts everything back as it was.
"""
EXIT_STATUS = """\
Exit status: 0 restored (or planned, with --dry-run), 1 failed, or not all could be restored,
2 refused with nothing changed, 3 stopped. A restore that failed, or was stopped or killed, can be
started again or undone.
"""


@dataclass
class Options(CommonOptions, GroupOptions):
    jobs: int
    wanted: Wanted
    target: Path
    prefix: str
    paths: list[str]
    mode: str
    check: str
    clock_skew: int
    dry_run: bool
    id: str
    workers_queue: str | None
    lease: int

    @property
    def asked(self) -> tuple[str, ...]:
        """The paths, relative to the snapshot's top, without slashes at their ends."""
        return tuple(path.rstrip("/") for path in self.paths) or ("",)


def add_target_options(parser: argparse.ArgumentParser, target: str, prefix: str) -> None:
    """target, prefix: what each is, for people."""
    add = parser.add_argument
    add("--target", type=arguments.directory, required=True, metavar="DIR", help=target)
    add("--prefix", type=arguments.inner_path, default="/", metavar="/PATH", help=prefix)


def parse(words: list[str]) -> Options:
    parser = arguments.Parser("efs-restore.sh", DESCRIPTION, EXIT_STATUS, "daily")
    add = parser.add_argument
    add_snapshot_options(parser)
    add_target_options(
        parser, "top of the target file system", "directory in it that the backup was made of (/)"
    )
    add(
        "--path",
        "--subdirectory",
        type=arguments.path_to_restore,
        action="append",
        default=[],
        dest="paths",
        metavar="/PATH",
        help="file or directory to restore, of the snapshot; can be given several times (/)",
    )
    add("--mode", choices=MODES, default="Mirror", help="what becomes of the rest (Mirror)")
    add(
        "--check",
        choices=CHECKS,
        default="changed",
        help="compare the content of files whose size and time are right: of none, of those that "
        "may have changed since the snapshot was made, or of all (changed)",
    )
    arguments.add_clock_skew(parser)
    arguments.add_jobs(parser)
    add("--dry-run", action="store_true", help="say what would be done, and change nothing")
    add(
        "--id",
        type=arguments.identifier,
        default=new_identifier(),
        metavar="NAME",
        help="name of the restore (the time, and four digits)",
    )
    add_queue_options(parser)
    add_group_options(parser)
    return Options(**vars(parser.parse_args(words)))


def new_identifier() -> str:
    return time.strftime("%Y%m%dT%H%M%SZ-", time.gmtime()) + secrets.token_hex(2)


def excludes_of(folder: SnapshotFolder, tree: Path, mode: str, result: RestoreResult) -> Excludes:
    """What the snapshot was made without, to be left alone. A new directory has none of it."""
    run = folder.note_of(tree)
    if mode == "NewDirectory" or run is None:
        return Excludes()
    if mode == "Mirror" and not folder.register.of(tree) and any(folder.path.glob(".*.about.*")):
        result.warn(
            "nothing is known of the snapshot: what its backup excluded, if anything, is set aside"
        )
    try:
        excludes = Excludes.noted(run.excludes, run.excludes_caches)
    except BadPattern as error:
        raise Refused(
            f"what the snapshot was made without is not known, as a pattern {error}; restore it "
            "into a new directory",
            "snapshot",
        ) from None
    result.excluded = excludes.told
    return excludes


def check_paths(options: Options) -> None:
    asked = options.asked
    for number, path in enumerate(asked):
        others = asked[:number] + asked[number + 1 :]
        if path in others:
            raise Refused(f"--path '/{path}' is given twice")
        if is_inside(path, others):
            raise Refused(f"--path '/{path}' lies inside another one; give only one of them")


def check(options: Options) -> None:
    """Everything that can be known to be wrong before a file is opened."""
    options.backup = arguments.readable_directory("--backup", options.backup)
    options.target = arguments.writable_directory("--target", options.target)
    arguments.check_apart("target", options.target, options.backup)
    check_paths(options)
    if not options.dry_run:
        find_rsync()


def check_in_snapshot(top: int, path: str, name: str, patterns: Patterns) -> None:
    """Raises :class:`Refused` if the snapshot called ``name``, made without what ``patterns`` tell,
    does not have ``path``."""
    is_directory = path.endswith("/")
    parts = path.strip("/").split("/") if path.strip("/") else []
    for depth, part in enumerate(parts):
        folder = "/".join(parts[:depth])
        shown = f"'/{'/'.join(parts[: depth + 1])}'"
        with opened(top, folder) as directory:
            try:
                mode = os.stat(part, dir_fd=directory, follow_symlinks=False).st_mode
            except OSError:
                excluded = patterns.covering("/".join(parts))
                if excluded:
                    raise Refused(
                        f"{shown} was excluded from the snapshot {name} by the pattern {excluded!r}"
                    ) from None
                near = nearest(part, folder, directory)
                raise Refused(f"{shown} does not exist in the snapshot {name}{near}") from None
        is_last = depth == len(parts) - 1
        if stat.S_ISLNK(mode) and (is_directory or not is_last):
            raise Refused(f"{shown} is a symbolic link in the snapshot, not a directory")
        if not is_last and not stat.S_ISDIR(mode):
            raise Refused(f"{shown} is a file in the snapshot, not a directory")


def nearest(name: str, folder: str, directory: int) -> str:
    with contextlib.suppress(OSError):
        similar = difflib.get_close_matches(
            name, itertools.islice(names_in(directory), NAMES_LOOKED_AT), 1, 0.5
        )
        if similar:
            path = shown_path(f"/{folder}/{similar[0]}".replace("//", "/"))
            return f"; do you mean {path}?"
        return f"; {shown_path('/' + folder)} does" if folder else ""
    return ""


def resolved_prefix(target: Path, prefix: str) -> Path:
    """The directory ``prefix`` in the target; it may not exist yet."""
    root = (target / prefix).resolve()
    if root != target and target not in root.parents:
        raise Refused(f"the prefix '/{prefix}' leads out of the target, to {str(root)!r}", "target")
    return root


def find_root(options: Options) -> Path:
    """The directory that corresponds to the snapshot's top; it may not exist yet."""
    root = resolved_prefix(options.target, options.prefix)
    for folder in (root, *root.parents):
        if folder.exists() and not folder.is_dir():
            raise Refused(f"{str(folder)!r} in the target is not a directory", "target")
    if options.mode == "NewDirectory":
        root = root / time.strftime("efs-restore_%Y-%m-%dT%H-%M-%SZ", time.gmtime())
        if root.exists():
            raise Refused(f"{str(root)!r} exists already; start again", "busy")
    return root


def check_way_in(root: Path, asked: tuple[str, ...]) -> None:
    """The directories above what is restored are not touched, so they have to fit as they are."""
    for inside in asked:
        path = root
        for part in Path(inside).parts[:-1]:
            path = path / part
            if path.is_symlink() or (path.exists() and not path.is_dir()):
                raise Refused(
                    f"{str(path)!r} in the target is not a directory, as it is in the snapshot; "
                    "restore a directory above it, or move it away",
                    "target",
                )
