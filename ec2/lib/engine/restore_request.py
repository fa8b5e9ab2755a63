"""What a restore is asked for, and everything that can be known to be wrong with it before the
first change."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from engine.command import arguments
from engine.command.execution import TIME_FORMAT, CommonOptions
from engine.command.outcome import Refused
from engine.plan import Place
from engine.snapshots.folder import SnapshotFolder

MODES = ("Mirror", "Merge", "NewDirectory")

DESCRIPTION = """\
Restore the snapshot BACKUP/LABEL/INTERVAL.NUMBER, or one subdirectory of it, into TARGET/PREFIX.
  Mirror        the target becomes what the snapshot was (default)
  Merge         nothing is removed
  NewDirectory  into PREFIX/efs-restore_<UTC time>; everything else is left alone
Whatever is replaced or removed is moved to TARGET/PREFIX/.efs-restore-<id>/ first. The script
`undo` in .efs-restore-<id>.undo/ puts everything back as it was.
"""
EXIT_STATUS = """\
Exit status: 0 restored (or planned, with --dry-run), 1 failed, 2 refused with nothing changed,
3 stopped. A restore that failed, or was stopped or killed, can be started again or undone.
"""


@dataclass
class Options(CommonOptions):
    number: int
    target: Path
    prefix: str
    subdirectory: str
    mode: str
    dry_run: bool
    id: str


def parse(words: list[str]) -> Options:
    parser = arguments.Parser("efs-restore-fpsync.sh", DESCRIPTION, EXIT_STATUS)
    add = parser.add_argument
    add("--number", type=arguments.number, required=True, metavar="N", help="0 is the newest")
    add("--target", type=Path, required=True, metavar="DIR", help="top of the target file system")
    add("--prefix", type=arguments.inner_path, default="/", metavar="/PATH", help="directory in it")
    add("--subdirectory", type=arguments.subdirectory, default="/", metavar="/PATH/")
    add("--mode", choices=MODES, default="Mirror")
    add("--dry-run", action="store_true", help="say what would be done, and change nothing")
    add("--id", type=arguments.identifier, default=new_identifier(), metavar="NAME")
    return Options(**vars(parser.parse_args(words)))


def new_identifier() -> str:
    return time.strftime("%Y%m%dT%H%M%SZ-", time.gmtime()) + secrets.token_hex(2)


def check(options: Options) -> Place:
    """Everything that can be known to be wrong before the first change."""
    options.backup = arguments.readable_directory("--backup", options.backup)
    options.target = arguments.writable_directory("--target", options.target)
    arguments.check_apart("target", options.target, options.backup)
    snapshot = find_snapshot(options)
    check_subdirectory(snapshot, options.subdirectory)
    root = find_root(options)
    place = Place(snapshot, root, options.subdirectory)
    check_way_in(place)
    return place


def find_snapshot(options: Options) -> Path:
    folder = SnapshotFolder(options.backup / options.folder, options.interval)
    if not folder.path.is_dir():
        there = sorted(path.name for path in options.backup.iterdir() if path.is_dir())
        raise Refused(
            f"the backup has no folder {options.folder!r}; it has: {', '.join(there) or 'none'}",
            "snapshot",
        )
    path = folder.snapshot(options.number)
    if path.is_dir() and not path.is_symlink():
        return path
    there = [
        f"{name} (made {time.strftime(TIME_FORMAT, time.gmtime(made))})"
        for name, made in folder.dated()
    ]
    raise Refused(
        f"there is no snapshot {path.name} in {options.folder!r}; "
        f"there are: {', '.join(there) or 'none'}",
        "snapshot",
    )


def check_subdirectory(snapshot: Path, inside: str) -> None:
    path = snapshot
    for part in Path(inside).parts:
        path = path / part
        name = f"/{path.relative_to(snapshot)}/"
        if path.is_symlink():
            raise Refused(f"{name!r} is a symbolic link in the snapshot, not a directory")
        if not path.exists():
            raise Refused(f"{name!r} does not exist in the snapshot {snapshot.name}")
        if not path.is_dir():
            raise Refused(
                f"{name!r} is a file in the snapshot; restore the directory that holds it"
            )


def find_root(options: Options) -> Path:
    """The directory that corresponds to the snapshot's top; it may not exist yet."""
    root = (options.target / options.prefix).resolve()
    if root != options.target and options.target not in root.parents:
        raise Refused(
            f"the prefix '/{options.prefix}' leads out of the target, to {str(root)!r}", "target"
        )
    for folder in (root, *root.parents):
        if folder.exists() and not folder.is_dir():
            raise Refused(f"{str(folder)!r} in the target is not a directory", "target")
    if options.mode == "NewDirectory":
        root = root / time.strftime("efs-restore_%Y-%m-%dT%H-%M-%SZ", time.gmtime())
        if root.exists():
            raise Refused(f"{str(root)!r} exists already; start again", "busy")
    return root


def check_way_in(place: Place) -> None:
    """The directories above the restored one are not touched, so they have to fit as they are."""
    path = place.root
    for part in Path(place.inside).parts:
        path = path / part
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise Refused(
                f"{str(path)!r} in the target is not a directory, as it is in the snapshot; "
                "restore a directory above it, or move it away",
                "target",
            )
