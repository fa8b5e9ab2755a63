"""What is measured, published and sent, against moto; and what is when a part of it fails."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from orchestrator import anonymous
from orchestrator.actions import Datum, Measure, PublishMetrics, SendAnonymousMetric
from orchestrator.observer import Observer
from orchestrator.record import Record, Value
from tests.metrics_endpoint import Endpoint
from tests.orchestrator.cloud import REGION, Cloud
from tests.orchestrator.test_core import SETTINGS

NOW = datetime(2026, 11, 20, 2, tzinfo=UTC)
START = {
    "SourceEfsSize": {"N": "0"},
    "SourcePerformanceMode": {"S": "maxIO"},
    "DestinationEfsSize": {"N": "0"},
    "S3BucketSize": {"N": "4096"},
    "SourceBurstCreditBalance": {"N": "2308974418330"},
    "SourcePermittedThroughput": {"N": "104857600"},
}


class Denied:
    """A client that may do nothing."""

    def __getattr__(self, call: str) -> Any:
        def refuse(**_: Any) -> None:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, call)

        return refuse


def clients(*denied: str) -> Callable[[str], Any]:
    make = partial(boto3.client, region_name=REGION)
    return lambda service: Denied() if service in denied else make(service)


@pytest.fixture
def observer(cloud: Cloud) -> Observer:
    cloud.instance_writes("run-a", BackupId={"S": "run-a"})
    return Observer(cloud.settings, clients())


def report(namespace: str, metric: str, ago: timedelta, value: float, **dimensions: str) -> None:
    """What AWS itself puts into CloudWatch."""
    boto3.client("cloudwatch", REGION).put_metric_data(
        Namespace=namespace,
        MetricData=[
            {
                "MetricName": metric,
                "Dimensions": [{"Name": n, "Value": v} for n, v in dimensions.items()],
                "Timestamp": datetime.now(UTC) - ago,
                "Value": value,
            }
        ],
    )


@pytest.fixture
def reported(cloud: Cloud) -> None:
    source, bucket = cloud.settings.source_efs, cloud.settings.log_bucket
    of_bucket = {"BucketName": bucket, "StorageType": "StandardStorage"}
    report("AWS/S3", "BucketSizeBytes", timedelta(days=2), 1024, **of_bucket)
    report("AWS/S3", "BucketSizeBytes", timedelta(days=1), 4096, **of_bucket)
    for ago, credits, permitted in ((9, 1, 1), (2, 2308974418330, 104857600), (5, 3, 3)):
        minutes = timedelta(minutes=ago)
        report("AWS/EFS", "BurstCreditBalance", minutes, credits, FileSystemId=source)
        report("AWS/EFS", "PermittedThroughput", minutes, permitted, FileSystemId=source)


class TestMeasure:
    def test_the_start(self, observer: Observer, cloud: Cloud, reported: None) -> None:
        observer.observe(Measure("run-a", "start"))
        assert cloud.item("run-a") == {"BackupId": {"S": "run-a"}, **START}

    def test_the_end(self, observer: Observer, cloud: Cloud, reported: None) -> None:
        observer.observe(Measure("run-a", "end"))
        assert cloud.item("run-a") == {
            "BackupId": {"S": "run-a"},
            "SourceBurstCreditBalancePostBackup": {"N": "2308974418330"},
        }

    @pytest.mark.parametrize(
        ("denied", "left"),
        [
            ("efs", ["S3BucketSize", "SourceBurstCreditBalance", "SourcePermittedThroughput"]),
            ("cloudwatch", ["SourceEfsSize", "SourcePerformanceMode", "DestinationEfsSize"]),
        ],
    )
    def test_what_can_be_measured_is(
        self,
        observer: Observer,
        cloud: Cloud,
        reported: None,
        caplog: pytest.LogCaptureFixture,
        denied: str,
        left: list[str],
    ) -> None:
        Observer(cloud.settings, clients(denied)).observe(Measure("run-a", "start"))
        expected = {name: START[name] for name in left}
        assert cloud.item("run-a") == {"BackupId": {"S": "run-a"}, **expected}
        assert "AccessDenied" in caplog.text

    def test_one_file_system_that_is_gone_does_not_hide_the_other(
        self, observer: Observer, cloud: Cloud, reported: None
    ) -> None:
        settings = replace(cloud.settings, source_efs="fs-00000000")
        Observer(settings, clients()).observe(Measure("run-a", "start"))
        assert sorted(cloud.item("run-a") or {}) == [
            "BackupId",
            "DestinationEfsSize",
            "S3BucketSize",
        ]

    @pytest.mark.parametrize("moment", ["start", "end"])
    def test_without_data_points_there_is_no_attribute(
        self, observer: Observer, cloud: Cloud, caplog: pytest.LogCaptureFixture, moment: Any
    ) -> None:
        """EFS reports no burst credits in elastic throughput mode; old ones say nothing."""
        source = cloud.settings.source_efs
        hour = timedelta(hours=1)
        report("AWS/EFS", "BurstCreditBalance", hour, 1, FileSystemId=source)
        observer.observe(Measure("run-a", moment))
        assert not any("Credit" in name or "S3" in name for name in cloud.item("run-a") or {})
        assert "AWS/EFS has no BurstCreditBalance" in caplog.text

    def test_a_record_that_was_removed_does_not_come_back(
        self, observer: Observer, cloud: Cloud, reported: None
    ) -> None:
        with pytest.raises(ClientError, match="ConditionalCheckFailed"):
            observer.observe(Measure("run-z", "end"))
        assert cloud.item("run-z") is None


def test_metrics_are_published_under_the_name_of_the_stack(observer: Observer) -> None:
    data = (Datum("SnapshotAge", "Seconds", 7200), Datum("BytesTransferred", "Bytes", 0))
    for _ in range(2):  # twice does no harm
        now = datetime.now(UTC)
        observer.observe(PublishMetrics(data, now))
    cloudwatch = boto3.client("cloudwatch", REGION)
    for name, unit, value in (("SnapshotAge", "Seconds", 7200), ("BytesTransferred", "Bytes", 0)):
        answer = cloudwatch.get_metric_statistics(
            Namespace="EFSBackup",
            MetricName=name,
            Dimensions=[{"Name": "StackName", "Value": "stack"}],
            StartTime=now - timedelta(minutes=2),
            EndTime=now + timedelta(minutes=2),
            Period=60,
            Statistics=["Maximum"],
        )
        (point,) = answer["Datapoints"]
        assert (point["Maximum"], point["Unit"]) == (value, unit)
        assert abs(point["Timestamp"] - now) <= timedelta(minutes=1)


# Appendix E of the implementation guide, and how many workers there were.
SENT: dict[str, Value] = {
    "BackupStatus": "Success",
    "BackupStartTime": "2026-03-01T02:00:00Z",
    "BackupStopTime": "2026-03-01T02:30:00Z",
    "BackupWindow": 180,
    "SourceEfsSize": 1,
    "DestinationEfsSize": 2,
    "InstanceType": "c5.xlarge",
    "RetainPeriod": 7,
    "S3BucketSize": 3,
    "SourceBurstCreditBalance": 4,
    "SourceBurstCreditBalancePostBackup": 5,
    "SourcePerformanceMode": "generalPurpose",
    "DestinationPerformanceMode": "generalPurpose",
    "NumberOfFiles": 6,
    "NumberOfFilesTransferred": 7,
    "TotalFileSize": 8,
    "TotalTransferredFileSize": 9,
    "NumberOfWorkers": 2,
    "CreateHardlinksStartTime": "2026-03-01T02:01:00Z",
    "CreateHardlinksStopTime": "2026-03-01T02:02:00Z",
    "RemoveSnapshotStartTime": "2026-03-01T02:03:00Z",
    "RemoveSnapshotStopTime": "2026-03-01T02:04:00Z",
    "RsyncDeleteStartTime": "2026-03-01T02:05:00Z",
    "RsyncDeleteStopTime": "2026-03-01T02:06:00Z",
}
SECRETS: dict[str, Value] = {
    "BackupId": "secret-request-id",
    "SourceEfsId": "fs-secret",
    "DestinationEfsId": "fs-secret",
    "BackupPrefix": "/secret",
    "FolderLabel": "secret",
    "Message": "secret",
    "WhatToDo": "secret",
    "Warnings": ["vanished during the backup: 'secret'"],
    "Errors": ["secret"],
    "InstanceId": "i-secret",
    "EC2Logs": "s3://secret/ec2-logs/secret/",
    "Logs": "https://secret",
    "LogBucket": "secret",
    "ExpireItem": 1780106400,
    "Progress": {"Phase": "secret"},
    "Workers": ["i-secret: 12 lists"],
    "SomethingNew": "secret",
}


def test_the_anonymous_metric_has_every_item_of_the_guide_and_no_other(
    observer: Observer, cloud: Cloud, endpoint: Endpoint
) -> None:
    cloud.instance_writes("run-a", **Record({**SENT, **SECRETS, "BackupId": "run-a"}).to_item())
    settings = replace(cloud.settings, metrics_url=endpoint.url)
    Observer(settings, clients()).observe(SendAnonymousMetric("run-a"))
    ((content_type, body),) = endpoint.received
    assert content_type == "application/json"
    assert datetime.strptime(body.pop("TimeStamp"), "%Y-%m-%d %H:%M:%S.%f")
    assert body == {
        "Solution": "SO0031",
        "UUID": cloud.settings.uuid,
        "Data": {"BackupId": "daily.0", "Region": "us-east-1", "Version": "v2.0.0", **SENT},
    }


@hypothesis_settings(derandomize=True, database=None)
@given(st.dictionaries(st.sampled_from([*SENT, *SECRETS]) | st.text(), st.text() | st.integers()))
def test_only_listed_names_are_ever_sent(attributes: dict[str, Value]) -> None:
    data = anonymous.payload(Record(attributes), SETTINGS, NOW)["Data"]
    assert set(data) - {"BackupId", "Region", "Version"} == set(attributes) & set(SENT)
    assert data["BackupId"] == "daily.0"


def test_nothing_that_names_the_customer_is_sent() -> None:
    settings = replace(
        SETTINGS,
        table="secret",
        group="secret",
        topic_arn="arn:aws:sns:eu-west-1:123456789012:secret",
        log_bucket="secret",
        source_efs="fs-secret",
        stack="secret",
    )
    text = json.dumps(anonymous.payload(Record({**SENT, **SECRETS}), settings, NOW))
    assert "secret" not in text
    assert "123456789012" not in text


def test_no_metric_is_sent_of_a_record_that_was_removed(
    observer: Observer, cloud: Cloud, endpoint: Endpoint
) -> None:
    settings = replace(cloud.settings, metrics_url=endpoint.url)
    Observer(settings, clients()).observe(SendAnonymousMetric("run-z"))
    assert endpoint.received == []
