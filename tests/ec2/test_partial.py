"""What cannot be read or copied does not cost the others their snapshot."""

from __future__ import annotations

import errno
import json
import mmap
import os
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from engine.stage.failures import Examine
from engine.stage.report import Trees, unseen
from engine.tree.entries import file_of
from engine.tree.pool import Worker

from local.tree import read_tree, without

from .conftest import Backup, Outcome, check_digests, until
from .test_history import UNPRIVILEGED
from .test_interruptions import ask_to_stop, slow_rsync

OLD, NEW = 1_577_000_000 * 10**9, 1_578_000_000 * 10**9


def write(path: Path, text: str, mtime_ns: int = OLD) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, ns=(mtime_ns, mtime_ns))


@pytest.fixture
def published(backup: Backup) -> Backup:
    for name in ("file", "other", "d/one", "d/two", "d/deep/er/three"):
        write(backup.source / name, f"old {name}")
    (backup.source / "d/link").symlink_to("nowhere")
    os.link(backup.source / "d/one", backup.source / "d/one too")
    backup.must_publish()
    return backup


def partial(backup: Backup, **options: str) -> Outcome:
    outcome = backup.run(UNPRIVILEGED, **options)
    assert (outcome.exit_code, outcome.result["outcome"]) == (0, "partial"), outcome.stderr
    assert outcome.result["snapshot"] == str(backup.snapshot(0))
    check_digests(backup.snapshot(0), backup.digests())
    return outcome


def is_exact(backup: Backup) -> None:
    backup.must_publish(retain="20")
    assert read_tree(backup.snapshot(0)) == read_tree(backup.source)


def changes(outcome: Outcome) -> tuple[int, ...]:
    kinds = ("added", "changed", "with_new_metadata")
    return tuple(outcome.result[f"number_of_files_{kind}"] for kind in kinds)


def counts(outcome: Outcome) -> tuple[int, int, int]:
    names = ("failed", "carried_forward")
    files = outcome.result["number_of_files"]
    return (*(outcome.result[f"number_of_files_{name}"] for name in names), files)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change owners")
@pytest.mark.parametrize(("user", "said"), [(1000, "run the backup as root"), (0, "it changed")])
def test_who_may_not_give_files_away_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int, said: str
) -> None:
    """rsync says of such a file, too, that it could not copy all of it."""
    tops = {name: tmp_path / name for name in ("source", "stage", "trash")}
    for top in tops.values():
        top.mkdir()
    for name in ("source", "stage"):
        (tops[name] / "file").write_text("text")
    os.chown(tops["source"] / "file", 1234, -1)
    opened = {name: os.open(top, os.O_RDONLY) for name, top in tops.items()}
    trees = Trees(opened["source"], None, opened["stage"], opened["trash"], 0, 0, None, 0)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    worker = Worker(print, mmap.mmap(-1, 1), SimpleNamespace(trees=trees), tmp_path)
    (failure,) = Examine(["file"]).perform(worker).failures
    assert said in failure.reason
    for descriptor in opened.values():
        os.close(descriptor)


def test_an_unreadable_file_has_its_older_version(published: Backup) -> None:
    before = read_tree(published.snapshot(0))
    write(published.source / "file", "new file", NEW)
    write(published.source / "other", "new other", NEW)
    write(published.source / "added", "added", NEW)
    for name in ("file", "added"):
        (published.source / name).chmod(0)
    outcome = partial(published)
    assert counts(outcome) == (2, 1, 7)
    assert outcome.result["number_of_files_transferred"] == 1
    assert changes(outcome) == (0, 1, 0), "what is not in the snapshot is no change"
    assert {error for error in outcome.result["errors"] if error.startswith("'")} == {
        "'file': Permission denied; the older version of the snapshot before was kept",
        "'added': Permission denied; the snapshot before has no older version",
    }
    after = read_tree(published.snapshot(0))
    assert after[b"file"] == before[b"file"]
    assert b"added" not in after
    assert (published.snapshot(0) / "other").read_text() == "new other"
    for name in ("file", "added"):
        (published.source / name).chmod(0o644)
    is_exact(published)


def test_what_hides_behind_the_same_attributes_is_found_later(published: Backup) -> None:
    file = published.source / "file"
    file.chmod(0)
    is_exact(published)
    write(file, "OLD file")
    assert counts(partial(published)) == (1, 1, 7)
    assert (published.snapshot(0) / "file").read_text() == "old file"
    time.sleep(0.01)
    is_exact(published)
    assert (published.snapshot(0) / "file").read_text() == "OLD file"


def test_an_unreadable_directory_is_as_it_was(published: Backup) -> None:
    before = read_tree(published.snapshot(0))
    write(published.source / "d/two", "OLD d/two")  # nothing but the ctime tells
    write(published.source / "d/deep/er/three", "new three", NEW)
    (published.source / "d/deep/er/four").touch()
    (published.source / "d").chmod(0)
    for _ in range(2):
        outcome = partial(published)
        assert counts(outcome) == (6, 5, 7)
        assert outcome.result["errors"][0].startswith("the directory 'd': Permission denied; the")
        said = "1 directory, with an unknown number of files in it, could not be read, and 5 "
        assert outcome.result["message"] == f"{said}files could not be copied"
        after = read_tree(published.snapshot(0))
        assert {k: v for k, v in after.items() if k != b"."} == {
            k: v for k, v in before.items() if k != b"."
        }
        snapshot = published.snapshot(0)
        assert (snapshot / "d/one").samefile(snapshot / "d/one too")
    (published.source / "d").chmod(0o755)
    is_exact(published)
    assert (published.snapshot(0) / "d/two").read_text() == "OLD d/two"


def test_an_unreadable_directory_that_is_new_is_left_out(published: Backup) -> None:
    write(published.source / "new/file", "new")
    (published.source / "new").chmod(0)
    outcome = partial(published)
    assert counts(outcome) == (1, 0, 7)
    assert outcome.result["number_of_directories_failed"] == 1
    said = "1 directory, with an unknown number of files in it, could not be read"
    assert outcome.result["message"] == said
    assert f"; {said}\n" in outcome.stderr
    assert not (published.snapshot(0) / "new").exists()
    (published.source / "new").chmod(0o755)
    is_exact(published)


def test_what_cannot_be_looked_at_is_what_it_was(tmp_path: Path) -> None:
    error = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    said = {before: str(unseen("a", error, before)) for before in (None, file_of(tmp_path.stat()))}
    assert [*said.values()] == ["'a': Permission denied", "the directory 'a': Permission denied"]


def test_names_of_one_file_stay_one(published: Backup) -> None:
    write(published.source / "d/one", "new one", NEW)
    (published.source / "d/one").chmod(0)
    assert counts(partial(published)) == (2, 2, 7)
    one, too = (published.snapshot(0) / name for name in ("d/one", "d/one too"))
    assert one.samefile(too)
    assert one.read_text() == "old d/one"
    (published.source / "d/one").chmod(0o644)
    is_exact(published)


def test_at_the_link_limit_the_older_version_is_copied(
    published: Backup, faults: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(published.source / "file", "new file", NEW)
    (published.source / "file").chmod(0)
    before = read_tree(published.snapshot(0))[b"file"]
    monkeypatch.setenv("LD_PRELOAD", faults)
    monkeypatch.setenv("FAULT_LINKS", "1")
    for _ in range(2):
        partial(published)
        assert read_tree(published.snapshot(0))[b"file"] == before


@pytest.mark.parametrize("at_limit", [False, True])
def test_a_file_that_grows_takes_no_more_from_the_figures_than_it_gave(
    published: Backup, faults: str, monkeypatch: pytest.MonkeyPatch, at_limit: bool
) -> None:
    """At the link limit, it is copied although it has not changed when it is listed."""
    total = json.loads(published.result.read_text())["total_file_size"]
    if at_limit:
        monkeypatch.setenv("LD_PRELOAD", faults)
        monkeypatch.setenv("FAULT_LINKS", "1")
    else:
        write(published.source / "file", "new file", NEW)
    grow = f'head -c 1000000 /dev/zero >>"{published.source}/file"; exit 23'
    body = f"""
list=$(printf '%s\\n' "$@" | sed -n 's/--files-from=//p')
"$REAL" "$@"; status=$?
grep -qz '^./file$' "$list" && {{ {grow}; }}
exit $status
"""
    monkeypatch.setenv("PATH", slow_rsync(published.home / "shim", body)["PATH"])
    outcome = partial(published)
    assert counts(outcome) == (1, 1, 7)
    assert changes(outcome) == (0, 0, 0)
    assert outcome.result["total_file_size"] == total
    assert outcome.result["size_changed"] == 0


def busy(backup: Backup, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """As if ``file`` were truncated while it is copied, so many times."""
    log = backup.home / "tries"
    body = f"""
list=$(printf '%s\\n' "$@" | sed -n 's/--files-from=//p')
tried=$(cat "{log}" 2>/dev/null | wc -l)
grep -qz '^./file$' "$list" && is_busy=yes || is_busy=
"$REAL" "$@"; status=$?
[[ $is_busy ]] || exit $status
echo once more >>"{log}"
((tried < {times})) || exit $status
echo half >"${{@: -1}}/file"
exit 23
"""
    monkeypatch.setenv("PATH", slow_rsync(backup.home / "shim", body)["PATH"])


def test_a_file_that_is_truncated_meanwhile_is_tried_again(
    published: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(published.source / "file", "new file", NEW)
    write(published.source / "other", "new other", NEW)
    busy(published, monkeypatch, times=2)
    outcome = published.must_publish()
    assert outcome.result["number_of_files_transferred"] == 2
    assert changes(outcome) == (0, 2, 0), "what was tried again counts once"
    assert read_tree(published.snapshot(0)) == read_tree(published.source)


def test_a_file_that_is_never_at_rest_has_its_older_version(
    published: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(published.source / "file", "new file", NEW)
    write(published.source / "other", "new other", NEW)
    with monkeypatch.context() as patch:
        busy(published, patch, times=3)
        outcome = partial(published)
    assert counts(outcome) == (1, 1, 7)
    assert changes(outcome) == (0, 1, 0)
    assert "changed while it was read" in outcome.result["errors"][0]
    assert (published.snapshot(0) / "file").read_text() == "old file"
    assert (published.snapshot(0) / "other").read_text() == "new other"
    is_exact(published)


def many(backup: Backup) -> None:
    for number in range(20):
        write(backup.source / f"many/{number}", str(number))
        if number < 12:
            (backup.source / f"many/{number}").chmod(0)


def test_too_many_are_a_failure(published: Backup) -> None:
    many(published)
    outcome = published.run(UNPRIVILEGED)
    assert (outcome.exit_code, outcome.result["cause"]) == (1, "files")
    assert "Permission denied" in str(outcome.result["errors"])
    assert published.names() == ["daily.0"]
    outcome = partial(published, max_failed_percent="60")
    assert counts(outcome) == (12, 0, 15)


def test_the_newest_whole_snapshot_outlasts_partial_ones(published: Backup) -> None:
    whole = read_tree(published.snapshot(0))
    write(published.source / "file", "new", NEW)
    (published.source / "file").chmod(0)
    for number in range(3):
        write(published.source / "other", f"new {number}")
        partial(published, retain="2")
    assert published.names() == ["daily.0", "daily.1", "daily.3"]
    assert read_tree(published.snapshot(3)) == whole
    (published.source / "file").chmod(0o644)
    published.must_publish(retain="2")
    assert published.names() == ["daily.0", "daily.1"]


def is_stopped_while_it_copies(
    backup: Backup, monkeypatch: pytest.MonkeyPatch, name: str
) -> Outcome:
    """As by the end of the window: a job has written half of the file, and hears nothing."""
    going_on = backup.home / "going on"
    body = f"""
list=$(printf '%s\\n' "$@" | sed -n 's/--files-from=//p')
[[ $list ]] && grep -qz '^./{name}$' "$list" || exec "$REAL" "$@"
"$REAL" "$@"
echo half >"${{@: -1}}/{name}"
touch "{going_on}"
trap "" TERM
while true; do sleep 1; done
"""
    with monkeypatch.context() as patch:
        patch.setenv("PATH", slow_rsync(backup.home / "shim", body)["PATH"])
        process = backup.start()
        until(going_on.exists)
        ask_to_stop(process)
        process.send_signal(signal.SIGTERM)
        outcome = backup.finish(process)
    going_on.unlink()
    return outcome


def test_a_file_that_outlasts_the_window_does_not_hold_up_the_others(
    published: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(published.source / "file", "new file", NEW)
    write(published.source / "d/two", "new two", NEW)
    outcome = is_stopped_while_it_copies(published, monkeypatch, "file")
    assert (outcome.exit_code, outcome.result["outcome"]) == (0, "partial"), outcome.stderr
    assert counts(outcome) == (1, 1, 7)
    [error] = [error for error in outcome.result["errors"] if error.startswith("'file'")]
    assert "no time" in error
    assert (published.snapshot(0) / "file").read_text() == "old file"
    assert (published.snapshot(0) / "d/two").read_text() == "new two"
    check_digests(published.snapshot(0), published.digests())
    is_exact(published)


@pytest.fixture
def fifo(published: Backup, faults: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody puts a FIFO in the place of ``file`` just before rsync opens it."""
    monkeypatch.setenv("LD_PRELOAD", faults)
    monkeypatch.setenv("FAULT_FIFO", str(published.source / "file"))


def exact_but_for_the_top(backup: Backup) -> None:
    """Whose time was changed during the run."""
    backup.must_publish(retain="20")
    snapshot, source = read_tree(backup.snapshot(0)), read_tree(backup.source)
    assert without("mtime_ns", snapshot, b".") == without("mtime_ns", source, b".")
    check_digests(backup.snapshot(0), backup.digests())


def test_a_fifo_in_the_place_of_a_file_holds_nobody_up(published: Backup, fifo: None) -> None:
    for number in range(20):
        write(published.source / f"a{number}", "new", NEW)
    write(published.source / "file", "new file", NEW)
    exact_but_for_the_top(published)
    assert (published.snapshot(0) / "file").is_fifo()


def test_a_fifo_in_the_place_of_one_of_several_names(published: Backup, fifo: None) -> None:
    write(published.source / "file", "new file", NEW)
    os.link(published.source / "file", published.source / "a name that rsync does not read")
    os.link(published.source / "other", published.source / "other too")
    exact_but_for_the_top(published)
    snapshot = published.snapshot(0)
    assert (snapshot / "file").is_fifo()
    assert (snapshot / "other").samefile(snapshot / "other too")


def test_now_a_file_and_now_a_fifo(published: Backup, fifo: None) -> None:
    """Nobody but this file pays for it."""
    file, spare = published.source / "file", published.home / "spare"
    for number in range(3):
        write(published.source / f"a{number}", "new", NEW)
    write(file, "new file", NEW)
    done = threading.Event()

    def put_back() -> None:
        while not done.wait(0.05):
            if file.is_fifo():
                write(spare, "new file", NEW)
                spare.rename(file)

    thread = threading.Thread(target=put_back)
    thread.start()
    try:
        outcome = partial(published)
    finally:
        done.set()
        thread.join()
    assert counts(outcome) == (1, 1, 10)
    assert "'file': it changed while it was read" in outcome.result["errors"][0]
    assert (published.snapshot(0) / "file").read_text() == "old file"
    assert (published.snapshot(0) / "a2").read_text() == "new"
