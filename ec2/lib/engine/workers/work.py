"""The worker's side: one list, from its message to its outcome."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from engine.copying.job import Done, End, Job, Rsync, flat
from engine.copying.tally import RSYNC_VANISHED
from engine.tree.descent import DIRECTORY_FLAGS, GONE, TOP, opened
from engine.tree.walls import Root
from engine.workers.shared import (
    Invitation,
    NotWanted,
    Order,
    Outcome,
    check_marks,
    check_place,
    is_abandoned,
    opened_tree,
    opened_work,
    read_file,
    write_file,
)


class HandedBack(Exception):
    """This machine ends before the list does."""


class Trees(NamedTuple):
    """What this machine has mounted, and descriptors of both tops, inside of their walls."""

    source: Root
    target: Root
    source_top: int
    target_top: int


class Work:
    """One delivery of a message."""

    def __init__(self, receipt: str, invitation: Invitation, trees: Trees, scratch: Path) -> None:
        self.receipt = receipt
        self._invitation = invitation
        self._trees = trees
        self._name = f"{invitation.number}.{secrets.token_hex(8)}"
        self._names = scratch / self._name
        self._lock = threading.Lock()
        self._beating_lock = threading.Lock()  # for long, if an NFS server is away
        self._rsync: Rsync | None = None
        self._directory: int | None = None  # as long as it is at work
        self._beat = 0
        self._why_over: Exception | None = None

    def perform(self, worker: str) -> list[Done]:
        """Raises :class:`NotWanted`, :class:`HandedBack`, or what
        :mod:`engine.workers.shared` does: then it is as if nobody had begun the list."""
        check_place(self._trees.target_top, self._invitation)
        try:
            with opened_work(self._trees.target_top, self._invitation.work) as work:
                order = self._order(work)
                os.mkdir(self._name, 0o700, dir_fd=work)
                try:
                    with self._beating(work):
                        done = self._copy(order, work)
                        self.beat()
                        self._check_wanted()
                        write_file(f"{self._name}.done", work, Outcome(worker, done).write())
                except BaseException:
                    self._leave(work)
                    raise
        except FileNotFoundError as error:  # the run has ended, and its directory is removed
            raise NotWanted from error
        return done

    def _check_wanted(self) -> None:
        if self._why_over:
            raise self._why_over

    def _leave(self, work: int) -> None:
        with contextlib.suppress(OSError):
            os.unlink(f"{self._name}.{self._beat}", dir_fd=work)
        with contextlib.suppress(OSError):
            os.rename(self._name, f"old/{self._name}", src_dir_fd=work, dst_dir_fd=work)

    def _order(self, work: int) -> Order:
        text = read_file(f"{self._invitation.number}.list", work)
        if text is None:
            raise NotWanted
        order = Order.parse(text)
        if order.run != self._invitation.run or is_abandoned(work):
            raise NotWanted
        return order

    @contextlib.contextmanager
    def _beating(self, work: int) -> Iterator[None]:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        os.close(os.open(f"{self._name}.0", flags, 0o600, dir_fd=work))
        self._directory = work
        try:
            yield
        finally:
            with self._beating_lock:
                self._directory = None

    @property
    def is_copying(self) -> bool:
        return self._directory is not None and not self._why_over

    def beat(self) -> None:
        """Say that it is at work; if nobody wants that any more, end it."""
        with self._beating_lock:
            if self._directory is None or self._why_over:
                return
            old, new = f"{self._name}.{self._beat}", f"{self._name}.{self._beat + 1}"
            try:
                os.rename(old, new, src_dir_fd=self._directory, dst_dir_fd=self._directory)
                self._beat += 1
            except FileNotFoundError:
                self._end(NotWanted())

    def hand_back(self) -> None:
        self._end(HandedBack())

    def _end(self, why: Exception) -> None:
        with self._lock:
            self._why_over = self._why_over or why  # before anything ends for that: no outcome
            if self._rsync:
                self._rsync.end()

    def _copy(self, order: Order, work: int) -> list[Done]:
        with contextlib.ExitStack() as stack:
            try:
                source = stack.enter_context(self._opened_source(order))
            except GONE:
                return [Done(flat(order.groups), RSYNC_VANISHED, "", "", {})]
            target = stack.enter_context(self._opened_target(work))
            rsync = Rsync(order.options)
            with self._lock:
                self._check_wanted()
                self._rsync = rsync
            try:
                return [*rsync.copy(Job(source, target, self._names, []), order.groups)]
            finally:
                self._names.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _opened_source(self, order: Order) -> Iterator[End]:
        root = self._trees.source
        with opened_tree(self._trees.source_top, order) as tree, opened(tree, order.base) as base:
            check_marks(base, order)
            if not order.source and order.base == TOP:
                yield End(base, root.path, os.fsencode(root.name))
                return
            with root.deeper(base) as path:
                yield End(base, path, os.fsencode(root.name / order.source))

    @contextlib.contextmanager
    def _opened_target(self, work: int) -> Iterator[End]:
        """By its descriptor where there are walls: whatever becomes of the names above it."""
        root = self._trees.target
        name = root.name / self._invitation.work / self._name
        with contextlib.ExitStack() as stack:
            top = os.open(self._name, DIRECTORY_FLAGS, dir_fd=work)
            stack.callback(os.close, top)
            if root.home:
                path = stack.enter_context(root.deeper(top))
            else:
                path = root.path / self._invitation.work / self._name
            yield End(top, path, os.fsencode(name))
