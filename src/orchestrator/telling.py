"""What is told of a run, and to whom: notifications, metrics, and events.

docs/events.md describes the events, docs/events.schema.json says what is in them. The functions
that users have called before and after a run get the same.
"""

from collections.abc import Mapping

from common.statuses import REFUSED, SUCCESS

from orchestrator import messages
from orchestrator.actions import (
    Announce,
    Datum,
    Measure,
    Notify,
    Observation,
    PublishMetrics,
    SendAnonymousMetric,
    Unit,
)
from orchestrator.events import Alarm
from orchestrator.record import UNDONE, Hook, Lock, Record, Value
from orchestrator.settings import Settings

STARTED = "EFS Backup Started"
ENDED = "EFS Backup Ended"
NOT_STARTED = "EFS Backup Refused"
ALARM = "EFS Backup Alarm"


def started(record: Record, settings: Settings) -> Announce:
    return _announce(STARTED, f"{record.backup_id}/started", record.attributes, settings)


def ended(record: Record, settings: Settings) -> Announce:
    """Told again with another status, as of a run that reported late, it has another Id."""
    said = messages.account_of(record, settings)
    return _announce(ENDED, f"{record.backup_id}/ended/{record.status}", said, settings)


def refused(run: str, lock: Lock, running: Record, settings: Settings) -> Announce:
    said = messages.refusal(run, lock, running, settings)
    return _announce(NOT_STARTED, f"{run}/{REFUSED.lower()}", said, settings)


def alarm(event: Alarm, settings: Settings) -> Announce:
    said: dict[str, Value] = {
        "AlarmName": event.name,
        "State": event.state,
        "PreviousState": event.before,
        "Reason": event.reason,
        "Time": event.time,
    }
    return _announce(ALARM, f"{event.name}/{event.time}/{event.state}", said, settings)


def _announce(
    kind: str, identifier: str, said: Mapping[str, Value], settings: Settings
) -> Announce:
    about: dict[str, Value] = {
        "SourceEfsId": settings.source_efs,
        "DestinationEfsId": settings.destination_efs,
        "IntervalTag": settings.interval,
        **{name: value for name, value in said.items() if name not in (UNDONE, "ExpireItem")},
    }
    first = {"Id": identifier, "StackName": settings.stack}
    return Announce(kind, {**first, **messages.in_order(about)})


def report(record: Record, settings: Settings) -> tuple[Notify, ...]:
    special = messages.mass_change(record, settings) + messages.not_restorable(record, settings)
    is_well = record.status == SUCCESS and not record.failed(Hook.AFTER)
    if is_well and not settings.notify_success:
        return special
    return (*special, messages.run_ended(record, settings))


def observe_start(record: Record, settings: Settings) -> tuple[Observation, ...]:
    return (started(record, settings), Measure(record.backup_id, "start"))


def observe_end(record: Record, settings: Settings) -> tuple[Observation, ...]:
    """The measurement comes first: it is a part of what is sent."""
    send = (SendAnonymousMetric(record.backup_id),) if settings.send_anonymous_data else ()
    return (Measure(record.backup_id, "end"), *_run_metrics(record), *send)


METRICS: Mapping[str, tuple[str, Unit]] = {
    "NumberOfFilesTransferred": ("FilesTransferred", "Count"),
    "NumberOfFilesFailed": ("FilesFailed", "Count"),
    "RestoreTestAge": ("RestoreTestAge", "Seconds"),
    "TotalTransferredFileSize": ("BytesTransferred", "Bytes"),
}
"""Of the attributes of a record."""


def _run_metrics(record: Record) -> tuple[PublishMetrics, ...]:
    begun, ended = record.time("BackupStartTime"), record.time("BackupStopTime")
    if not begun or not ended:
        return ()
    data = [Datum("BackupDuration", "Seconds", (ended - begun).total_seconds())]
    for attribute, (metric, unit) in METRICS.items():
        if (number := record.number(attribute)) is not None:
            data.append(Datum(metric, unit, number))
    return (PublishMetrics(tuple(data), ended),)
