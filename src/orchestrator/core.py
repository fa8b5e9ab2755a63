"""Decides what to do about an event. Pure: no AWS, no environment, no clock.

The order of the actions is part of the decision: whatever prefix of it was applied when a
function died, the same event delivered again, the run's stop or close, or the next start
finishes the work.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator import messages
from orchestrator.actions import (
    Action,
    BeginRun,
    CloseRun,
    CompleteHook,
    Notify,
    ReleaseLock,
    RemoveSchedule,
    Schedule,
    SetDesired,
    StopInstance,
)
from orchestrator.events import Close, Event, Start, Stop, Terminated, Terminating
from orchestrator.record import RUNNING, SUCCESS, UNKNOWN, UNSUCCESSFUL, Lock, Record, timestamp
from orchestrator.settings import Settings

STOP_BEFORE_END = timedelta(minutes=15)
KEEP_RECORD = timedelta(days=90)


@dataclass(frozen=True)
class Group:
    """The Auto Scaling group: its desired capacity and the ids of all its instances."""

    desired: int
    instances: frozenset[str]


@dataclass(frozen=True)
class World:
    """What is known when an event arrives.

    records: the records, by backup id, of the runs that the event and the lock name.
    """

    lock: Lock | None
    records: Mapping[str, Record]
    group: Group

    @property
    def active(self) -> Record | None:
        """The record of the run that holds the lock."""
        return self.records.get(self.lock.run) if self.lock else None


@dataclass(frozen=True)
class Decision:
    """Actions to apply in this order, and why."""

    actions: tuple[Action, ...]
    reason: str


def decide(event: Event, world: World, settings: Settings, now: datetime) -> Decision:
    """What to do about the event; `now` is an aware UTC time."""
    match event:
        case Start():
            return _start(event, world, settings, now)
        case Stop():
            return _stop(event, world, settings, now)
        case Close():
            return _close(event, world, settings, now)
        case Terminating() | Terminated() if event.group != settings.group:
            return Decision((), f"group {event.group} is not ours ({settings.group})")
        case Terminating():
            return _terminating(event, world)
        case Terminated():
            return _terminated(event, world, settings, now)


def _start(event: Start, world: World, settings: Settings, now: datetime) -> Decision:
    run, lock, active = event.backup_id, world.lock, world.active
    if lock and lock.run == run:
        return _resume(lock, world, settings, now)
    if run in world.records:
        return Decision((), f"run {run} has begun before; its start is not repeated")
    if lock and active and active.running and now < lock.until:
        return Decision(
            (messages.start_refused(run, lock, active, settings),),
            f"run {run} refused: run {lock.run} may run until {timestamp(lock.until)}",
        )
    ended = _finalise(lock, world, settings, now) if lock else ()
    begun = Lock(run, now + settings.window)
    return Decision(
        (*ended, BeginRun(_new_record(begun, settings, now), begun), *_launch(begun)),
        f"run {run} begins" + (f" after run {lock.run} was finalised" if lock else ""),
    )


def _resume(lock: Lock, world: World, settings: Settings, now: datetime) -> Decision:
    """The start of the active run was delivered again: do what is left of it."""
    if not world.active or now >= _stop_time(lock):
        return Decision(
            _finalise(lock, world, settings, now),
            f"run {lock.run} cannot be resumed so late; finalised",
        )
    if not world.active.running:
        return Decision((), f"run {lock.run} has reported already; its start is not repeated")
    return Decision(_launch(lock), f"run {lock.run} is resumed")


def _stop(event: Stop, world: World, settings: Settings, now: datetime) -> Decision:
    lock = world.lock
    if not lock or lock.run != event.backup_id:
        return Decision((), f"run {event.backup_id} is over; nothing to stop")
    if not world.group.instances or now >= lock.until:
        return Decision(
            _finalise(lock, world, settings, now),
            f"run {lock.run} has no instance to stop, or no time for it; finalised",
        )
    return Decision(
        (*_scale_in(world), Schedule(lock.run, "close", lock.until)),
        f"run {lock.run} has reached its stop time; its instance is stopped",
    )


def _close(event: Close, world: World, settings: Settings, now: datetime) -> Decision:
    lock = world.lock
    if not lock or lock.run != event.backup_id:
        return Decision((), f"run {event.backup_id} is over; nothing to close")
    return Decision(
        # A close is scheduled only for a run that had an instance at its stop time.
        _finalise(lock, world, settings, now, instance_seen=True),
        f"the window of run {lock.run} is over; finalised",
    )


def _terminating(event: Terminating, world: World) -> Decision:
    if world.active and world.active.running:
        return Decision(
            (StopInstance(event),),
            f"instance {event.instance} terminates while run {world.active.backup_id} is running",
        )
    return Decision(
        (CompleteHook(event),), f"instance {event.instance} terminates with no run to stop"
    )


def _terminated(event: Terminated, world: World, settings: Settings, now: datetime) -> Decision:
    lock = world.lock
    if not lock:
        return Decision((), f"instance {event.instance} is gone and no run is active")
    if world.active and world.active.running:
        if world.group.instances - {event.instance}:
            return Decision((), f"run {lock.run} goes on: the group has another instance")
        if world.group.desired and now < _stop_time(lock):
            return Decision((), f"run {lock.run} goes on: the group replaces {event.instance}")
    return Decision(
        _finalise(lock, world, settings, now, instance_seen=True),
        f"instance {event.instance} of run {lock.run} is gone; finalised",
    )


def _finalise(
    lock: Lock, world: World, settings: Settings, now: datetime, instance_seen: bool = False
) -> tuple[Action, ...]:
    """End the run that holds the lock. The lock goes last: while it is there, any later event
    can finish what was left undone."""
    record = world.active or messages.record_lost(lock.run, settings)
    close: tuple[Action, ...] = ()
    if record.running:
        if instance_seen or record.booted or world.group.instances:
            record = record.closed(UNKNOWN, record.message or messages.NOT_REPORTED, now)
        else:
            record = record.closed(UNSUCCESSFUL, messages.no_instance(settings), now)
        close = (CloseRun(record),)
    return (
        *_scale_in(world),
        *close,
        *_report(record, settings),
        RemoveSchedule(lock.run),
        ReleaseLock(lock.run),
    )


def _report(record: Record, settings: Settings) -> tuple[Notify, ...]:
    if record.status == SUCCESS and not settings.notify_success:
        return ()
    return (messages.run_ended(record, settings),)


def _scale_in(world: World) -> tuple[SetDesired, ...]:
    """The group must not replace the instance of a run that ends. Silent when the instance
    has done it: a needless call could hit the instance of a start that came in between."""
    return (SetDesired(0),) if world.group.desired else ()


def _launch(lock: Lock) -> tuple[Action, ...]:
    """The stop is scheduled first: no instance may run without one."""
    return (Schedule(lock.run, "stop", _stop_time(lock)), SetDesired(1))


def _stop_time(lock: Lock) -> datetime:
    return lock.until - STOP_BEFORE_END


def _new_record(lock: Lock, settings: Settings, now: datetime) -> Record:
    return Record(
        {
            "BackupId": lock.run,
            "BackupStatus": RUNNING,
            "BackupWindow": int(settings.window.total_seconds()) // 60,
            "IntervalTag": settings.interval,
            "RetainPeriod": settings.retain,
            "FolderLabel": settings.folder_label,
            "BackupPrefix": settings.backup_prefix,
            "SourceEfsId": settings.source_efs,
            "DestinationEfsId": settings.destination_efs,
            "InstanceType": settings.instance_type,
            "BackupStartTime": timestamp(now),
            "ExpireItem": int((now + KEEP_RECORD).timestamp()),
        }
    )
