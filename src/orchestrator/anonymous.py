"""The anonymous metric of a run: how it went, nothing about whose it is."""

from datetime import datetime
from typing import Any

from common.limits import fitted
from common.metrics import metric_time
from common.phases import TIMES

from orchestrator.record import Record
from orchestrator.settings import Settings

SOLUTION = "SO0031"
# Attributes of the record. Everything else (file systems, directories, messages, file names, the
# instance, where the logs are) stays in the account.
SENT = (
    "BackupStatus",
    "BackupStartTime",
    "BackupStopTime",
    "BackupWindow",
    "SourceEfsSize",
    "DestinationEfsSize",
    "InstanceType",
    "RetainPeriod",
    "S3BucketSize",
    "SourceBurstCreditBalance",
    "SourceBurstCreditBalancePostBackup",
    "SourcePerformanceMode",
    "DestinationPerformanceMode",
    "NumberOfFiles",
    "NumberOfFilesTransferred",
    "TotalFileSize",
    "TotalTransferredFileSize",
    "NumberOfWorkers",
    *TIMES,
)


def payload(record: Record, settings: Settings, now: datetime) -> dict[str, Any]:
    """What is sent about a run that has ended.

    The backup id is interval and number, as the guide has it: the record's own is the id of a
    request, by which AWS could find the account.
    """
    return {
        "Solution": SOLUTION,
        "UUID": settings.uuid,
        "TimeStamp": metric_time(now),
        "Data": {
            "BackupId": f"{settings.interval}.0",
            "Region": settings.region,
            "Version": settings.version,
            **{n: fitted(record.attributes[n]) for n in SENT if n in record.attributes},
        },
    }
