"""The anonymous metric: sent only when wanted, says nothing of whose it is, fails no deployment."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from common import metrics

from solution_helper import metric
from tests.cloudformation import CloudFormation, aws_environment
from tests.metrics_endpoint import Endpoint

TYPE = "Custom::SendAnonymousMetrics"
PROPERTIES = {
    "SendAnonymousData": "Yes",
    "SolutionId": "SO0031",
    "UUID": "8b5cf5b0-9d0c-4a57-8f43-3c1c1c8f5a11",
    "Version": "v2.0.0",
    "Region": "eu-west-1",
    "Retain": "7",
    "InstanceType": "c5.xlarge",
}


@pytest.fixture
def cloudformation(monkeypatch: pytest.MonkeyPatch, endpoint: Endpoint) -> CloudFormation:
    aws_environment(monkeypatch)
    from solution_helper.handler import lambda_handler

    return CloudFormation(monkeypatch, lambda_handler)


def request(cloudformation: CloudFormation, request_type: str, **properties: str) -> dict[str, Any]:
    physical_id = None if request_type == "Create" else "backup_SendAnonymousMetrics_AB12CD34"
    return cloudformation.request(
        request_type, TYPE, {**PROPERTIES, **properties}, physical_id=physical_id
    )


@pytest.mark.parametrize("request_type", ["Create", "Update", "Delete"])
def test_sends_the_metric_once(
    cloudformation: CloudFormation, endpoint: Endpoint, request_type: str
) -> None:
    assert request(cloudformation, request_type)["Status"] == "SUCCESS"
    ((content_type, body),) = endpoint.received
    assert content_type == "application/json"
    assert body["Data"]["RequestType"] == request_type


@pytest.mark.parametrize("request_type", ["Create", "Update", "Delete"])
@pytest.mark.parametrize("wanted", ["No", "", "yes please"])
def test_sends_nothing_unless_told_yes(
    cloudformation: CloudFormation, endpoint: Endpoint, request_type: str, wanted: str
) -> None:
    answer = request(cloudformation, request_type, SendAnonymousData=wanted)
    assert answer["Status"] == "SUCCESS"
    assert endpoint.received == []


def test_a_resource_of_version_1_sends_nothing(
    cloudformation: CloudFormation, endpoint: Endpoint
) -> None:
    answer = cloudformation.request(
        "Delete", TYPE, {"SendAnonymousMetrics": "Yes"}, physical_id="2024/02/29/[$LATEST]0f"
    )
    assert answer["Status"] == "SUCCESS"
    assert endpoint.received == []


def test_payload() -> None:
    now = datetime(2026, 2, 3, 4, 5, 6, 789012, tzinfo=UTC)
    assert metric.payload(PROPERTIES, "Create", now) == {
        "Solution": "SO0031",
        "UUID": "8b5cf5b0-9d0c-4a57-8f43-3c1c1c8f5a11",
        "TimeStamp": "2026-02-03 04:05:06.789",
        "Data": {
            "Launch": "2026-02-03 04:05:06.789",
            "Region": "eu-west-1",
            "Version": "v2.0.0",
            "RequestType": "Create",
            "Retain": "7",
            "InstanceType": "c5.xlarge",
        },
    }


def test_payload_says_nothing_of_whose_it_is() -> None:
    secrets = {
        "ServiceToken": "arn:aws:lambda:eu-west-1:123456789012:function:secret",
        "StackName": "secret",
        "Email": "secret@example.com",
        "SrcEFS": "fs-secret",
        "FolderLabel": "secret",
        "BackupPrefix": "/secret",
        "VpcId": "vpc-secret",
    }
    payload = metric.payload({**PROPERTIES, **secrets}, "Create", datetime.now(UTC))
    assert "secret" not in json.dumps(payload)
    assert "123456789012" not in json.dumps(payload)


class TestNeverFailsTheDeployment:
    def test_endpoint_refuses(self, cloudformation: CloudFormation, endpoint: Endpoint) -> None:
        endpoint.status = 500
        assert request(cloudformation, "Create")["Status"] == "SUCCESS"

    def test_endpoint_hangs(
        self,
        cloudformation: CloudFormation,
        endpoint: Endpoint,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        endpoint.stuck.clear()
        monkeypatch.setattr(metrics, "TIMEOUT_SECONDS", 0.2)
        assert request(cloudformation, "Create")["Status"] == "SUCCESS"
        assert "the anonymous metric was not sent" in caplog.text
        assert "timed out" in caplog.text

    @pytest.mark.parametrize(
        "url", ["http://127.0.0.1:1/", "http://metrics.invalid/", "no-url", "ftp://127.0.0.1:1/x"]
    )
    @pytest.mark.parametrize("request_type", ["Create", "Update", "Delete"])
    def test_no_endpoint(
        self,
        cloudformation: CloudFormation,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        url: str,
        request_type: str,
    ) -> None:
        monkeypatch.setenv("METRICS_URL", url)
        assert request(cloudformation, request_type)["Status"] == "SUCCESS"
        assert "the anonymous metric was not sent" in caplog.text

    def test_property_missing(
        self, cloudformation: CloudFormation, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
    ) -> None:
        answer = cloudformation.request("Create", TYPE, {"SendAnonymousData": "Yes"})
        assert answer["Status"] == "SUCCESS"
        assert "KeyError: 'SolutionId'" in caplog.text
        assert endpoint.received == []
