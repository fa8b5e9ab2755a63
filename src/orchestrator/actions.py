"""What a decision can ask for.

Every action may be applied twice with the effect of once; only a notification and an announcement
are then sent twice, and a function of the user's is called twice.
Observations come after all actions. They tell about runs and do nothing to them: one that fails is
left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from orchestrator.events import Terminating
from orchestrator.record import Hook, Lock, NewestSnapshot, Record, Step, Value


class WorldChanged(Exception):
    """Someone else wrote first: load the world again and decide again."""


@dataclass(frozen=True)
class BeginRun:
    """Write the record and take the lock, both or neither."""

    record: Record
    lock: Lock


@dataclass(frozen=True)
class Schedule:
    """Have the orchestrator called once, with this action for this run."""

    run: str
    action: Literal["stop", "close"]
    at: datetime


@dataclass(frozen=True)
class ScaleOut:
    """Let the Auto Scaling group have an instance."""


@dataclass(frozen=True)
class ScaleIn:
    """Let the Auto Scaling group have no instance, provided that this run, or if it is empty none,
    holds the lock: the capacity of a run that has begun meanwhile is that run's."""

    run: str


@dataclass(frozen=True)
class EndWorkers:
    """Let the workers' group have no instance. A run that has begun meanwhile loses nothing, and
    asks for others."""


@dataclass(frozen=True)
class AwaitScaleIn:
    """Wait until the group's capacity is 0, for a while, and then have it all decided again."""


@dataclass(frozen=True)
class EndInstance:
    """Have the group end this instance, whatever its capacity."""

    instance: str


@dataclass(frozen=True)
class StopInstance:
    """Ask the instance to stop its backup, to report, and then to complete the hook itself."""

    terminating: Terminating


@dataclass(frozen=True)
class CompleteHook:
    """Let Auto Scaling go on with the termination."""

    terminating: Terminating


@dataclass(frozen=True)
class CloseRun:
    """Write the record's end, provided that the stored record is still Running."""

    record: Record


@dataclass(frozen=True)
class Notify:
    subject: str
    body: str


@dataclass(frozen=True)
class Announce:
    """Put an event on the event bus of the account. Whoever gets it twice knows it by its Id."""

    kind: str
    detail: Mapping[str, Value]


@dataclass(frozen=True)
class CallFunction:
    """Call the user's function for this moment of a run, and note in the record what came of it. If
    it failed, have it all decided again."""

    hook: Hook
    run: str
    detail: Mapping[str, Value]


@dataclass(frozen=True)
class NoteSnapshot:
    """Write when the newest snapshot was made, unless a newer one is noted already."""

    snapshot: NewestSnapshot


@dataclass(frozen=True)
class AskToHold:
    """Note for the next backup that it holds this snapshot. Each request has a key of its own."""

    key: str
    snapshot: str
    name: str


@dataclass(frozen=True)
class RemoveSchedule:
    """Remove what Schedule made for this run."""

    run: str


@dataclass(frozen=True)
class ReleaseLock:
    """Give up the lock, provided that this run holds it."""

    run: str


@dataclass(frozen=True)
class Attempt:
    """Apply an action of a run's end. If a service refuses, note the step as undone instead; if it
    is of no run (''), each check decides it anew, and nothing is noted."""

    run: str
    step: Step
    action: "Action"


@dataclass(frozen=True)
class Retry:
    """Apply what was noted as undone, and remove the note. If a service refuses, it stays."""

    run: str
    step: Step
    actions: tuple["Action", ...]


Action = (
    AskToHold
    | AwaitScaleIn
    | BeginRun
    | Schedule
    | ScaleOut
    | ScaleIn
    | EndInstance
    | EndWorkers
    | StopInstance
    | CompleteHook
    | CloseRun
    | Notify
    | Announce
    | CallFunction
    | NoteSnapshot
    | RemoveSchedule
    | ReleaseLock
    | Attempt
    | Retry
)


@dataclass(frozen=True)
class Measure:
    """Add what AWS says about the file systems and the log bucket to the run's record."""

    run: str
    moment: Literal["start", "end"]


Unit = Literal["Seconds", "Count", "Bytes"]


@dataclass(frozen=True)
class Datum:
    name: str
    unit: Unit
    value: float


@dataclass(frozen=True)
class PublishMetrics:
    """Put custom metrics of this deployment into CloudWatch, as of a moment."""

    data: tuple[Datum, ...]
    at: datetime


@dataclass(frozen=True)
class SendAnonymousMetric:
    """Send how the run went to where all deployments do, naming nobody."""

    run: str


Observation = Announce | Measure | PublishMetrics | SendAnonymousMetric
