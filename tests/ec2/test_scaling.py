"""How many workers a run wants, and that their group is told."""

from __future__ import annotations

import math
from pathlib import Path
from unittest import mock

import pytest
from engine.workers.fleet import Fleet, Offer
from engine.workers.queue import QueueError
from engine.workers.scaling import LEFT, REFUSED, Backlog, Group, Said, is_due, wanted

from .test_instance import stub

WORTH = 300


@pytest.mark.parametrize(
    ("waiting", "seconds", "jobs", "asked", "capacity"),
    [
        (0, 30, 16, 0, 0),
        (100, 0, 16, 0, 0),  # nobody knows yet how long one takes
        (100, 30, 16, 0, 0),  # 3 minutes of this machine
        (160, 30, 16, 0, 1),
        (1000, 30, 16, 0, 6),
        (9999, 30, 16, 0, 8),  # as many as there may be
        (10, 30, 16, 3, 3),  # any one of them could be ended, also one that copies
    ],
)
def test_workers_are_wanted_when_they_are_worth_their_start(
    waiting: int, seconds: float, jobs: int, asked: int, capacity: int
) -> None:
    assert wanted(Backlog(waiting, 0, seconds, jobs), asked, 8, WORTH) == capacity


def test_none_are_wanted_when_there_is_nothing_left() -> None:
    backlog = Backlog(0, 60, 30, 16)
    assert wanted(backlog, 3, 8, WORTH) == 3, "more may come, as this machine looks on"
    assert wanted(backlog._replace(idle=121), 3, 8, WORTH) == 0
    assert wanted(backlog._replace(idle=math.inf), 3, 8, WORTH) == 0


def test_what_workers_are_at_waits_for_nobody_and_leaves_none_idle() -> None:
    told: list[Backlog] = []
    group = mock.Mock(adapt=lambda backlog, now: told.append(backlog))
    fleet = Fleet(mock.Mock(group=group))
    fleet._offers = {1: Offer(mock.Mock(), 0), 2: Offer(mock.Mock(), 0, begun=1)}
    fleet._copying = mock.Mock(backlog=(3, 30, 16))
    fleet._adapt()
    del fleet._offers[1]
    fleet._copying = mock.Mock(backlog=(0, 30, 16))
    fleet._scale_at = 0
    fleet._adapt()
    assert told == [Backlog(4, 0, 30, 16), Backlog(0, 0, 30, 16)]


def test_those_that_left_come_back_when_there_is_enough_for_all() -> None:
    said = Said(4, 1000)
    assert not is_due(4, said, 4, 1000 + LEFT - 1)
    assert is_due(4, said, 4, 1000 + LEFT)
    assert not is_due(4, said, 3, 1000 + LEFT), "one that came would have nothing to do"
    assert not is_due(0, Said(0, 0), 0, 1e9)


def test_another_number_is_said_at_once_but_not_after_a_refusal() -> None:
    assert is_due(5, Said(4, 1000), 5, 1000)
    refused = Said(4, 1000, is_refused=True)
    assert not is_due(5, refused, 5, 1000 + REFUSED - 1)
    assert is_due(5, refused, 5, 1000 + REFUSED)


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is said to Auto Scaling; it refuses with what is in the file `refuses`."""
    body = f'echo "${{@: -2:1}} $4" >>{tmp_path}/calls\n[[ ! -e {tmp_path}/refuses ]] || '
    body += f"{{ cat {tmp_path}/refuses >&2; exit 254; }}"
    monkeypatch.setenv("PATH", f"{stub(tmp_path / 'bin', 'aws', body)}:/usr/bin:/bin")
    return tmp_path / "calls"


MUCH = Backlog(1000, 0, 30, 16)
NOTHING = Backlog(0, math.inf, 0, 1)


def test_the_group_is_told_when_another_number_is_wanted(calls: Path) -> None:
    group = Group("workers", 2, WORTH)
    for backlog in (NOTHING, MUCH, MUCH, Backlog(1, 0, 30, 16), NOTHING, NOTHING, MUCH):
        group.adapt(backlog, 0)
    assert calls.read_text().split() == ["2", "workers", "0", "workers", "2", "workers"]


def test_the_group_is_told_again_as_workers_may_have_left(calls: Path) -> None:
    group = Group("workers", 2, WORTH)
    for now in range(0, 2 * LEFT, 5):
        group.adapt(MUCH, now)
    assert calls.read_text().split() == ["2", "workers"] * 2


def test_a_group_that_refuses_is_asked_again_after_a_pause_and_told_of_the_end(
    calls: Path,
) -> None:
    refuses = calls.with_name("refuses")
    refuses.write_text("Throttling")
    group = Group("workers", 2, WORTH)
    for now in (0, REFUSED):
        with pytest.raises(QueueError, match="Throttling"):
            group.adapt(MUCH, now)
        group.adapt(MUCH, now + REFUSED - 1)
    with pytest.raises(QueueError):
        group.adapt(NOTHING, math.inf)
    assert calls.read_text().split() == ["2", "workers"] * 2 + ["0", "workers"]


def test_one_refusal_is_got_over(calls: Path) -> None:
    refuses = calls.with_name("refuses")
    refuses.write_text("Throttling")
    group = Group("workers", 2, WORTH)
    with pytest.raises(QueueError):
        group.adapt(MUCH, 0)
    refuses.unlink()
    for now in (REFUSED, REFUSED + 5):
        group.adapt(MUCH, now)
    assert calls.read_text().split() == ["2", "workers"] * 2


@pytest.mark.parametrize("is_at_first", [True, False])
def test_a_group_that_was_made_smaller_is_asked_for_what_it_may_have(
    calls: Path, is_at_first: bool
) -> None:
    group = Group("workers", 4, WORTH)
    if not is_at_first:
        group.adapt(MUCH, 0)
        calls.unlink()
    refuses = calls.with_name("refuses")
    refuses.write_text(
        "An error occurred (ValidationError) when calling the SetDesiredCapacity operation: New"
        " SetDesiredCapacity value 4 is above max value 2 for the AutoScalingGroup."
    )
    group.adapt(MUCH, LEFT)
    refuses.unlink()
    for now in (LEFT, LEFT + 5):
        group.adapt(MUCH, now)
    assert calls.read_text().split() == ["4", "workers", "2", "workers"]
