"""What is excluded is in no new snapshot, costs nothing, and is safe from restores."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engine.tree.patterns import Patterns, split

from local.tree import Tree, part, read_tree
from tests.trees import visible

from .conftest import Backup, check_digests, end_tree, exchange, until
from .test_catalogs import really_in, told_by
from .test_history import UNPRIVILEGED
from .test_interruptions import slow_rsync
from .test_restore import Restore

SIGNATURE = "Signature: 8a477f597d28d172789f06886806bc55\n# made by a program\n"
Files = Callable[..., None]


def write(top: Path, *paths: str, text: str = "some text") -> None:
    for path in paths:
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_text(text)


def paths(top: Path) -> set[str]:
    return {os.fsdecode(path) for path in read_tree(top)} - {"."}


def listed(backup: Backup, kind: str, number: int = 0) -> bytes:
    return gzip.decompress(backup.list_of(backup.snapshot(number), kind).read_bytes())


@pytest.fixture
def source(backup: Backup) -> Path:
    write(backup.source, "kept", "a/kept", "a/x.tmp", "y.tmp", "cache/1", "cache/2/3", "a/cache/4")
    return backup.source


def test_files_and_directories_are_left_out_and_counted(backup: Backup, source: Path) -> None:
    result = backup.must_publish(exclude_patterns="*.tmp | /cache/").result
    assert paths(backup.snapshot(0)) == {"kept", "a", "a/kept", "a/cache", "a/cache/4"}
    assert result["number_of_files"] == 3
    assert result["number_of_files_excluded"] == 3  # a directory is one
    assert result["excluded_file_size"] == 2 * len("some text")
    assert result["warnings"] == []
    for name in ("a", "."):
        assert read_tree(backup.snapshot(0))[name.encode()] == read_tree(source)[name.encode()]


def test_an_excluded_directory_is_not_entered(backup: Backup, source: Path) -> None:
    write(source, "outside/inside/file")
    log = backup.home / "calls"
    prefix = ["strace", "-f", "-o", str(log), "-e", "trace=%file"]
    assert backup.run(prefix, exclude="/outside/").exit_code == 0
    assert "a/kept" in log.read_text()
    assert "inside" not in log.read_text()


def test_an_excluded_directory_may_be_unreadable(backup: Backup, source: Path) -> None:
    (source / "cache").chmod(0)
    published = backup.run(UNPRIVILEGED, exclude="/cache/")
    (source / "cache").chmod(0o755)
    assert (published.exit_code, published.result["outcome"]) == (0, "published")


@pytest.mark.parametrize("was_unchanged", [True, False])
def test_patterns_that_change_take_files_out_and_in(
    backup: Backup, source: Path, was_unchanged: bool
) -> None:
    backup.must_publish()
    whole = paths(backup.snapshot(0))
    if not was_unchanged:
        write(source, "a/new", "cache/new")
    result = backup.must_publish(exclude_patterns="x.tmp|/cache/").result
    assert not {"a/x.tmp", "cache", "cache/1"} & paths(backup.snapshot(0))
    assert result["number_of_files_newly_excluded"] == 3
    assert result["number_of_files_removed"] == 0
    assert paths(backup.snapshot(1)) == whole, "an older snapshot has changed"
    assert b"cache" not in listed(backup, "digests").replace(b"a/cache", b"")
    result = backup.must_publish().result
    assert read_tree(backup.snapshot(0)) == read_tree(source)
    assert result["number_of_files_added"] == 3 + (not was_unchanged)
    assert backup.verify().exit_code == 0
    backup.must_publish(exclude="*.tmp")
    assert backup.verify().exit_code == 0


def test_the_changes_say_what_is_excluded_since(backup: Backup, source: Path) -> None:
    backup.must_publish()
    backup.must_publish(exclude="/cache/")
    changes = gzip.decompress((backup.logs / "changes.txt.gz").read_bytes()).decode()
    assert sorted(changes.splitlines()) == ["excluded\t9\tcache/1", "excluded\t9\tcache/2/3"]


def test_what_is_excluded_is_no_mass_change(backup: Backup, source: Path) -> None:
    write(source, *(f"many/{number}" for number in range(1200)))
    backup.must_publish(hold_on_change_percent="50")
    result = backup.must_publish(hold_on_change_percent="50", exclude="/many/").result
    assert result["held"] == ""
    assert result["number_of_files_newly_excluded"] == 1200


def test_a_name_of_a_file_can_be_excluded(backup: Backup, source: Path) -> None:
    os.link(source / "kept", source / "other.tmp")
    for pattern in ("*.tmp", "nothing*", "*.tmp"):
        backup.must_publish(exclude=pattern)
        there = (backup.snapshot(0) / "other.tmp").exists()
        assert there == (pattern != "*.tmp")
        if there:
            assert (backup.snapshot(0) / "other.tmp").samefile(backup.snapshot(0) / "kept")


@pytest.mark.parametrize("patterns", [("", "/many/|/cache/|*.tmp"), ("/many/|/cache/|*.tmp", "")])
def test_a_stage_is_continued_with_other_patterns(
    backup: Backup, source: Path, patterns: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = patterns
    backup.must_publish()
    write(source, *(f"many/{number}" for number in range(30)), "many/deep/er", "kept too")
    body = f'touch "{backup.home}/running"; "$REAL" "$@"; exec sleep infinity'
    with monkeypatch.context() as slow:
        for name, value in slow_rsync(backup.home / "shim", body).items():
            slow.setenv(name, value)
        process = backup.start(exclude_patterns=before or None)
        until((backup.home / "running").exists)
        time.sleep(0.2)  # for some copies
        end_tree(process)
    assert (backup.target / backup.label / ".daily.stage").exists()
    backup.must_publish(exclude_patterns=after or None)
    left_out = Patterns(split(after))
    assert paths(backup.snapshot(0)) == {p for p in paths(source) if not left_out.covering(p)}
    assert backup.verify().exit_code == 0
    backup.must_publish()
    assert read_tree(backup.snapshot(0)) == read_tree(source)


def test_what_is_carried_forward_is_excluded_too(backup: Backup, source: Path) -> None:
    write(source, "d/one", "d/x.tmp", "d/cache/two", "d/tagged/three", "d/tagged/deep/four")
    write(source, "d/tagged/CACHEDIR.TAG", text=SIGNATURE)
    backup.must_publish()
    (source / "d").chmod(0)
    outcome = backup.run(UNPRIVILEGED, exclude_patterns="*.tmp | cache/", exclude_caches="")
    (source / "d").chmod(0o755)
    assert (outcome.exit_code, outcome.result["outcome"]) == (0, "partial")
    there = {path for path in paths(backup.snapshot(0)) if path.startswith("d/")}
    assert there == {"d/one", "d/tagged", "d/tagged/CACHEDIR.TAG"}
    assert outcome.result["number_of_files_newly_excluded"] == 9
    check_digests(backup.snapshot(0), backup.digests())
    backup.must_publish()
    assert read_tree(backup.snapshot(0)) == read_tree(source)


def test_a_pattern_that_excludes_nothing_is_a_warning(backup: Backup, source: Path) -> None:
    result = backup.must_publish(exclude_patterns="*.tmp | *.bak | x.tm?").result
    assert result["warnings"] == ["the pattern '*.bak' excluded nothing"]


def test_a_pattern_that_makes_no_sense_is_refused(backup: Backup, source: Path) -> None:
    for option, pattern, said in (
        ("exclude", "a/../b", "the pattern 'a/../b' contains '..'"),
        ("exclude", "a\nb", "control character"),
        ("exclude_patterns", "*.tmp | *", "the pattern '*' excludes everything"),
    ):
        refused = backup.run(**{option: pattern})
        assert refused.exit_code == 2
        assert said in refused.stderr
    assert backup.names() == []


@pytest.mark.parametrize("pattern", ["*/", "/*/", "**/", "/**/", "?*/"])
def test_a_pattern_that_excludes_every_directory_is_a_warning(
    backup: Backup, source: Path, pattern: str
) -> None:
    """rsync takes it, and somebody may want the files at the top alone."""
    result = backup.must_publish(exclude=pattern).result
    assert paths(backup.snapshot(0)) == {"kept", "y.tmp"}
    (warning,) = result["warnings"]
    assert warning.startswith(f"the pattern '{pattern}' excludes every directory")


@pytest.mark.parametrize(
    "patterns", ["kept|y.tmp|/a/|cache/", "[a-z]*", "kept|*.tmp|4|/cache/", "*/|kept|y*"]
)
def test_patterns_that_exclude_everything_that_there_is_are_refused(
    backup: Backup, source: Path, patterns: str
) -> None:
    backup.must_publish()
    refused = backup.run(exclude_patterns=patterns)
    assert (refused.exit_code, refused.result["outcome"]) == (2, "refused")
    assert "excluded" in refused.result["message"]
    assert backup.names() == ["daily.0"]
    assert paths(backup.snapshot(0)) == paths(source)


def test_two_dots_inside_a_name_are_fine(backup: Backup, source: Path) -> None:
    write(source, "a..b")
    backup.must_publish(exclude="a..b")
    assert "a..b" not in paths(backup.snapshot(0))


def test_the_patterns_are_noted_with_the_snapshot(backup: Backup, source: Path) -> None:
    backup.must_publish(exclude_patterns="*.tmp | /cache/", exclude_caches="")
    run: dict[str, Any] = json.loads(backup.about(backup.snapshot(0)).read_text())["run"]
    assert (run["excludes"], run["excludes_caches"]) == ("*.tmp\n/cache/", True)


def test_of_a_cache_only_its_tag_is_kept(backup: Backup, source: Path) -> None:
    write(source, "cache/CACHEDIR.TAG", "a/cache/CACHEDIR.TAG", text=SIGNATURE)
    write(source, "CACHEDIR.TAG", text="no signature")
    backup.must_publish()
    assert read_tree(backup.snapshot(0)) == read_tree(source)
    result = backup.must_publish(exclude_caches="").result
    there = paths(backup.snapshot(0))
    assert {path for path in there if "cache" in path} == {
        "cache",
        "cache/CACHEDIR.TAG",
        "a/cache",
        "a/cache/CACHEDIR.TAG",
    }
    assert "CACHEDIR.TAG" in there
    assert result["number_of_files_excluded"] == 3
    assert result["warnings"] == []
    backup.must_publish()
    assert read_tree(backup.snapshot(0)) == read_tree(source)


def test_a_source_that_is_a_cache_is_refused(backup: Backup, source: Path) -> None:
    write(source, "CACHEDIR.TAG", text=SIGNATURE)
    assert backup.run(exclude_caches="").exit_code == 2
    assert backup.names() == []


def test_a_directory_that_was_exchanged_meanwhile(backup: Backup, source: Path) -> None:
    """While it was excluded, nothing was noted of it."""
    write(source, "one/file", text="aaaa")
    write(source, "two/file", text="bbbb")
    for path in ("one/file", "two/file"):
        os.utime(source / path, (1_600_000_000, 1_600_000_000))
    backup.must_publish()
    backup.must_publish(exclude="/one/")
    exchange(source / "one", source / "two")
    backup.must_publish()
    assert read_tree(backup.snapshot(0)) == read_tree(source)


def test_a_large_file_is_excluded_and_included(backup: Backup, source: Path) -> None:
    with (source / "large").open("wb") as file:
        file.truncate(1 << 31)
    result = backup.must_publish(exclude="large").result
    assert result["excluded_file_size"] == 1 << 31
    assert result["total_transferred_file_size"] < 1000


@pytest.fixture
def restore(backup: Backup, source: Path) -> Restore:
    """The snapshot was made without *.tmp, /cache/, and what is in caches."""
    write(source, "tagged/CACHEDIR.TAG", text=SIGNATURE)
    write(source, "tagged/thing", "d/file", "gone/file")
    backup.must_publish(exclude_patterns="*.tmp | /cache/", exclude_caches="")
    return Restore(backup, source)


def test_a_mirror_restore_leaves_alone_what_was_excluded(restore: Restore) -> None:
    top = restore.target
    before = read_tree(top)
    write(top, "kept", text="damaged")
    shutil.rmtree(top / "gone")
    write(top, "new", "new dir/file")
    result = restore.must_restore().result
    assert visible(read_tree(top)) == before
    assert result["number_of_files_removed"] == 2
    assert result["excluded"] == ["*.tmp", "/cache/", "what is in caches"]
    assert restore.must_restore().result["safety_directory"] == ""


def test_what_is_new_and_would_be_excluded_is_left_alone(restore: Restore) -> None:
    top = restore.target
    write(top, "z.tmp", "cache/new", "tagged/new", "d/new.tmp", "d/new")
    restore.must_restore()
    for path in ("z.tmp", "cache/new", "tagged/new", "d/new.tmp"):
        assert (top / path).exists()
    assert not (top / "d/new").exists()


@pytest.mark.parametrize("path", ["/", "/d/", "/d/deep/"])
def test_what_is_at_any_depth_in_a_cache_of_now_is_left_alone(restore: Restore, path: str) -> None:
    """Though the snapshot, which is older than the tag, has the directories."""
    top = restore.target
    write(restore.backup.source, "d/deep/er/file", "d/deep/one")
    restore.backup.must_publish(exclude_caches="")
    write(top, "d/CACHEDIR.TAG", text=SIGNATURE)
    write(top, "d/new", "d/deep/new", "d/deep/er/new", "d/deep/new too/file")
    (top / "d/deep/one").unlink()
    write(top, "d/deep/one/new")
    before = paths(top / "d")
    outcome = restore.run(path=path, mode="Mirror")
    assert outcome.result["errors"][0].startswith("'d/deep/one' is a directory with what was")
    assert paths(top / "d") == before
    (top / "d/CACHEDIR.TAG").unlink()
    restore.must_restore(path=path, mode="Mirror")
    assert not (top / "d/deep/er/new").exists()


def test_a_directory_that_only_the_live_tree_has_stays_for_what_was_excluded(
    restore: Restore,
) -> None:
    top = restore.target
    write(top, "new/1", "new/deep/2", "new/deep/3/x.tmp", "new/deep/4/5", "new/6/7")
    write(top, "new/mine/CACHEDIR.TAG", text=SIGNATURE)
    write(top, "new/mine/8")
    os.utime(top / "new", (1_600_000_000, 1_600_000_000))
    before = read_tree(top)
    planned = restore.run(dry_run="").result
    result = restore.must_restore().result
    after = visible(read_tree(top))
    assert {os.fsdecode(path) for path in after if path.startswith(b"new")} == {
        "new",
        "new/deep",
        "new/deep/3",
        "new/deep/3/x.tmp",
        "new/mine",
        "new/mine/CACHEDIR.TAG",
        "new/mine/8",
    }
    assert after[b"new"] == before[b"new"]
    assert result["number_of_files_removed"] == planned["number_of_files_removed"] == 4
    assert planned["examples"]["remove"] == ["new/1", "new/6", "new/deep/2", "new/deep/4"]
    restore.undo()
    assert visible(read_tree(top)) == before


def test_a_directory_in_the_place_of_a_file_stays_for_what_was_excluded(restore: Restore) -> None:
    top = restore.target
    (top / "kept").unlink()
    write(top, "kept/x.tmp", "kept/y", "d/new")
    outcome = restore.run()
    assert outcome.exit_code == 1
    assert outcome.result["errors"][0].startswith("'kept' is a directory with what was excluded")
    assert paths(top / "kept") == {"x.tmp", "y"}
    assert not (top / "d/new").exists(), "the rest is restored"


def test_merging_leaves_it_alone_as_well(restore: Restore) -> None:
    write(restore.target, "kept", text="damaged")
    restore.must_restore(mode="Merge")
    assert {"cache/1", "y.tmp"} < paths(restore.target)


def test_what_was_excluded_cannot_be_restored(restore: Restore) -> None:
    for path in ("/cache", "/cache/2/3", "/a/x.tmp"):
        refused = restore.run(path=path)
        assert refused.exit_code == 2
        assert "was excluded from the snapshot daily.0" in refused.stderr
        assert "by the pattern" in refused.stderr


def test_a_snapshot_knows_its_own_patterns(restore: Restore) -> None:
    """Those of later snapshots do not count."""
    restore.backup.must_publish()
    write(restore.target, "new.tmp")
    result = restore.must_restore().result
    assert result["excluded"] == []
    assert not (restore.target / "new.tmp").exists()
    restore.must_restore(number="1")
    assert (restore.target / "cache/1").exists()


def test_one_path_is_restored_beside_what_was_excluded(restore: Restore) -> None:
    top = restore.target
    write(top, "a/kept", text="damaged")
    write(top, "a/new", "a/new.tmp")
    restore.must_restore(path="/a")
    assert (top / "a/kept").read_text() == "some text"
    assert paths(top / "a") == {"kept", "x.tmp", "cache", "cache/4", "new.tmp"}


def test_a_snapshot_that_was_changed_still_knows_its_patterns(restore: Restore) -> None:
    backup = restore.backup
    (backup.snapshot(0) / "kept").unlink()
    backup.must_publish(exclude="/none", retain="7")
    restore.must_restore(number="1", check="quick")
    assert (restore.target / "cache/1").exists()


def test_a_snapshot_of_which_nothing_is_known_warns(restore: Restore) -> None:
    restore.backup.must_publish()
    restore.backup.about(restore.backup.snapshot(1)).write_text("{}")
    restored = restore.run(number="1", mode="Mirror")
    assert restored.exit_code == 0
    assert any("nothing is known" in warning for warning in restored.result["warnings"])
    restore.undo()
    assert (restore.target / "cache/1").exists()


def test_patterns_that_cannot_be_read_keep_a_restore_from_guessing(restore: Restore) -> None:
    about = restore.backup.about(restore.backup.snapshot(0))
    known = json.loads(about.read_text())
    known["run"]["excludes"] = "a[b"
    about.write_text(json.dumps(known))
    refused = restore.run()
    assert (refused.exit_code, refused.result["cause"]) == (2, "snapshot")
    restore.must_restore(mode="NewDirectory")


@pytest.mark.parametrize("is_new", [True, False])
def test_files_that_leave_by_themselves_are_a_mass_change(
    backup: Backup, source: Path, is_new: bool
) -> None:
    """A tag in a directory, which anybody can put there; but not an option that is new."""
    write(source, *(f"many/{number}" for number in range(1200)))
    if is_new:
        write(source, "many/CACHEDIR.TAG", text=SIGNATURE)
        backup.must_publish(hold_on_change_percent="50")
    else:
        backup.must_publish(hold_on_change_percent="50", exclude_caches="")
        write(source, "many/CACHEDIR.TAG", text=SIGNATURE)
    result = backup.run(hold_on_change_percent="50", exclude_caches="").result
    assert result["number_of_files_newly_excluded"] == 1200
    assert bool(result["held"]) == (not is_new)


def test_names_and_patterns_that_are_not_utf_8(backup: Backup, source: Path) -> None:
    write(source, "\udcff\udcfe.tmp", "\udcff kept")
    backup.must_publish(exclude="\udcff\udcfe*")
    assert "\udcff\udcfe.tmp" not in paths(backup.snapshot(0))
    assert "\udcff kept" in paths(backup.snapshot(0))
    result = Restore(backup, source).must_restore().result
    assert result["excluded"] == ["\\xff\\xfe*"]
    assert (source / "\udcff\udcfe.tmp").exists()


def left_by_rsync(source: Path, patterns: list[str], to: Path) -> Tree:
    """What of the source rsync copies with these patterns."""
    words = [f"--exclude={pattern}" for pattern in [*patterns, "/.efs-restore-*"]]
    subprocess.run(["rsync", "-a", *words, f"{source}/", f"{to}/"], check=True)
    copied = read_tree(to).keys() - {b"."}
    found = part(read_tree(source), lambda path: path in copied)
    shutil.rmtree(to)
    return found


def night(chance: random.Random, source: Path) -> None:
    """Files come, go, change and become directories."""
    for _ in range(25):
        path = source.joinpath(*chance.choices(NAMES, k=chance.randint(1, 4)))
        if chance.random() < 0.2 and path.exists():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        elif not path.is_dir() and all(p.is_dir() or not p.exists() for p in path.parents):
            write(source, str(path), text=str(chance.random()))
    write(source, "kept")


NAMES = ["a", "b.o", "c", "d.tmp", "e"]
POOL = ["*.o", "*.tmp", "a/", "/c/", "c/e", "**/a/**/e", "/a/***", "d.tmp/", "b.o/*/", "[de]*"]


@pytest.mark.parametrize("seed", [1])  # whoever looks for more, plays more
def test_a_history_of_trees_and_patterns(backup: Backup, seed: int) -> None:
    """Each snapshot has what rsync copies with its patterns, and a restore of it touches nothing
    that these exclude."""
    chance = random.Random(seed)
    source, copy = backup.source, backup.home / "copy"
    history: list[tuple[Tree, list[str]]] = []
    for _ in range(3):
        night(chance, source)
        patterns = chance.sample(POOL, chance.randint(0, 3))
        outcome = backup.run(exclude_patterns="|".join(patterns) or None)
        assert outcome.exit_code == 0, outcome.stderr
        expected = left_by_rsync(source, patterns, copy)
        found = read_tree(backup.snapshot(0))
        assert found.pop(b".") == read_tree(source)[b"."]
        assert found == expected
        catalog = backup.list_of(backup.snapshot(0), "catalog")
        assert told_by(catalog) == really_in(backup.snapshot(0))
        history.append((expected, patterns))
    assert backup.verify().exit_code == 0
    before = read_tree(source)
    for number, (tree, patterns) in enumerate(reversed(history)):
        excluded = before.keys() - left_by_rsync(source, patterns, copy).keys()
        restored = Restore(backup, source).run(number=str(number))
        after = visible(read_tree(source))
        assert {p: after[p] for p in excluded - {b"."}} == {p: before[p] for p in excluded - {b"."}}
        found = left_by_rsync(source, patterns, copy)
        if restored.exit_code == 0:
            assert {path: found[path] for path in tree} == tree
            stays = {path for path in found if holds_excluded(source, path, patterns)}
            assert found.keys() - stays <= tree.keys()
        else:
            assert "with what was excluded" in restored.result["errors"][0]
        Restore(backup, source).undo()
        for path in source.glob(".efs-restore-*"):
            shutil.rmtree(path)
        os.utime(source, ns=(0, before[b"."].mtime_ns))
        assert read_tree(source) == before


def holds_excluded(source: Path, path: bytes, patterns: list[str]) -> bool:
    """Whether a directory had to stay for what is in it."""
    rules = Patterns(patterns)
    top = source / os.fsdecode(path)
    return top.is_dir() and any(
        rules.matching(str(inner.relative_to(source)), inner.is_dir()) for inner in top.rglob("*")
    )
