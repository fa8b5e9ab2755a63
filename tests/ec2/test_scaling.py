"""How many workers a run wants, and that their group is told."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from engine.workers.queue import QueueError
from engine.workers.scaling import Backlog, Group, wanted

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


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is said to Auto Scaling; it refuses while there is a file `refuses`."""
    body = f'echo "${{@: -2:1}} $4" >>{tmp_path}/calls\n[[ ! -e {tmp_path}/refuses ]] || '
    body += "{ echo AccessDenied >&2; exit 254; }"
    monkeypatch.setenv("PATH", f"{stub(tmp_path / 'bin', 'aws', body)}:/usr/bin:/bin")
    return tmp_path / "calls"


MUCH = Backlog(1000, 0, 30, 16)
NOTHING = Backlog(0, math.inf, 0, 1)


def test_the_group_is_told_when_another_number_is_wanted(calls: Path) -> None:
    group = Group("workers", 2, WORTH)
    for backlog in (NOTHING, MUCH, MUCH, Backlog(1, 0, 30, 16), NOTHING, NOTHING, MUCH):
        group.adapt(backlog)
    assert calls.read_text().split() == ["2", "workers", "0", "workers", "2", "workers"]


def test_a_group_that_refuses_is_not_asked_again_and_again_but_told_of_the_end(
    calls: Path,
) -> None:
    calls.with_name("refuses").touch()
    group = Group("workers", 2, WORTH)
    with pytest.raises(QueueError, match="AccessDenied"):
        group.adapt(MUCH)
    group.adapt(MUCH)
    with pytest.raises(QueueError):
        group.adapt(NOTHING)
    assert calls.read_text().split() == ["2", "workers", "0", "workers"]
