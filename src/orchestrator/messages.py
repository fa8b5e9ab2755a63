"""The texts that people read: the sentence for each outcome, and the notification."""

import json
from collections.abc import Mapping

from orchestrator.actions import Notify
from orchestrator.record import (
    FPSYNC_FAILED,
    INCOMPLETE,
    SUCCESS,
    UNKNOWN,
    UNSUCCESSFUL,
    Lock,
    Record,
    Value,
    timestamp,
)
from orchestrator.settings import Settings

NOT_REPORTED = (
    "The SSM script could not update the DynamoDB table with backup status, "
    "please check the logs in the S3 bucket for the details."
)
OUTCOME = {
    SUCCESS: "The EFS was backed up successfully",
    INCOMPLETE: "The EFS backup was incomplete. Either backup window expired before full backup "
    "or fpsync process was not completed.",
    UNSUCCESSFUL: "The EFS backup was unsuccessful. "
    "The EC2 instance was unable to find the mount IP OR mount EFS",
    FPSYNC_FAILED: "fpsync process in backup script failed or did not start",
    UNKNOWN: NOT_REPORTED,
}

REFUSED = "Refused"

# SNS takes fewer than 100 characters.
SUBJECT_LENGTH = 99

# The order in which a person asks: what happened, to what, when, how much, where is more.
ORDER = (
    "BackupStatus",
    "Message",
    "BackupId",
    "SourceEfsId",
    "BackupPrefix",
    "DestinationEfsId",
    "FolderLabel",
    "IntervalTag",
    "RetainPeriod",
    "BackupStartTime",
    "BackupStopTime",
    "BackupWindow",
    "NumberOfFiles",
    "NumberOfFilesTransferred",
    "TotalFileSize",
    "TotalTransferredFileSize",
    "Errors",
    "Warnings",
    "InstanceType",
    "InstanceId",
    "EC2Logs",
    "LogBucket",
)


def no_instance(settings: Settings) -> str:
    return (
        "The EFS backup was unsuccessful. No EC2 instance ran within the backup window. Please "
        f"check the activity history of the Auto Scaling group {settings.group}: instance type "
        "available in the subnets, service quotas, launch template, instance profile."
    )


def record_lost(run: str, settings: Settings) -> Record:
    """Stands in for a record that someone removed from the table while its run was active."""
    text = f"Could not find the backup id {run} in the DynamoDB table {settings.table}."
    return Record({"BackupId": run, "BackupStatus": UNKNOWN, "Message": text})


def run_ended(record: Record, settings: Settings) -> Notify:
    """Says how a run ended: in the record's own words, or else with the sentence for its status."""
    text = record.message or OUTCOME.get(record.status, NOT_REPORTED)
    return _notify({**record.attributes, "Message": text}, settings)


def start_refused(backup_id: str, lock: Lock, running: Record, settings: Settings) -> Notify:
    text = (
        f"The EFS backup was not started: backup {lock.run} has been running since "
        f"{running.started} and may run until {timestamp(lock.until)}. Nothing was changed. "
        "If this happens often, use a shorter backup window or a longer interval."
    )
    return _notify(
        {
            "BackupStatus": REFUSED,
            "Message": text,
            "BackupId": backup_id,
            "RunningBackupId": lock.run,
            "SourceEfsId": settings.source_efs,
            "DestinationEfsId": settings.destination_efs,
            "IntervalTag": settings.interval,
        },
        settings,
    )


def _notify(attributes: Mapping[str, Value], settings: Settings) -> Notify:
    named = {**attributes, "LogBucket": settings.log_bucket}
    ordered = {name: named[name] for name in sorted(named, key=_position)}
    title = f"EFS backup {named['BackupStatus']}: {settings.source_efs} ({settings.interval})"
    return Notify(_subject(title), json.dumps(ordered, indent=4, ensure_ascii=False))


def _position(name: str) -> tuple[int, str]:
    return (ORDER.index(name) if name in ORDER else len(ORDER), name)


def _subject(text: str) -> str:
    """SNS takes one line of printable ASCII."""
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text)[:SUBJECT_LENGTH]
