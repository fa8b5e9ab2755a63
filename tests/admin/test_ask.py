"""Questions to the catalogs in a bucket."""

import datetime
import gzip
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import pytest
from botocore.exceptions import ClientError
from engine.history.catalog import Totals, Version, escaped, write_catalog, write_changes
from engine.history.members import Member, to_json
from engine.history.upkeep import LIST, catalog_key, changes_key

from admin import ask, catalogs, commands
from admin.command import AdminError, Given
from tests.terminals import Terminal, check_width, drawn

DAY = 86400
BEGIN = 1_795_000_000  # 2026-11-18T11:06:40Z
NAMES = [f"dir/file {number}.txt".encode() for number in range(30)] + [b"\xff\x1b[2J"]


def version(size: int) -> bytes:
    return Version("f", size, BEGIN * 10**9, f"{size:032x}", 0o644, 0, 0, 0).fields()


class Bucket:
    """S3, as far as it is asked."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects
        self.downloads: list[str] = []
        self.days: Counter[str] = Counter()
        """After the first one, on which an object was written."""

    def get_paginator(self, name: str) -> "Bucket":
        assert name == "list_objects_v2"
        return self

    def paginate(self, Bucket: str, Prefix: str, Delimiter: str = "") -> list[dict[str, Any]]:
        assert Bucket == "logs"
        if Delimiter:
            assert (Prefix, Delimiter) == ("catalog/", "/")
            found = {f"catalog/{key.split('/')[1]}/" for key in self.objects}
            return [{}, {"CommonPrefixes": [{"Prefix": each} for each in found]}]
        keys = sorted(key for key in self.objects if key.startswith(Prefix))
        return [{"Contents": [self._entry(key)]} for key in keys] + [{}]

    def _entry(self, key: str) -> dict[str, Any]:
        time = datetime.datetime(2026, 11, 20 + self.days[key], tzinfo=datetime.UTC)
        content = self.objects[key]
        tag = str(hash(content))
        return {"Key": key, "ETag": tag, "LastModified": time, "Size": len(content)}

    def download_file(self, bucket: str, key: str, path: str) -> None:
        self.downloads.append(key.partition("/")[2].partition("/")[2])
        if self.objects[key] == b"gone":
            raise ClientError({"Error": {"Code": "404", "Message": ""}}, "HeadObject")
        Path(path).write_bytes(self.objects[key])


COMMANDS = {command.name: command for command in commands.COMMANDS}
MEMBERS = [
    Member(
        f"{number:016x}",
        f"daily.{number}",
        BEGIN + (3 - number) * DAY,
        "daily",
        files=31,
        bytes=31,
        frees=number,
        why="one of the newest 4 daily",
    )
    for number in range(4)
]


@pytest.fixture
def bucket(tmp_path: Path) -> Bucket:
    """file 3.txt is another in the oldest; file 4.txt is gone in the newest."""
    objects = {f"catalog/files/{LIST}": to_json(MEMBERS).encode()}
    before: Path | None = None
    for number, member in enumerate(MEMBERS):
        has = {name: version(1) for name in NAMES}
        if number == 3:
            has[b"dir/file 3.txt"] = version(2)
        if number == 0:
            del has[b"dir/file 4.txt"]
        path = tmp_path / catalog_key(member).replace("/", "-")
        write_catalog(path, (escaped(name) + b"\t" + has[name] for name in sorted(has)))
        to = tmp_path / f"{number}.changes"
        newer = MEMBERS[number - 1].id if before else ""
        write_changes(to, member.id, newer, path, before, Totals(31, 31))
        objects[f"catalog/files/{catalog_key(member)}"] = path.read_bytes()
        objects[f"catalog/files/{changes_key(member)}"] = to.read_bytes()
        before = path
    return Bucket(objects)


class Stack:
    name = "s"
    outputs: ClassVar = {"LogBucket": "logs"}
    parameters: ClassVar = {"FolderLabel": "files"}


@pytest.fixture
def answer(
    bucket: Bucket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Any:
    """answer(action, NAME=value, …): what is printed."""
    monkeypatch.setattr(catalogs, "CACHE", tmp_path / ".cache/catalogs")
    monkeypatch.setattr(ask, "clients", lambda region: lambda service: bucket)
    monkeypatch.setattr(ask.Stack, "backup", lambda connect, name: Stack)

    def answer(action: str, **variables: str) -> str:
        variables = {"STACK": "s", **variables}
        assert COMMANDS[action].carry_out(Given(variables)) == 0
        return capsys.readouterr().out

    return answer


def test_a_file_is_found_and_restored_by_its_date(answer: Any) -> None:
    text = answer("find", FILE="/dir/file 3.txt")
    assert "1 file matches, in 2 versions. Searched: 4 snapshots" in text
    assert "2026-11-19 to 2026-11-21: daily.2 to daily.0" in text
    command = "make restore STACK=s DATE=2026-11-18T11:06:40Z 'SUBDIR=/dir/file 3.txt'"
    assert command in text
    assert "gone since 2026-11-21 11:06 (daily.0)" in answer("find", NAME="file 4.*")


def test_only_one_catalog_is_fetched_and_nothing_twice(answer: Any, bucket: Bucket) -> None:
    answer("find", NAME="*.txt")
    first = [*bucket.downloads]
    assert [key for key in first if key.startswith("files/")] == [catalog_key(MEMBERS[0])]
    answer("find", NAME="*.txt")
    assert bucket.downloads == first


def test_what_the_bucket_has_no_more_is_not_kept(
    answer: Any, bucket: Bucket, tmp_path: Path
) -> None:
    answer("find", NAME="*.txt")
    kept = [*tmp_path.glob(".cache/catalogs/*/*")]
    assert all(len(path.name) == 64 for path in kept)
    being_fetched = kept[0].with_name("of another question.1234")
    being_fetched.touch()
    for path in kept:
        os.utime(path, (0, 0))
    bucket.objects = {f"catalog/files/{LIST}": to_json([]).encode()}
    assert "No snapshot was searched" in answer("find", NAME="*.txt")
    left = {*tmp_path.glob(".cache/catalogs/*/*")}
    assert being_fetched in left
    assert len(left) == 2
    assert not left & {*kept}


@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip", b"gone", gzip.compress(b"no catalog\n")],
    ids=["empty", "no gzip", "gone", "no catalog"],
)
def test_a_damaged_one_is_named_and_the_others_are_searched(
    answer: Any, bucket: Bucket, content: bytes
) -> None:
    bucket.objects[f"catalog/files/{catalog_key(MEMBERS[0])}"] = content
    text = answer("find", NAME="file 3.txt")
    assert "Not searched: daily.0" in text
    assert "Searched: 3 snapshots" in text
    assert "2026-11-19 to 2026-11-20: daily.2 to daily.1" in text


def test_half_of_one_is_damaged(answer: Any, bucket: Bucket) -> None:
    key = f"catalog/files/{catalog_key(MEMBERS[0])}"
    bucket.objects[key] = bucket.objects[key][:-20]
    assert "Not searched: daily.0" in answer("find", NAME="file 3.txt")


def test_differences(answer: Any, bucket: Bucket) -> None:
    text = answer("diff", FROM="daily.3", TO="2026-11-21")
    assert "* /dir/file 3.txt  (2 bytes -> 1 byte)" in text
    assert "- /dir/file 4.txt  (1 byte)" in text
    assert not any(key.startswith("files/") for key in bucket.downloads)
    back = json.loads(answer("diff", FROM="daily.0", TO="daily.3", FORMAT="json"))
    assert back["files"] == {"added": 1, "changed": 1, "removed": 0, "metadata": 0}
    assert json.loads(answer("diff", FROM="daily.3", TO="daily.0", IN="/di", FORMAT="json"))[
        "files"
    ] == dict.fromkeys(("added", "changed", "removed", "metadata"), 0)


def test_snapshots_as_a_table_and_for_programs(answer: Any, bucket: Bucket) -> None:
    text = answer("snapshots")
    assert max(map(len, text.splitlines())) <= 80
    assert text.splitlines()[1].startswith("daily.0     2026-11-21 11:06")
    assert "complete; one of the newest 4 daily" in text
    found = json.loads(answer("snapshots", FORMAT="json"))
    assert found[3] == {
        "name": "daily.3",
        "made": "2026-11-18T11:06:40Z",
        "complete": True,
        "held": False,
        "files": 31,
        "bytes": 31,
        "frees": 3,
        "why": "one of the newest 4 daily",
    }
    assert set(bucket.downloads) == {LIST}


def test_no_name_acts_on_the_terminal(answer: Any) -> None:
    text = answer("find", NAME="*2J")
    assert "\\xff\\x1b[2J" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("columns", [80, 120])
def test_a_terminal_breaks_no_word(
    answer: Any, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for words in (("find", {"NAME": "file [34]*"}), ("diff", {"FROM": "daily.3", "TO": "daily.0"})):
        action, variables = words
        terminal = Terminal(columns)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", terminal.stream)
            answer(action, **variables)
        output = terminal.read()
        drawn(output)
        check_width(output, columns)
        assert "/dir/file 4.txt" in output


def test_pages(answer: Any) -> None:
    assert "Page 1 of 2; the next: PAGE=2." in answer("find", NAME="*")
    second = json.loads(answer("find", NAME="*", PAGE="2", FORMAT="json"))
    assert (second["files"], len(second["found"])) == (31, 11)


@pytest.mark.parametrize(
    ("action", "variables", "said"),
    [
        ("find", {}, "Give what to find"),
        ("find", {"NAME": "a", "FILE": "/b"}, "NAME or FILE, not both"),
        ("find", {"NAME": "a", "PAGE": "0"}, "PAGE is '0'"),
        ("find", {"NAME": "a", "PAGE": "9" * 5000}, "PAGE is '9999"),
        ("find", {"NAME": "[z-a]"}, "no set of letters"),
        ("find", {"NAME": "a", "FORMAT": "xml"}, "FORMAT is 'xml'"),
        ("find", {"NAME": "a", "TO": "b"}, "Unknown: TO"),
        ("diff", {"FROM": "daily.0"}, "TO is missing"),
        ("diff", {"FROM": "2026-11-01", "TO": "daily.0"}, "the nearest: daily.3"),
        ("diff", {"FROM": "daily.7", "TO": "daily.0"}, "there is no snapshot daily.7"),
    ],
)
def test_bad_input(answer: Any, action: str, variables: dict[str, str], said: str) -> None:
    with pytest.raises(AdminError, match=said):
        answer(action, **variables)


MADE = f'"made": {MEMBERS[0].made}'.encode()
NO_TIMES = [
    to_json(MEMBERS).encode().replace(MADE, b'"made": ' + made) for made in (b"1e99", b"-1", b"NaN")
]


@pytest.mark.parametrize(
    "text", [b"", b"[]", b'{"snapshots": [{"id": 1}]}', b"[" * 100_000, *NO_TIMES]
)
def test_a_list_that_is_damaged(answer: Any, bucket: Bucket, text: bytes) -> None:
    bucket.objects[f"catalog/files/{LIST}"] = text
    with pytest.raises(AdminError, match=r"damaged.*The next backup writes it anew"):
        answer("snapshots")


def test_no_list(answer: Any, bucket: Bucket) -> None:
    bucket.objects = {}
    with pytest.raises(AdminError, match="Make one first"):
        answer("snapshots")


def test_where_nothing_can_be_kept_it_is_brought_for_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(catalogs, "CACHE", tmp_path / "file" / "catalogs")
    removed: list[Path] = []
    monkeypatch.setattr(catalogs.atexit, "register", lambda _, place, **__: removed.append(place))
    assert [str(catalogs.cache())] == removed
    Path(removed[0]).rmdir()
    monkeypatch.setattr(catalogs, "CACHE", tmp_path / "catalogs")
    assert catalogs.cache() == tmp_path / "catalogs"


def test_a_label_that_cloudformation_does_not_tell(bucket: Bucket) -> None:
    bucket.objects = {"catalog/täglich/snapshots.json": b"", "catalog/other/snapshots.json": b""}
    assert catalogs.prefix_of(bucket, "logs", "t?glich") == "catalog/täglich/"
    assert catalogs.prefix_of(bucket, "logs", "t?") == "catalog/t?/"


@pytest.mark.parametrize("newest", ["büro", "bäro"])
def test_of_labels_that_look_alike_it_is_that_of_the_last_backup(newest: str) -> None:
    bucket = Bucket({f"catalog/{label}/{LIST}": b"" for label in ("büro", "bäro", "b\u00e9")})
    bucket.days[f"catalog/{newest}/{LIST}"] = 1
    assert catalogs.prefix_of(bucket, "logs", "b?ro") == f"catalog/{newest}/"


def test_a_stack_of_an_older_release() -> None:
    class Old(Stack):
        outputs: ClassVar = {}

    with pytest.raises(AdminError, match="make deploy"):
        catalogs.catalogs_of(lambda service: None, Old)  # type: ignore[arg-type]
