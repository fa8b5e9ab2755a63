"""What live files hold, compared with the snapshot's list of digests, or else with its files."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from engine.copying.digests import DamagedList, Digested, DigestFiles, read_list
from engine.tree.content import same_content
from engine.tree.descent import GONE, opened
from engine.tree.listings import Beside
from engine.tree.pool import Task, Worker

log = logging.getLogger(__name__)

FILES_PER_TASK = 20
SAME, OTHER = b"same", b"other"  # in place of digests


class SameFiles(NamedTuple):
    """Compare files of the snapshot that have no digest with the live ones."""

    saved: int
    live: int
    paths: list[str]

    def perform(self, worker: Worker) -> list[Digested]:
        return [self._compare(path, worker) for path in self.paths if not worker.stopping]

    def _compare(self, path: str, worker: Worker) -> Digested:
        folder, name = os.path.split(path)
        try:
            with opened(self.saved, folder) as saved, opened(self.live, folder) as live:
                info = os.stat(name, dir_fd=saved, follow_symlinks=False)
                is_same = same_content(saved, live, name, info.st_mode, worker)
        except OSError as error:
            text = f"{path!r}: {error.strerror}"
            return Digested(path, SAME, b"", 0, text, isinstance(error, GONE))
        return Digested(path, SAME, SAME if is_same else OTHER, info.st_size)


def comparisons(
    saved: int, live: int, paths: Iterable[bytes], digests: Path | None
) -> Iterator[Task]:
    """Tasks that compare the live files ``paths``, which are in the order of their bytes."""
    listed: list[tuple[str, bytes]] = []
    others: list[str] = []
    for path, digest in with_digests(paths, digests):
        if digest:
            listed.append((os.fsdecode(path), digest))
        else:
            others.append(os.fsdecode(path))
        if len(listed) == FILES_PER_TASK:
            yield DigestFiles(live, listed)
            listed = []
        if len(others) == FILES_PER_TASK:
            yield SameFiles(saved, live, others)
            others = []
    if listed:
        yield DigestFiles(live, listed)
    if others:
        yield SameFiles(saved, live, others)


def with_digests(
    paths: Iterable[bytes], digests: Path | None
) -> Iterator[tuple[bytes, bytes | None]]:
    """The paths, in the order of their bytes, each with its digest if the list has one. The list is
    read no further than need be."""
    known = Beside(readable(digests))
    for path in paths:
        yield path, known.at(path)


def readable(digests: Path | None) -> Iterator[tuple[bytes, bytes | None]]:
    """As much of the list as can be read."""
    if digests is None:
        return
    try:
        yield from read_list(digests)
    except DamagedList as error:
        log.warning("%s; files that it does not name are compared themselves", error)
