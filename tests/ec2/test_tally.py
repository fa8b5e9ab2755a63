"""The figures and the verdict from what the rsync jobs recorded."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine.tally import parse_stats, tally_jobs, vanished_warnings

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


def job(folder: Path, exit_code: int, names: bytes, seen: int, stderr: str = "") -> None:
    folder.mkdir(exist_ok=True)
    number = len(list(folder.glob("*.exit"))) + 1
    (folder / f"{number}.list").write_bytes(names)
    (folder / f"{number}.stats").write_text(f"Number of files: {seen + 1} (reg: {seen}, dir: 1)")
    (folder / f"{number}.stderr").write_text(stderr)
    (folder / f"{number}.exit").write_text(f"{exit_code}\n")


@pytest.mark.parametrize("exit_code", [0, 24])
def test_a_missing_name_is_a_vanished_file(tmp_path: Path, exit_code: int) -> None:
    (tmp_path / "there").touch()
    job(tmp_path / "jobs", exit_code, b"./there\0./gone\0./an/empty/dir/\0", seen=1)
    tally = tally_jobs(tmp_path / "jobs", tmp_path)
    assert tally.vanished == [b"./gone"]
    assert tally.errors == []
    assert tally.number_of_files == 1


def test_a_file_that_is_there_but_was_passed_over_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    (tmp_path / ";comment").touch()
    job(tmp_path / "jobs", 0, b"./there\0;comment\0", seen=1)
    tally = tally_jobs(tmp_path / "jobs", tmp_path)
    assert tally.errors == ["rsync job 1 passed over files that are there"]


def test_a_file_that_became_a_directory_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "was a file").mkdir()
    job(tmp_path / "jobs", 0, b"./was a file\0", seen=0)
    assert tally_jobs(tmp_path / "jobs", tmp_path).errors == []


@pytest.mark.parametrize("exit_code", [*range(1, 24), *range(25, 36), 137, 143])
def test_every_other_exit_code_is_an_error(tmp_path: Path, exit_code: int) -> None:
    job(tmp_path / "jobs", exit_code, b"", seen=0, stderr="rsync: what went wrong\n")
    errors = tally_jobs(tmp_path / "jobs", tmp_path).errors
    assert errors == [
        f"rsync job 1 ended with exit code {exit_code}",
        "rsync: what went wrong",
    ]


def test_the_list_of_vanished_files_is_short_and_printable() -> None:
    names = [b"new\nline", b"\xff"] + [b"x%d" % n for n in range(98)]
    lines = vanished_warnings(names)
    assert len(lines) == 21
    assert lines[-1] == "… and 80 more vanished files"
    assert all(line.isprintable() for line in lines)
