"""The catalogs of snapshots, and what is found in them."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import itertools
import json
import os
import random
import shlex
import shutil
import stat
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engine.command.outcome import Refused
from engine.history.catalog import Version, entries, escaped, unescaped
from engine.history.compare import compare
from engine.history.members import Member, with_sizes
from engine.history.search import Pattern, Question, Range, search
from engine.history.shown import names, table
from engine.history.upkeep import InFolder, members_of, remove_damaged
from engine.snapshots.folder import SnapshotFolder

from local.tree import inodes

from .conftest import DAMAGES, EC2, Backup, inside
from .engines import run_engine

DAY = 86400
BEGIN = 1_767_578_400  # 2026-01-05 02:00
ODD = os.fsdecode(b"\xff\t\x1b[31m\n\\x41 \xe2\x80\xae.xlsx")


def ask(backup: Backup, action: str, *words: str) -> subprocess.CompletedProcess[str]:
    return run_engine(*backup.script(f"efs-{action}.sh", *words))


def answer(backup: Backup, action: str, *words: str) -> Any:
    done = ask(backup, action, "--json", *words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def catalog_of(backup: Backup, number: int) -> Path:
    return backup.list_of(backup.snapshot(number), "catalog")


def changes_of(backup: Backup, number: int) -> Path:
    return backup.list_of(backup.snapshot(number), "changes")


def really_in(snapshot: Path) -> dict[bytes, tuple[Any, ...]]:
    """What is no directory, as the file system says; with whether it has another name there."""
    kinds = {stat.S_IFREG: "f", stat.S_IFLNK: "l", stat.S_IFIFO: "p"}
    there = {p: i for p, i in inodes(snapshot).items() if not stat.S_ISDIR(i.st_mode)}
    names = Counter(info.st_ino for info in there.values())
    found = {}
    for path, info in there.items():
        kind = kinds[stat.S_IFMT(info.st_mode)]
        content = (snapshot / os.fsdecode(path)).read_bytes() if kind == "f" else None
        found[path] = (
            kind, info.st_size, info.st_mtime_ns,
            "" if content is None else hashlib.md5(content).hexdigest(),
            stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid,
            info.st_ino if names[info.st_ino] > 1 else 0,
        )  # fmt: skip
    return found


def told_by(catalog: Path) -> dict[bytes, tuple[Any, ...]]:
    fields = ((path, line.partition(b"\t")[2]) for path, line in entries(catalog))
    return {path: tuple(Version.parse(text)) for path, text in fields}


def change_at_random(source: Path, dice: random.Random, links: bool) -> None:
    """Adds, changes, renames, removes, links, and turns files into directories and back."""
    folders = [source, *(path for path in source.rglob("*") if path.is_dir())]
    for _ in range(8):
        folder = dice.choice(folders)
        if not folder.is_dir():
            continue
        path = folder / f"{dice.choice(['a', 'b', 'é', ODD])}{dice.randrange(6)}"
        others = [each for each in source.rglob("*") if each.is_file() and not each.is_symlink()]
        what = dice.randrange(8)
        if path.is_dir() and not path.is_symlink():
            if what < 3:
                shutil.rmtree(path)
        elif what == 0:
            path.unlink(missing_ok=True)
            path.mkdir()
            folders.append(path)
        elif what == 1:
            path.unlink(missing_ok=True)
        elif what == 2 and others and links:
            path.unlink(missing_ok=True)
            with contextlib.suppress(FileNotFoundError):
                os.link(dice.choice(others), path)
        elif what == 3:
            path.unlink(missing_ok=True)
            path.symlink_to("nowhere")
        elif what == 4 and path.is_file():
            path.chmod(dice.choice([0o600, 0o640, 0o755]))
        else:
            path.unlink(missing_ok=True)
            path.write_text("x" * dice.randrange(5000))


def only_in(backup: Backup, name: str) -> int:
    """Bytes of the inodes that no other snapshot has: what removing it really frees."""

    def sizes(snapshot: Path) -> dict[int, int]:
        found = inodes(snapshot).values()
        return {i.st_ino: i.st_size for i in found if not stat.S_ISDIR(i.st_mode)}

    folder = backup.target / backup.label
    others = [sizes(folder / each) for each in backup.names() if each != name]
    known = set().union(*others)
    return sum(size for inode, size in sizes(folder / name).items() if inode not in known)


@pytest.mark.parametrize("seed", range(2))
def test_catalogs_name_exactly_what_the_snapshots_have(backup: Backup, seed: int) -> None:
    """Whatever has changed, and though some are promoted and some expire. Of files with several
    names the catalogs do not tell which inode it was before."""
    links = seed % 2 == 1
    dice = random.Random(seed)
    (backup.source / "quiet").mkdir()
    (backup.source / "quiet/file").write_text("stays")
    for night in range(8):
        if night != 4:  # in which nothing changes
            change_at_random(backup.source, dice, links)
        backup.must_publish(retain="3", retain_weekly="2")
        backup.set_date(0, BEGIN + night * 3 * DAY)
    assert len(backup.names()) == 5
    told = {each["name"]: each for each in answer(backup, "snapshots")}
    states = {}
    for name in backup.names():
        snapshot = backup.target / backup.label / name
        states[name] = really_in(snapshot)
        assert told_by(backup.list_of(snapshot, "catalog")) == states[name], name
        assert told[name]["files"] == len(states[name])
        frees = only_in(backup, name)
        assert told[name]["frees"] == frees or (links and told[name]["frees"] > frees), name
    for begin in states:
        for end in states:
            assert differences(answer(backup, "diff", begin, end)) == compared(
                states[begin], states[end]
            )


def differences(found: Any) -> dict[str, str]:
    return {each.get("path_base64") or each["path"]: each["change"] for each in found["changes"]}


def compared(
    before: dict[bytes, tuple[Any, ...]], after: dict[bytes, tuple[Any, ...]]
) -> dict[str, str]:
    found = {}
    for path in {*before, *after}:
        old, new = before.get(path), after.get(path)
        if old is None or new is None:
            change = "removed" if old else "added"
        elif (old[:2], old[3] or old[2]) != (new[:2], new[3] or new[2]):
            change = "changed"
        elif old[:-1] != new[:-1]:
            change = "metadata"
        else:
            continue
        found[said(path)] = change
    return found


def said(path: bytes) -> str:
    with contextlib.suppress(UnicodeDecodeError):
        return "/" + path.decode()
    return base64.b64encode(b"/" + path).decode()


@pytest.fixture
def week(backup: Backup) -> Backup:
    """Four nights: report.xlsx changes in the second, and is removed in the fourth."""
    (backup.source / "a/b").mkdir(parents=True)
    for night in range(4):
        (backup.source / "changing").write_text(f"night {night}")
        if night == 0:
            (backup.source / "a/report.xlsx").write_text("first")
            (backup.source / "a/b" / ODD).write_text("odd")
        if night == 1:
            (backup.source / "a/report.xlsx").write_text("the second one")
        if night == 3:
            (backup.source / "a/report.xlsx").unlink()
        backup.must_publish()
        backup.set_date(0, BEGIN + night * DAY)
    return backup


def test_in_a_folder_of_two_intervals_a_file_is_not_gone_that_the_newest_has(
    backup: Backup,
) -> None:
    (backup.source / "one").write_text("1")
    for interval in ("weekly", "daily", "daily"):
        backup.must_publish(interval=interval)
    (file,) = answer(backup, "find", "one")["found"]
    assert file["gone_since"] is None


def test_a_file_is_found_with_its_versions_and_what_restores_them(
    week: Backup, tmp_path: Path
) -> None:
    done = ask(week, "find", "rep*.xlsx")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("1 file matches, in 2 versions. Searched: 4 snapshots")
    assert lines[2:4] == ["/a/report.xlsx", "  gone since 2026-01-08 02:00 (daily.0)"]
    assert lines[4].endswith("2026-01-06 to 2026-01-07: daily.2 to daily.1")
    assert lines[6].endswith("2026-01-05: daily.3")
    for line, content in ((lines[5], "the second one"), (lines[7], "first")):
        target = tmp_path / content
        target.mkdir()
        (target / "a").mkdir()
        words = [str(target) if word == "DIR" else word for word in shlex.split(line)]
        restored = run_engine(EC2 / words[0], *words[1:])
        assert restored.returncode == 0, restored.stderr
        assert (target / "a/report.xlsx").read_text() == content


def test_nothing_acts_on_the_terminal_and_what_cannot_be_typed_is_restored_with_its_directory(
    week: Backup, tmp_path: Path
) -> None:
    done = ask(week, "find", "/a/b")
    assert done.stdout.startswith("1 file matches")
    assert not any(c for c in done.stdout if c != "\n" and not c.isprintable())
    assert "--path /a/b/ --mode NewDirectory" in done.stdout
    (found,) = answer(week, "find", "*.xlsx", "--file", "/a/b")["found"][:1]
    assert found["path_base64"] == said(b"a/b/" + os.fsencode(ODD))
    for action, words in (("diff", ("daily.3", "daily.0")), ("snapshots", ())):
        text = ask(week, action, *words).stdout
        assert text
        assert not any(c for c in text if c != "\n" and not c.isprintable())


def test_pages_say_first_how_many_there_are(week: Backup) -> None:
    first = ask(week, "find", "*", "--per-page", "1").stdout
    assert "3 files match, in 7 versions." in first
    assert "Page 1 of 3; the next: --page 2." in first
    assert "Page 3 of 3." in ask(week, "find", "*", "--per-page", "1", "--page", "3").stdout
    beyond = ask(week, "find", "*", "--page", "2").stdout
    assert "There is no page 2; the last is 1." in beyond
    pages = [answer(week, "find", "*", "--per-page", "1", "--page", str(n)) for n in (1, 2, 3, 4)]
    paths = [[file["path"] for file in page["found"]] for page in pages]
    assert [len(each) for each in paths] == [1, 1, 1, 0]
    together = [path for page in paths for path in page]
    assert sorted(together) == together


def test_where_neither_has_a_file_it_says_so(week: Backup) -> None:
    words = ("diff", "daily.1", "daily.0", "--in")
    assert ask(week, *words, "/nosuch/").stdout.splitlines()[1:] == ["  Neither has a file there."]
    assert "removed             0" in ask(week, *words, "/a/b/").stdout
    catalog_of(week, 1).write_bytes(b"")
    assert "Neither" not in ask(week, *words, "/nosuch/").stdout


@pytest.mark.parametrize("damage", ["empty", "cut off", "a directory"])
@pytest.mark.parametrize("which", [catalog_of, changes_of])
def test_what_is_damaged_is_named_or_done_without_and_written_anew(
    week: Backup, which: Callable[[Backup, int], Path], damage: str
) -> None:
    expected = answer(week, "find", "*")
    content = {number: told_by(catalog_of(week, number)) for number in range(4)}
    DAMAGES[damage](which(week, 1))
    if which == changes_of:  # its catalog tells as much
        assert answer(week, "find", "*") == expected
    else:
        DAMAGES[damage](changes_of(week, 1))
        found = answer(week, "find", "*")
        assert [each["name"] for each in found["not_searched"]] == ["daily.1"]
        assert len(found["searched"]) == 3
        text = ask(week, "find", "report.xlsx").stdout
        assert "Not searched: daily.1 (made 2026-01-07T02:00:00Z)" in text
        assert "/a/report.xlsx" in text
    result = week.must_publish().result
    assert result["warnings"] == []
    assert {n: told_by(catalog_of(week, n + 1)) for n in range(4)} == content
    assert answer(week, "find", "*")["not_searched"] == []
    assert answer(week, "find", "*")["versions"] == expected["versions"]


def test_a_damaged_catalog_is_removed_when_it_is_drawn(week: Backup) -> None:
    folder = SnapshotFolder(week.target / week.label, "daily")
    members = members_of(folder)
    damaged = catalog_of(week, 2)
    DAMAGES["cut off"](damaged)
    for _ in range(1000):
        if damaged.exists():
            remove_damaged(folder, members)
    assert [catalog_of(week, number).exists() for number in range(4)] == [True, True, False, True]
    week.must_publish()
    assert told_by(damaged) == really_in(week.snapshot(3))


# Whole to gzip, and nothing that this version writes.
STRANGE: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "other fields": lambda lines: [line + b"\tmore" for line in lines],
    "fewer fields": lambda lines: [line.rpartition(b"\t")[0] for line in lines],
    "no numbers": lambda lines: [line.replace(b"0", b"x") for line in lines],
    "not in order": lambda lines: lines[::-1],
    "no lines": lambda lines: [b"", b"", b""],
    "not UTF-8": lambda lines: [line.replace(b"\t", b"\t\xff") for line in lines],
    "without an end": lambda lines: [bytes(1 << 26)],
}


def test_what_no_run_writes_is_damaged_and_nothing_worse(week: Backup) -> None:
    members = members_of(SnapshotFolder(week.target / week.label, "daily"))
    catalogs = InFolder(SnapshotFolder(week.target / week.label, "daily"))
    kept = {path: path.read_bytes() for n in range(4) for path in both(week, n)}
    expected = search(members, catalogs, Question([Pattern.glob("*")]))
    for which, (name, strange) in itertools.product((0, 1), STRANGE.items()):
        for path, content in kept.items():
            path.write_bytes(content)
        for number in range(4):
            path = both(week, number)[which]
            first, *lines = gzip.decompress(kept[path]).splitlines()
            lines = [first, *(strange(lines) if lines else [])]
            path.unlink()
            path.write_bytes(gzip.compress(b"".join(each + b"\n" for each in lines), 1))
        found = search(members, catalogs, Question([Pattern.glob("*")]))
        if which or not found.lost:
            assert found == expected, name
        with contextlib.suppress(Refused):
            compare(members[3], members[0], members, catalogs)
        assert len(with_sizes(members, catalogs, set())) == 4
    (week.source / "changing").write_text("again")
    assert week.run().exit_code == 0


def both(backup: Backup, number: int) -> tuple[Path, Path]:
    return catalog_of(backup, number), changes_of(backup, number)


def test_the_newest_is_searched_again_after_the_next_run(week: Backup) -> None:
    catalog_of(week, 0).unlink()
    found = answer(week, "find", "*")
    assert [each["name"] for each in found["not_searched"]] == ["daily.0"]
    (week.source / "new").write_text("new")
    week.must_publish()
    assert told_by(catalog_of(week, 0)) == really_in(week.snapshot(0))
    assert answer(week, "find", "new")["files"] == 1
    assert answer(week, "find", "*")["not_searched"] == []


def test_snapshots_of_earlier_releases_get_catalogs(week: Backup) -> None:
    for number in range(4):
        catalog_of(week, number).unlink()
        changes_of(week, number).unlink()
    (week.target / week.label / ".daily.snapshots").unlink()
    assert ask(week, "find", "*").stdout.startswith("0 files match, in 0 versions. No snapshot")
    assert "?" in ask(week, "snapshots").stdout
    week.must_publish()
    for number in range(5):
        assert told_by(catalog_of(week, number)) == really_in(week.snapshot(number))


def test_a_run_that_was_killed_among_them_leaves_nothing_behind(week: Backup) -> None:
    """The new one was begun; a change list speaks of a snapshot that is no neighbour any more."""
    for path in (catalog_of(week, 0), changes_of(week, 0)):
        path.with_name(path.name + ".new").write_bytes(b"half of it")
    changes_of(week, 1).unlink()
    expected = answer(week, "find", "*")
    changes_of(week, 1).write_bytes(changes_of(week, 3).read_bytes())
    assert answer(week, "find", "*") == expected
    week.must_publish()
    assert week.hidden() == []
    told = answer(week, "snapshots")
    assert [each["frees"] for each in told] == [only_in(week, each["name"]) for each in told]


def test_a_catalog_goes_with_its_snapshot_and_stays_with_a_promoted_one(backup: Backup) -> None:
    for night in range(6):
        (backup.source / "file").write_text(f"night {night}")
        backup.must_publish(retain="2", retain_weekly="1")
        backup.set_date(0, BEGIN + night * DAY)
    assert backup.names() == ["daily.0", "daily.1", "weekly.0"]
    assert len([*(backup.target / backup.label).glob(".daily.catalog.*")]) == 3
    found = answer(backup, "find", "file")["found"][0]["versions"]
    assert [[m["name"] for r in v["ranges"] for m in r] for v in found] == [
        ["daily.0"],
        ["daily.1"],
        ["weekly.0"],
    ]


def test_what_is_uploaded_is_called_by_when_it_was_made(week: Backup) -> None:
    export = week.home / "export"
    week.must_publish(catalogs=str(export))
    names = sorted(path.name for path in (export / "files").iterdir())
    assert [name[:18] for name in names[:4]] == [f"2026-01-0{day}T020000Z" for day in (5, 6, 7, 8)]
    assert len([*(export / "changes").iterdir()]) == 5
    told = json.loads((export / "snapshots.json").read_text())["snapshots"]
    assert [each["name"] for each in told] == [f"daily.{number}" for number in range(5)]
    assert {each["why"] for each in told} == {"one of the newest 7 daily"}
    lines = gzip.decompress((export / "files" / names[0]).read_bytes()).splitlines()
    assert lines[0].split(b"\t")[:5] == [b"path", b"kind", b"size", b"mtime_ns", b"md5"]
    assert {line.count(b"\t") for line in lines} == {8}


def test_bad_input_is_named(week: Backup) -> None:
    for words, message in (
        (("diff", "daily.9", "daily.0"), "there is no snapshot daily.9; there are: daily.0"),
        (("diff", "2026-01-04", "daily.0"), "the nearest: daily.3 (made 2026-01-05T02:00:00Z)"),
        (("diff", "2026-01-06T04:00", "daily.0"), "daily.2 (made 2026-01-06T02:00:00Z), daily.1"),
        (("find",), "give what to find"),
        (("find", "x", "--page", "0"), "must be a whole number"),
        (("find", "[z-a]"), "'[z-a]' is no set of letters"),
        (("find", "--file", "/a/../b"), "write the path from the top"),
        (("diff", "daily.1", "daily.0", "--in", "../a"), "write the path from the top"),
    ):
        done = ask(week, *words)
        assert done.returncode == 2
        assert done.stderr.startswith("refused: ")
        assert message in done.stderr


def test_long_paths_are_in_it(backup: Backup) -> None:
    with inside(backup.source, *["d" * 250] * 20):
        Path("deep.xlsx").write_text("deep")
    assert backup.run().exit_code == backup.run().exit_code == 0  # md5sum would not take it
    (found,) = answer(backup, "find", "deep.xlsx")["found"]
    assert len(found["path"]) == 20 * 251 + len("/deep.xlsx")


@pytest.mark.parametrize(
    ("glob", "matching", "others"),
    [
        ("report*.xlsx", ["report.xlsx", "a/report-1.xlsx"], ["report/x", "a/my report.xlsx"]),
        ("?.txt", ["a.txt", "x/é.txt"], ["ab.txt", ".txt"]),
        ("[a-c]1", ["a1", "x/c1"], ["d1", "-1"]),
        ("[!a-c]1", ["d1", "é1"], ["a1", "/1"]),
        ("/a/b", ["a/b", "a/b/c", "a/b/c/d"], ["a/bc", "x/a/b", "a"]),
        ("/a/*.txt", ["a/x.txt"], ["a/b/x.txt", "x/a/x.txt"]),
        ("/a/**/x", ["a/x", "a/b/x", "a/b/c/x"], ["a/bx", "x"]),
        ("a/*.txt", ["a/x.txt", "b/a/x.txt"], ["ba/x.txt"]),
        ("/", ["a", "a/b"], []),
        ("a.b", ["a.b"], ["aab"]),
        ("\\*x", ["*x"], ["ax"]),
        ("[", ["["], ["a"]),
    ],
)
def test_patterns(glob: str, matching: list[str], others: list[str]) -> None:
    pattern = Pattern.glob(glob)
    matches = pattern.matches
    for path in matching:
        assert matches(path.encode()), path
        assert pattern.letters in escaped(path.encode())
    for path in others:
        assert not matches(path.encode()), path


def test_a_path_is_taken_literally() -> None:
    matches = Pattern.path("/a/[x]*").matches
    assert matches(b"a/[x]*")
    assert matches(b"a/[x]*/below")
    assert Pattern.path("a//b/").matches(b"a/b")
    assert not matches(b"a/x1")


def test_names_survive_being_escaped() -> None:
    for path in (bytes(range(1, 256)), os.fsencode(ODD), "é\\x41".encode(), b"\\", b"\xc3\xc3\xa9"):
        text = escaped(path)
        assert unescaped(text) == path
        assert b"\t" not in text
        assert text.decode()


def test_ranges_are_folded() -> None:
    made = ["weekly.1", "weekly.0", "daily.3", "daily.2", "daily.0", "held.mine", "held.other"]
    members = [Member(name, name, number * DAY) for number, name in enumerate(made)]
    assert names(Range(members[::-1])) == (
        "daily.3 to daily.2, daily.0, weekly.1 to weekly.0, held.mine, held.other"
    )


def test_the_table_fits_eighty_columns() -> None:
    member = Member(
        "id", "held.change-20260105T020000Z", BEGIN, "", True, 123_456_789, 1 << 50, 1023 << 20,
        "it is held until it is released, and more has to be said of it than fits into one line",
    )  # fmt: skip
    lines = [*table([member, member], BEGIN + 4000 * DAY)]
    assert max(map(len, lines)) <= 80
    assert "123,456,789" in lines[2]


def test_times_that_no_calendar_has() -> None:
    """Anybody can give them to a file, where the file system takes them."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as home:
        backup = Backup(Path(home))
        times = {f"{sign}{bits}": sign * 2**bits for bits in (34, 40, 55, 62) for sign in (1, -1)}
        for name, seconds in times.items():
            (backup.source / name).write_text(name)
            os.utime(backup.source / name, (0, seconds))
        (backup.source / "zz").write_text("usual")
        backup.must_publish()
        (backup.source / "zz").write_text("changed")
        os.utime(backup.source / "-140", (0, -(2**41)))
        outcome = backup.must_publish()
        assert outcome.result["warnings"] == []
        assert [*told_by(catalog_of(backup, 0))] == sorted(map(os.fsencode, [*times, "zz"]))
        for action, words in (("find", ["*"]), ("diff", ["daily.1", "daily.0"])):
            done = ask(backup, action, *words)
            assert (done.returncode, done.stderr) == (0, "")


def test_what_was_held_or_released_since_the_last_run_is_kept_for_another_reason(
    week: Backup,
) -> None:
    def why() -> dict[str, str]:
        lines = ask(week, "snapshots").stdout.splitlines()[1:]
        names = [line.split()[0] for line in lines[::2]]
        return dict(zip(names, (line.strip() for line in lines[1::2]), strict=True))

    def manage(*words: str) -> None:
        run_engine(*week.script("efs-manage.sh", *words)).check_returncode()

    kept = why()
    assert all("one of the newest 7 daily" in reason for reason in kept.values())
    manage("hold", "--snapshot", "daily.2", "--name", "mine")
    held = why()
    assert held.pop("held.mine") == "complete; it is held until it is released"
    assert held == {name: kept[name] for name in held}
    manage("release", "--name", "mine")
    assert why() == kept
    manage("hold", "--snapshot", "daily.2", "--name", "mine")
    week.must_publish()
    manage("release", "--name", "mine")
    assert "complete; the next backup decides whether it is kept" in why().values()


def test_nothing_is_no_pattern(week: Backup) -> None:
    assert ask(week, "find", "").returncode == 2
    assert ask(week, "find", "--file", "").returncode == 2
