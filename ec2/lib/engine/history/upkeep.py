"""What a run does for the catalogs of all snapshots. Whatever becomes of it, the snapshot is
published: what goes wrong is a warning, and what is missing is written by the next run."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from engine.command.files import write_atomically
from engine.command.outcome import EngineError, Stopped
from engine.command.process import StopSignals
from engine.command.text import spoken
from engine.copying.digests import Notes
from engine.history.catalog import (
    DamagedCatalog,
    Totals,
    blocks,
    link_of,
    totals_of,
    write_changes,
)
from engine.history.members import Member, to_json, with_sizes
from engine.history.writing import Lists, Unlisted, write_from_previous, write_from_tree
from engine.snapshots.about import Run
from engine.snapshots.folder import SnapshotFolder
from engine.snapshots.keeping import snapshots_in
from engine.tree.pool import Pool

log = logging.getLogger(__name__)

LIST = "snapshots.json"  # what the list of all snapshots is called in the log bucket
CHECKED_BYTES = 64 << 20  # of catalogs that a run reads only to see whether they are whole
LOOK_EVERY = 4096  # lines


class Told(Protocol):
    def warn(self, message: str) -> None: ...


class Tools(NamedTuple):
    """top: the folder's descriptor, from before the workers were forked. on_tick: called now and
    then."""

    pool: Pool
    top: int
    work: Path
    stop: StopSignals
    on_tick: Callable[[], None] = lambda: None

    def watcher(self) -> Callable[[], None]:
        """To be called for each line: it raises :class:`Stopped` after a signal."""
        seen = itertools.count(1)

        def look() -> None:
            if next(seen) % LOOK_EVERY:
                return
            self.on_tick()
            if self.stop.received:
                raise Stopped("stopped")

        return look


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


def members_of(folder: SnapshotFolder, why: Mapping[str, str]) -> list[Member]:
    """All that are published: of each chain the newest first. why: they are kept, by name."""
    found: list[tuple[str, float, Member]] = []
    for each in snapshots_in(folder):
        about = folder.register.of(folder.path / each.name)
        identifier, chain = (about.id, about.interval) if about else ("", "")
        reason = why.get(each.name, "")
        member = Member(identifier, each.name, each.made, chain, each.is_partial, why=reason)
        found.append((member.chain, about.sequence if about else each.made, member))
    return [member for _, _, member in sorted(found, key=lambda each: each[:2], reverse=True)]


class Before(NamedTuple):
    """The lists of the newest snapshot before a run."""

    catalog: Path | None
    sharing: Path | None

    @classmethod
    def of(cls, folder: SnapshotFolder, newest: Path | None, run: Run | None) -> Before:
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
            tools.pool,
            tools.work,
            tools.watcher(),
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
    """Write what is missing or damaged, and the list of all snapshots."""
    members = members_of(folder, why)
    own = [each for each in members if each.chain == folder.interval]
    with failing("what is missing of the catalogs", result):
        remove_damaged(folder, own)
        is_whole = False
        for _ in range(2):  # what turns out to be damaged is written anew
            if not is_whole:
                for member in own:
                    write_missing(folder, member, tools, result)
                done = [link(folder, *pair, tools, result) for pair in zip([None, *own], own)]
                is_whole = all(done)
    with failing("the list of snapshots", result):
        found = with_sizes(members, InFolder(folder))
        write_atomically(folder.listed, to_json(found))


def remove_damaged(folder: SnapshotFolder, members: Sequence[Member]) -> None:
    """Of many or large ones a part in each run, each when its turn comes."""
    if not members:
        return
    newest = folder.register.of(folder.path / members[0].name)
    turn = newest.sequence % len(members) if newest else 0
    left = CHECKED_BYTES
    for member in [*members[turn:], *members[:turn]]:
        for kind, header in (("catalog", True), ("changes", False)):
            path = place_of(folder, member, kind)
            try:
                left -= path.lstat().st_size
                if left >= 0:
                    for _ in blocks(path) if header else blocks(path, None):
                        pass
            except FileNotFoundError:
                continue
            except (OSError, DamagedCatalog):
                folder.discard(path)


def write_missing(folder: SnapshotFolder, member: Member, tools: Tools, result: Told) -> None:
    target = place_of(folder, member, "catalog")
    if target.exists():
        return
    tree = folder.path / member.name
    lists = Lists(folder.digests_of(tree), folder.sharing_of(tree))
    log.info("listing %s for its catalog", member.name)
    watch = tools.watcher()
    with without_stop(f"the catalog of {member.name}", result):
        write_from_tree(target, lists, tools.top, member.name, tools.pool, tools.work, watch)


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


def link(
    folder: SnapshotFolder, newer: Member | None, member: Member, tools: Tools, result: Told
) -> bool:
    """Note how the next newer one differs, unless that is noted. Returns whether it is."""
    target = place_of(folder, member, "changes")
    found = link_of(target) if target.exists() else None
    expected = (member.id, newer.id if newer else "")
    if found and found[:2] == expected:
        return True
    older = place_of(folder, member, "catalog")
    other = place_of(folder, newer, "catalog") if newer else None
    if not older.exists() or (other and not other.exists()):
        return False
    if tools.stop.received:
        raise Stopped("stopped")
    with without_stop(f"what changed after {member.name}", result):
        known = found and found.snapshot == member.id
        totals = Totals(found.files, found.bytes) if found and known else totals_of(older)
        write_changes(target, *expected, older, other, totals)
        return True
    return False


def export(folder: SnapshotFolder, target: Path, result: Told) -> None:
    """Links to the catalogs in ``target``, under the names that they have in the log bucket: by
    when the snapshots were made, as their numbers change."""
    with failing("the upload of the catalogs", result):
        for name in ("files", "changes"):
            (target / name).mkdir(parents=True, exist_ok=True)
        found = [(folder.listed, LIST)]
        for member in members_of(folder, {}):
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
