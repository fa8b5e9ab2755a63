"""The figures and the verdict from what the rsync jobs recorded."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
from engine.copying.job import Done
from engine.copying.output import parse_stats
from engine.copying.tally import Tally
from engine.stage.figures import Figures
from engine.stage.judging import Change

STATS = """
Number of files: 1200003 (reg: 1100000, dir: 100000, link: 2, special: 1)
Number of created files: 0
Number of regular files transferred: 17
Total file size: 9007199254740993 bytes
Total transferred file size: 4096 bytes
"""


def test_stats_of_rsync() -> None:
    figures = parse_stats(STATS)
    assert figures["number of files"] == 1_200_003
    assert figures["dir"] == 100_000
    assert figures["total file size"] == 9_007_199_254_740_993


def judged(
    source: Path, exit_code: int, names: list[bytes], seen: int, messages: str = ""
) -> Tally:
    statistics = f"Number of files: {seen + 1} (reg: {seen}, dir: 1)"
    tally = Tally()
    top = os.open(source, os.O_RDONLY)
    tally.add(1, Done(names, exit_code, statistics, messages, {}), top)
    os.close(top)
    return tally


@pytest.mark.parametrize("exit_code", [0, 24])
def test_a_missing_name_is_a_vanished_file(tmp_path: Path, exit_code: int) -> None:
    (tmp_path / "there").touch()
    tally = judged(tmp_path, exit_code, [b"./there", b"./gone"], seen=1)
    assert tally.vanished == ["'gone'"]
    assert tally.errors == []
    assert tally.number_of_files == 1


def test_a_file_that_is_there_but_was_passed_over_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    (tmp_path / ";comment").touch()
    tally = judged(tmp_path, 0, [b"./there", b";comment"], seen=1)
    assert tally.errors == ["rsync job 1 passed over files that are there"]


def test_a_file_that_became_a_directory_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "was a file").mkdir()
    assert judged(tmp_path, 0, [b"./was a file"], seen=0).errors == []


@pytest.mark.parametrize("exit_code", [*range(1, 24), *range(25, 36), -9, 137, 143])
def test_every_other_exit_code_is_an_error(tmp_path: Path, exit_code: int) -> None:
    errors = judged(tmp_path, exit_code, [], seen=0, messages="rsync: what went wrong\n").errors
    assert errors == [
        f"rsync job 1 ended with exit code {exit_code}",
        "rsync: what went wrong",
    ]


def test_the_list_of_vanished_files_is_short_and_printable() -> None:
    names = [b"new\nline", b"\xff", b"long/" * 50_000] + [b"x%d" % n for n in range(97)]
    tally = Tally()
    tally.add_vanished(names, "")
    lines = tally.vanished.lines()
    assert len(lines) == 51
    assert lines[-1] == "… and 50 more"
    assert all(line.isprintable() for line in lines)
    assert len("".join(lines)) < 10_000


@pytest.mark.parametrize("exit_code", [0, 24])
def test_what_cannot_be_looked_at_has_not_vanished(tmp_path: Path, exit_code: int) -> None:
    """Only that nothing is there proves it."""
    tally = judged(tmp_path, exit_code, [b"./" + b"x" * 300], seen=0)
    assert tally.vanished == []
    assert tally.errors == ["rsync job 1 passed over files that are there"]


def test_a_directory_that_became_a_link_has_vanished(tmp_path: Path) -> None:
    (tmp_path / "d").symlink_to("/")
    tally = judged(tmp_path, 0, [b"./d/etc/hostname"], seen=0)
    assert (tally.vanished.total, tally.errors) == (1, [])


def test_figures_come_from_a_worker_as_they_are_and_what_is_0_takes_no_room() -> None:
    seen, whole = Figures(number_of_files=3), Figures(number_of_files=4)
    seen.count(Change.ADDED, 5)
    received = pickle.loads(pickle.dumps(seen))
    assert received == seen
    assert vars(received) == {"number_of_files": 3, "number_of_files_added": 1, "size_added": 5}
    whole.add_all(received)
    assert whole == Figures(number_of_files=7, number_of_files_added=1, size_added=5)
    assert whole.number_of_changes == 1
