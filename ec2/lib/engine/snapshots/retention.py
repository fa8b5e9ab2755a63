"""What becomes of each snapshot, and why. Pure: no file system, no clock.

A snapshot that leaves its interval is promoted to the next longer one of which any are kept, if
that has none of its period (a week by ISO 8601, a month; in UTC), and expires if it has. The oldest
leaves first, so what is promoted is the first of its period. A partial one gives way to a complete
one of its period.

What was made by other runs than those of this policy, as by version 1.5 or with another interval,
is counted where the policy keeps any, and left alone where it keeps none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

INTERVALS = ("daily", "weekly", "monthly")  # each longer than the one before
HELD = "held."  # before the name of a hold
HELD_REASON = "it is held until it is released"
EPOCH = datetime(1970, 1, 1)


class Snapshot(NamedTuple):
    """made: seconds since 1970. order: higher for a later one; 0 if that is not known. is_ours:
    made by runs of the policy's own interval. hold: the name under which it is held, if it is."""

    interval: str
    number: int
    made: float
    order: int = 0
    is_partial: bool = False
    is_ours: bool = True
    hold: str = ""

    @property
    def name(self) -> str:
        return f"{HELD}{self.hold}" if self.hold else f"{self.interval}.{self.number}"


class Policy(NamedTuple):
    """own: the interval in which snapshots are made. keep: how many of it and of longer ones."""

    own: str
    keep: Mapping[str, int]

    @property
    def intervals(self) -> Sequence[str]:
        return INTERVALS[INTERVALS.index(self.own) :]

    def of(self, interval: str) -> int:
        return self.keep.get(interval, 0)

    def after(self, interval: str) -> str:
        """Where to a snapshot may be promoted from there; empty if that is nowhere."""
        longer = INTERVALS[INTERVALS.index(interval) + 1 :]
        return next((each for each in longer if self.of(each)), "")


class Fate(NamedTuple):
    """name: what it is called now. becomes: what it is to be called; empty if it expires."""

    name: str
    becomes: str
    why: str

    @property
    def is_change(self) -> bool:
        return self.becomes != self.name

    @property
    def is_same_interval(self) -> bool:
        """Whether it gets another number at most."""
        return self.name.partition(".")[0] == self.becomes.partition(".")[0]

    def __str__(self) -> str:
        if not self.becomes:
            return f"{self.name} expires: {self.why}"
        what = f"becomes {self.becomes}" if self.is_change else "is kept"
        return f"{self.name} {what}: {self.why}"


def period(interval: str, made: float) -> str:
    """The week or month of a time, as people call it."""
    date = EPOCH + timedelta(seconds=made)
    if interval == "monthly":
        return f"month {date:%Y-%m}"
    year, week, _ = date.isocalendar()
    return f"week {year}-W{week:02}"


def newest_complete(snapshots: Iterable[Snapshot]) -> Snapshot | None:
    """Of those that are not held: whatever the policy, it stays."""
    complete = (each for each in snapshots if not each.hold and not each.is_partial)
    return min(complete, key=position, default=None)


def position(snapshot: Snapshot) -> tuple[int, int]:
    return INTERVALS.index(snapshot.interval), snapshot.number


def decide(snapshots: Iterable[Snapshot], policy: Policy) -> list[Fate]:
    """The fate of each, in the order in which to carry them out: whatever a run that is killed
    among them has done, the next one decides on what is there, and arrives at the same."""
    everything = [*snapshots]
    plan = _Plan(everything, policy)
    for interval in policy.intervals:
        plan.empty_out(interval)
    untouched = [
        Fate(each.name, each.name, plan.why_kept(each))
        for each in everything
        if each.hold or each.interval not in policy.intervals
    ]
    return [*plan.expired, *plan.named(), *untouched]


class _Plan:
    """members: of each interval of the policy, newest first, as they are to be."""

    def __init__(self, everything: Sequence[Snapshot], policy: Policy) -> None:
        self.expired: list[Fate] = []
        self._promoted: dict[Snapshot, str] = {}  # and why
        self._policy = policy
        self._newest = newest_complete(
            each for each in everything if each.interval in policy.intervals
        )
        self._members: dict[str, list[Snapshot]] = {each: [] for each in policy.intervals}
        for each in sorted((each for each in everything if not each.hold), key=position):
            if each.interval in self._members:
                self._members[each.interval].append(each)

    def empty_out(self, interval: str) -> None:
        """Have all leave that are beyond what is kept, the oldest first."""
        here, kept = self._members[interval], self._policy.of(interval)
        leaving = [each for each in here[kept:] if each != self._newest and (kept or each.is_ours)]
        self._members[interval] = [each for each in here if each not in leaving]
        why = f"{kept} {interval} {'is' if kept == 1 else 'are'} kept"
        for each in reversed(leaving):
            self._leave(each, self._policy.after(interval), why)

    def _leave(self, leaving: Snapshot, target: str, why: str) -> None:
        if not target:
            self._expire(leaving, f"{why}, and nothing longer")
            return
        when = period(target, leaving.made)
        members = self._members[target]
        rival = next((each for each in members if period(target, each.made) == when), None)
        if rival is None:
            members.insert(self._place(leaving, members), leaving)
            self._promoted[leaving] = f"{why}, and {target} has none of {when}"
        elif rival.is_partial and not leaving.is_partial:
            members[members.index(rival)] = leaving
            self._expire(rival, f"{leaving.name} is complete and of the same {when}")
            self._promoted[leaving] = f"{why}, and {target} has only a partial one of {when}"
        else:
            self._expire(leaving, f"{why}, and {target} has {rival.name} of {when}")

    def _expire(self, snapshot: Snapshot, why: str) -> None:
        self._promoted.pop(snapshot, None)
        self.expired.append(Fate(snapshot.name, "", why))

    @staticmethod
    def _place(newcomer: Snapshot, members: Sequence[Snapshot]) -> int:
        """Before all others, as these have left earlier; but one that was held may come late."""
        for place, other in enumerate(members):
            if not newcomer.order or not other.order or other.order < newcomer.order:
                return place
        return len(members)

    def named(self) -> list[Fate]:
        """Those that stay, with the numbers that they get. What is in the way of another one comes
        before it."""
        fates: list[Fate] = []
        for interval, members in self._members.items():
            number = -1
            found = []
            for each in members:
                number = max(number + 1, each.number if each.interval == interval else 0)
                found.append(Fate(each.name, f"{interval}.{number}", self.why_kept(each)))
            fates += found
        return fates[::-1]  # the longest interval and the highest number first

    def why_kept(self, snapshot: Snapshot) -> str:
        if snapshot in self._promoted:
            return self._promoted[snapshot]
        if snapshot.hold:
            return HELD_REASON
        interval = snapshot.interval
        kept = self._policy.of(interval)
        if snapshot in self._members.get(interval, [])[:kept]:
            what = f"one of the newest {kept} {interval}" if kept > 1 else f"the newest {interval}"
            is_own = interval == self._policy.own
            return what if is_own else f"{what}, of {period(interval, snapshot.made)}"
        if snapshot == self._newest:
            return "it is the newest that is complete"
        return "it was made by other runs"
