"""The plan of a restore: everything it is going to do, written down before the first change."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, TextIO

from engine.command.outcome import Stopped
from engine.command.process import StopSignals
from engine.command.text import shown
from engine.comparison import Change, Kind, compare, is_directory, same_attributes, tree_size
from engine.safety import SAFETY_PREFIX

EXAMPLES = 20
FILES_PER_LIST = 1000
BYTES_PER_LIST = 1 << 30


@dataclass(frozen=True)
class Place:
    """Where a restore takes from and where it goes.

    snapshot: the snapshot's top directory. root: the directory that corresponds to it in the
    target. inside: the subdirectory of both that is restored, relative, '' for all.
    """

    snapshot: Path
    root: Path
    inside: str

    @property
    def saved(self) -> Path:
        return self.snapshot / self.inside

    @property
    def live(self) -> Path:
        return self.root / self.inside


@dataclass
class Count:
    files: int = 0
    size: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, path: bytes, files: int, size: int) -> None:
        self.files += files
        self.size += size
        if len(self.examples) < EXAMPLES:
            self.examples.append(shown(path))


class Plan:
    """Sums, and three kinds of files in the scratch directory ``work``.

    journal: one JSON list a line, paths relative to ``place.root``: ["move", path] for what is
    moved aside, ["create", path] for what will be new, ["directory", path, mode, uid, gid,
    mtime_ns] for directories that change. lists/part.N: the files to copy, NUL-separated, relative
    to ``place.saved``. create.txt, replace.txt, remove.txt: the same for people.
    """

    def __init__(self, place: Place, mode: str, work: Path) -> None:
        self.place = place
        self.created, self.replaced, self.removed = Count(), Count(), Count()
        self.unchanged = 0
        self.bytes_needed = 0
        self.changes_something = False
        self.journal = work / "journal"
        self.lists = work / "lists"
        self._mode = mode
        self._work = work
        self._noted: tuple[bytes, bool] = (b"", False)
        self._list: BinaryIO | None = None
        self._list_files = self._list_bytes = self._list_number = 0

    def write(self, stop: StopSignals) -> None:
        """Compare both trees and write everything down. Raises :class:`Stopped` on a signal."""
        self.lists.mkdir()
        texts = {kind: (self._work / f"{kind.value}.txt").open("w") for kind in PEOPLE}
        with self.journal.open("w") as journal:
            self._note_way_in(journal)
            for change in compare(
                os.fsencode(self.place.saved), os.fsencode(self.place.live), is_reserved
            ):
                if stop.received:
                    raise Stopped("stopped while comparing; nothing was changed")
                if change.kind is Kind.REMOVE and self._mode == "Merge":
                    continue
                self._add(change, journal)
                if change.kind in texts:
                    texts[change.kind].write(shown(change.path) + "\n")
        for text in texts.values():
            text.close()
        self._end_list()

    def _note_way_in(self, journal: TextIO) -> None:
        """Journal the top directory, in which the safety directory is made, and the first missing
        directory on the way to the subdirectory."""
        path = Path()
        for part in ("", *Path(self.place.inside).parts):
            parent, path = path, path / part
            if not (self.place.root / path).exists():
                if (self.place.root / parent).exists():
                    self._note_directory(parent, (self.place.root / parent).stat(), journal)
                    self._journal(journal, "create", path)
                return
            if path == Path():
                self._note_directory(path, self.place.root.stat(), journal)

    def _add(self, change: Change, journal: TextIO) -> None:
        live = os.path.join(os.fsencode(self.place.live), change.path)
        if change.kind is Kind.UNCHANGED:
            self.unchanged += 1
            return
        if change.kind is Kind.ENTER:
            if change.saved and change.live and not same_attributes(change.saved, change.live):
                self.changes_something = True
                self._note_directory(self._whole(change.path), change.live, journal)
            return
        self.changes_something = True
        parent_is_live = self._note_parent(os.path.dirname(change.path), journal)
        if change.live:
            count = self.replaced if change.kind is Kind.REPLACE else self.removed
            count.add(change.path, *tree_size(live, change.live))
            self._journal(journal, "move", self._whole(change.path))
        if change.saved:
            if parent_is_live:
                self._journal(journal, "create", self._whole(change.path))
            self._copy(change)

    def _copy(self, change: Change) -> None:
        if change.saved is None or is_directory(change.saved):
            return
        if change.kind is Kind.CREATE:
            self.created.add(change.path, 1, change.saved.st_size)
        self.bytes_needed += change.saved.st_blocks * 512
        if self._list_files >= FILES_PER_LIST or self._list_bytes >= BYTES_PER_LIST:
            self._end_list()
        if self._list is None:
            self._list_number += 1
            self._list = (self.lists / f"part.{self._list_number}").open("wb")
        # rsync takes a name that begins with '#' or ';' for a comment.
        self._list.write(b"./" + change.path + b"\0")
        self._list_files += 1
        self._list_bytes += change.saved.st_size

    def _end_list(self) -> None:
        if self._list:
            self._list.close()
        self._list = None
        self._list_files = self._list_bytes = 0

    def _note_parent(self, folder: bytes, journal: TextIO) -> bool:
        """Journal the live directory in which something changes; whether there is one.

        The changes of one folder come one after the other, so remembering the last one is enough.
        """
        if self._noted[0] != folder or not self._noted[1]:
            live = os.path.join(os.fsencode(self.place.live), folder)
            try:
                info = os.lstat(live)
                exists = is_directory(info)
            except (FileNotFoundError, NotADirectoryError):
                exists = False
            if exists:
                self._note_directory(self._whole(folder), info, journal)
            self._noted = (folder, exists)
        return self._noted[1]

    def _whole(self, path: bytes) -> Path:
        """A path below the restored subdirectory as one below ``place.root``."""
        return Path(self.place.inside) / os.fsdecode(path)

    def _note_directory(self, path: Path, info: os.stat_result, journal: TextIO) -> None:
        attributes = (info.st_mode & 0o7777, info.st_uid, info.st_gid, info.st_mtime_ns)
        self._journal(journal, "directory", path, *attributes)

    def _journal(self, journal: TextIO, verb: str, path: Path, *values: int) -> None:
        journal.write(json.dumps([verb, str(path), *values]) + "\n")


PEOPLE = (Kind.CREATE, Kind.REPLACE, Kind.REMOVE)


def is_reserved(path: bytes) -> bool:
    return os.path.basename(path).startswith(os.fsencode(SAFETY_PREFIX))
