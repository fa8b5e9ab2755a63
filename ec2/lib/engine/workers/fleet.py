"""The run's side: it offers lists that its own jobs do not get to, and takes what comes back.

Whatever becomes of a worker, the queue or a message, each list is done: what nobody has begun is
taken back by a job of the run that has nothing else to do, and so is what was begun by a worker
that is silent. Nothing here compares clocks.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import secrets
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from engine.command.files import locked
from engine.copying.job import flat, read_groups
from engine.copying.rsync import Copying, Listed
from engine.tree.descent import DIRECTORY_FLAGS, opened
from engine.workers.queue import Queue, QueueError
from engine.workers.scaling import Backlog, Group
from engine.workers.shared import (
    LOCK,
    Invitation,
    Malformed,
    Order,
    Outcome,
    Seen,
    marks_of,
    read_file,
    seen,
    write_file,
)

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
FEWEST_OFFERS = 20  # lists that wait for a worker, if there is none yet
TAKERS = 4
MOST_DELIVERIES = 3  # of one list that nobody finished
PAUSE = 60  # seconds without offers when the queue refuses one
SCALE_SECONDS = 5  # between two looks at how many workers are wanted
# In leases. Another worker gets a list after one; a worker that lives and does not end may hang.
SILENT, STALE, LONG = 1.5, 10, 10


class Meeting(NamedTuple):
    """Where a run and its workers meet. group: that of the workers, if it is for the run to say how
    many there are. folder: by which the run gets at the directory. work: the same, from the top of
    what workers mount as their target. place, inode: see
    :class:`engine.workers.shared.Invitation`. source, tree: what is copied, from the top of what
    they mount as their source, and a descriptor of it. lease: see
    :data:`engine.workers.shared.LEASE`."""

    queue: Queue
    group: Group | None
    lease: int
    folder: Path
    work: str
    place: str
    inode: int
    source: str
    tree: int


@dataclass
class Offer:
    """A list that workers can have. Times are seconds of a clock that never jumps."""

    listed: Listed
    since: float
    seen: Seen = field(default_factory=Seen)
    begun: float = 0
    changed: float = 0

    def look(self, found: Seen, now: float) -> bool:
        """Returns whether who was at it has handed it back."""
        is_back = self.begun > 0 and not found.deliveries
        if is_back:
            self.since, self.begun = now, 0
        elif found.deliveries and not self.begun:
            self.begun = now
        if found.deliveries != self.seen.deliveries:
            self.changed = now
        self.seen = found
        return is_back

    def is_lost(self, now: float, lease: int) -> bool:
        """Whether it is not to be waited for any longer."""
        if not self.begun:
            return now - self.since > STALE * lease
        is_silent = now - self.changed > SILENT * lease
        is_long = now - self.begun > LONG * lease
        return is_silent or is_long or len(self.seen.deliveries) > MOST_DELIVERIES


class Fleet:
    """Implements :class:`engine.copying.rsync.Helper`."""

    def __init__(self, meeting: Meeting) -> None:
        self._meeting = meeting
        self._run = secrets.token_hex(8)
        self._offers: dict[int, Offer] = {}
        self._arriving: set[int] = set()
        self._is_offering = False
        self._pause_until = self._scale_at = 0.0
        self._busy_at = time.monotonic()
        self._cancelled = self._ended = self._closed = False
        self._lock = threading.Lock()
        self._takers = ThreadPoolExecutor(TAKERS)
        self._thread = threading.Thread(target=self._work, daemon=True)

    def begin(self, copying: Copying) -> None:
        self._copying = copying
        self._directory = os.open(self._meeting.folder, DIRECTORY_FLAGS)
        os.mkdir("old", 0o700, dir_fd=self._directory)
        self._alive = locked(self._meeting.folder / LOCK)
        self._thread.start()

    @property
    def is_busy(self) -> bool:
        return bool(self._offers or self._arriving or self._is_offering)

    def cancel(self) -> None:
        self._cancelled = True

    def end(self) -> None:
        self._ended = True

    def close(self) -> None:
        self._closed = True
        if not self._thread.ident:
            return
        self._thread.join()
        self._takers.shutdown()
        self._scale(Backlog(0, math.inf, 0, 1), math.inf)
        os.close(self._directory)
        if self._alive is not None:
            os.close(self._alive)

    def reclaim(self) -> Listed | None:
        """The newest that nobody has begun, as workers begin with the oldest."""
        with self._lock:
            free = [offer for offer in self._offers.values() if not offer.begun]
            if not free:
                return None
            del self._offers[free[-1].listed.number]
        self._clear(free[-1].listed.number, free[-1].seen)
        return free[-1].listed

    def _work(self) -> None:
        while not self._closed:
            try:
                if self._offers:
                    self._look()
                if not self._cancelled and time.monotonic() >= self._pause_until:
                    self._offer()
                    self._adapt()
            except OSError as error:
                self._warn(f"workers cannot help any more: {error}")
                self._cancelled = self._ended = True
            except Exception as error:
                self._copying.fail(error)
                self._cancelled = self._ended = True
            if self._cancelled:
                self._withdraw(o for o in self._all() if self._ended or not o.begun)
            time.sleep(LOOK_SECONDS)

    def _all(self) -> list[Offer]:
        with self._lock:
            return [*self._offers.values()]

    def _look(self) -> None:
        # By its path: NFS asks the server for a directory that is opened so, and answers other
        # looks from what it remembers, which can be a minute old.
        found = seen(os.listdir(self._meeting.folder))
        now = time.monotonic()
        offers = self._all()
        known = {offer.listed.number for offer in offers} | self._arriving
        for number in found.keys() - known:
            self._clear(number, found[number])
        for offer in offers:
            if offer.look(found.get(offer.listed.number, Seen()), now):
                self._copying.look_again()
            if offer.seen.done:
                self._arrive(offer)
        self._withdraw(offer for offer in self._all() if offer.is_lost(now, self._meeting.lease))

    def _offer(self) -> None:
        offers = self._all()
        begun = sum(offer.begun > 0 for offer in offers)
        room = max(FEWEST_OFFERS, 2 * begun) - (len(offers) - begun)
        new: list[Offer] = []
        self._is_offering = True
        try:
            while len(new) < room and (listed := self._copying.hand_out()):
                new.append(Offer(listed, time.monotonic()))
                with self._lock:
                    self._offers[listed.number] = new[-1]
                self._write(listed)
            if new:
                self._meeting.queue.send([self._message(offer.listed) for offer in new])
        except QueueError as error:
            self._warn(f"this machine went on alone for a time, as the queue says: {error}")
            self._pause_until = time.monotonic() + PAUSE
            self._withdraw(new)
        finally:
            self._is_offering = False

    def _adapt(self) -> None:
        now = time.monotonic()
        waiting, seconds, jobs = self._copying.backlog
        offers = self._all()
        if waiting or offers:
            self._busy_at = now
        waiting += sum(not offer.begun for offer in offers)
        if now >= self._scale_at:
            self._scale_at = now + SCALE_SECONDS
            self._scale(Backlog(waiting, now - self._busy_at, seconds, jobs), now)

    def _scale(self, backlog: Backlog, now: float) -> None:
        try:
            if self._meeting.group:
                self._meeting.group.adapt(backlog, now)
        except QueueError as error:
            self._warn(f"the workers' group could not always be told how many are wanted: {error}")

    def _write(self, listed: Listed) -> None:
        meeting = self._meeting
        options = [*self._copying.rsync.options, *listed.options]
        groups = read_groups(listed.names)
        marks = {}
        with contextlib.suppress(OSError), opened(meeting.tree, listed.base) as base:
            marks = marks_of(base, flat(groups))
        inode = os.fstat(meeting.tree).st_ino
        order = Order(self._run, meeting.source, inode, listed.base, marks, options, groups)
        write_file(f"{listed.number}.list", self._directory, order.write())

    def _message(self, listed: Listed) -> str:
        meeting = self._meeting
        return Invitation(
            meeting.work, self._run, listed.number, meeting.place, meeting.inode
        ).text()

    def _withdraw(self, offers: Iterable[Offer]) -> None:
        """To be done by our own jobs; what no worker has begun may be offered again."""
        for offer in offers:
            number = offer.listed.number
            with self._lock:
                if self._offers.pop(number, None) is None:
                    continue
                self._arriving.add(number)  # until somebody else has it
            self._clear(number, offer.seen)
            if offer.begun and not self._cancelled:
                self._warn(f"rsync job {number} was begun by a worker, and not ended")
            self._copying.give_back(offer.listed, is_begun=offer.begun > 0)
            self._arriving.discard(number)

    def _arrive(self, offer: Offer) -> None:
        with self._lock:
            if self._offers.pop(offer.listed.number, None) is None:
                return
            self._arriving.add(offer.listed.number)
        self._takers.submit(self._take, offer)

    def _take(self, offer: Offer) -> None:
        try:
            self._take_delivery(offer.listed, f"{offer.listed.number}.{min(offer.seen.done)}")
        except Exception as error:  # or the run would wait for ever
            self._copying.fail(error)
        self._clear(offer.listed.number, offer.seen)
        self._arriving.discard(offer.listed.number)

    def _take_delivery(self, listed: Listed, name: str) -> None:
        try:
            text = read_file(f"{name}.done", self._directory)
            outcome = Outcome.parse(text or b"", read_groups(listed.names))
            copied = os.open(name, DIRECTORY_FLAGS, dir_fd=self._directory)
        except (OSError, Malformed) as error:
            self._warn(f"what a worker left of rsync job {listed.number} cannot be read: {error}")
            self._copying.give_back(listed, is_begun=True)
            return
        try:
            self._copying.take(listed, outcome.worker, outcome.done, copied)
        finally:
            os.close(copied)

    def _clear(self, number: int, found: Seen) -> None:
        """Who begins this list from now on finds none, and who is at it that nobody wants it. Where
        that cannot be said, they work for nothing."""
        names = [f"{number}.list"]
        for delivery, beat in found.deliveries.items():
            names += [f"{number}.{delivery}.{beat}", f"{number}.{delivery}.done"]
            with contextlib.suppress(OSError):
                name = f"{number}.{delivery}"
                os.rename(
                    name, f"old/{name}", src_dir_fd=self._directory, dst_dir_fd=self._directory
                )
        for name in names:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=self._directory)

    def _warn(self, message: str) -> None:
        log.warning("%s", message)
        if message not in self._copying.tally.warnings:
            self._copying.tally.warnings.add([message])
