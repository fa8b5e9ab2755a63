"""A function may die between any two actions, any event may come twice, late or never, and any
service may refuse for good."""

import contextlib
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import assert_never

import pytest
from common.times import timestamp
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

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
    NoteSnapshot,
    Notify,
    ReleaseLock,
    RemoveSchedule,
    Retry,
    ScaleIn,
    ScaleOut,
    Schedule,
    StopInstance,
)
from orchestrator.core import Group, World, decide
from orchestrator.events import Check, Close, Event, Start, Stop, Terminated
from orchestrator.record import DONE, Hook, Lock, NewestSnapshot, Record, Step
from orchestrator.settings import Settings
from tests.orchestrator.test_core import CASES, HOOKED, SETTINGS, at, body, inner, settings_of

DELIVERIES = 3
AUTO_SCALING = frozenset({ScaleOut, ScaleIn, EndInstance, EndWorkers, StopInstance, CompleteHook})


class Refused(Exception):
    """A service did not do what it was asked."""


@dataclass
class Account:
    """An account in memory, with the conditions that the real one checks."""

    lock: Lock | None = None
    records: dict[str, Record] = field(default_factory=dict)
    desired: int = 0
    workers: int = 0
    instances: set[str] = field(default_factory=set)
    ending: set[str] = field(default_factory=set)
    entries: dict[str, Schedule] = field(default_factory=dict)
    notified: set[tuple[str, str]] = field(default_factory=set)
    told: set[str] = field(default_factory=set)
    """Ids of events: who gets one twice knows it."""
    called: set[tuple[Hook, str]] = field(default_factory=set)
    hooks: set[str] = field(default_factory=set)
    newest: NewestSnapshot | None = None
    unfinished: dict[str, frozenset[Step]] = field(default_factory=dict)
    refused: frozenset[type] = frozenset()
    """What actions services refuse at present."""
    failing: frozenset[Hook] = frozenset()
    """The functions of the user's that fail at present."""
    settings: Settings = SETTINGS

    def deliver(self, event: Event, now: datetime, die_after: int | None = None) -> None:
        """As Lambda does it: again when it fails, and not for ever."""
        for _ in range(DELIVERIES):
            with contextlib.suppress(Refused):
                self.handle(event, now, die_after)
                return

    def handle(self, event: Event, now: datetime, die_after: int | None) -> None:
        group = Group(self.desired, frozenset(self.instances), frozenset(self.ending), self.workers)
        checks = isinstance(event, Check)
        world = World(
            self.lock,
            self.records,
            group,
            self.newest if checks else None,
            self.unfinished if checks else {},
        )
        for action in decide(event, world, self.settings, now).actions[:die_after]:
            self.apply(action)

    def attempt(self, run: str, step: Step, actions: tuple[Action, ...]) -> None:
        noted = self.unfinished.get(run, frozenset())
        try:
            for action in actions:
                self.apply(action)
        except Refused:
            noted |= {step} if run else set()
        else:
            noted -= {step}
        others = {key: steps for key, steps in self.unfinished.items() if key != run}
        self.unfinished = {**others, run: noted} if noted else others

    def apply(self, action: Action) -> None:
        if type(action) in self.refused:
            if isinstance(action, RemoveSchedule):
                return  # an entry that stays finds its run over
            if isinstance(action, CallFunction):  # the record cannot be written
                self.called.add((action.hook, action.run))
                if action.hook is Hook.AFTER:
                    return
            raise Refused
        match action:
            case Attempt(run, step, what):
                noted = step in self.unfinished.get(run, ())
                self.attempt(run, step, (what,))
                if noted:  # no attempt takes a note back
                    self.unfinished[run] = self.unfinished.get(run, frozenset()) | {step}
            case Retry(run, step, whats):
                self.attempt(run, step, whats)
            case BeginRun(record, lock):
                assert self.lock is None
                assert record.backup_id not in self.records
                self.lock = lock
                self.records = {**self.records, record.backup_id: record}
            case Schedule(run, name, _):
                self.entries[f"{run} {name}"] = action
            case ScaleOut():
                assert self.lock
                assert self.records[self.lock.run].running
                self.desired = 1
            case ScaleIn(run):
                assert run == (self.lock.run if self.lock else "")
                self.desired = 0
            case AwaitScaleIn():
                self.desired = 0  # by the instance
                raise Refused  # until it is decided again
            case EndWorkers():
                self.workers = 0
            case EndInstance(instance):
                assert self.lock is None, "before the run begins, or it could be that run's"
                self.ending.add(instance)
            case StopInstance(terminating) | CompleteHook(terminating):
                self.hooks.add(terminating.instance)
            case CloseRun(record):
                assert self.records[record.backup_id].running
                self.records = {**self.records, record.backup_id: record}
            case Notify():
                self.notified.add((body(action)["BackupId"], body(action)["BackupStatus"]))
            case Announce():
                self.told.add(str(action.detail["Id"]))
            case CallFunction():
                self.call(action)
            case NoteSnapshot(snapshot):
                if self.newest is None or self.newest.time < snapshot.time:
                    self.newest = snapshot
            case RemoveSchedule(run):
                self.entries = {k: e for k, e in self.entries.items() if e.run != run}
            case ReleaseLock(run):
                assert self.lock is None or self.lock.run == run
                self.lock = None
            case _:
                assert_never(action)

    def call(self, call: CallFunction) -> None:
        self.called.add((call.hook, call.run))
        said = "failed" if call.hook in self.failing else DONE
        if record := self.records.get(call.run):
            noted = Record({**record.attributes, call.hook: said})
            self.records = {**self.records, call.run: noted}
            if said != DONE:
                raise Refused  # until it is decided again


def account(given: World, name: str = "") -> Account:
    return Account(
        given.lock,
        dict(given.records),
        given.group.desired,
        given.group.workers,
        set(given.group.instances),
        set(given.group.ending),
        newest=given.newest,
        unfinished=dict(given.unfinished),
        settings=settings_of(name),
    )


@pytest.mark.parametrize("name", CASES)
def test_dying_after_any_action_and_being_delivered_again_ends_the_same(name: str) -> None:
    event, given, time, actions = CASES[name]
    undisturbed = account(given, name)
    undisturbed.deliver(event, at(time))
    for applied in range(len(actions) + 1):
        disturbed = account(given, name)
        disturbed.deliver(event, at(time), die_after=applied)
        disturbed.deliver(event, at(time))
        assert disturbed == undisturbed, f"died after {actions[:applied]}"


KINDS = {
    name: sorted(
        {type(a) for action in actions for a in inner(action)}, key=lambda kind: kind.__name__
    )
    for name, (event, given, time, _) in CASES.items()
    if (actions := decide(event, given, settings_of(name), at(time)).actions)
}
REFUSALS = [(name, kind) for name, kinds in KINDS.items() for kind in kinds]


@pytest.mark.parametrize(
    ("name", "kind"), REFUSALS, ids=[f"{name}: {kind.__name__}" for name, kind in REFUSALS]
)
def test_a_service_that_refuses_for_good_delays_the_end_of_a_run_and_nothing_else(
    name: str, kind: type
) -> None:
    event, given, time, actions = CASES[name]
    later = at(time) + timedelta(days=1)
    undisturbed = account(given, name)
    undisturbed.deliver(event, at(time))
    undisturbed.deliver(Check(), later)
    disturbed = account(given, name)
    disturbed.refused = AUTO_SCALING if kind in AUTO_SCALING else frozenset({kind})
    disturbed.deliver(event, at(time))
    if "release a" in actions and kind is not ReleaseLock:
        assert disturbed.lock is None or disturbed.lock.run != "a", "while the service refuses"
    disturbed.refused = frozenset()
    disturbed.deliver(event, at(time))
    for hours in range(3):
        disturbed.deliver(Check(), later + timedelta(hours=hours))
    assert disturbed.unfinished == {}
    assert (disturbed.lock, disturbed.desired) == (undisturbed.lock, undisturbed.desired)
    assert disturbed.workers == undisturbed.workers
    assert disturbed.newest == undisturbed.newest or kind is NoteSnapshot
    assert undisturbed.notified <= disturbed.notified
    assert undisturbed.told <= disturbed.told
    assert undisturbed.called <= disturbed.called
    for run in undisturbed.records:
        status = disturbed.records[run].status
        assert status != "Running"
        assert (run, status) in disturbed.notified or run not in dict(undisturbed.notified)


class Life(RuleBasedStateMachine):
    """Months of backups in an account where everything that can go wrong does."""

    def __init__(self) -> None:
        super().__init__()
        self.account = Account(settings=HOOKED)
        self.now = at("02:00")
        self.starts = 0
        self.past: list[Event] = []
        self.launched = 0
        self.launched_for: dict[str, str] = {}
        self.lost = False
        """Whether nobody was told of an instance's end, since the last check."""

    def deliver(self, event: Event, die_after: int | None) -> None:
        self.past.append(event)
        self.account.deliver(event, self.now, die_after)

    deaths = st.none() | st.integers(0, 8)

    @rule(minutes=st.sampled_from([0, 1, 20, 165, 180, 24 * 60]))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule(die_after=deaths)
    def start(self, die_after: int | None) -> None:
        self.starts += 1
        self.deliver(Start(f"run-{self.starts}"), die_after)

    @rule(die_after=deaths)
    def an_hour_has_passed(self, die_after: int | None) -> None:
        self.deliver(Check(), die_after)
        self.lost = self.lost and (die_after is not None or bool(self.account.refused))

    @precondition(lambda self: self.past)
    @rule(data=st.data(), die_after=deaths)
    def an_event_comes_again(self, data: st.DataObject, die_after: int | None) -> None:
        self.deliver(data.draw(st.sampled_from(self.past)), die_after)

    @precondition(lambda self: self.account.entries)
    @rule(data=st.data(), lost=st.booleans(), die_after=deaths)
    def an_entry_is_due(self, data: st.DataObject, lost: bool, die_after: int | None) -> None:
        name = data.draw(st.sampled_from(sorted(self.account.entries)))
        entry = self.account.entries.pop(name)
        self.now = max(self.now, entry.at)
        if not lost:
            kind = Stop if entry.action == "stop" else Close
            self.deliver(kind(entry.run), die_after)

    @precondition(
        lambda self: (
            self.account.lock
            and len(self.account.instances - self.account.ending) < self.account.desired
        )
    )
    @rule(registers=st.booleans())
    def an_instance_boots(self, registers: bool) -> None:
        self.launched += 1
        self.account.instances.add(f"i-{self.launched}")
        assert self.account.lock
        self.launched_for[f"i-{self.launched}"] = self.account.lock.run
        if registers:
            self.update(self.account.lock.run, InstanceId=f"i-{self.launched}")

    @precondition(lambda self: self.account.instances)
    @rule(workers=st.sampled_from([0, 1, 8]))
    def an_instance_asks_for_workers(self, workers: int) -> None:
        """Also one that hangs, and is of a run that is over."""
        self.account.workers = workers

    @precondition(lambda self: self.account.instances and self.account.lock)
    @rule(status=st.sampled_from(["Success", "Incomplete"]), scales_in=st.booleans())
    def the_instance_reports(self, status: str, scales_in: bool) -> None:
        lock = self.account.lock
        if lock and self.account.records[lock.run].running:
            self.update(lock.run, BackupStatus=status, BackupStopTime=timestamp(self.now))
            if scales_in:
                self.account.desired = 0

    @precondition(lambda self: self.account.instances)
    @rule(lost=st.booleans(), die_after=deaths)
    def the_instance_ends(self, lost: bool, die_after: int | None) -> None:
        instance = sorted(self.account.instances)[0]
        self.account.instances.remove(instance)
        self.account.ending.discard(instance)
        self.lost = self.lost or lost or die_after is not None or bool(self.account.refused)
        if not lost:
            self.deliver(Terminated(SETTINGS.group, instance), die_after)

    @rule(
        refused=st.sampled_from(
            [
                *([frozenset({kind})] for kind in (Notify, Announce, NoteSnapshot, CloseRun)),
                [frozenset({ReleaseLock})],
                [frozenset({BeginRun})],
                [frozenset({Schedule})],
                [AUTO_SCALING],
            ]
        )
    )
    def a_service_begins_to_refuse(self, refused: list[frozenset[type]]) -> None:
        (self.account.refused,) = refused

    @rule(failing=st.sampled_from([[], [Hook.BEFORE], [Hook.AFTER], [*Hook]]))
    def functions_begin_to_fail(self, failing: list[Hook]) -> None:
        self.account.failing = frozenset(failing)

    @rule()
    def all_services_are_back(self) -> None:
        self.account.refused = frozenset()
        self.account.failing = frozenset()

    def undone(self, run: str) -> frozenset[Step]:
        return self.account.unfinished.get(run, frozenset())

    def update(self, run: str, **attributes: str) -> None:
        old = self.account.records[run]
        self.account.records = {
            **self.account.records,
            run: Record({**old.attributes, **attributes}),
        }

    @invariant()
    def only_the_active_run_is_running(self) -> None:
        running = {
            run
            for run, record in self.account.records.items()
            if record.running and Step.STATUS not in self.undone(run)
        }
        assert running <= ({self.account.lock.run} if self.account.lock else set())

    @invariant()
    def nothing_runs_without_a_run(self) -> None:
        undone = any(Step.CAPACITY in steps for steps in self.account.unfinished.values())
        assert self.account.lock or not self.account.desired or undone
        undone = any(Step.WORKERS in steps for steps in self.account.unfinished.values())
        lingering = self.account.instances or self.lost
        assert self.account.lock or not self.account.workers or undone or lingering
        assert self.account.lock or not self.account.entries

    @invariant()
    def a_run_has_an_instance_of_its_own_or_none(self) -> None:
        if lock := self.account.lock:
            working = self.account.instances - self.account.ending
            assert {self.launched_for[instance] for instance in working} <= {lock.run}

    @invariant()
    def every_run_that_is_over_was_notified_with_its_status(self) -> None:
        active = self.account.lock.run if self.account.lock else None
        for run, record in self.account.records.items():
            waits = self.undone(run) & {Step.NOTIFICATION, Step.STATUS}
            said = (run, record.status) in self.account.notified
            assert run == active or waits or said

    @invariant()
    def every_run_that_is_over_was_told_and_its_functions_were_called(self) -> None:
        active = self.account.lock.run if self.account.lock else None
        for run, record in self.account.records.items():
            if run != active:
                waits = self.undone(run) & {Step.EVENT, Step.STATUS}
                assert waits or f"{run}/ended/{record.status}" in self.account.told
                assert (Hook.AFTER, run) in self.account.called

    @invariant()
    def an_instance_has_begun_only_after_the_function_before_it(self) -> None:
        for run in self.launched_for.values():
            assert (Hook.BEFORE, run) in self.account.called
            assert self.account.records[run].attributes[Hook.BEFORE] == DONE

    @invariant()
    def the_newest_snapshot_of_the_runs_that_are_over_is_noted(self) -> None:
        active = self.account.lock.run if self.account.lock else None
        made = [
            record.time("BackupStopTime")
            for run, record in self.account.records.items()
            if record.status == "Success" and run != active
            if not self.undone(run) & {Step.NEWEST, Step.STATUS}
        ]
        for time in made:
            assert time
            assert self.account.newest
            assert time <= self.account.newest.time

    def teardown(self) -> None:
        """Neither a check after the window nor the next day's start leaves anything open; what
        services refused is done when they are back."""
        self.now += timedelta(days=1)
        self.all_services_are_back()
        while self.account.unfinished:
            before = sum(map(len, self.account.unfinished.values()))
            self.deliver(Check(), None)
            assert sum(map(len, self.account.unfinished.values())) < before
            self.now += timedelta(hours=1)
        checked = deepcopy(self.account)
        checked.deliver(Check(), self.now)
        assert checked.lock is None
        assert not checked.workers
        assert not any(record.running for record in checked.records.values())
        assert checked.newest
        assert not checked.unfinished
        self.account.deliver(Start("last"), self.now)
        assert self.account.lock == Lock("last", self.now + SETTINGS.window)
        self.only_the_active_run_is_running()
        self.every_run_that_is_over_was_notified_with_its_status()


TestLife = Life.TestCase
TestLife.settings = hypothesis_settings(
    max_examples=200, stateful_step_count=40, deadline=None, derandomize=True, database=None
)
