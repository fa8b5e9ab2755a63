"""What becomes of snapshots: years of runs, with missed nights, kills, and policies that change."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import pytest
from engine.snapshots.retention import (
    EPOCH,
    INTERVALS,
    Fate,
    Policy,
    Snapshot,
    decide,
    newest_complete,
    period,
)
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

DAY = 86400
BEGIN = (datetime(2026, 1, 1, 2) - EPOCH).total_seconds()  # a Thursday

exhaustive = hypothesis_settings(derandomize=True, database=None, max_examples=150, deadline=None)


def policy(daily: int, weekly: int = 0, monthly: int = 0) -> Policy:
    return Policy("daily", {"daily": daily, "weekly": weekly, "monthly": monthly})


class Folder:
    """Names and what has them; each rename is one step, as it is on disk."""

    def __init__(self, snapshots: Iterable[Snapshot] = ()) -> None:
        self.there = {each.name: each for each in snapshots}
        self.order = len(self.there)

    def publish(self, made: float, is_partial: bool = False) -> None:
        gap = next(n for n in range(1000) if f"daily.{n}" not in self.there)
        for number in reversed(range(gap)):
            self._rename(f"daily.{number}", f"daily.{number + 1}")
        self.order += 1
        self.there["daily.0"] = Snapshot("daily", 0, made, self.order, is_partial)

    def retain(self, wanted: Policy, steps: int = 10**6) -> list[Fate]:
        """Carry out so many steps, and be killed then."""
        fates = decide(self.there.values(), wanted)
        assert sorted(each.name for each in fates) == sorted(self.there)
        for fate in [each for each in fates if each.is_change][:steps]:
            if fate.becomes:
                self._rename(fate.name, fate.becomes)
            else:
                del self.there[fate.name]
        return fates

    def _rename(self, name: str, becomes: str) -> None:
        assert becomes not in self.there, f"{becomes} is in the way of {name}"
        interval, _, number = becomes.partition(".")
        self.there[becomes] = self.there.pop(name)._replace(interval=interval, number=int(number))

    def of(self, interval: str) -> list[Snapshot]:
        found = [each for each in self.there.values() if each.interval == interval]
        return sorted((each for each in found if not each.hold), key=lambda each: each.number)

    def days(self, interval: str) -> list[int]:
        return [round((each.made - BEGIN) / DAY) for each in self.of(interval)]


def nights(wanted: Policy, count: int) -> Folder:
    folder = Folder()
    for night in range(count):
        folder.publish(BEGIN + night * DAY)
        folder.retain(wanted)
    return folder


def test_a_year_of_nights() -> None:
    """365 nights from Thursday, the first of January 2026: night 364 is its last day."""
    folder = nights(policy(7, 4, 12), 365)
    assert folder.days("daily") == [364, 363, 362, 361, 360, 359, 358]
    # The Mondays before the last seven nights; that of these comes when it leaves.
    assert folder.days("weekly") == [354, 347, 340, 333]
    # Of each month the first weekly one, which is of a Monday; of January the first night.
    dates = [EPOCH + timedelta(seconds=each.made) for each in folder.of("monthly")]
    assert [f"{date:%m-%d}" for date in dates] == [
        "11-02", "10-05", "09-07", "08-03", "07-06", "06-01",
        "05-04", "04-06", "03-02", "02-02", "01-01",
    ]  # fmt: skip
    assert [each.number for each in folder.of("monthly")] == [*range(11)]


def test_without_weekly_ones_the_monthly_ones_come_from_the_daily_ones() -> None:
    folder = nights(policy(3, 0, 2), 100)
    assert folder.of("weekly") == []
    assert folder.days("monthly") == [90, 59]  # the first of April and of March


def test_a_promoted_one_says_why_and_what_expires_too() -> None:
    folder = nights(policy(2, 1), 4)
    assert folder.days("weekly") == [0]
    folder.publish(BEGIN + 4 * DAY)
    fates = {each.name: each for each in folder.retain(policy(2, 1))}
    assert str(fates["daily.2"]) == (
        "daily.2 expires: 2 daily are kept, and weekly has weekly.0 of week 2026-W01"
    )
    assert str(fates["weekly.0"]) == "weekly.0 is kept: the newest weekly, of week 2026-W01"
    for night in (5, 6):
        folder.publish(BEGIN + night * DAY)
        fates = {each.name: each for each in folder.retain(policy(2, 1))}
    assert str(fates["daily.2"]) == (
        "daily.2 becomes weekly.0: 2 daily are kept, and weekly has none of week 2026-W02"
    )
    assert str(fates["weekly.0"]) == "weekly.0 expires: 1 weekly is kept, and nothing longer"


def test_a_partial_one_gives_way_to_a_complete_one_of_its_week() -> None:
    folder = Folder()
    for night, is_partial in enumerate([True, False, False]):
        folder.publish(BEGIN + night * DAY, is_partial)
        folder.retain(policy(1, 4))
    (weekly,) = folder.of("weekly")
    assert (weekly.is_partial, folder.days("weekly")) == (False, [1])


def test_a_partial_one_is_better_than_none() -> None:
    folder = Folder()
    for night in range(10):
        folder.publish(BEGIN + night * DAY, is_partial=night < 9)
        folder.retain(policy(1, 4))
    assert folder.days("weekly") == [4, 0]


def test_the_newest_complete_one_outlasts_any_number_of_partial_ones() -> None:
    folder = nights(policy(2, 1), 3)
    for night in range(3, 40):
        folder.publish(BEGIN + night * DAY, is_partial=True)
        fates = folder.retain(policy(2, 1))
    complete = [each for each in folder.there.values() if not each.is_partial]
    assert 2 in [round((each.made - BEGIN) / DAY) for each in complete]
    assert any("the newest that is complete" in fate.why for fate in fates)


def test_less_is_kept_of_each_from_one_day_to_the_next() -> None:
    folder = nights(policy(7, 8, 12), 200)
    weeks = [*folder.of("weekly")]
    folder.retain(policy(1, 2, 12))
    assert folder.days("daily") == [199]
    assert len(folder.of("weekly")) == 2
    # Of the week of the daily ones that left none was kept yet; so one of them was.
    assert folder.of("weekly")[1].made == weeks[0].made


def test_nothing_longer_is_kept_any_more() -> None:
    folder = nights(policy(3, 4, 12), 200)
    folder.retain(policy(3))
    assert sorted(folder.there) == ["daily.0", "daily.1", "daily.2"]


def test_no_weekly_ones_are_kept_any_more_but_their_months_are() -> None:
    folder = nights(policy(3, 8, 1), 25)
    assert folder.of("monthly") == []
    folder.retain(policy(3, 0, 1))
    assert (folder.of("weekly"), folder.days("monthly")) == ([], [0])


def test_what_version_15_had_side_by_side_is_left_alone_until_it_is_asked_for() -> None:
    others = [
        Snapshot(interval, number, BEGIN - number * 30 * DAY, is_ours=False)
        for interval in ("weekly", "monthly")
        for number in range(5)
    ]
    folder = Folder(others)
    for night in range(30):
        folder.publish(BEGIN + night * DAY)
        fates = folder.retain(policy(3))
    assert [*folder.there.values()][:10] == others
    assert {each.why for each in fates if each.name[0] != "d"} == {"it was made by other runs"}
    folder.retain(policy(3, 2, 5))
    assert [each.number for each in folder.of("weekly")] == [0, 1]
    assert len(folder.of("monthly")) == 5


def test_of_an_interval_that_is_shorter_than_ours_nothing_is_touched() -> None:
    daily = [Snapshot("daily", number, BEGIN, is_ours=False) for number in range(9)]
    weekly = [Snapshot("weekly", number, BEGIN - number * 7 * DAY, 9 - number) for number in (0, 1)]
    fates = decide([*daily, *weekly], Policy("weekly", {"weekly": 1}))
    assert [each.name for each in fates if each.is_change] == ["weekly.1"]


def test_what_was_held_comes_late_and_gets_its_place() -> None:
    """Released, it is the oldest daily one: it leaves, and goes where its age puts it."""
    folder = nights(policy(7, 8), 60)
    late = folder.there.pop("weekly.3")
    folder.there = {each.name: each for each in folder.there.values()}
    folder.there["daily.7"] = late._replace(interval="daily", number=7)
    folder.retain(policy(7, 8))
    orders = [each.order for each in folder.of("weekly")]
    assert orders == sorted(orders, reverse=True)
    assert late.made in [each.made for each in folder.of("weekly")]


def test_a_clock_that_was_ahead_keeps_no_place_for_ever() -> None:
    folder = nights(policy(3, 4), 20)
    folder.publish(BEGIN + 5000 * DAY)
    for night in range(21, 70):
        folder.publish(BEGIN + night * DAY)
        folder.retain(policy(3, 4))
    assert max(folder.days("weekly")) < 70


@pytest.mark.parametrize(
    ("date", "week", "month"),
    [
        ("2026-01-01T00:00:00", "week 2026-W01", "month 2026-01"),
        ("2027-01-03T23:59:59", "week 2026-W53", "month 2027-01"),
        ("2024-12-30T00:00:00", "week 2025-W01", "month 2024-12"),
        ("1969-12-31T23:59:59", "week 1970-W01", "month 1969-12"),
    ],
)
def test_weeks_and_months(date: str, week: str, month: str) -> None:
    made = (datetime.fromisoformat(date) - EPOCH).total_seconds()
    assert (period("weekly", made), period("monthly", made)) == (week, month)


POLICIES = st.builds(policy, st.integers(1, 5), st.integers(0, 4), st.integers(0, 3))
# After how many days the next one is made, and whether it is partial; a clock may be set back.
RUNS = st.lists(
    st.tuples(
        st.sampled_from([1, 1, 1, 1, 2, 0, 9, 40, -3, -400]), st.sampled_from([False, False, True])
    ),
    max_size=60,
)
HISTORIES = st.lists(st.tuples(POLICIES, RUNS), min_size=1, max_size=3)


@exhaustive
@given(HISTORIES, st.data())
def test_whatever_happens(histories: list[tuple[Policy, object]], data: st.DataObject) -> None:
    folder, now = Folder(), BEGIN
    for wanted, runs in histories:
        for days, is_partial in runs:
            now += days * DAY
            folder.publish(now, is_partial)
            if data.draw(st.integers(0, 9)) == 0 and folder.of("daily"):
                held = folder.there.pop(data.draw(st.sampled_from(folder.of("daily"))).name)
                held = held._replace(hold=f"h{held.order}")
                folder.there[held.name] = held
            before = dict(folder.there)
            fates = folder.retain(wanted)
            check_a_run(before, folder, fates, wanted)


def check_a_run(
    before: dict[str, Snapshot], folder: Folder, fates: list[Fate], wanted: Policy
) -> None:
    after = {each.order: each for each in folder.there.values()}
    newest = newest_complete(before.values())
    assert newest is None or newest.order in after, "the newest complete one expired"
    for each in before.values():
        assert not each.hold or folder.there[each.name] == each, "a held one was touched"
    daily = [each.order for each in before.values() if each.interval == "daily" and not each.hold]
    kept = sorted(daily, reverse=True)[: wanted.of("daily")]
    assert [after[order].interval for order in kept] == ["daily"] * len(kept)
    for interval in INTERVALS:
        members = folder.of(interval)
        orders = [each.order for each in members]
        assert orders == sorted(orders, reverse=True), "not the newest first"
        others = [each for each in members if not newest or each.order != newest.order]
        assert len(others) <= wanted.of(interval)
        whens = [period(interval, each.made) for each in members]
        were_here = {e.order for e in before.values() if e.interval == interval}
        for each, when in zip(members, whens, strict=True):
            assert interval == "daily" or each.order in were_here or whens.count(when) == 1
    assert all(fate.why for fate in fates)
    gone = [before[fate.name] for fate in fates if not fate.becomes]
    assert {each.order for each in gone} == {e.order for e in before.values()} - after.keys()
    for each in gone:
        check_was_not_needed(each, before, folder, wanted)


def check_was_not_needed(
    gone: Snapshot, before: dict[str, Snapshot], folder: Folder, wanted: Policy
) -> None:
    """There is one of its week or month, or as many are kept already as shall be."""
    if gone.is_partial and gone.interval != "daily":
        when = period(gone.interval, gone.made)
        rivals = [each for each in folder.of(gone.interval) if not each.is_partial]
        if when in [period(gone.interval, each.made) for each in rivals]:
            return
    for interval in INTERVALS[1:]:
        if not wanted.of(interval) or INTERVALS.index(interval) <= INTERVALS.index(gone.interval):
            continue
        members = folder.of(interval)
        when = period(interval, gone.made)
        has_it = any(period(interval, each.made) == when for each in members)
        is_full = len(members) >= wanted.of(interval)
        was_there = any(
            e.interval == interval and period(interval, e.made) == when for e in before.values()
        )
        assert has_it or is_full or was_there
        return


@exhaustive
@given(st.integers(0, 400), POLICIES, POLICIES, st.lists(st.integers(0, 12), max_size=4))
def test_killed_at_any_step_the_next_runs_arrive_at_the_same(
    count: int, first: Policy, second: Policy, kills: list[int]
) -> None:
    nightly = nights(first, 40 + count % 40).there.values()
    calm, killed = Folder(nightly), Folder(nightly)
    for number, steps in enumerate([*kills, 10**6]):
        killed.publish(BEGIN + (100 + number) * DAY)
        killed.retain(second, steps)
        calm.publish(BEGIN + (100 + number) * DAY)
        calm.retain(second)
    assert {name: each.made for name, each in killed.there.items()} == {
        name: each.made for name, each in calm.there.items()
    }
