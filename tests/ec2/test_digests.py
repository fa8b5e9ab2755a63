"""What a run, and those before it that were killed, make known of the files in the stage."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterable
from pathlib import Path

import pytest
from engine.copying.digests import CONTINUED, LINKED, VOID, Notes, known, line_of, merged, read_list
from engine.copying.output import printed_digests
from engine.target.contents import with_digests

from .conftest import Backup

A, B, OLD = (letter * 32 for letter in (b"a", b"b", b"0"))
EARLIER, NOW = False, True


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        pytest.param([VOID], (None, False), id="handed to rsync, and vanished"),
        pytest.param([VOID, A], (A, True), id="copied"),
        pytest.param([VOID, A, VOID, CONTINUED], (A, True), id="copied by the run before"),
        pytest.param(
            [VOID, A, VOID, CONTINUED, VOID, CONTINUED], (A, True), id="by the one before that"
        ),
        pytest.param([VOID, A, VOID, B], (B, True), id="changed again, and copied again"),
        pytest.param(
            [VOID, A, VOID, VOID, CONTINUED], (None, True), id="copied again, its digest was lost"
        ),
        pytest.param([VOID, VOID, CONTINUED], (None, True), id="copied, its digest was lost"),
        pytest.param([VOID, LINKED], (None, True), id="a new name of a file"),
        pytest.param([LINKED, A], (A, True), id="copied together in the end"),
    ],
)
def test_what_is_known(marks: list[bytes], expected: tuple[bytes | None, bool]) -> None:
    assert known(marks) == expected


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        pytest.param([], OLD, id="unchanged"),
        pytest.param([(NOW, VOID), (NOW, A)], A, id="copied"),
        pytest.param([(NOW, VOID)], "gone", id="removed"),
        pytest.param([(NOW, LINKED)], OLD, id="unchanged, and linked to its other names"),
        pytest.param([(NOW, VOID), (NOW, LINKED)], None, id="a name of another file now"),
        pytest.param([(EARLIER, VOID), (EARLIER, A)], OLD, id="changed, and changed back"),
    ],
)
def test_what_the_snapshot_before_knew(
    marks: list[tuple[bool, bytes]], expected: bytes | str | None
) -> None:
    notes = [(b"m", marks)] if marks else []
    lines = dict(merged(iter([(b"a", A), (b"m", OLD), (b"z", B)]), notes))
    assert (lines.pop(b"a"), lines.pop(b"z")) == (A, B)
    assert lines == ({} if expected == "gone" else {b"m": expected})


def noted(path: Path, records: Iterable[tuple[bytes, bytes]]) -> Notes:
    notes = Notes(path)
    for mark, name in records:
        notes.add(mark, [name])
    notes.save()
    return notes


def test_notes_come_back_in_the_order_of_paths_and_of_time(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    noted(path, [(VOID, b"a/b"), (A, b"a/b"), (VOID, b"a b"), (VOID, b"\xff"), (B, b"a")])
    notes = noted(path, [(VOID, b"a/b"), (CONTINUED, b"a/b"), (A, b"a\n")])
    assert list(notes.by_path(tmp_path)) == [
        (b"a", [(EARLIER, B)]),
        (b"a\n", [(NOW, A)]),
        (b"a b", [(EARLIER, VOID)]),
        (b"a/b", [(EARLIER, VOID), (EARLIER, A), (NOW, VOID), (NOW, CONTINUED)]),
        (b"\xff", [(EARLIER, VOID)]),
    ]


@pytest.mark.parametrize("left", [1, 20, 34, 36])
def test_a_record_that_was_being_written_is_none(tmp_path: Path, left: int) -> None:
    path = tmp_path / "notes"
    noted(path, [(A, b"whole")])
    with path.open("ab") as file:
        file.write((B + b"  " + b"path of another")[:left])
    notes = noted(path, [(VOID, b"next")])
    assert [name for name, _ in notes.by_path(tmp_path)] == [b"next", b"whole"]


@pytest.mark.parametrize(
    "name", [b"a", b" a ", b"a\nb", b"a\\nb", b"\\", b"\\\n\\\\", b"\xff\n", b"cr\r", b"-", b"a  b"]
)
def test_any_name_can_be_listed(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / "list.gz"
    with gzip.open(path, "wb") as file:
        file.write(line_of(name, A))
    assert list(read_list(path)) == [(name, A)]


def test_what_rsync_prints_is_told_apart(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "a name of it"
    one.touch()
    other.hardlink_to(one)
    (tmp_path / "link").symlink_to("one")
    (tmp_path / "alone").touch()
    printed = (
        b"=" + A + b" one\n=" + B + rb" d/line\#012 \#134#012" + b"\n"
        b"=" + b" " * 32 + b" a name of it\n"
        b"=" + b" " * 32 + b" link\n"
        b"=" + b" " * 32 + b" alone\n"
        b"\nNumber of files: 5\n"
    )
    digests, rest = printed_digests(printed, os.open(tmp_path, os.O_RDONLY))
    assert digests == {b"one": A, b"d/line\n \\#012": B, b"a name of it": A}
    assert rest == b"\nNumber of files: 5\n"


@pytest.mark.parametrize("length", [0, 30])
def test_a_damaged_list_is_not_passed_on(backup: Backup, length: int) -> None:
    """A run that changes nothing could take over the list as it is."""
    (backup.source / "file").write_text("content")
    backup.must_publish()
    os.truncate(backup.digests(), length)
    outcome = backup.run()
    assert outcome.exit_code == 0
    assert any("have no digest any more" in line for line in outcome.result["warnings"])
    assert backup.verify().exit_code == 0


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", [b"\xff", b"\xff\xfe", b"\xff" * 255])
def test_names_that_come_after_all_of_a_list(tmp_path: Path, name: bytes) -> None:
    """Or of none at all, as where a snapshot has none."""
    paths = [b"a", name]
    assert [*with_digests(paths, None)] == [(b"a", None), (name, None)]
    short = tmp_path / "list.gz"
    short.write_bytes(gzip.compress(b"0" * 32 + b"  ./a\n"))
    assert [*with_digests(paths, short)] == [(b"a", b"0" * 32), (name, None)]
