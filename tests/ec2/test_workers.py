"""Several machines copy one backup, and whatever becomes of them, it is as if one had."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from engine.command.process import StopSignals
from engine.worker import Service, WorkerResult
from engine.workers.fleet import LOOK_SECONDS
from engine.workers.queue import Queue, QueueError
from engine.workers.shared import Invitation
from engine.workers.work import HandedBack, Work

from local.tree import read_tree
from tests.changes import new_seed
from tests.trees import visible

from .conftest import Backup, Outcome, check_digests, end_tree, until
from .sqs import ENVIRONMENT, LEASE, Workers, emulator, refusing
from .test_backup import hostile_tree
from .test_interruptions import ask_to_stop, slow_rsync
from .test_restore import Restore

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


def in_work(backup: Backup, pattern: str) -> list[Path]:
    """What is in the directory in which a run and its workers meet."""
    return sorted((backup.target / backup.label).glob(f".daily.work.*/{pattern}"))


def is_exact(backup: Backup, outcome: Outcome) -> None:
    assert (outcome.exit_code, outcome.result["outcome"]) == (0, "published"), outcome.stderr
    assert read_tree(backup.snapshot(0)) == read_tree(backup.source)
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
    # It may have begun one that the run took back in the same moment.
    assert result["number_of_lists"] >= done.get("one", {"lists": 0})["lists"]


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
    until(lambda: in_work(backup, "*.list"))
    lists = in_work(backup, "*.list")
    head = json.loads(lists[0].read_bytes().split(b"\n")[0])
    work, inode = f"{backup.label}/{lists[0].parent.name}", backup.snapshot(0).parent.stat().st_ino
    message = Invitation(work, head["run"], int(lists[0].stem), backup.label, inode)
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


@pytest.mark.parametrize("fault", ["gone", "purged", "unreachable"])
def test_without_workers_or_a_queue_one_machine_does_it_all(
    workers: Workers, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = workers.backup
    says = "went on alone for a time, as the queue says"
    if fault == "gone":
        workers.client.delete_queue(QueueUrl=workers.url)
    if fault == "unreachable":
        workers.url = "http://127.0.0.1:1/1/queue"
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        workers.start("one")
    process = backup.start(held(backup), jobs="1", **workers.options)
    if fault == "purged":
        until(lambda: len(in_work(backup, "*.list")) > 2)
        workers.client.purge_queue(QueueUrl=workers.url)
    else:
        until(lambda: any(says in log.read_text() for log in backup.home.rglob("engine.log")))
    go(backup)
    outcome = backup.finish(process)
    is_exact(backup, outcome)
    assert all(says in line for line in outcome.result["warnings"])
    assert bool(outcome.result["warnings"]) == (fault != "purged")
    assert outcome.result["workers"] == {}
    if fault == "unreachable":
        code, stderr, result = workers.finish("one")
        assert (code, result["cause"]) == (1, "queue"), stderr


CALLS = (
    "SendMessageBatch",
    "ReceiveMessage",
    "DeleteMessageBatch",
    "ChangeMessageVisibilityBatch",
)


@pytest.mark.parametrize("call", CALLS)
def test_a_right_that_is_missing_costs_no_file(workers: Workers, call: str) -> None:
    """Messages that cannot be deleted come again and again: the worker ends all the same."""
    backup = workers.backup
    with refusing(workers.url, {call: [(403, "AccessDenied")]}) as (refusing_url, refused):
        options = {"workers_queue": refusing_url, "lease": str(LEASE)}
        process = backup.start(held(backup), jobs="1", **options)
        until(lambda: workers.messages or refused)  # or a worker ends before there is a list
        workers.start("one", workers_queue=refusing_url, idle="5")
        if call in ("DeleteMessageBatch", "ChangeMessageVisibilityBatch"):
            until(lambda: in_work(backup, "old/*"))
        else:
            until(lambda: refused)
        go(backup)
        outcome = backup.finish(process)
        code, stderr, result = workers.finish("one")
    is_exact(backup, outcome)
    assert set(refused) <= {call}
    is_told = any(f"said of {call}" in line for line in outcome.result["warnings"])
    assert is_told == (call == "SendMessageBatch")
    if call == "ReceiveMessage":
        assert (code, result["cause"]) == (1, "queue"), stderr
        assert f"said of {call}" in result["message"]
    else:
        assert (code, result["outcome"]) == (0, "ended"), stderr
    if call in ("DeleteMessageBatch", "ChangeMessageVisibilityBatch"):
        assert outcome.result["workers"]["one"]["lists"] > 0


def test_any_number_of_messages_is_deleted(workers: Workers) -> None:
    queue = Queue(workers.url)
    queue.send([str(number) for number in range(23)])
    found = [message.receipt for _ in range(5) for message in queue.receive(10, 0, 60)]
    assert len(found) == 23
    with pytest.raises(QueueError, match="1 of 24 failed"):  # which keeps none of the others
        queue.delete(["nonsense", *found])
    queue.delete([])
    answer = workers.client.get_queue_attributes(QueueUrl=workers.url, AttributeNames=["All"])
    kinds = ("", "NotVisible")
    left = [answer["Attributes"][f"ApproximateNumberOfMessages{kind}"] for kind in kinds]
    assert left == ["0", "0"]


def test_a_queue_that_throttles_is_asked_again(workers: Workers) -> None:
    backup = workers.backup
    busy = [(403, "RequestThrottled"), (200, ""), (403, "RequestThrottled"), (200, "")]
    with refusing(workers.url, {call: [*busy] for call in CALLS}) as (workers.url, refused):
        workers.start("one")
        process = backup.start(held(backup), jobs="1", **workers.options)
        until(lambda: len(in_work(backup, "old/*")) > 1)
        go(backup)
        outcome = backup.finish(process)
    is_exact(backup, outcome)
    assert {"SendMessageBatch", "ReceiveMessage", "DeleteMessageBatch"} <= set(refused)
    assert outcome.result["warnings"] == []
    assert outcome.result["workers"]["one"]["lists"] > 1


@pytest.mark.parametrize("other", ["source", "target"])
def test_a_worker_with_other_trees_copies_nothing_and_says_so(workers: Workers, other: str) -> None:
    """It hands back what it got, and ends; another worker does it, long before a lease ends."""
    backup = workers.backup
    elsewhere = backup.home / "elsewhere"
    if other == "source":
        shutil.copytree(backup.source, elsewhere)
    else:
        elsewhere.mkdir()
    workers.start("wrong", lease="600", **{other: str(elsewhere)})
    process = backup.start(held(backup), jobs="1", workers_queue=workers.url, lease="600")
    code, stderr, result = workers.finish("wrong")
    assert (code, result["outcome"]) == (1, "failed"), stderr
    assert f"--{other} {elsewhere}" in result["message"]
    assert "those of the run?" in result["message"]
    begun = len(in_work(backup, "old/*"))
    workers.start("right", lease="600")
    until(lambda: len(in_work(backup, "old/*")) > begun)
    go(backup)
    outcome = backup.finish(process)
    is_exact(backup, outcome)
    assert outcome.result["workers"].keys() == {"right"}
    assert outcome.result["warnings"] == []


def test_a_worker_whose_machine_is_taken_away_hands_its_list_back(workers: Workers) -> None:
    """At once: a lease takes longer than this test may."""
    backup = workers.backup
    body = f'touch "{backup.home}/begun"\nexec sleep 1000'
    workers.start("one", slow_rsync(backup.home / "never", body), jobs="1", lease="3600")
    process = backup.start(held(backup), jobs="1", workers_queue=workers.url, lease="3600")
    until((backup.home / "begun").exists)
    (taken,) = in_work(backup, "*.????????????????")
    workers.started["one"].terminate()
    code, stderr, result = workers.finish("one")
    assert (code, result["outcome"], result["number_of_lists"]) == (0, "ended", 0), stderr
    workers.start("two", lease="3600")
    number = taken.name.partition(".")[0]
    until(
        lambda: (
            bool(in_work(backup, f"old/{number}.*"))
            and not taken.with_name(f"{number}.list").exists()
        )
    )
    go(backup)
    outcome = backup.finish(process)
    is_exact(backup, outcome)
    assert outcome.result["warnings"] == []
    assert outcome.result["workers"]["two"]["lists"] > 0


def test_a_beat_that_waits_for_its_server_keeps_no_list_from_being_handed_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor the worker from its end."""
    nothing: Any = None
    work = Work("its", Invitation("work", "run", 1, "", 1), nothing, Path())
    work._directory = 0
    asks, answers = threading.Event(), threading.Event()

    def rename(*_: object, **__: object) -> None:
        asks.set()
        answers.wait()

    monkeypatch.setattr(os, "rename", rename)
    beat = threading.Thread(target=work.beat)
    beat.start()
    asks.wait()
    handed_back = threading.Thread(target=work.hand_back)
    handed_back.start()
    handed_back.join(5)
    is_over = not handed_back.is_alive() and not work.is_copying
    answers.set()
    beat.join()
    assert is_over


def test_what_is_handed_back_is_not_kept_by_a_call_on_its_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or nobody gets it for a lease."""
    told: list[int] = []
    begun = threading.Event()

    def extend(_: object, receipts: list[str], lease: int) -> None:
        begun.set()
        time.sleep(0.5 if lease else 0)
        told.extend([lease] * len(receipts))

    def perform(_: str) -> None:
        begun.wait()
        raise HandedBack

    monkeypatch.setattr(Queue, "extend", extend)
    given: Any = SimpleNamespace(workers_queue="http://127.0.0.1:1/1/q", lease=LEASE, name="one")
    nothing: Any = None
    service = Service(given, nothing, Path(), StopSignals(), WorkerResult("ended"))
    work: Any = Mock(receipt="its", perform=perform)
    service._at_work.add(work)
    thread = threading.Thread(target=service._perform, args=[work])
    thread.start()
    service._keep([work])
    thread.join()
    assert told == [LEASE, 0]


def test_an_rsync_that_hangs_holds_up_neither_the_run_nor_its_worker(workers: Workers) -> None:
    """As one that waits for an NFS server, of which a process outlives each signal."""
    backup = workers.backup
    end = backup.home / "end"
    body = f"setsid bash -c 'while [[ ! -e \"{end}\" ]]; do sleep 0.2; done' &\n"
    body += f'touch "{backup.home}/begun"\nkill -STOP $$'
    shim = slow_rsync(backup.home / "hangs", body)
    process = backup.start(held(backup), jobs="1", workers_queue=workers.url, lease="2")
    until(lambda: workers.messages)  # or it ends before there is a list
    workers.start("one", shim, jobs="1", lease="2", idle="3")
    until((backup.home / "begun").exists)
    go(backup)
    outcome = backup.finish(process)
    is_exact(backup, outcome)
    assert outcome.result["workers"] == {}  # whether it was missed, or gave its list back in time
    code, stderr, result = workers.finish("one", waits_for_pipe=False)
    end.touch()
    assert (code, result["outcome"]) == (0, "ended"), stderr


@pytest.mark.parametrize("days", [-400, 400])
def test_clocks_that_are_apart_change_nothing(workers: Workers, faults: str, days: int) -> None:
    backup = workers.backup
    workers.start("one", {"LD_PRELOAD": faults, "FAULT_CLOCK": str(days * 86400)})
    process = backup.start(held(backup), jobs="1", **workers.options)
    until(lambda: len(in_work(backup, "old/*")) > 1)
    go(backup)
    is_exact(backup, backup.finish(process))
    path = next(backup.source.rglob("f3"))
    info = path.stat()
    path.write_text("CONTENT 3")
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
    backup.must_publish()
    assert read_tree(backup.snapshot(0)) == read_tree(backup.source)


def test_messages_of_a_run_that_was_killed_are_dropped(workers: Workers) -> None:
    backup = workers.backup
    process = backup.start(held(backup), jobs="1", **workers.options)
    until(lambda: workers.messages > 2)
    end_tree(process)
    process.communicate()
    workers.start("one", idle="3")
    code, stderr, result = workers.finish("one")
    assert (code, result["number_of_lists"]) == (0, 0), stderr
    assert "there was no list for 3 seconds" in stderr
    assert workers.messages == 0
    is_exact(backup, backup.must_publish())


def test_a_run_is_killed_and_another_one_goes_on_with_the_same_worker(workers: Workers) -> None:
    backup = workers.backup
    body = (
        f'touch "{backup.home}/begun"\nwhile [[ ! -e "{backup.home}/late" ]]; do sleep 0.05; done\n'
    )
    workers.start("one", slow_rsync(backup.home / "slow", f'{body}exec "$REAL" "$@"'), jobs="1")
    first = backup.start(held(backup), jobs="1", **workers.options)
    until((backup.home / "begun").exists)
    before = in_work(backup, "*.list")
    end_tree(first)
    first.communicate()
    second = backup.start(held(backup), jobs="1", **workers.options)
    until(lambda: len({*in_work(backup, "*.list")} - {*before}) > 1)
    (backup.home / "late").touch()
    until(lambda: in_work(backup, "old/*"))
    go(backup)
    outcome = backup.finish(second)
    is_exact(backup, outcome)
    assert outcome.result["workers"]["one"]["lists"] > 0


def test_at_the_end_of_the_window_workers_finish_what_they_are_at(workers: Workers) -> None:
    backup = workers.backup
    for number in range(FILES, 9000):
        (backup.source / f"d{number % 7}" / f"f{number}").write_text(f"content {number}")
    home = backup.home
    body = f'touch "{home}/begun.$PPID"; while [[ ! -e "{home}/go" ]]; do sleep 0.1; done\n'
    slow = slow_rsync(home / "slow", f'{body}exec "$REAL" "$@"')
    for number in range(8):
        workers.start(f"w{number}", slow, jobs="1", lease="60")
    process = backup.start(held(backup), jobs="1", workers_queue=workers.url, lease="60")
    until(lambda: len([*home.glob("begun.*")]) == 8)
    time.sleep(2 * LOOK_SECONDS)
    ask_to_stop(process)
    until(lambda: len(in_work(backup, "*.list")) <= 8)  # nobody begins the others any more
    go(backup)
    outcome = backup.finish(process)
    assert (outcome.exit_code, outcome.result["outcome"]) == (3, "stopped"), outcome.stderr
    assert backup.names() == []
    # The run may not have seen yet that the last ones have begun: then they are not waited for.
    assert 0 < len(outcome.result["workers"]) <= 8
    done = sum(each["files"] for each in outcome.result["workers"].values())
    assert done > 0
    for process in workers.started.values():
        process.terminate()
    second = backup.must_publish()
    assert second.result["number_of_files_continued"] >= done
    is_exact(backup, second)


def test_a_list_that_kills_workers_and_cannot_be_copied_here_is_partial(workers: Workers) -> None:
    """The file before is kept, of that list's one file; all others are copied."""
    backup, client = workers.backup, workers.client
    dead = client.create_queue(QueueName="dead")["QueueUrl"]
    arn = client.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]
    policy = {"deadLetterTargetArn": arn["QueueArn"], "maxReceiveCount": 4}
    attributes = {"RedrivePolicy": json.dumps(policy)}
    client.set_queue_attributes(QueueUrl=workers.url, Attributes=attributes)
    poison = backup.source / "d0" / "poison"
    poison.write_text("old")
    backup.must_publish()
    old = read_tree(backup.snapshot(0))[b"d0/poison"]
    for path in backup.source.rglob("f*"):
        path.write_text("new")
    poison.write_text("new")
    os.truncate(poison, 1 << 20)  # it is sparse, so it has a list of its own, the last one
    find = 'for each in "$@"; do [[ $each == --files-from=* ]] && list=${each#*=}; done\n'
    find += 'if grep -qz poison "$list"; then BAD; fi\nexec "$REAL" "$@"'
    kills = slow_rsync(backup.home / "kills", find.replace("BAD", "kill -KILL $PPID; exit 1"))
    for number in range(5):
        workers.start(f"w{number}", kills, jobs="1", lease="3")
    fails = find.replace("BAD", '"$REAL" "$@" --exclude=poison; exit 23')
    wait = f'while [[ ! -e "{backup.home}/go" ]]; do sleep 0.05; done\n'
    here = slow_rsync(backup.home / "fails", wait + fails)
    prefix = ["env", f"PATH={here['PATH']}"]
    process = backup.start(prefix, jobs="1", workers_queue=workers.url, lease="600")
    until(lambda: client.receive_message(QueueUrl=dead).get("Messages"))
    for worker in workers.started.values():
        worker.terminate()
    go(backup)
    outcome = backup.finish(process)
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
    (undo,) = restore.target.glob(".efs-restore-*")
    assert sorted(path.name for path in undo.iterdir()) == ["journal", "undo"]


def test_a_stopped_restore_leaves_nothing_though_a_worker_copies_on(workers: Workers) -> None:
    """It makes and renames files, as rsync does, until its directory is gone."""
    backup = workers.backup
    backup.must_publish()
    restore = Restore(backup, backup.home / "target")
    restore.target.mkdir()
    body = f'cd "${{!#}}"; touch "{backup.home}/begun"\n'
    body += "for ((n = 0; ; n++)); do : >new && mv new $n || exit 23; done\n"
    slow = slow_rsync(backup.home / "slow", body)
    ends = {"source": str(backup.target), "target": str(restore.target)}
    workers.start("one", slow, jobs="1", lease="600", **ends)
    command = [*held(backup), *restore.command(jobs="1", **workers.options)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    until((backup.home / "begun").exists)
    ask_to_stop(process)
    go(backup)
    outcome = backup.finish(process)
    assert (outcome.exit_code, outcome.result["warnings"]) == (3, []), outcome.stderr
    assert [*restore.target.iterdir()] == []


@pytest.mark.parametrize("fault", ["killed", "taken away", "stopped"])
def test_a_restore_is_exact_whatever_becomes_of_its_workers(workers: Workers, fault: str) -> None:
    """Or leaves nothing, if it is stopped itself."""
    backup = workers.backup
    backup.must_publish()
    restore = Restore(backup, backup.home / "target")
    restore.target.mkdir()
    (restore.target / "mine").write_text("before")
    before = read_tree(restore.target)
    ends = {"source": str(backup.target), "target": str(restore.target)}
    body = f'touch "{backup.home}/begun"\nwhile [[ ! -e "{backup.home}/go" ]]; do sleep 0.1; done\n'
    slow = slow_rsync(backup.home / "slow", f'{body}exec "$REAL" "$@"')
    one = workers.start("one", slow, jobs="1", **ends)
    command = [*held(backup), *restore.command(jobs="1", **workers.options)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    until((backup.home / "begun").exists)
    if fault == "killed":
        end_tree(one)
    elif fault == "taken away":
        one.terminate()
        assert workers.finish("one")[0] == 0
    else:
        ask_to_stop(process)
    go(backup)
    outcome = backup.finish(process)
    if fault == "stopped":
        assert (outcome.exit_code, outcome.result["outcome"]) == (3, "stopped"), outcome.stderr
        assert read_tree(restore.target) == before
        return
    assert outcome.exit_code == 0, outcome.stderr
    assert visible(read_tree(restore.target)) == read_tree(backup.source)
    assert outcome.result["workers"] == {}


def test_nonsense_in_the_queue_and_another_release(workers: Workers) -> None:
    inside = workers.backup.target / "open"
    inside.mkdir(mode=0o755)
    inode = workers.backup.target.stat().st_ino
    paths = ["open", "../source", "none", "\ud800"]
    messages = ["nonsense", "[]", '{"format": 1}']
    messages += [Invitation(path, "run", 1, "", inode).text() for path in paths]
    for message in messages:
        workers.client.send_message(QueueUrl=workers.url, MessageBody=message)
    workers.start("one", jobs="10", idle="3")
    code, stderr, result = workers.finish("one")
    assert (code, result["number_of_lists"]) == (0, 0), stderr
    assert stderr.count("a message makes no sense") == 5
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
