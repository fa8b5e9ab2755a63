"""Several machines copy one backup, and whatever becomes of them, it is as if one had."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from engine.workers.shared import Invitation

from .conftest import Backup, Outcome, check_digests, end_tree, read_tree
from .sqs import ENVIRONMENT, Workers, emulator
from .test_backup import hostile_tree
from .test_history import names_by_inode, new_seed
from .test_interruptions import slow_rsync, wait_for
from .test_restore import Restore, visible, visible_groups

pytestmark = pytest.mark.timeout(600)
FILES = 2300  # two whole lists, and some that are not


@pytest.fixture(scope="module")
def sqs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with emulator(tmp_path_factory.mktemp("sqs")) as client:
        yield client


@pytest.fixture
def workers(
    backup: Backup, sqs: Any, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Workers]:
    """A source of some thousand files, of which some share an inode, and a queue for its lists."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    for number in range(FILES):
        path = backup.source / f"d{number % 7}" / f"f{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"content {number}")
        if number % 10 == 0:
            os.link(path, backup.source / f"d{number % 3}" / f"link {number}")
            os.link(path, backup.source / f"d{number % 5}" / f"another {number}")
    url = sqs.create_queue(QueueName=f"q{abs(hash(request.node.name))}")["QueueUrl"]
    found = Workers(backup, sqs, url)
    yield found
    found.end()


def held(backup: Backup) -> list[str]:
    """Before a run's command: its own jobs begin when the file `go` is there."""
    body = f'while [[ ! -e "{backup.home}/go" ]]; do sleep 0.05; done\nexec "$REAL" "$@"'
    return ["env", f"PATH={slow_rsync(backup.home / 'held', body)['PATH']}"]


def go(backup: Backup) -> None:
    (backup.home / "go").touch()


def until(is_so: Callable[[], bool]) -> None:
    wait_for("it", (is_so() for _ in itertools.repeat(None)))


def in_work(backup: Backup, pattern: str) -> list[Path]:
    """What is in the directory in which a run and its workers meet."""
    return sorted((backup.target / backup.label).glob(f".daily.work.*/{pattern}"))


def is_exact(backup: Backup, outcome: Outcome) -> None:
    assert (outcome.exit_code, outcome.result["outcome"]) == (0, "published"), outcome.stderr
    assert read_tree(backup.snapshot(0)) == read_tree(backup.source)
    assert names_by_inode(backup.snapshot(0)) == names_by_inode(backup.source)
    check_digests(backup.snapshot(0), backup.digests())
    assert backup.hidden() == []


def counts(result: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in result.items()
        if name.startswith(("number_of_", "size_", "total_"))
    }


def alone(workers: Workers, home: Path) -> dict[str, Any]:
    """What a backup of the source by one machine counts."""
    home.mkdir()
    other = Backup(home)
    other.source.rmdir()
    other.source = workers.backup.source
    return counts(other.must_publish().result)


def test_two_workers_do_what_one_machine_does(workers: Workers, tmp_path: Path) -> None:
    backup = workers.backup
    hostile_tree(backup.source)
    workers.start("one")
    workers.start("two")
    process = backup.start(held(backup), jobs="1", **workers.options)
    until(lambda: len(in_work(backup, "old/*")) > 2)
    go(backup)
    outcome = backup.finish(process)
    is_exact(backup, outcome)
    assert outcome.result["warnings"] == []
    done = outcome.result["workers"]
    assert sum(each["lists"] for each in done.values()) > 2
    assert sum(each["files"] for each in done.values()) > FILES / 2
    assert counts(outcome.result) == alone(workers, tmp_path / "alone")
    workers.started["one"].terminate()
    code, stderr, result = workers.finish("one")
    assert (code, result["outcome"]) == (0, "ended"), stderr
    assert result["number_of_lists"] == done.get("one", {"lists": 0})["lists"]


def test_random_faults_change_nothing(workers: Workers, tmp_path: Path) -> None:
    """Workers come, sleep and are killed, and messages are lost, late and sent again."""
    chance = random.Random(new_seed())
    backup, client, queue = workers.backup, workers.client, {"QueueUrl": workers.url}
    hostile_tree(backup.source)
    slow = slow_rsync(backup.home / "slow", 'sleep $((RANDOM % 3))\nexec "$REAL" "$@"')
    process = backup.start(["env", f"PATH={slow['PATH']}"], jobs="1", **workers.options)
    while process.poll() is None:
        running = [worker for worker in workers.started.values() if worker.poll() is None]
        fault = chance.choice(["start", "start", "kill", "sleep", "wake", "late", "twice", "purge"])
        if fault == "start" and len(running) < 3:
            workers.start(f"w{len(workers.started)}", slow)
        elif fault == "kill" and running:
            end_tree(chance.choice(running))
        elif fault in ("sleep", "wake") and running:
            stop = signal.SIGSTOP if fault == "sleep" else signal.SIGCONT
            chance.choice(running).send_signal(stop)
        elif fault in ("late", "twice"):
            for message in client.receive_message(**queue, VisibilityTimeout=2).get("Messages", []):
                if fault == "twice":
                    client.send_message(**queue, MessageBody=message["Body"])
        elif fault == "purge":
            client.purge_queue(**queue)
        time.sleep(chance.random())
    outcome = backup.finish(process)
    is_exact(backup, outcome)
    assert counts(outcome.result) == alone(workers, tmp_path / "alone")


def test_a_worker_that_is_killed_costs_its_list_and_no_file(workers: Workers) -> None:
    """It is killed in the middle of what it copies; and so is a second one that hears nothing."""
    backup = workers.backup
    begun = backup.home / "begun"
    body = f'"$REAL" "$@"\ntouch "{begun}.$PPID"\nsleep 1000'
    for name in ("one", "two"):
        workers.start(name, slow_rsync(backup.home / "never", body), jobs="1")
    process = backup.start(held(backup), jobs="1", **workers.options)
    until(lambda: len([*backup.home.glob("begun.*")]) == 2)
    end_tree(workers.started["one"])
    workers.started["two"].send_signal(signal.SIGSTOP)
    workers.start("three")
    go(backup)
    outcome = backup.finish(process)
    end_tree(workers.started["two"])
    is_exact(backup, outcome)


def test_a_worker_that_wakes_up_late_changes_nothing_that_is_published(workers: Workers) -> None:
    backup = workers.backup
    asleep = backup.home / "asleep"
    body = f'touch "{asleep}"\nwhile [[ ! -e "{backup.home}/late" ]]; do sleep 0.05; done\n'
    body += f'"$REAL" "$@" >"{backup.home}/said" 2>&1\ntouch "{backup.home}/copied"'
    late = workers.start("late", slow_rsync(backup.home / "late shim", body), jobs="1")
    process = backup.start(held(backup), jobs="1", **workers.options)
    until(asleep.exists)
    late.send_signal(signal.SIGSTOP)
    go(backup)
    is_exact(backup, backup.finish(process))
    before = read_tree(backup.snapshot(0))
    for path in backup.source.rglob("f*"):
        path.write_text("other content")
    (backup.home / "late").touch()
    until((backup.home / "copied").exists)
    late.send_signal(signal.SIGCONT)
    late.terminate()
    assert workers.finish("late")[0] == 0
    assert read_tree(backup.snapshot(0)) == before
    outcome = backup.must_publish()
    assert outcome.result["number_of_files_changed"] >= FILES
    assert read_tree(backup.snapshot(1)) == before


def test_a_message_that_is_delivered_twice_at_once(workers: Workers) -> None:
    """Two workers copy the same list at the same time."""
    backup = workers.backup
    body = f'while [[ ! -e "{backup.home}/both" ]]; do sleep 0.05; done\nexec "$REAL" "$@"'
    shim = slow_rsync(backup.home / "both shim", body)
    process = backup.start(held(backup), jobs="1", **workers.options)
    until(lambda: bool(in_work(backup, "*.list")))
    lists = in_work(backup, "*.list")
    head = json.loads(lists[0].read_bytes().split(b"\n")[0])
    message = Invitation(f"{backup.label}/{lists[0].parent.name}", head["run"], int(lists[0].stem))
    workers.client.send_message(QueueUrl=workers.url, MessageBody=message.text())
    for name in ("one", "two"):
        workers.start(name, shim)
    delivery = "?" * 16
    until(lambda: len(in_work(backup, f"{message.number}.{delivery}")) > 1)
    (backup.home / "both").touch()
    until(lambda: not lists[0].exists())
    go(backup)
    outcome = backup.finish(process)
    is_exact(backup, outcome)
    assert outcome.result["workers"]


@pytest.mark.parametrize("fault", ["gone", "purged"])
def test_without_workers_or_a_queue_one_machine_does_it_all(workers: Workers, fault: str) -> None:
    backup = workers.backup
    if fault == "gone":
        workers.client.delete_queue(QueueUrl=workers.url)
    process = backup.start(held(backup), jobs="1", **workers.options)
    if fault == "purged":
        until(lambda: len(in_work(backup, "*.list")) > 2)
        workers.client.purge_queue(QueueUrl=workers.url)
    go(backup)
    outcome = backup.finish(process)
    is_exact(backup, outcome)
    says = "went on alone for a time, as the queue says"
    assert all(says in line for line in outcome.result["warnings"])
    assert bool(outcome.result["warnings"]) == (fault == "gone")
    assert outcome.result["workers"] == {}


def test_messages_of_a_run_that_was_killed_are_dropped(workers: Workers) -> None:
    backup = workers.backup
    process = backup.start(held(backup), jobs="1", **workers.options)
    until(lambda: len(in_work(backup, "*.list")) > 2)
    time.sleep(3)  # their messages are sent in one call after that
    end_tree(process)
    process.communicate()
    workers.start("one", idle="3")
    code, stderr, result = workers.finish("one")
    assert (code, result["number_of_lists"]) == (0, 0), stderr
    assert "there was no list for 3 seconds" in stderr
    assert (
        workers.client.get_queue_attributes(QueueUrl=workers.url, AttributeNames=["All"])[
            "Attributes"
        ]["ApproximateNumberOfMessages"]
        == "0"
    )
    is_exact(backup, backup.must_publish())


def test_at_the_end_of_the_window_workers_finish_what_they_are_at(workers: Workers) -> None:
    backup = workers.backup
    body = f'touch "{backup.home}/begun.$$"; sleep 3; exec "$REAL" "$@"'
    workers.start("one", slow_rsync(backup.home / "slow", body))
    process = backup.start(held(backup), jobs="1", **workers.options)
    until(lambda: bool([*backup.home.glob("begun.*")]))
    process.send_signal(signal.SIGTERM)
    time.sleep(1)
    go(backup)
    outcome = backup.finish(process)
    assert (outcome.exit_code, outcome.result["outcome"]) == (3, "stopped"), outcome.stderr
    assert backup.names() == []
    done = outcome.result["workers"]["one"]["files"]
    assert done > 0
    second = backup.must_publish()
    assert second.result["number_of_files_continued"] >= done
    is_exact(backup, second)


def test_a_list_that_kills_workers_and_cannot_be_copied_here_is_partial(workers: Workers) -> None:
    """The file before is kept, of that list's one file; all others are copied."""
    backup = workers.backup
    poison = backup.source / "d0" / "poison"
    poison.write_text("old")
    backup.must_publish()
    old = read_tree(backup.snapshot(0))[b"d0/poison"]
    for path in [*backup.source.rglob("f*"), poison]:
        path.write_text("new")
    find = 'for each in "$@"; do [[ $each == --files-from=* ]] && list=${each#*=}; done\n'
    find += 'if grep -qz poison "$list"; then BAD; fi\nexec "$REAL" "$@"'
    kills = slow_rsync(backup.home / "kills", find.replace("BAD", "kill -KILL $PPID; sleep 1000"))
    for number in range(3):
        workers.start(f"w{number}", kills)
    here = slow_rsync(
        backup.home / "fails",
        find.replace("BAD", 'sleep 3; "$REAL" "$@" --exclude=poison; exit 23'),
    )
    outcome = backup.run(["env", f"PATH={here['PATH']}"], jobs="1", **workers.options)
    assert (outcome.exit_code, outcome.result["outcome"]) == (0, "partial"), outcome.stderr
    assert outcome.result["number_of_files_failed"] == 1
    assert any("'d0/poison'" in line for line in outcome.result["errors"])
    new = read_tree(backup.source)
    assert read_tree(backup.snapshot(0)) == {**new, b"d0/poison": old}


def test_a_restore_is_fetched_by_workers(workers: Workers) -> None:
    """The snapshot has another number by the time that they begin."""
    backup = workers.backup
    hostile_tree(backup.source)
    backup.must_publish()
    restore = Restore(backup, backup.home / "target")
    restore.target.mkdir()
    command = [*held(backup), *restore.command(jobs="1", **workers.options)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    until(lambda: len([*restore.target.glob(".efs-restore-*.undo/workers/*.list")]) > 2)
    backup.snapshot(0).rename(backup.snapshot(1))
    workers.start("one", source=str(backup.target), target=str(restore.target))
    old = ".efs-restore-*.undo/workers/old/*"
    until(lambda: len([*restore.target.glob(old)]) > 2)
    go(backup)
    outcome = backup.finish(process)
    assert (outcome.exit_code, outcome.result["warnings"]) == (0, []), outcome.stderr
    assert outcome.result["workers"]["one"]["lists"] > 2
    assert visible(read_tree(restore.target)) == read_tree(backup.source)
    assert visible_groups(restore.target) == names_by_inode(backup.source)
    (undo,) = restore.target.glob(".efs-restore-*")
    assert sorted(path.name for path in undo.iterdir()) == ["journal", "undo"]


def test_nonsense_in_the_queue_and_another_release(workers: Workers) -> None:
    inside = workers.backup.target / "open"
    inside.mkdir(mode=0o755)
    messages = ["nonsense", "[]", '{"format": 1}', Invitation("open", "run", 1).text()]
    messages += [Invitation("../source", "run", 1).text(), Invitation("none", "run", 1).text()]
    for message in messages:
        workers.client.send_message(QueueUrl=workers.url, MessageBody=message)
    workers.start("one", idle="3")
    code, stderr, result = workers.finish("one")
    assert (code, result["number_of_lists"]) == (0, 0), stderr
    assert stderr.count("a message makes no sense") == 4
    assert "'open' is not a run's" in stderr
    workers.client.send_message(QueueUrl=workers.url, MessageBody='{"format": 2}')
    workers.start("two")
    code, stderr, result = workers.finish("two")
    assert (code, result["outcome"]) == (2, "refused"), stderr
    assert "another release than this worker" in result["message"]
    assert [*inside.iterdir()] == []


def test_a_worker_without_a_queue_ends_itself(workers: Workers) -> None:
    workers.client.delete_queue(QueueUrl=workers.url)
    workers.start("one")
    code, stderr, result = workers.finish("one")
    assert (code, result["cause"]) == (1, "queue"), stderr
    assert "the queue gives no messages" in result["message"]
