"""Decides what to do about an event. Pure: no AWS, no environment, no clock.

The order of the actions is part of the decision: whatever prefix of it was applied when a
function died, the same event delivered again, the run's stop or close, the next check, or the next
start finishes the work.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from common.statuses import SUCCESS
from common.times import timestamp
from common.window import STOP_BEFORE_END

from orchestrator import messages, telling
from orchestrator.actions import (
    Action,
    Announce,
    AskToHold,
    Attempt,
    AwaitScaleIn,
    BeginRun,
    CallFunction,
    CloseRun,
    CompleteHook,
    Datum,
    EndInstance,
    EndWorkers,
    NoteSnapshot,
    Observation,
    PublishMetrics,
    ReleaseLock,
    RemoveSchedule,
    Retry,
    ScaleIn,
    ScaleOut,
    Schedule,
    StopInstance,
)
from orchestrator.events import (
    Alarm,
    Check,
    Close,
    Event,
    Hold,
    Start,
    Stop,
    Terminated,
    Terminating,
)
from orchestrator.record import Hook, Lock, NewestSnapshot, Record, Step, Unfinished
from orchestrator.settings import Settings

# EventBridge may deliver one tick of a rule twice, seconds apart and with two request ids.
SAME_TICK = timedelta(minutes=1)
# So long, after its report, an instance takes at most to set its group's capacity to 0.
LEAVING = timedelta(minutes=2)
# A service may need its time to refuse, and a check has five minutes.
RUNS_TRIED_AGAIN = 2


@dataclass(frozen=True)
class Group:
    """The Auto Scaling group: its desired capacity, and the ids of all its instances and of those
    of them that it is ending. workers: the desired capacity of the workers' group."""

    desired: int
    instances: frozenset[str]
    ending: frozenset[str] = frozenset()
    workers: int = 0


@dataclass(frozen=True)
class World:
    """What is known when an event arrives.

    records: the records, by backup id, of the runs that the event and the lock name. newest and
    unfinished, with the records of its runs: read for a check only.
    """

    lock: Lock | None
    records: Mapping[str, Record]
    group: Group
    newest: NewestSnapshot | None = None
    unfinished: Unfinished = field(default_factory=dict)

    @property
    def active(self) -> Record | None:
        """The record of the run that holds the lock."""
        return self.records.get(self.lock.run) if self.lock else None


@dataclass(frozen=True)
class Decision:
    """Actions to apply in this order, and why; then, if that can be done, observations."""

    actions: tuple[Action, ...]
    reason: str
    observations: tuple[Observation, ...] = ()


def decide(event: Event, world: World, settings: Settings, now: datetime) -> Decision:
    """What to do about the event; `now` is an aware UTC time."""
    match event:
        case Start():
            return _start(event, world, settings, now)
        case Stop():
            return _stop(event, world, settings, now)
        case Close():
            return _close(event, world, settings, now)
        case Hold():
            return _hold(event, now)
        case Check():
            return _check(world, settings, now)
        case Alarm():
            reason = f"the alarm {event.name} is {event.state}, which others are told"
            return Decision((telling.alarm(event, settings),), reason)
        case Terminating() | Terminated() if event.group != settings.group:
            return Decision((), f"group {event.group} is not ours ({settings.group})")
        case Terminating():
            return _terminating(event, world, now)
        case Terminated():
            return _terminated(event, world, settings, now)


def _start(event: Start, world: World, settings: Settings, now: datetime) -> Decision:
    run, lock, active = event.backup_id, world.lock, world.active
    if lock and lock.run == run:
        return _resume(lock, world, settings, now)
    if run in world.records:
        return Decision((), f"run {run} has begun before; its start is not repeated")
    if lock and active and active.running and now < lock.until:
        return _refuse(run, lock, active, settings, now)
    if active and world.group.desired and _leaves(active, now):
        # What the instance is about to do would hit that of the new run.
        reason = f"run {run} waits for the instance of {active.backup_id}, which ends itself"
        return Decision((AwaitScaleIn(),), reason)
    begun = Lock(run, now + settings.window)
    record = messages.begun(begun, settings, now)
    begin = (*_end_instances(world), BeginRun(record, begun), *_launch(begun, record, settings))
    told = telling.observe_start(record, settings)
    if not lock:
        return Decision(begin, f"run {run} begins", told)
    ended = _finalise(f"run {run} begins;", lock, world, settings, now)
    return Decision((*ended.actions, *begin), ended.reason, (*told, *ended.observations))


def _leaves(record: Record, now: datetime) -> bool:
    """Whether the instance has just reported, and sets the capacity of its group to 0."""
    ended = record.time("BackupStopTime")
    return not record.running and ended is not None and now - ended < LEAVING


def _refuse(run: str, lock: Lock, active: Record, settings: Settings, now: datetime) -> Decision:
    reason = f"run {run} refused: run {lock.run} may run until {timestamp(lock.until)}"
    begun = active.time("BackupStartTime")
    if begun and now - begun < SAME_TICK:
        # Most likely the same tick again. If not, nothing is missed either: the backup that was
        # wanted has just begun.
        return Decision((), f"{reason}, and has just begun; nobody needs to know")
    told = telling.refused(run, lock, active, settings)
    return Decision((messages.start_refused(run, lock, active, settings),), reason, (told,))


def _resume(lock: Lock, world: World, settings: Settings, now: datetime) -> Decision:
    """The start of the active run was delivered again: do what is left of it."""
    if not world.active or now >= _stop_time(lock):
        return _finalise("it is too late to resume:", lock, world, settings, now)
    if why := world.active.failed(Hook.BEFORE):
        return _finalise(f"the function before it {why}:", lock, world, settings, now)
    if not world.active.running:
        return Decision((), f"run {lock.run} has reported already; its start is not repeated")
    launch, told = (
        _launch(lock, world.active, settings),
        telling.observe_start(world.active, settings),
    )
    return Decision(launch, f"run {lock.run} is resumed", told)


def _stop(event: Stop, world: World, settings: Settings, now: datetime) -> Decision:
    lock = world.lock
    if not lock:
        # What still runs is a run of version 1.5 that an update met: it has no other stop.
        return Decision(_scale_in(world), f"run {event.backup_id} is not one of ours, or is over")
    if lock.run != event.backup_id:
        return Decision((), f"run {event.backup_id} is over; nothing to stop")
    if not world.group.instances or now >= lock.until:
        return _finalise("no instance to stop, or no time for it:", lock, world, settings, now)
    return Decision(
        (*_scale_in(world), Schedule(lock.run, "close", lock.until)),
        f"run {lock.run} has reached its stop time; its instance is stopped",
    )


def _close(event: Close, world: World, settings: Settings, now: datetime) -> Decision:
    lock = world.lock
    if not lock or lock.run != event.backup_id:
        return Decision((), f"run {event.backup_id} is over; nothing to close")
    # A close is scheduled only for a run that had an instance at its stop time.
    return _finalise("the window is over:", lock, world, settings, now, instance_seen=True)


def _hold(event: Hold, now: datetime) -> Decision:
    """Whether there is such a snapshot, the backup knows best. Asked twice, it refuses once."""
    ask = AskToHold(f"{now:%Y%m%dT%H%M%SZ}-{event.name}", event.snapshot, event.name)
    return Decision((ask,), f"the next backup holds {event.snapshot} as {event.name}")


def _check(world: World, settings: Settings, now: datetime) -> Decision:
    """End a run whose close never came, try again what services refused when others ended, and
    tell the age of the newest complete snapshot."""
    ended = Decision((), "no run is overdue")
    if world.lock and now >= world.lock.until:
        ended = _finalise("nobody closed it:", world.lock, world, settings, now)
    again = _try_again(world, settings, now)
    reason = "; ".join([ended.reason, *(f"tried again: {r.step} of run {r.run}" for r in again)])
    actions: tuple[Action, ...] = (*ended.actions, *again)
    newest = _newest(actions, world)
    first = () if newest else (NoteSnapshot(NewestSnapshot("", now)),)
    age = now - newest.time if newest else timedelta()
    published = PublishMetrics((Datum("SnapshotAge", "Seconds", age.total_seconds()),), now)
    # Of an instance that hung, and asked for them when its run was over.
    left = () if world.lock else _end_workers(world)
    tried = tuple(Attempt("", Step.WORKERS, action) for action in left)
    return Decision((*actions, *first, *tried), reason, (*ended.observations, published))


def _newest(actions: tuple[Action, ...], world: World) -> NewestSnapshot | None:
    """The newest complete snapshot that is noted, or will be by the actions."""
    inner = (a for action in actions for a in _within(action))
    noted = [action.snapshot for action in inner if isinstance(action, NoteSnapshot)]
    known = [world.newest] if world.newest else []
    return max((*noted, *known), key=lambda snapshot: snapshot.time, default=None)


def _within(action: Action) -> tuple[Action, ...]:
    match action:
        case Attempt():
            return (action.action,)
        case Retry():
            return action.actions
    return (action,)


def _try_again(world: World, settings: Settings, now: datetime) -> tuple[Retry, ...]:
    """What is undone of the runs whose turn it is: one that is refused for ever keeps no other
    waiting."""
    runs = sorted(world.unfinished.keys() - ({world.lock.run} if world.lock else set()))
    turn = int(now.timestamp()) // 3600 % len(runs) if runs else 0
    chosen = (runs[turn:] + runs[:turn])[:RUNS_TRIED_AGAIN]
    return tuple(again for run in chosen for again in _finish(run, world, settings, now))


def _finish(run: str, world: World, settings: Settings, now: datetime) -> tuple[Retry, ...]:
    record = world.records.get(run) or messages.record_lost(run, settings)
    steps = world.unfinished[run]
    close: tuple[Action, ...] = ()
    if Step.STATUS in steps:
        # It may have reported since, or be closed as something else than was said of it.
        steps |= {Step.NEWEST, Step.NOTIFICATION, Step.EVENT}
    if record.running:
        # Whether it ever had an instance, nobody knows any more.
        record = messages.closed(record, True, settings, now)
        close = (CloseRun(record),)
    actions: dict[Step, tuple[Action, ...]] = {
        # The capacity belongs to the run that has begun since, if there is one.
        Step.CAPACITY: () if world.lock else _scale_in(world),
        Step.WORKERS: (),  # each check ends them
        Step.NEWEST: _note_snapshot(record, now),
        Step.NOTIFICATION: telling.report(record, settings),
        Step.EVENT: (telling.ended(record, settings),),
        Step.STATUS: close,
    }
    return tuple(Retry(run, step, actions[step]) for step in Step if step in steps)


def _terminating(event: Terminating, world: World, now: datetime) -> Decision:
    lock, active = world.lock, world.active
    if not lock or not active or not active.running or active.instance != event.instance:
        reason = f"instance {event.instance} terminates and works on no active run"
        return Decision((CompleteHook(event),), reason)
    if _replaces(world, lock, now):
        # Stopping gracefully would end the run, on which the next instance can go on.
        reason = f"run {lock.run} goes on: the group replaces {event.instance}"
        return Decision((CompleteHook(event),), reason)
    reason = f"instance {event.instance} terminates while run {lock.run} is running"
    return Decision((StopInstance(event),), reason)


def _replaces(world: World, lock: Lock, now: datetime) -> bool:
    """Whether the group has, or launches, another instance for one that ends."""
    return bool(world.group.desired) and now < _stop_time(lock)


def _terminated(event: Terminated, world: World, settings: Settings, now: datetime) -> Decision:
    lock = world.lock
    if not lock:
        # What it asked for before it went.
        reason = f"instance {event.instance} is gone and no run is active"
        return Decision(_end_workers(world), reason)
    if world.active and world.active.running:
        if world.group.instances - {event.instance}:
            return Decision((), f"run {lock.run} goes on: the group has another instance")
        if _replaces(world, lock, now):
            return Decision((), f"run {lock.run} goes on: the group replaces {event.instance}")
    return _finalise("its instance is gone:", lock, world, settings, now, instance_seen=True)


def _finalise(
    why: str,
    lock: Lock,
    world: World,
    settings: Settings,
    now: datetime,
    instance_seen: bool = False,
) -> Decision:
    """End the run that holds the lock. The lock goes last: while it is there, any later event
    can finish what was left undone. A service that refuses does not keep it: what it did not do is
    noted, for the checks."""

    def attempt(step: Step, actions: tuple[Action, ...]) -> tuple[Attempt, ...]:
        return tuple(Attempt(lock.run, step, action) for action in actions)

    record = world.active or messages.record_lost(lock.run, settings)
    close: tuple[Action, ...] = ()
    if record.running:
        seen = instance_seen or record.booted or bool(world.group.instances)
        record = messages.closed(record, seen, settings, now)
        close = (CloseRun(record),)
    actions: tuple[Action, ...] = (
        *attempt(Step.CAPACITY, _scale_in(world)),
        *attempt(Step.WORKERS, _end_workers(world)),
        *attempt(Step.STATUS, close),
        *attempt(Step.NEWEST, _note_snapshot(record, now)),
        *_call(Hook.AFTER, record, telling.ended(record, settings), settings),
        *attempt(Step.NOTIFICATION, telling.report(record, settings)),
        *attempt(Step.EVENT, (telling.ended(record, settings),)),
        RemoveSchedule(lock.run),
        ReleaseLock(lock.run),
    )
    reason = f"{why} run {lock.run} is finalised as {record.status}"
    return Decision(actions, reason, telling.observe_end(record, settings) if world.active else ())


def _note_snapshot(record: Record, now: datetime) -> tuple[NoteSnapshot, ...]:
    if record.status != SUCCESS:
        return ()
    made = record.time("BackupStopTime") or now
    return (NoteSnapshot(NewestSnapshot(record.backup_id, min(made, now))),)


def _scale_in(world: World) -> tuple[ScaleIn, ...]:
    """The group must not replace the instance of a run that ends. Silent when the instance
    has done it: a needless call could hit the instance of a start that came in between."""
    return (ScaleIn(world.lock.run if world.lock else ""),) if world.group.desired else ()


def _end_workers(world: World) -> tuple[EndWorkers, ...]:
    return (EndWorkers(),) if world.group.workers else ()


def _end_instances(world: World) -> tuple[EndInstance, ...]:
    """An instance of an earlier run is ended by name. When the capacity goes to 0 and at once back
    to 1, the group may notice neither: it would keep that instance, and launch none for the run."""
    return tuple(map(EndInstance, sorted(world.group.instances - world.group.ending)))


def _launch(lock: Lock, record: Record, settings: Settings) -> tuple[Action, ...]:
    """The stop is scheduled first: no instance may run without one."""
    before = _call(Hook.BEFORE, record, telling.started(record, settings), settings)
    return (Schedule(lock.run, "stop", _stop_time(lock)), *before, ScaleOut())


def _call(
    hook: Hook, record: Record, told: Announce, settings: Settings
) -> tuple[CallFunction, ...]:
    """Unless the record says what came of it. What nobody knows is called again."""
    if hook not in settings.functions or hook in record.attributes:
        return ()
    return (CallFunction(hook, record.backup_id, told.detail),)


def _stop_time(lock: Lock) -> datetime:
    return lock.until - STOP_BEFORE_END
