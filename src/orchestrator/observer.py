"""What is measured and published about runs. No backup depends on any of it."""

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, assert_never

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from common.dynamodb import tagged
from common.metrics import send_metric
from common.table import KEY, key_of

from orchestrator import anonymous
from orchestrator.actions import (
    Announce,
    Measure,
    Observation,
    PublishMetrics,
    SendAnonymousMetric,
)
from orchestrator.bus import EventBus
from orchestrator.record import Record, Value
from orchestrator.settings import Settings

NAMESPACE = "EFSBackup"
# All calls of one event, each failing as late as it can, stay below the function's five minutes.
BRIEFLY = Config(
    retries={"mode": "standard", "total_max_attempts": 2}, connect_timeout=3, read_timeout=5
)
MINUTE, DAY = 60, 86400

logger = logging.getLogger(__name__)


class NotMeasured(Exception):
    """There is no such figure at the moment."""


class Observer:
    """Measures what belongs to one deployment and tells others.

    client: makes the boto3 client for a service name, e.g. partial(boto3.client, config=BRIEFLY).
    """

    def __init__(self, settings: Settings, client: Callable[[str], Any]) -> None:
        self._settings = settings
        self._cloudwatch = client("cloudwatch")
        self._dynamodb = client("dynamodb")
        self._efs = client("efs")
        self._bus = EventBus(client)

    def observe(self, observation: Observation) -> None:
        """Raises whatever goes wrong, for the caller to log; nothing else comes of it."""
        match observation:
            case Announce():
                self._bus.put(observation)
            case Measure(run, "start"):
                self._add(run, self._at_start())
            case Measure(run, _):
                self._add(run, self._at_end())
            case PublishMetrics():
                self._publish(observation)
            case SendAnonymousMetric(run):
                self._send(run)
            case _:
                assert_never(observation)

    def _at_start(self) -> dict[str, Value]:
        source, destination = self._settings.source_efs, self._settings.destination_efs
        return {
            **self._try(lambda: self._describe(source, "Source")),
            # Its performance mode is a setting.
            **self._try(lambda: self._size(self._file_system(destination), "Destination")),
            **self._try(self._bucket_size),
            **self._try(lambda: self._latest("BurstCreditBalance")),
            **self._try(lambda: self._latest("PermittedThroughput")),
        }

    def _at_end(self) -> dict[str, Value]:
        return self._try(lambda: self._latest("BurstCreditBalance", "PostBackup"))

    @staticmethod
    def _try(measurement: Callable[[], dict[str, Value]]) -> dict[str, Value]:
        """A figure that cannot be had is left out; the others are taken all the same."""
        try:
            return measurement()
        except (BotoCoreError, ClientError, NotMeasured) as error:
            logger.warning("not measured: %s", error)
            return {}

    def _describe(self, file_system: str, role: str) -> dict[str, Value]:
        found = self._file_system(file_system)
        return {**self._size(found, role), f"{role}PerformanceMode": found["PerformanceMode"]}

    def _file_system(self, file_system: str) -> Mapping[str, Any]:
        answer = self._efs.describe_file_systems(FileSystemId=file_system)
        found: Mapping[str, Any] = answer["FileSystems"][0]
        return found

    @staticmethod
    def _size(found: Mapping[str, Any], role: str) -> dict[str, Value]:
        return {f"{role}EfsSize": found["SizeInBytes"]["Value"]}

    def _bucket_size(self) -> dict[str, Value]:
        dimensions = {"BucketName": self._settings.log_bucket, "StorageType": "StandardStorage"}
        # S3 counts once a day, for the day before.
        size = self._newest("AWS/S3", "BucketSizeBytes", dimensions, DAY, timedelta(days=3))
        return {"S3BucketSize": size}

    def _latest(self, metric: str, suffix: str = "") -> dict[str, Value]:
        dimensions = {"FileSystemId": self._settings.source_efs}
        value = self._newest("AWS/EFS", metric, dimensions, MINUTE, timedelta(minutes=15))
        return {f"Source{metric}{suffix}": value}

    def _newest(
        self,
        namespace: str,
        metric: str,
        dimensions: Mapping[str, str],
        period: int,
        back: timedelta,
    ) -> int:
        now = datetime.now(UTC)
        answer = self._cloudwatch.get_metric_statistics(
            Namespace=namespace,
            MetricName=metric,
            Dimensions=_dimensions(dimensions),
            StartTime=now - back,
            EndTime=now,
            Period=period,
            Statistics=["Average"],
        )
        if not answer["Datapoints"]:
            raise NotMeasured(f"{namespace} has no {metric} of the last {back}")
        newest = max(answer["Datapoints"], key=lambda point: point["Timestamp"])
        return round(float(newest["Average"]))

    def _add(self, run: str, found: Mapping[str, Value]) -> None:
        """To a record that exists: one that was removed must not come back without its status."""
        if not found:
            return
        self._dynamodb.update_item(
            TableName=self._settings.table,
            Key=key_of(run),
            UpdateExpression="SET " + ", ".join(f"{name} = :{name}" for name in found),
            ConditionExpression=f"attribute_exists({KEY})",
            ExpressionAttributeValues={f":{name}": tagged(found[name]) for name in found},
        )

    def _publish(self, metrics: PublishMetrics) -> None:
        self._cloudwatch.put_metric_data(
            Namespace=NAMESPACE,
            MetricData=[
                {
                    "MetricName": datum.name,
                    "Dimensions": _dimensions({"StackName": self._settings.stack}),
                    "Timestamp": metrics.at,
                    "Unit": datum.unit,
                    "Value": datum.value,
                }
                for datum in metrics.data
            ],
        )

    def _send(self, run: str) -> None:
        answer = self._dynamodb.get_item(
            TableName=self._settings.table, Key=key_of(run), ConsistentRead=True
        )
        if item := answer.get("Item"):
            metric = anonymous.payload(Record.from_item(item), self._settings, datetime.now(UTC))
            send_metric(self._settings.metrics_url, metric)
            logger.info("sent the anonymous metric %s", metric)


def _dimensions(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in values.items()]
