"""What a run does for the catalogs of all snapshots. Whatever becomes of it, the snapshot is
published: what goes wrong is a warning, and what is missing is written by the next run."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import random
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol

from engine.command.files import write_atomically
from engine.command.outcome import EngineError, Stopped
from engine.command.text import spoken
from engine.copying.digests import Notes
from engine.history.catalog import (
    DamagedCatalog,
    Link,
    Totals,
    blocks,
    link_of,
    totals_of,
    write_changes,
)
from engine.history.members import Member, to_json, with_sizes
from engine.history.writing import Lists, Tools, Unlisted, write_from_previous, write_from_tree
from engine.snapshots.about import Note
from engine.snapshots.folder import SnapshotFolder
from engine.snapshots.keeping import snapshots_in

log = logging.getLogger(__name__)

LIST = "snapshots.json"  # what the list of all snapshots is called in the log bucket
CHECKED_BYTES = 64 << 20  # of a catalog that a run reads only to see whether it is whole


class Told(Protocol):
    def warn(self, message: str) -> None: ...


class InFolder:
    """The catalogs beside their snapshots."""

    def __init__(self, folder: SnapshotFolder) -> None:
        self._folder = folder

    def catalog(self, member: Member) -> Path | None:
        return self._there(member, "catalog")

    def changes(self, member: Member) -> Path | None:
        return self._there(member, "changes")

    def _there(self, member: Member, kind: str) -> Path | None:
        path = place_of(self._folder, member, kind)
        return path if path.is_file() and not path.is_symlink() else None


def place_of(folder: SnapshotFolder, member: Member, kind: str) -> Path:
    return folder.path / f".{member.chain}.{kind}.{member.id}.gz"


def members_of(folder: SnapshotFolder) -> list[Member]:
    """All that are published: of each chain the newest first."""
    found: list[tuple[str, float, Member]] = []
    for each in snapshots_in(folder):
        about = folder.register.of(folder.path / each.name)
        identifier, chain = (about.id, about.interval) if about else ("", "")
        member = Member(identifier, each.name, each.made, chain, each.is_partial)
        found.append((member.chain, about.sequence if about else each.made, member))
    return [member for _, _, member in sorted(found, key=lambda each: each[:2], reverse=True)]


class Before(NamedTuple):
    """The lists of the newest snapshot before a run."""

    catalog: Path | None
    sharing: Path | None

    @classmethod
    def of(cls, folder: SnapshotFolder, newest: Path | None, run: Note | None) -> Before:
        """None also if the snapshot may have been changed since."""
        if not newest or not run or not run.started:
            return cls(None, None)
        return cls(folder.register.list_of(newest, "catalog"), folder.sharing_of(newest))


def write_newest(
    folder: SnapshotFolder,
    previous: Before,
    notes: Notes,
    stage: int,
    tools: Tools,
    result: Told,
) -> None:
    """The catalog of the snapshot that was just published, and is open as ``stage``.

    previous: of the one before, if that is as it was made. The catalog is derived from that, by
    what ``notes`` have; or, if there is none, written later as of any other snapshot.
    """
    newest = folder.snapshot(0)
    target = folder.register.list_of(newest, "catalog")
    if target is None or previous.catalog is None or not previous.catalog.is_file():
        return
    lists = Lists(folder.digests_of(newest), folder.sharing_of(newest))
    with failing("the catalog of the new snapshot", result):
        write_from_previous(
            target,
            previous.catalog,
            notes,
            lists,
            previous.sharing,
            stage,
            tools,
        )


@contextlib.contextmanager
def failing(what: str, result: Told) -> Iterator[None]:
    try:
        yield
    except DamagedCatalog as error:
        error.path.unlink(missing_ok=True)
        log.info("%s is written anew: %s", what, error)
    except Stopped:
        result.warn(f"{what} is left for the next run: stopped")
    except (OSError, EngineError, Unlisted) as error:
        result.warn(f"{what} is left for the next run: {error}")
    except Exception as error:  # whatever it is, the rest of the run is worth more
        log.exception("unforeseen")
        result.warn(f"{what} is left for the next run: {type(error).__name__}: {error}")


def complete(folder: SnapshotFolder, tools: Tools, why: Mapping[str, str], result: Told) -> None:
    """Write what is missing or damaged, and the list of all snapshots. why: they are kept, by
    name."""
    members = [replace(each, why=why.get(each.name, "")) for each in members_of(folder)]
    own = [each for each in members if each.chain == folder.interval]
    found: list[Member] = []
    with failing("what is missing of the catalogs", result):
        remove_damaged(folder, own)
        # What turns out to be damaged is written anew: changes, of which a catalog may be next.
        for _ in range(3):
            for member in own:
                write_missing(folder, member, tools, result)
            links = linked(folder, own, tools, result)
            damaged: set[Path] = set()
            found = with_sizes(members, InFolder(folder), damaged, links)
            damaged &= {place_of(folder, each, "changes") for each in own}
            for path in damaged:
                folder.discard(path)
            if len(links) == len(own) and not damaged:
                break
    with failing("the list of snapshots", result):
        found = found or with_sizes(members, InFolder(folder), set())
        write_atomically(folder.listed, to_json(found))


def remove_damaged(folder: SnapshotFolder, members: Sequence[Member]) -> None:
    """What is no file, and of the catalogs one that is damaged, if it is drawn: to read all of them
    takes too long. The changes are all read by each run."""
    for member, kind in itertools.product(members, ("catalog", "changes")):
        path = place_of(folder, member, kind)
        if folder.names.is_other_than(stat.S_IFREG, path):
            folder.discard(path)
    for member in random.sample(members, min(1, len(members))):
        path = place_of(folder, member, "catalog")
        with contextlib.suppress(FileNotFoundError):
            is_small = path.lstat().st_size <= CHECKED_BYTES
            if is_small and not is_whole(path):
                folder.discard(path)


def is_whole(catalog: Path) -> bool:
    try:
        for _ in blocks(catalog):
            pass
    except DamagedCatalog:
        return False
    return True


def write_missing(folder: SnapshotFolder, member: Member, tools: Tools, result: Told) -> None:
    target = place_of(folder, member, "catalog")
    if target.exists():
        return
    tree = folder.path / member.name
    lists = Lists(folder.digests_of(tree), folder.sharing_of(tree))
    log.info("listing %s for its catalog", member.name)
    with without_stop(f"the catalog of {member.name}", result):
        write_from_tree(target, lists, member.name, tools)


@contextlib.contextmanager
def without_stop(what: str, result: Told) -> Iterator[None]:
    """Likewise, but a signal ends all."""
    try:
        yield
    except Stopped:
        raise
    except (OSError, EngineError, Unlisted) as error:
        if isinstance(error, DamagedCatalog):
            error.path.unlink(missing_ok=True)
        else:
            result.warn(f"{what} is left for the next run: {error}")


def linked(
    folder: SnapshotFolder, members: Sequence[Member], tools: Tools, result: Told
) -> dict[str, Link]:
    """Note how the next newer one of each differs, unless that is noted. What is, by identifiers.
    The oldest first: what is the same catalog has as many files and bytes."""
    found: dict[str, Link] = {}
    older: tuple[Path, Totals] | None = None
    for newer, member in reversed([*zip([None, *members], members)]):
        catalog = place_of(folder, member, "catalog")
        totals = older[1] if older and are_same(catalog, older[0]) else None
        done = link(folder, newer, member, totals, tools, result)
        if done:
            found[member.id] = done
        older = (catalog, Totals(done.files, done.bytes)) if done else None
    return found


def are_same(one: Path, other: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return one.samefile(other)
    return False


def link(
    folder: SnapshotFolder,
    newer: Member | None,
    member: Member,
    totals: Totals | None,
    tools: Tools,
    result: Told,
) -> Link | None:
    """Of one snapshot. totals: of its catalog, if they are known. None if it cannot be."""
    target = place_of(folder, member, "changes")
    found = link_of(target)
    expected = (member.id, newer.id if newer else "")
    if found and found[:2] == expected:
        return found
    older = place_of(folder, member, "catalog")
    other = place_of(folder, newer, "catalog") if newer else None
    if not older.exists() or (other and not other.exists()):
        return None
    if tools.pool.stop.received:
        raise Stopped("stopped")
    with without_stop(f"what changed after {member.name}", result):
        if found and found.snapshot == member.id:
            totals = Totals(found.files, found.bytes)
        totals = totals or totals_of(older)
        write_changes(target, *expected, older, other, totals)
        return Link(*expected, *totals)
    return None


def export(folder: SnapshotFolder, target: Path, result: Told) -> None:
    """Links to the catalogs in ``target``, under the names that they have in the log bucket: by
    when the snapshots were made, as their numbers change."""
    with failing("the upload of the catalogs", result):
        for name in ("files", "changes"):
            (target / name).mkdir(parents=True, exist_ok=True)
        found = [(folder.listed, LIST)]
        for member in members_of(folder):
            found += places(folder, member)
        for path, name in found:
            (target / name).unlink(missing_ok=True)
            if path.is_file():
                os.symlink(path, target / name)


def places(folder: SnapshotFolder, member: Member) -> list[tuple[Path, str]]:
    return [
        (place_of(folder, member, "catalog"), catalog_key(member)),
        (place_of(folder, member, "changes"), changes_key(member)),
    ]


def catalog_key(member: Member) -> str:
    return f"files/{spoken(member.made).replace(':', '')}-{member.id}.tsv.gz"


def changes_key(member: Member) -> str:
    return f"changes/{member.id}.gz"
