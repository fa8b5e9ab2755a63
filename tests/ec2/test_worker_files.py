"""What a run and its workers write for each other, and how it is put in place."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from engine.copying.job import Done
from engine.copying.moving import Mover
from engine.workers.queue import Queue, QueueError
from engine.workers.shared import (
    Invitation,
    Malformed,
    NotOurs,
    NotWanted,
    Order,
    OtherFormat,
    Outcome,
    Seen,
    check_marks,
    check_place,
    marks_of,
    opened_tree,
    opened_work,
    read_file,
    seen,
    write_file,
)

from .conftest import LEVELS, inside

GROUPS = [[b"./a\nb", b"./\xff\xfe"], [b"./d/\\#012"]]
DONE = Done([name for group in GROUPS for name in group], 0, "s", "m", {b"\xff\xfe": b"0" * 32})
MARKS = {"0": [1, 2]}
ORDER = Order("run", "efs-backup/daily.0", 7, "deep", MARKS, ["--sparse"], GROUPS)


def invited(work: str, place: str = "") -> Invitation:
    return Invitation(work, "run", 7, place, 1)


def test_names_of_any_bytes_arrive_as_they_are() -> None:
    assert Order.parse(ORDER.write()) == ORDER
    assert Outcome.parse(Outcome("one", [DONE]).write(), GROUPS) == Outcome("one", [DONE])
    invitation = invited(os.fsdecode(b"\xff/.daily.work"))
    assert Invitation.parse(invitation.text()) == invitation


def without(text: str | bytes, name: str, **other: object) -> str:
    fields = json.loads(text)
    del fields[name]
    return json.dumps({**fields, **other})


OUTCOME = Outcome("one", [DONE]).write()
DAMAGED: list[Callable[[], object]] = [
    lambda: Invitation.parse("[" * 100_000),
    lambda: Invitation.parse(invited("a/../b").text()),
    lambda: Invitation.parse(invited("/etc").text()),
    lambda: Invitation.parse(invited("").text()),
    lambda: Invitation.parse(invited("a\0b").text()),
    lambda: Invitation.parse(invited("\ud800").text()),
    lambda: Invitation.parse(invited("a", "..").text()),
    lambda: Invitation.parse(without(invited("a").text(), "number", number="1")),
    lambda: Order.parse(b""),
    lambda: Order.parse(ORDER._replace(marks={"0": 7}).write()),  # type: ignore[dict-item]
    lambda: Order.parse(ORDER._replace(source="../other").write()),
    lambda: Order.parse(ORDER._replace(base="/etc").write()),
    lambda: Order.parse(ORDER._replace(groups=[[b"./a"], [b"./a/../../b"]]).write()),
    lambda: Order.parse(ORDER._replace(groups=[[b"/etc/passwd"]]).write()),
    lambda: Order.parse(ORDER._replace(options=[1]).write()),  # type: ignore[list-item]
    *(
        partial(Order.parse, ORDER._replace(options=[option]).write())
        for option in ("--partial-dir=/usr/local/bin", "--log-file=/a", "-e", "--write-batch=/a")
    ),
    lambda: Outcome.parse(OUTCOME[:-30], GROUPS),
    lambda: Outcome.parse(OUTCOME, GROUPS[:1]),
    lambda: Outcome.parse(OUTCOME.replace(b"0" * 32, b"x" * 32), GROUPS),
    lambda: Outcome.parse(without(OUTCOME, "done", done=[{"listed": [1]}]).encode(), GROUPS),
    lambda: Outcome.parse(without(OUTCOME, "done", done="all").encode(), GROUPS),
    lambda: Outcome.parse(OUTCOME.replace(b"\\udcff", b"\\ud800"), GROUPS),
]


@pytest.mark.parametrize("parse", DAMAGED)
def test_what_is_damaged_is_not_believed(parse: Callable[[], object]) -> None:
    with pytest.raises(Malformed):
        parse()


def test_another_release_is_told_from_damage() -> None:
    with pytest.raises(OtherFormat):
        Order.parse(ORDER.write().replace(b'"format": 1', b'"format": 2'))


def test_the_directory_says_who_is_at_what() -> None:
    one, two = "0123456789abcdef", "f" * 16
    names = ["lock", "old", "7.list", "7.list.new", f"7.{one}", f"7.{one}.0", f"7.{one}.1"]
    found = seen([*names, f"7.{two}.done", f"8.{two}.12", "9.../x", "08.list", "9.list"])
    assert found == {7: Seen({one: 1}, {two}), 8: Seen({two: 12}), 9: Seen()}


def test_only_what_is_ours_is_read(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("work")
    (tmp_path / "open").mkdir(mode=0o750)
    top = os.open(tmp_path, os.O_RDONLY)
    for name, error in (("link", OSError), ("open", Malformed)):
        with pytest.raises(error), opened_work(top, name):
            pass
    (work / "list").symlink_to("/etc/passwd")
    os.mkfifo(work / "fifo")
    with opened_work(top, "work") as directory:
        write_file("file", directory, b"text")
        assert read_file("file", directory) == b"text"
        assert read_file("none", directory) is None
        with pytest.raises(OSError, match="symbolic"):
            read_file("list", directory)
        with pytest.raises(Malformed):
            read_file("fifo", directory)
    os.close(top)


def test_a_snapshot_is_found_by_its_inode(tmp_path: Path) -> None:
    """It has another number by now, and what has its name is another one."""
    for name in ("daily.0", "daily.1"):
        (tmp_path / "efs-backup" / name).mkdir(parents=True)
    (tmp_path / "efs-backup" / "daily.1" / "x").touch()
    inode = (tmp_path / "efs-backup" / "daily.1").stat().st_ino
    top = os.open(tmp_path, os.O_RDONLY)
    with opened_tree(top, ORDER._replace(inode=inode)) as tree:
        assert os.listdir(tree) == ["x"]
    with pytest.raises(NotOurs), opened_tree(top, ORDER._replace(inode=1)):
        pass
    os.close(top)


def test_a_copy_of_the_source_is_not_taken_for_it(tmp_path: Path) -> None:
    """Top directories of file systems may all have the same inode."""
    names = [f"./d/{number}".encode() for number in range(5)]
    for top in ("one", "two"):
        (tmp_path / top / "d").mkdir(parents=True)
        for name in names:
            (tmp_path / top / os.fsdecode(name)).write_text("text")
            os.utime(tmp_path / top / os.fsdecode(name), (1, 1))
    one, two = (os.open(tmp_path / top, os.O_RDONLY) for top in ("one", "two"))
    order = ORDER._replace(marks=marks_of(one, names), groups=[names])
    assert len(order.marks) == 3
    for name in names[1:]:
        (tmp_path / "one" / os.fsdecode(name)).unlink()
    check_marks(one, order)
    with pytest.raises(NotOurs):
        check_marks(two, order)
    (tmp_path / "one" / os.fsdecode(names[0])).write_text("other")
    with pytest.raises(NotWanted):  # it may be another one by now
        check_marks(one, order)
    os.close(one)
    os.close(two)


def test_another_target_is_not_taken_for_the_run_s(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    invitation = invited("place/work", "place")
    top = os.open(tmp_path, os.O_RDONLY)
    check_place(top, invitation._replace(inode=(tmp_path / "place").stat().st_ino))
    for other in (invitation, invitation._replace(place="none")):
        with pytest.raises(NotOurs):
            check_place(top, other)
    os.close(top)


def test_a_queue_that_does_not_answer_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shim = tmp_path / "aws"
    shim.write_text("#!/bin/sh\nexec sleep 1000\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("engine.workers.queue.SECONDS", 0.1)
    with pytest.raises(QueueError, match="timed out"):
        Queue("http://127.0.0.1/1/queue").delete(["receipt"])


@pytest.fixture
def ends(tmp_path: Path) -> tuple[Path, Path]:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    return source, target


def moved(ends: tuple[Path, Path], *names: bytes) -> bool:
    descriptors = [os.open(end, os.O_RDONLY) for end in ends]
    mover = Mover()
    try:
        return mover.move(*descriptors, [*names])
    finally:
        mover.close()
        for descriptor in descriptors:
            os.close(descriptor)


def test_what_was_copied_gets_its_place(ends: tuple[Path, Path]) -> None:
    """Names of one file stay one, others are left alone, and what was not copied is no matter."""
    source, target = ends
    for end in ends:
        with inside(end, *LEVELS[:20]):
            pass
    with inside(source, *LEVELS[:20]):
        Path("far").write_text("far")
    (source / "a").write_text("new")
    os.link(source / "a", source / "b")
    (source / "link").symlink_to("nowhere")
    (source / "other").write_text("not listed")
    (target / "a").write_text("old")
    far = "/".join([".", *LEVELS[:20], "far"]).encode()
    assert moved(ends, b"./a", b"./b", b"./link", b"./gone", b"./no/such", far)
    assert (target / "a").read_text() == "new"
    assert (target / "a").stat().st_ino == (target / "b").stat().st_ino
    assert os.readlink(target / "link") == "nowhere"
    with inside(target, *LEVELS[:20]):
        assert Path("far").read_text() == "far"
    assert [path.name for path in source.iterdir() if not path.is_dir()] == ["other"]


def test_what_is_in_the_way_is_said(ends: tuple[Path, Path]) -> None:
    source, target = ends
    (source / "d").mkdir()
    (source / "d" / "file").touch()
    (source / "x").touch()
    (target / "x" / "full").mkdir(parents=True)
    assert not moved(ends, b"./x")
    assert not moved(ends, b"./d/file")
    assert not (target / "d").exists()


def test_a_backup_that_takes_nothing_more_fails_the_run(
    ends: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    (ends[0] / "x").touch()
    monkeypatch.setattr(os, "link", full)
    with pytest.raises(OSError, match="no space"):
        moved(ends, b"./x")
