"""The decisions, as tables: (event, world, now) -> actions in order."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, assert_never

import pytest

from orchestrator import messages
from orchestrator.actions import (
    Action,
    Announce,
    Attempt,
    AwaitScaleIn,
    BeginRun,
    CallFunction,
    CloseRun,
    CompleteHook,
    EndInstance,
    EndWorkers,
    Measure,
    NoteSnapshot,
    Notify,
    Observation,
    PublishMetrics,
    ReleaseLock,
    RemoveSchedule,
    Retry,
    ScaleIn,
    ScaleOut,
    Schedule,
    SendAnonymousMetric,
    StopInstance,
)
from orchestrator.core import Decision, Group, World, decide
from orchestrator.events import Alarm, Check, Close, Event, Start, Stop, Terminated, Terminating
from orchestrator.record import Hook, Lock, NewestSnapshot, Record, Step, Value
from orchestrator.settings import Settings

T = TypeVar("T")

SETTINGS = Settings(
    table="table",
    group="group",
    worker_group="workers",
    topic_arn="arn:aws:sns:eu-west-1:123456789012:topic",
    schedule_group="schedules",
    scheduler_role_arn="role",
    log_bucket="log-bucket",
    source_efs="fs-source",
    destination_efs="fs-backup",
    backup_prefix="/",
    folder_label="efs-backup",
    interval="daily",
    retain=7,
    window=timedelta(minutes=180),
    instance_type="c5.xlarge",
    notify_success=True,
    efs_mode="generalPurpose",
    uuid="8b5cf5b0-9d0c-4a57-8f43-3c1c1c8f5a11",
    send_anonymous_data=True,
    metrics_url="https://metrics.example",
    version="v2.0.0",
    stack="stack",
    region="eu-west-1",
    functions={},
)
QUIET = Settings(**{**vars(SETTINGS), "notify_success": False})
BEFORE, AFTER = (f"arn:aws:lambda:eu-west-1:123456789012:function:{n}" for n in ("freeze", "thaw"))
HOOKED = Settings(**{**vars(SETTINGS), "functions": {Hook.BEFORE: BEFORE, Hook.AFTER: AFTER}})
WITH_FUNCTIONS = "with functions, "


def settings_of(case: str) -> Settings:
    return HOOKED if case.startswith(WITH_FUNCTIONS) else SETTINGS


def at(time: str) -> datetime:
    """A moment of the day on which the run `a` began at 02:00; its window ends at 05:00."""
    return datetime.fromisoformat(f"2026-03-01T{time}+00:00")


def record(run: str, status: str = "Running", **more: Value) -> Record:
    start = {"BackupId": run, "BackupStatus": status, "BackupStartTime": "2026-03-01T02:00:00Z"}
    return Record({**start, **more})


def world(
    *records: Record,
    lock: str | None = None,
    desired: int = 0,
    instances: str = "",
    ending: str = "",
    newest: str = "",
    unfinished: Mapping[str, frozenset[Step]] | None = None,
    workers: int = 0,
) -> World:
    return World(
        Lock(lock, at("05:00")) if lock else None,
        {record.backup_id: record for record in records},
        Group(
            desired,
            frozenset(f"{instances} {ending}".split()),
            frozenset(ending.split()),
            workers,
        ),
        NewestSnapshot("z", at(newest)) if newest else None,
        unfinished or {},
    )


def text(action: Action) -> str:
    """An action in a table."""
    match action:
        case BeginRun(record, lock):
            return f"begin {record.backup_id} until {lock.until:%H:%M}"
        case Schedule(run, name, moment):
            return f"schedule {name} of {run} at {moment:%H:%M}"
        case ScaleOut():
            return "desired 1"
        case ScaleIn():
            return "desired 0"
        case EndWorkers():
            return "end the workers"
        case AwaitScaleIn():
            return "wait for capacity 0"
        case EndInstance(instance):
            return f"end {instance}"
        case StopInstance(terminating):
            return f"stop {terminating.instance}"
        case CompleteHook(terminating):
            return f"complete the hook of {terminating.instance}"
        case CloseRun(record):
            return f"close {record.backup_id} as {record.status}"
        case Notify():
            return f"notify {body(action)['BackupId']} {body(action)['BackupStatus']}"
        case Announce():
            return f"tell {action.detail['Id']}"
        case CallFunction(hook, run, _):
            return f"call {hook} of {run}"
        case NoteSnapshot(snapshot):
            return f"note snapshot of {snapshot.run or 'nobody'} at {snapshot.time:%H:%M}"
        case RemoveSchedule(run):
            return f"unschedule {run}"
        case ReleaseLock(run):
            return f"release {run}"
        case Attempt(_, _, inner):
            return text(inner)
        case Retry(run, step, inners):
            return f"again the {step} of {run}: {', '.join(map(text, inners)) or 'nothing'}"
        case _:
            assert_never(action)


def texts(decision: Decision) -> list[str]:
    return [text(action) for action in decision.actions]


def body(notify: Action) -> dict[str, Any]:
    assert isinstance(notify, Notify)
    content: dict[str, Any] = json.loads(notify.body)
    return content


def inner(action: Action) -> tuple[Action, ...]:
    match action:
        case Attempt():
            return (action.action,)
        case Retry():
            return action.actions
    return (action,)


def of_type(decision: Decision, kind: type[T]) -> T:
    """The only action of this type, wherever it is."""
    (found,) = [a for action in decision.actions for a in inner(action) if isinstance(a, kind)]
    return found


def the_notification(decision: Decision) -> Notify:
    return of_type(decision, Notify)


def observed(decision: Decision) -> list[str]:
    return [observation_text(observation) for observation in decision.observations]


def observation_text(observation: Observation) -> str:
    match observation:
        case Announce():
            return f"tell {observation.detail['Id']}"
        case Measure(run, moment):
            return f"measure the {moment} of {run}"
        case PublishMetrics(data, moment):
            figures = (f"{d.name} {d.value:g} {d.unit}" for d in data)
            return f"publish {', '.join(figures)} at {moment:%H:%M}"
        case SendAnonymousMetric(run):
            return f"send the metric of {run}"
        case _:
            assert_never(observation)


def finalised(status: str) -> list[str]:
    noted = ["note snapshot of a at 02:30"] if status == "Success" else []
    told = (f"notify a {status}", f"tell a/ended/{status}")
    return [*noted, *told, "unschedule a", "release a"]


RUNNING = record("a")
BOOTED = record("a", InstanceId="i-1")
REPORTED = record(
    "a",
    "Success",
    InstanceId="i-1",
    Message="All is well",
    BackupStopTime="2026-03-01T02:30:00Z",
    NumberOfFilesTransferred=12,
    TotalTransferredFileSize=3456,
)
BEGIN_B = ["begin b until 08:00", "schedule stop of b at 07:45", "desired 1"]
TERMINATING = Terminating("group", "i-1", "hook", "token")
TERMINATED = Terminated("group", "i-1")

FAILED = "failed: the database does not answer"


def ended_with_functions(status: str) -> list[str]:
    ended = finalised(status)
    return [*ended[:-4], "call AfterBackup of a", *ended[-4:]]


CASES: dict[str, tuple[Event, World, str, list[str]]] = {
    # start
    "start with nothing active begins a run": (
        Start("a"),
        world(),
        "02:00",
        ["begin a until 05:00", "schedule stop of a at 04:45", "desired 1"],
    ),
    "start inside the window of another run is refused": (
        Start("b"),
        world(BOOTED, lock="a", desired=1, instances="i-1"),
        "04:59",
        ["notify b Refused"],
    ),
    "start is refused while another run's instance reports at the window's end": (
        Start("b"),
        world(BOOTED, lock="a", instances="i-1"),
        "04:50",
        ["notify b Refused"],
    ),
    "start after the window of a run whose end was lost ends that run first": (
        Start("b"),
        world(BOOTED, lock="a", desired=1, instances="i-1"),
        "05:00",
        ["desired 0", "close a as Unknown", *finalised("Unknown"), "end i-1", *BEGIN_B],
    ),
    "start while the group has not yet noticed that a reported run is scaled in": (
        Start("b"),
        world(REPORTED, lock="a", instances="i-1"),
        "05:00",
        [*finalised("Success"), "end i-1", *BEGIN_B],
    ),
    "start while the instance that has reported is about to end itself waits for that": (
        Start("b"),
        world(REPORTED, lock="a", desired=1, instances="i-1"),
        "02:31",
        ["wait for capacity 0"],
    ),
    "start does not wait for one that has not ended itself in two minutes": (
        Start("b"),
        world(REPORTED, lock="a", desired=1, instances="i-1"),
        "02:32",
        [
            *("desired 0", *finalised("Success"), "end i-1", "begin b until 05:32"),
            *("schedule stop of b at 05:17", "desired 1"),
        ],
    ),
    "start while the instance of the run before is being ended": (
        Start("b"),
        world(REPORTED, lock="a", ending="i-1"),
        "05:00",
        [*finalised("Success"), *BEGIN_B],
    ),
    "start with an instance that belongs to no run": (
        Start("a"),
        world(desired=1, instances="i-9"),
        "02:00",
        ["end i-9", "begin a until 05:00", "schedule stop of a at 04:45", "desired 1"],
    ),
    "start after the window of a run that never had an instance": (
        Start("b"),
        world(RUNNING, lock="a"),
        "05:00",
        ["close a as Unsuccessful", *finalised("Unsuccessful"), *BEGIN_B],
    ),
    "start after a run reported but its termination was lost": (
        Start("b"),
        world(REPORTED, lock="a"),
        "05:00",
        [*finalised("Success"), *BEGIN_B],
    ),
    "start after the record of the active run was removed": (
        Start("b"),
        world(lock="a"),
        "05:00",
        [*finalised("Unknown"), *BEGIN_B],
    ),
    "start delivered again while the run is on": (
        Start("a"),
        world(RUNNING, lock="a"),
        "02:01",
        ["schedule stop of a at 04:45", "desired 1"],
    ),
    "start delivered again after the run reported launches no second instance": (
        Start("a"),
        world(REPORTED, lock="a", instances="i-1"),
        "02:30",
        [],
    ),
    "start delivered again after the run is over": (
        Start("a"),
        world(REPORTED),
        "03:00",
        [],
    ),
    "start delivered again after the next run began": (
        Start("a"),
        World(
            Lock("b", at("08:00")),
            {"a": REPORTED, "b": record("b")},
            Group(1, frozenset({"i-2"})),
        ),
        "05:10",
        [],
    ),
    "start delivered again too late to be resumed": (
        Start("a"),
        world(RUNNING, lock="a"),
        "04:45",
        ["close a as Unsuccessful", *finalised("Unsuccessful")],
    ),
    "start delivered again after it died while it ended its own late run": (
        Start("a"),
        world(record("a", "Unsuccessful"), lock="a"),
        "04:46",
        finalised("Unsuccessful"),
    ),
    # stop
    "stop of a run that is over": (Stop("a"), world(REPORTED), "04:45", []),
    "stop of a run of version 1.5 that an update met": (
        Stop("v1.5"),
        world(desired=1, instances="i-1"),
        "04:45",
        ["desired 0"],
    ),
    "stop of another run than the active one": (
        Stop("z"),
        world(BOOTED, lock="a", desired=1, instances="i-1"),
        "04:45",
        [],
    ),
    "stop of a copying run": (
        Stop("a"),
        world(BOOTED, lock="a", desired=1, instances="i-1"),
        "04:45",
        ["desired 0", "schedule close of a at 05:00"],
    ),
    "stop delivered again": (
        Stop("a"),
        world(BOOTED, lock="a", desired=0, instances="i-1"),
        "04:46",
        ["schedule close of a at 05:00"],
    ),
    "stop of a run that reported and whose instance still terminates": (
        Stop("a"),
        world(REPORTED, lock="a", instances="i-1"),
        "04:45",
        ["schedule close of a at 05:00"],
    ),
    "stop of a run for which no instance ever ran": (
        Stop("a"),
        world(RUNNING, lock="a", desired=1),
        "04:45",
        ["desired 0", "close a as Unsuccessful", *finalised("Unsuccessful")],
    ),
    "stop of a run whose instance vanished": (
        Stop("a"),
        world(BOOTED, lock="a", desired=1),
        "04:45",
        ["desired 0", "close a as Unknown", *finalised("Unknown")],
    ),
    "stop of a run that reported and whose termination was lost": (
        Stop("a"),
        world(REPORTED, lock="a"),
        "04:45",
        finalised("Success"),
    ),
    "stop that comes after the window schedules nothing in the past": (
        Stop("a"),
        world(BOOTED, lock="a", desired=1, instances="i-1"),
        "05:00",
        ["desired 0", "close a as Unknown", *finalised("Unknown")],
    ),
    # close
    "close of a run that is over": (Close("a"), world(REPORTED), "05:00", []),
    "close of another run than the active one": (
        Close("z"),
        world(BOOTED, lock="a"),
        "05:00",
        [],
    ),
    "close of a run whose instance does not end": (
        Close("a"),
        world(BOOTED, lock="a", desired=0, instances="i-1"),
        "05:00",
        ["close a as Unknown", *finalised("Unknown")],
    ),
    "close of a run that was not even scaled in": (
        Close("a"),
        world(BOOTED, lock="a", desired=1, instances="i-1"),
        "05:00",
        ["desired 0", "close a as Unknown", *finalised("Unknown")],
    ),
    "close of a run whose instance is gone and never said that it boots": (
        Close("a"),
        world(RUNNING, lock="a"),
        "05:00",
        ["close a as Unknown", *finalised("Unknown")],
    ),
    "close of a run that reported": (
        Close("a"),
        world(record("a", "Incomplete"), lock="a", instances="i-1"),
        "05:00",
        finalised("Incomplete"),
    ),
    # workers
    "close of a run whose instance does not end, and which has workers": (
        Close("a"),
        world(BOOTED, lock="a", desired=1, instances="i-1", workers=2),
        "05:00",
        ["desired 0", "end the workers", "close a as Unknown", *finalised("Unknown")],
    ),
    "stop of a run with workers leaves them to its instance": (
        Stop("a"),
        world(BOOTED, lock="a", desired=1, instances="i-1", workers=2),
        "04:45",
        ["desired 0", "schedule close of a at 05:00"],
    ),
    "the end of an instance that was killed while it had workers, and is replaced": (
        TERMINATED,
        world(BOOTED, lock="a", desired=1, workers=2),
        "03:00",
        [],
    ),
    "the end of the instance of a run whose workers nobody has ended": (
        TERMINATED,
        world(REPORTED, lock="a", workers=2),
        "03:00",
        ["end the workers", *finalised("Success")],
    ),
    "the end of an instance that had asked for workers after the window": (
        TERMINATED,
        world(REPORTED, workers=2),
        "05:01",
        ["end the workers"],
    ),
    "check with workers of no run": (
        Check(),
        world(newest="01:00", workers=2),
        "03:00",
        ["end the workers"],
    ),
    "check with workers of a run that is on": (
        Check(),
        world(BOOTED, lock="a", desired=1, instances="i-1", newest="01:00", workers=2),
        "03:00",
        [],
    ),
    "check when the workers could not be ended": (
        Check(),
        world(REPORTED, newest="02:30", workers=2, unfinished={"a": frozenset({Step.WORKERS})}),
        "05:10",
        ["again the workers of a: nothing", "end the workers"],
    ),
    # check
    "check with no run": (Check(), world(newest="01:00"), "03:00", []),
    "the first check after a deployment, or an upgrade of version 1.5": (
        Check(),
        world(),
        "03:00",
        ["note snapshot of nobody at 03:00"],
    ),
    "check inside the window of a run leaves it alone": (
        Check(),
        world(BOOTED, lock="a", desired=1, instances="i-1", newest="01:00"),
        "04:59",
        [],
    ),
    "check after the window of a run whose close was lost": (
        Check(),
        world(BOOTED, lock="a", desired=1, instances="i-1", newest="01:00"),
        "05:00",
        ["desired 0", "close a as Unknown", *finalised("Unknown")],
    ),
    "check after the window of a run that never had an instance, before any snapshot": (
        Check(),
        world(RUNNING, lock="a"),
        "05:00",
        ["close a as Unsuccessful", *finalised("Unsuccessful"), "note snapshot of nobody at 05:00"],
    ),
    "check after the window of a run that reported and was never finalised": (
        Check(),
        world(REPORTED, lock="a"),
        "05:00",
        finalised("Success"),
    ),
    "check when the notification of a run was refused": (
        Check(),
        world(REPORTED, newest="02:30", unfinished={"a": frozenset({Step.NOTIFICATION})}),
        "05:00",
        ["again the notification of a: notify a Success"],
    ),
    "check when the capacity could not be set, and no run has begun since": (
        Check(),
        world(REPORTED, desired=1, newest="02:30", unfinished={"a": frozenset({Step.CAPACITY})}),
        "05:00",
        ["again the capacity of a: desired 0"],
    ),
    "check when the capacity could not be set, and is another run's by now": (
        Check(),
        world(
            record("b"),
            lock="b",
            desired=1,
            newest="02:30",
            unfinished={"a": frozenset({Step.CAPACITY})},
        ),
        "04:00",
        ["again the capacity of a: nothing"],
    ),
    "check when a run that is still running could not be closed": (
        Check(),
        world(BOOTED, newest="01:00", unfinished={"a": frozenset({Step.STATUS})}),
        "06:00",
        [
            "again the newest snapshot of a: nothing",
            "again the notification of a: notify a Unknown",
            "again the event of a: tell a/ended/Unknown",
            "again the status of a: close a as Unknown",
        ],
    ),
    "check when a run that could not be closed has reported since": (
        Check(),
        world(REPORTED, newest="01:00", unfinished={"a": frozenset({Step.STATUS})}),
        "06:00",
        [
            "again the newest snapshot of a: note snapshot of a at 02:30",
            "again the notification of a: notify a Success",
            "again the event of a: tell a/ended/Success",
            "again the status of a: nothing",
        ],
    ),
    "check when the record of a run was removed before it could be notified": (
        Check(),
        world(newest="01:00", unfinished={"a": frozenset({Step.NOTIFICATION})}),
        "06:00",
        ["again the notification of a: notify a Unknown"],
    ),
    "check leaves to its own end what was refused while that is not over": (
        Check(),
        world(REPORTED, lock="a", newest="01:00", unfinished={"a": frozenset({Step.NOTIFICATION})}),
        "04:00",
        [],
    ),
    # instance terminating
    "terminating while the run is running": (
        TERMINATING,
        world(BOOTED, lock="a", instances="i-1"),
        "04:45",
        ["stop i-1"],
    ),
    "terminating while the group replaces it, which goes on with the run": (
        TERMINATING,
        world(BOOTED, lock="a", desired=1, ending="i-1"),
        "04:44",
        ["complete the hook of i-1"],
    ),
    "terminating at the stop time, before the stop came": (
        TERMINATING,
        world(BOOTED, lock="a", desired=1, ending="i-1"),
        "04:45",
        ["stop i-1"],
    ),
    "terminating before it said that it works on the run": (
        TERMINATING,
        world(RUNNING, lock="a", desired=1, ending="i-1"),
        "02:02",
        ["complete the hook of i-1"],
    ),
    "terminating while another instance works on the run": (
        TERMINATING,
        world(record("a", InstanceId="i-2"), lock="a", desired=1, instances="i-2", ending="i-1"),
        "02:02",
        ["complete the hook of i-1"],
    ),
    "terminating after the run reported": (
        TERMINATING,
        world(REPORTED, lock="a", instances="i-1"),
        "02:30",
        ["complete the hook of i-1"],
    ),
    "terminating with no run": (
        TERMINATING,
        world(instances="i-1"),
        "02:30",
        ["complete the hook of i-1"],
    ),
    "terminating after the record was removed": (
        TERMINATING,
        world(lock="a", instances="i-1"),
        "02:30",
        ["complete the hook of i-1"],
    ),
    "terminating in another group": (
        Terminating("other", "i-1", "hook", "token"),
        world(BOOTED, lock="a", desired=1, instances="i-1"),
        "02:30",
        [],
    ),
    # instance terminated
    "terminated with no run": (TERMINATED, world(REPORTED), "02:31", []),
    "terminated after the run reported": (
        TERMINATED,
        world(REPORTED, lock="a"),
        "02:31",
        finalised("Success"),
    ),
    "terminated after the run published all but some files": (
        TERMINATED,
        world(record("a", "Partial", BackupStopTime="2026-03-01T02:30:00Z"), lock="a"),
        "02:31",
        finalised("Partial"),
    ),
    "terminated after the run reported but could not scale in": (
        TERMINATED,
        world(REPORTED, lock="a", desired=1, instances="i-2"),
        "02:31",
        ["desired 0", *finalised("Success")],
    ),
    "terminated early while the group replaces it": (
        TERMINATED,
        world(BOOTED, lock="a", desired=1),
        "04:44",
        [],
    ),
    "terminated early after someone scaled in": (
        TERMINATED,
        world(BOOTED, lock="a", desired=0),
        "03:00",
        ["close a as Unknown", *finalised("Unknown")],
    ),
    "terminated at the stop time without a report": (
        TERMINATED,
        world(BOOTED, lock="a", desired=0),
        "04:50",
        ["close a as Unknown", *finalised("Unknown")],
    ),
    "terminated at the stop time, before the stop came": (
        TERMINATED,
        world(BOOTED, lock="a", desired=1),
        "04:45",
        ["desired 0", "close a as Unknown", *finalised("Unknown")],
    ),
    "terminated without ever reporting that it boots": (
        TERMINATED,
        world(RUNNING, lock="a", desired=0),
        "04:50",
        ["close a as Unknown", *finalised("Unknown")],
    ),
    "terminated while its replacement stops": (
        TERMINATED,
        world(BOOTED, lock="a", desired=0, instances="i-1 i-2"),
        "04:50",
        [],
    ),
    "terminated in another group": (
        Terminated("other", "i-1"),
        world(REPORTED, lock="a"),
        "02:31",
        [],
    ),
    # the functions of the user's
    WITH_FUNCTIONS + "start calls the one before when the run is noted, and then launches": (
        Start("a"),
        world(),
        "02:00",
        [
            *("begin a until 05:00", "schedule stop of a at 04:45"),
            *("call BeforeBackup of a", "desired 1"),
        ],
    ),
    WITH_FUNCTIONS + "start delivered again calls one of which nobody knows whether it answered": (
        Start("a"),
        world(RUNNING, lock="a"),
        "02:02",
        ["schedule stop of a at 04:45", "call BeforeBackup of a", "desired 1"],
    ),
    WITH_FUNCTIONS + "start delivered again does not repeat one that has answered": (
        Start("a"),
        world(record("a", BeforeBackup="done"), lock="a", desired=1),
        "02:02",
        ["schedule stop of a at 04:45", "desired 1"],
    ),
    WITH_FUNCTIONS + "start after the one before has failed refuses the run": (
        Start("a"),
        world(record("a", BeforeBackup=FAILED), lock="a"),
        "02:02",
        ["close a as Refused", *ended_with_functions("Refused")],
    ),
    WITH_FUNCTIONS + "start delivered again after it died while it refused the run": (
        Start("a"),
        world(record("a", "Refused", BeforeBackup=FAILED), lock="a"),
        "02:02",
        ended_with_functions("Refused"),
    ),
    WITH_FUNCTIONS + "stop of a run that was to be refused": (
        Stop("a"),
        world(record("a", BeforeBackup=FAILED), lock="a"),
        "04:45",
        ["close a as Refused", *ended_with_functions("Refused")],
    ),
    WITH_FUNCTIONS + "terminated after the run reported calls the one after": (
        TERMINATED,
        world(REPORTED, lock="a"),
        "02:31",
        ended_with_functions("Success"),
    ),
    WITH_FUNCTIONS + "close of a run of which nobody knows calls the one after": (
        Close("a"),
        world(BOOTED, lock="a"),
        "05:00",
        ["close a as Unknown", *ended_with_functions("Unknown")],
    ),
    WITH_FUNCTIONS + "close after the one after has failed does not call it again": (
        Close("a"),
        world(record("a", "Success", InstanceId="i-1", AfterBackup=FAILED), lock="a"),
        "05:00",
        ["note snapshot of a at 05:00", *finalised("Success")[1:]],
    ),
    WITH_FUNCTIONS + "start inside the window of another run calls none": (
        Start("b"),
        world(BOOTED, lock="a", desired=1, instances="i-1"),
        "04:59",
        ["notify b Refused"],
    ),
    # the alarm
    "the alarm has another state": (
        Alarm("oldest", "ALARM", "OK", "too old", "2026-03-01T02:00:00Z"),
        world(),
        "02:00",
        ["tell oldest/2026-03-01T02:00:00Z/ALARM"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_decision(name: str) -> None:
    event, given, time, expected = CASES[name]
    decision = decide(event, given, settings_of(name), at(time))
    assert texts(decision) == expected
    assert decision.reason


def test_nothing_is_ever_scheduled_in_the_past() -> None:
    for event, given, time, _ in CASES.values():
        for action in decide(event, given, SETTINGS, at(time)).actions:
            assert not isinstance(action, Schedule) or action.at > at(time)


def test_the_new_record_has_the_attributes_of_the_table() -> None:
    begin = decide(Start("a"), world(), SETTINGS, at("02:00")).actions[0]
    assert isinstance(begin, BeginRun)
    assert begin.lock == Lock("a", at("05:00"))
    assert begin.record.attributes == {
        "BackupId": "a",
        "BackupStatus": "Running",
        "BackupWindow": 180,
        "IntervalTag": "daily",
        "RetainPeriod": 7,
        "FolderLabel": "efs-backup",
        "BackupPrefix": "/",
        "SourceEfsId": "fs-source",
        "DestinationEfsId": "fs-backup",
        "DestinationPerformanceMode": "generalPurpose",
        "InstanceType": "c5.xlarge",
        "BackupStartTime": "2026-03-01T02:00:00Z",
        "ExpireItem": int(datetime(2026, 5, 30, 2, 0, tzinfo=UTC).timestamp()),
    }


SENTENCES = {
    "Success": "The EFS was backed up successfully",
    "Partial": "The EFS was backed up, but some files could not be copied",
    "Incomplete": (
        "The EFS backup was incomplete. Either backup window expired before full backup "
        "or fpsync process was not completed."
    ),
    "Unsuccessful": (
        "The EFS backup was unsuccessful. "
        "The EC2 instance was unable to find the mount IP OR mount EFS"
    ),
    "fpsync failed": "fpsync process in backup script failed or did not start",
    "Unknown": (
        "The SSM script could not update the DynamoDB table with backup status, "
        "please check the logs in the S3 bucket for the details."
    ),
}


@pytest.mark.parametrize("status", ["Success", "Partial", "Unsuccessful"])
@pytest.mark.parametrize("settings", [SETTINGS, QUIET], ids=["all", "failures only"])
def test_a_mass_change_is_notified_by_itself(status: str, settings: Settings) -> None:
    changed = record("a", status, MassChange=["900 of 1000 files: held as x", "'a'"])
    decision = decide(TERMINATED, world(changed, lock="a"), settings, at("02:31"))
    sent = [a for action in decision.actions for a in inner(action) if isinstance(a, Notify)]
    assert len(sent) == (1 if status == "Success" and settings is QUIET else 2)
    assert sent[0].subject.startswith("EFS backup Mass change: fs-")
    assert body(sent[0])["Message"] == "900 of 1000 files: held as x"
    assert body(sent[0])["Examples"] == ["'a'"]
    assert f"make release STACK={settings.stack}" in body(sent[0])["WhatToDo"]


@pytest.mark.parametrize("settings", [SETTINGS, QUIET], ids=["all", "failures only"])
def test_what_could_not_be_restored_for_a_test_is_notified_by_itself(settings: Settings) -> None:
    tested = record("a", "Success", NotRestorable=["2 files could not", "daily.6: 'a'"])
    decision = decide(TERMINATED, world(tested, lock="a"), settings, at("02:31"))
    sent = [a for action in decision.actions for a in inner(action) if isinstance(a, Notify)]
    assert len(sent) == (1 if settings is QUIET else 2)
    assert sent[0].subject.startswith("EFS backup Not restorable: fs-")
    assert body(sent[0])["Message"] == "2 files could not"
    assert body(sent[0])["Examples"] == ["daily.6: 'a'"]
    assert f"make find STACK={settings.stack}" in body(sent[0])["WhatToDo"]


def test_the_list_of_snapshots_is_in_no_notification() -> None:
    notify = messages.run_ended(record("a", "Success", Snapshots=["daily.0"]), SETTINGS)
    assert "Snapshots" not in body(notify)


@pytest.mark.parametrize("status", SENTENCES)
@pytest.mark.parametrize("settings", [SETTINGS, QUIET], ids=["all", "failures only"])
def test_failures_always_notify_and_success_when_asked(status: str, settings: Settings) -> None:
    decision = decide(TERMINATED, world(record("a", status), lock="a"), settings, at("02:31"))
    if status == "Success" and settings is QUIET:
        assert "notify a Success" not in texts(decision)
        assert texts(decision)[-2:] == ["unschedule a", "release a"]
    else:
        assert body(the_notification(decision))["Message"] == SENTENCES[status]


def test_the_message_of_the_instance_is_kept() -> None:
    decision = decide(TERMINATED, world(REPORTED, lock="a"), SETTINGS, at("02:31"))
    assert body(the_notification(decision))["Message"] == "All is well"


LOGS = "s3://log-bucket/ec2-logs/20260301-020200-a/"
INSIDE = "https://eu-west-1.console.aws.amazon.com/s3/buckets/log-bucket?region=eu-west-1"


def test_a_run_without_instance_says_what_to_check_and_links_to_it() -> None:
    decision = decide(Stop("a"), world(RUNNING, lock="a"), SETTINGS, at("04:45"))
    message = body(the_notification(decision))
    assert "No EC2 instance ran within the backup window" in message["Message"]
    assert "activity history of the Auto Scaling group group" in message["WhatToDo"]
    assert message["Logs"] == (
        "https://eu-west-1.console.aws.amazon.com/ec2/home?region=eu-west-1"
        "#AutoScalingGroupDetails:id=group;view=activity"
    )


def test_a_refused_start_says_which_run_is_still_going() -> None:
    given = world(BOOTED, lock="a", desired=1, instances="i-1")
    message = body(the_notification(decide(Start("b"), given, SETTINGS, at("03:00"))))["Message"]
    for part in ("backup a ", "since 2026-03-01T02:00:00Z", "until 2026-03-01T05:00:00Z"):
        assert part in message


@pytest.mark.parametrize(("time", "notified"), [("02:00:59", False), ("02:01:00", True)])
def test_the_same_tick_delivered_twice_bothers_nobody(time: str, notified: bool) -> None:
    given = world(BOOTED, lock="a", desired=1, instances="i-1")
    decision = decide(Start("b"), given, SETTINGS, at(time))
    assert texts(decision) == (["notify b Refused"] if notified else [])
    assert observed(decision) == (["tell b/refused"] if notified else [])


def test_a_function_that_refuses_a_run_is_named_with_why() -> None:
    event, given, time, _ = CASES[WITH_FUNCTIONS + "stop of a run that was to be refused"]
    message = body(the_notification(decide(event, given, HOOKED, at(time))))
    assert FAILED in message["Message"]
    assert "was not started" in message["Message"]
    assert BEFORE in message["WhatToDo"]


def test_a_function_that_failed_after_a_success_is_notified_though_successes_are_not() -> None:
    quiet = Settings(**{**vars(HOOKED), "notify_success": False})
    for said, notified in (("done", 0), (FAILED, 1)):
        ended = record("a", "Success", InstanceId="i-1", AfterBackup=said)
        decision = decide(Close("a"), world(ended, lock="a"), quiet, at("05:00"))
        found = [body(a) for each in decision.actions for a in inner(each) if isinstance(a, Notify)]
        assert len(found) == notified
    assert found[0]["AfterBackup"] == FAILED
    assert AFTER in found[0]["WhatToDo"]


def test_a_removed_record_is_named() -> None:
    notify = the_notification(decide(Close("a"), world(lock="a"), SETTINGS, at("05:00")))
    assert body(notify)["Message"] == "Could not find the backup id a in the DynamoDB table table."


def whole(decision: Decision) -> dict[str, Any]:
    """The notification, with what it begins with checked."""
    message = body(the_notification(decision))
    assert list(message)[:4] == ["BackupStatus", "Message", "WhatToDo", "Logs"]
    return message


def test_the_whole_notification_of_a_run_that_the_instance_reported() -> None:
    given = {
        "BackupWindow": 180,
        "IntervalTag": "daily",
        "RetainPeriod": 7,
        "FolderLabel": "efs-backup",
        "BackupPrefix": "/größe",
        "SourceEfsId": "fs-source",
        "DestinationEfsId": "fs-backup",
        "DestinationPerformanceMode": "generalPurpose",
        "InstanceType": "c5.xlarge",
        "InstanceId": "i-1",
        "EC2Logs": LOGS,
        "BackupStopTime": "2026-03-01T02:30:00Z",
        "Message": "fpsync process in backup script failed or did not start: fpart died",
        "WhatToDo": "Look into rsync.log",
        "Warnings": ["vanished: a"],
        "Progress": {"Phase": "copy", "Done": 3, "Unit": "parts"},
        "SourceBurstCreditBalance": 2308974418330,
        "ExpireItem": 1780106400,
    }
    reported = record("a", "fpsync failed", **given)
    decision = decide(TERMINATED, world(reported, lock="a"), SETTINGS, at("02:31"))
    assert whole(decision) == {
        "BackupStatus": "fpsync failed",
        "BackupId": "a",
        "BackupStartTime": "2026-03-01T02:00:00Z",
        **given,
        "Logs": f"{INSIDE}&prefix=ec2-logs/20260301-020200-a/",
        "LogBucket": "log-bucket",
    }
    assert "/größe" in the_notification(decision).body


@pytest.mark.parametrize("status", SENTENCES)
def test_the_whole_notification_of_a_bare_record(status: str) -> None:
    """What an instance of version 1.5 wrote before an update has no words of its own."""
    bare = record("a", status, EC2Logs="https://s3.amazonaws.com/log-bucket/x.log", InstanceId="i")
    message = whole(decide(TERMINATED, world(bare, lock="a"), SETTINGS, at("02:31")))
    advice = message.pop("WhatToDo")
    assert len(advice.split()) > 10 or (status, advice) == ("Success", "Nothing.")
    assert message == {
        **bare.attributes,
        "Message": SENTENCES[status],
        "Logs": INSIDE,
        "LogBucket": "log-bucket",
    }


def test_the_whole_notification_of_a_run_that_nobody_reported() -> None:
    booted = record("a", InstanceId="i-1", EC2Logs=LOGS)
    decision = decide(TERMINATED, world(booted, lock="a"), SETTINGS, at("04:50"))
    close = of_type(decision, CloseRun)
    message = whole(decision)
    assert message == {
        "BackupStatus": "Unknown",
        "Message": SENTENCES["Unknown"],
        "WhatToDo": close.record.attributes["WhatToDo"],
        "Logs": f"{INSIDE}&prefix=ec2-logs/20260301-020200-a/",
        "BackupId": "a",
        "BackupStartTime": "2026-03-01T02:00:00Z",
        "BackupStopTime": "2026-03-01T04:50:00Z",
        "InstanceId": "i-1",
        "EC2Logs": LOGS,
        "LogBucket": "log-bucket",
    }
    assert "See the logs" in message["WhatToDo"]


def test_the_whole_notification_of_a_refused_start() -> None:
    running = record("a", InstanceId="i-1", EC2Logs=LOGS)
    given = world(running, lock="a", desired=1, instances="i-1")
    message = whole(decide(Start("b"), given, SETTINGS, at("03:00")))
    del message["Message"]
    assert message == {
        "BackupStatus": "Refused",
        "WhatToDo": "Nothing. If this happens often, use a shorter backup window or a longer "
        "interval.",
        "Logs": f"{INSIDE}&prefix=ec2-logs/20260301-020200-a/",
        "BackupId": "b",
        "RunningBackupId": "a",
        "SourceEfsId": "fs-source",
        "DestinationEfsId": "fs-backup",
        "IntervalTag": "daily",
        "LogBucket": "log-bucket",
    }


@pytest.mark.parametrize(
    ("partition", "region", "host"),
    [
        ("aws", "eu-west-1", "eu-west-1.console.aws.amazon.com"),
        ("aws-cn", "cn-north-1", "cn-north-1.console.amazonaws.cn"),
        ("aws-us-gov", "us-gov-west-1", "us-gov-west-1.console.amazonaws-us-gov.com"),
        ("aws-eusc", "eusc-de-east-1", "eusc-de-east-1.console.amazonaws-eusc.eu"),
        ("aws-new", "new-1", "new-1.console.aws.amazon.com"),
    ],
)
def test_links_lead_to_the_console_of_the_partition(partition: str, region: str, host: str) -> None:
    arn = f"arn:{partition}:sns:{region}:123456789012:topic"
    settings = Settings(**{**vars(SETTINGS), "topic_arn": arn, "region": region})
    link = body(messages.run_ended(REPORTED, settings))["Logs"]
    assert link == f"https://{host}/s3/buckets/log-bucket?region={region}"


def test_the_notification_reads_well() -> None:
    done = record("a", "Success", Zebra="z", NumberOfFiles=12, Message="Größe: ok", ExpireItem=1)
    notify = messages.run_ended(done, SETTINGS)
    assert list(body(notify)) == [
        "BackupStatus",
        "Message",
        "WhatToDo",
        "Logs",
        "BackupId",
        "BackupStartTime",
        "NumberOfFiles",
        "LogBucket",
        "ExpireItem",
        "Zebra",
    ]
    assert "Größe: ok" in notify.body
    assert notify.body.count("\n") > 5
    assert notify.subject == "EFS backup Success: fs-source (daily)"


PUBLISH = (
    "publish BackupDuration 1800 Seconds, FilesTransferred 12 Count, BytesTransferred 3456 Bytes"
)
ENDED = ["measure the end of a", f"{PUBLISH} at 02:30", "send the metric of a"]
BEGUN_B = ["tell b/started", "measure the start of b"]
OBSERVED: dict[str, list[str]] = {
    "start with nothing active begins a run": ["tell a/started", "measure the start of a"],
    "start delivered again while the run is on": ["tell a/started", "measure the start of a"],
    "start delivered again after the run is over": [],
    "start inside the window of another run is refused": ["tell b/refused"],
    "start after a run reported but its termination was lost": [*BEGUN_B, *ENDED],
    "start after the record of the active run was removed": BEGUN_B,
    "stop of a copying run": [],
    "terminated after the run reported": ENDED,
    "close of a run whose instance does not end": [
        "measure the end of a",
        "publish BackupDuration 10800 Seconds at 05:00",
        "send the metric of a",
    ],
    "check with no run": ["publish SnapshotAge 7200 Seconds at 03:00"],
    "the first check after a deployment, or an upgrade of version 1.5": [
        "publish SnapshotAge 0 Seconds at 03:00"
    ],
    "check inside the window of a run leaves it alone": [
        "publish SnapshotAge 14340 Seconds at 04:59"
    ],
    "check after the window of a run that reported and was never finalised": [
        *ENDED,
        "publish SnapshotAge 9000 Seconds at 05:00",
    ],
    "check when a run that could not be closed has reported since": [
        "publish SnapshotAge 12600 Seconds at 06:00"
    ],
}


@pytest.mark.parametrize("name", OBSERVED)
def test_observations(name: str) -> None:
    event, given, time, _ = CASES[name]
    assert observed(decide(event, given, SETTINGS, at(time))) == OBSERVED[name]


def test_what_could_not_be_copied_is_a_metric_and_the_age_goes_on_growing() -> None:
    partial = record("a", "Partial", BackupStopTime="2026-03-01T02:30:00Z", NumberOfFilesFailed=3)
    decision = decide(Check(), world(partial, lock="a", newest="01:00"), SETTINGS, at("05:00"))
    assert observed(decision) == [
        "measure the end of a",
        "publish BackupDuration 1800 Seconds, FilesFailed 3 Count at 02:30",
        "send the metric of a",
        "publish SnapshotAge 14400 Seconds at 05:00",
    ]


def test_a_snapshot_that_is_noted_late_does_not_make_the_newest_one_older() -> None:
    noted = {"a": frozenset({Step.NEWEST})}
    decision = decide(
        Check(), world(REPORTED, newest="04:00", unfinished=noted), SETTINGS, at("05:00")
    )
    assert texts(decision) == ["again the newest snapshot of a: note snapshot of a at 02:30"]
    assert observed(decision) == ["publish SnapshotAge 3600 Seconds at 05:00"]


def test_one_that_is_refused_for_ever_keeps_no_other_waiting() -> None:
    """Each check tries two runs; within as many hours as there are runs, each has its turn."""
    names = ["a", "b", "c", "d", "e"]
    noted = {run: frozenset({Step.NOTIFICATION}) for run in names}
    given = world(*(record(run, "Success") for run in names), newest="01:00", unfinished=noted)
    turns = []
    for hour in range(10, 15):
        actions = decide(Check(), given, SETTINGS, at(f"{hour}:07")).actions
        turns.append([action.run for action in actions if isinstance(action, Retry)])
    assert all(len(turn) == 2 for turn in turns)
    assert {run for turn in turns for run in turn} == set(names)


def test_a_record_full_of_long_names_is_notified() -> None:
    """SNS takes 262,144 bytes; half of the characters are doubled when they are escaped."""
    line = "could not be copied: " + "\\xff" * 3000
    more = {f"Extra{n}": line for n in range(300)}
    full = record("a", "Partial", Errors=[line] * 1000, Warnings=[line] * 50, **more)
    notify = messages.run_ended(full, SETTINGS)
    assert 50_000 < len(notify.body.encode()) <= 262_144
    found = body(notify)
    assert found["BackupStatus"] == "Partial"
    assert found["Errors"][0].startswith("could not be copied: ")
    assert found["Errors"][-1] == "… and 980 more"


def test_nothing_in_a_notification_acts_on_a_terminal() -> None:
    names = ["\x1b[2J", "\x9b31m", "\x07", "a\nb", "\u202egpj.exe", "\ud800", "größe 漢字"]
    notify = messages.run_ended(record("a", "Partial", Errors=names, Message=names[0]), SETTINGS)
    assert all(c.isprintable() or c == "\n" for c in notify.body)
    assert body(notify)["Errors"] == [
        *("\\x1b[2J", "\\x9b31m", "\\x07", "a b", "\\u202egpj.exe", "\\ud800"),
        "größe 漢字",
    ]


def test_what_is_not_done_yet_is_no_part_of_the_notification() -> None:
    assert "Undone" not in body(messages.run_ended(record("a", Undone=["notification"]), SETTINGS))


def test_the_anonymous_metric_can_be_opted_out_of() -> None:
    settings = Settings(**{**vars(SETTINGS), "send_anonymous_data": False})
    decision = decide(TERMINATED, world(REPORTED, lock="a"), settings, at("02:31"))
    assert observed(decision) == ENDED[:-1]


@pytest.mark.parametrize("stop", ["02:30", "yesterday", 7])
def test_a_record_that_someone_edited_is_finalised_all_the_same(stop: Value) -> None:
    odd = record("a", "Success", BackupStopTime=stop)
    decision = decide(TERMINATED, world(odd, lock="a"), SETTINGS, at("02:31"))
    assert texts(decision)[0] == "note snapshot of a at 02:31"
    assert texts(decision)[-1] == "release a"
    assert observed(decision) == ["measure the end of a", "send the metric of a"]


def test_a_snapshot_is_never_from_the_future() -> None:
    """An instance whose clock is wrong would silence the alarm."""
    odd = record("a", "Success", BackupStopTime="2036-03-01T02:30:00Z")
    decision = decide(TERMINATED, world(odd, lock="a"), SETTINGS, at("02:31"))
    assert texts(decision)[0] == "note snapshot of a at 02:31"


@pytest.mark.parametrize("source", ["fs-\n1", "fs-é", "x" * 300])
def test_the_subject_is_what_sns_takes(source: str) -> None:
    settings = Settings(**{**vars(SETTINGS), "source_efs": source})
    subject = messages.run_ended(record("a", "Success"), settings).subject
    assert subject.isascii()
    assert subject.isprintable()
    assert len(subject) < 100
