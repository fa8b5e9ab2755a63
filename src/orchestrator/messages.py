"""The texts that people read: for each outcome what happened and what to do; the notification."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from common import statuses
from common.consoles import Console
from common.limits import SNS_SUBJECT_LENGTH, document
from common.statuses import (
    FPSYNC_FAILED,
    MOUNT,
    PARTIAL,
    REFUSED,
    RUNNING,
    SAID,
    UNKNOWN,
    UNSUCCESSFUL,
    UNTOUCHED,
)
from common.times import timestamp

from orchestrator.actions import Notify
from orchestrator.record import UNDONE, Hook, Lock, Record, Value
from orchestrator.settings import Settings

KEEP_RECORD = timedelta(days=90)
NOT_REPORTED = (
    "The SSM script could not update the DynamoDB table with backup status, "
    "please check the logs in the S3 bucket for the details."
)
# For records in which the instance did not say it: it knows more.
OUTCOME = {
    **SAID,
    PARTIAL: "The EFS was backed up, but some files could not be copied",
    UNSUCCESSFUL: f"{SAID[UNSUCCESSFUL]} {MOUNT}",
    UNKNOWN: NOT_REPORTED,
}
WHAT_TO_DO = {
    **statuses.WHAT_TO_DO,
    UNSUCCESSFUL: "See the logs, put right what they name, and start a backup or wait for the next "
    f"one. {UNTOUCHED}",
    FPSYNC_FAILED: "See rsync.log in the log bucket under efs-backup-log, then start a backup or "
    f"wait for the next one. {UNTOUCHED}",
}
LOOK_FURTHER = (
    "See the logs. If this run left none, its instance ended early or could not reach S3 and "
    "DynamoDB: check its subnets' route to them. The snapshots that exist were not touched, and "
    "the next backup continues."
)

MASS_CHANGE = "Mass change"
NOT_RESTORABLE = "Not restorable"

# The order in which a person asks: what happened, what now, to what, when, how much, what else.
ORDER = (
    "BackupStatus",
    "Message",
    "WhatToDo",
    "BeforeBackup",
    "AfterBackup",
    "Logs",
    "BackupId",
    "SourceEfsId",
    "BackupPrefix",
    "DestinationEfsId",
    "FolderLabel",
    "IntervalTag",
    "RetainPeriod",
    "MassChange",
    "NotRestorable",
    "Requests",
    "Retention",
    "BackupStartTime",
    "BackupStopTime",
    "BackupWindow",
    "NumberOfFiles",
    "NumberOfFilesTransferred",
    "TotalFileSize",
    "TotalTransferredFileSize",
    "NumberOfFilesFailed",
    "NumberOfDirectoriesFailed",
    "NumberOfFilesCarriedForward",
    "NumberOfFilesExcluded",
    "ExcludedFileSize",
    "NumberOfWorkers",
    "Workers",
    "Errors",
    "Warnings",
    "Progress",
    "InstanceType",
    "InstanceId",
    "EC2Logs",
    "LogBucket",
)


def begun(lock: Lock, settings: Settings, now: datetime) -> Record:
    """The record of a run that begins."""
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
            "DestinationPerformanceMode": settings.efs_mode,
            "InstanceType": settings.instance_type,
            "BackupStartTime": timestamp(now),
            "ExpireItem": int((now + KEEP_RECORD).timestamp()),
        }
    )


def closed(record: Record, instance_seen: bool, settings: Settings, now: datetime) -> Record:
    """The record of a run that nobody reported."""
    if why := record.failed(Hook.BEFORE):
        return record.closed(
            REFUSED,
            f"The EFS backup was not started: the function to call before it {why}.",
            f"See the logs of the function {settings.functions.get(Hook.BEFORE, '')}, and start a "
            f"backup or wait for the next one. {UNTOUCHED}",
            now,
        )
    if instance_seen:
        return record.closed(UNKNOWN, record.message or NOT_REPORTED, LOOK_FURTHER, now)
    return record.closed(
        UNSUCCESSFUL,
        "The EFS backup was unsuccessful. No EC2 instance ran within the backup window.",
        f"See the activity history of the Auto Scaling group {settings.group}, which says why. "
        "Check instance type (available in the subnets?), service quotas, launch template, "
        "instance profile, and, where new disks are encrypted with a key of yours, whether Auto "
        "Scaling may use that key (make preflight tells). The next backup starts as scheduled.",
        now,
    )


def record_lost(run: str, settings: Settings) -> Record:
    """Stands in for a record that someone removed from the table while its run was active."""
    text = f"Could not find the backup id {run} in the DynamoDB table {settings.table}."
    return Record(
        {"BackupId": run, "BackupStatus": UNKNOWN, "Message": text, "WhatToDo": LOOK_FURTHER}
    )


def run_ended(record: Record, settings: Settings) -> Notify:
    return _notify(account_of(record, settings), settings)


def account_of(record: Record, settings: Settings) -> dict[str, Value]:
    """How a run ended: in the record's own words, or else with those for its status."""
    todo = str(record.attributes.get("WhatToDo") or WHAT_TO_DO.get(record.status, LOOK_FURTHER))
    if record.failed(Hook.AFTER):
        todo += (
            f" Then see the logs of the function {settings.functions.get(Hook.AFTER, '')}, which "
            "was to be called after the backup, and do what it did not do."
        )
    return {
        **record.attributes,
        "WhatToDo": todo,
        "Message": record.message or OUTCOME.get(record.status, NOT_REPORTED),
        "Logs": _where_it_says_why(record, settings),
        "LogBucket": settings.log_bucket,
    }


def mass_change(record: Record, settings: Settings) -> tuple[Notify, ...]:
    """A notification of its own for a run before which most files were changed or removed."""
    return _special(
        record,
        settings,
        "MassChange",
        MASS_CHANGE,
        "Was this meant? changes.txt.gz in the log bucket under efs-backup-log lists "
        "all that changed. If it was not, restore the snapshot that is held, by its name: make "
        f"restore STACK={settings.stack} SNAPSHOT=NAME DRYRUN=yes shows what that would change. If "
        f"it was, let it expire: make release STACK={settings.stack} NAME=NAME",
    )


def not_restorable(record: Record, settings: Settings) -> tuple[Notify, ...]:
    """Likewise for a test in which not all files of the snapshots could be restored."""
    return _special(
        record,
        settings,
        "NotRestorable",
        NOT_RESTORABLE,
        "The backup was made; older snapshots have files that cannot be restored as they were "
        "backed up. See which snapshots have other versions of them: make find "
        f"STACK={settings.stack} FILE=/PATH. If the source has one as it was, touch it there, and "
        "the next backup copies it anew. If there are many, check whole "
        "snapshots, as docs/verification.md says.",
    )


def _special(
    record: Record, settings: Settings, attribute: str, status: str, what_to_do: str
) -> tuple[Notify, ...]:
    """What the attribute says, first as a whole, then by examples."""
    found = record.attributes.get(attribute)
    if not isinstance(found, list) or not found:
        return ()
    attributes: dict[str, Value] = {
        "BackupStatus": status,
        "Message": found[0],
        "WhatToDo": what_to_do,
        "Logs": _where_it_says_why(record, settings),
        "BackupId": record.backup_id,
        "SourceEfsId": settings.source_efs,
        "DestinationEfsId": settings.destination_efs,
        "IntervalTag": settings.interval,
    }
    examples: dict[str, Value] = {"Examples": list(found[1:])} if found[1:] else {}
    return (_notify({**attributes, **examples}, settings),)


def start_refused(backup_id: str, lock: Lock, running: Record, settings: Settings) -> Notify:
    return _notify(refusal(backup_id, lock, running, settings), settings)


def refusal(backup_id: str, lock: Lock, running: Record, settings: Settings) -> dict[str, Value]:
    """Why a run was not started: another one is inside its window."""
    text = (
        f"The EFS backup was not started: backup {lock.run} has been running since "
        f"{running.started} and may run until {timestamp(lock.until)}. Nothing was changed."
    )
    return {
        "BackupStatus": REFUSED,
        "Message": text,
        "WhatToDo": "Nothing. If this happens often, use a shorter backup window or a longer "
        "interval.",
        "Logs": _where_it_says_why(running, settings),
        "BackupId": backup_id,
        "RunningBackupId": lock.run,
        "SourceEfsId": settings.source_efs,
        "DestinationEfsId": settings.destination_efs,
        "IntervalTag": settings.interval,
    }


def _where_it_says_why(record: Record, settings: Settings) -> str:
    """A link to the console: to the logs of the run's instance, or to why there was none."""
    console, bucket = Console(settings.partition, settings.region), f"s3://{settings.log_bucket}/"
    if record.status == UNSUCCESSFUL and not record.booted:
        return console.activity(settings.group)
    place = str(record.attributes.get("EC2Logs", ""))
    return console.objects(place if place.startswith(bucket) else bucket)


def _notify(attributes: Mapping[str, Value], settings: Settings) -> Notify:
    named = {**attributes, "LogBucket": settings.log_bucket}
    named.pop(UNDONE, None)  # sending it is a part of that
    named.pop("Snapshots", None)  # for programs
    ordered = in_order(named)
    title = f"EFS backup {named['BackupStatus']}: {settings.source_efs} ({settings.interval})"
    return Notify(_subject(title), document(ordered))


def in_order(named: Mapping[str, Value]) -> dict[str, Value]:
    return {name: named[name] for name in sorted(named, key=_position)}


def _position(name: str) -> tuple[int, str]:
    return (ORDER.index(name) if name in ORDER else len(ORDER), name)


def _subject(text: str) -> str:
    """SNS takes one line of printable ASCII."""
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text)[:SNS_SUBJECT_LENGTH]
