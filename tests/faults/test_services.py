"""Services that throttle, deny or fail, for a while or for good, while a backup begins or ends.

Events are delivered as Lambda does it: three times at most. What a service refused is finished by
the hourly check or the next start.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError
from common.times import timestamp
from moto import mock_aws

from orchestrator import handler
from tests.orchestrator.cloud import REGION, Cloud
from tests.orchestrator.test_handler import RUN, Context

INSTANCE = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "ec2/lib")}
DELIVERIES = 3
FAR = 10**6
SERVICES = ["auto-scaling", "dynamodb", "scheduler", "sns"]
ERRORS = {
    "throttles": (400, "ThrottlingException"),
    "denies": (403, "AccessDeniedException"),
    "fails": (503, "ServiceUnavailable"),
    "loses": (503, "ServiceUnavailable"),  # does what it is asked, and the answer is lost
}
# Each service throttles a beginning and denies an end; those with a state lose answers, too. A
# notification of which the answer is lost is sent again: better twice than never.
CASES = [
    *((service, "throttles", "start") for service in SERVICES if service != "sns"),
    *((service, "denies", "end") for service in SERVICES),
    *((service, "loses", "start") for service in SERVICES if service != "sns"),
    *((service, "loses", "end") for service in SERVICES if service != "sns"),
    ("dynamodb", "fails", "end"),
]
START: dict[str, Any] = {"mode": "backup", "action": "start"}
CHECK: dict[str, Any] = {"mode": "backup", "action": "check"}
TERMINATED = {
    "source": "aws.autoscaling",
    "detail-type": "EC2 Instance Terminate Successful",
}


class Raw:
    """The body of an answer."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.content


@dataclass
class Faults:
    """Answers the next requests to a service with an error, in place of the service.

    Moto acts on a request all the same: one that must not reach it is turned away.
    """

    service: str = ""
    error: str = ""
    left: int = 0
    answered: int = 0

    def answer(self, request: Any, event_name: str, **_: Any) -> AWSResponse | None:
        if event_name.split(".")[1] != self.service or not self.left:
            return None
        self.left -= 1
        self.answered += 1
        status, code = ERRORS[self.error]
        if self.error != "loses":
            request.url = "https://refused.invalid/"
        if self.service in ("auto-scaling", "sns"):
            body = f"<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>"
        else:
            body = f'{{"__type": "{code}"}}'
        headers = {"x-amzn-errortype": code}
        return AWSResponse(request.url, status, headers, Raw(body.encode()))


@dataclass
class Backups:
    """The orchestrator, an instance that reports, and the faults between them and AWS."""

    cloud: Cloud
    faults: Faults

    def deliver(self, event: dict[str, Any], request_id: str = RUN) -> None:
        for _ in range(DELIVERIES):
            try:
                handler.lambda_handler(event, Context(request_id))
            except ClientError:
                continue
            return

    def breaks(self, service: str, error: str, requests: int) -> None:
        self.faults.service, self.faults.error, self.faults.left = service, error, requests

    def start(self, run: str = RUN) -> None:
        self.deliver(START, run)

    def report(self, run: str = RUN) -> None:
        """What the instance does at its end."""
        now = {"S": timestamp(datetime.now(UTC))}
        self.cloud.instance_writes(run, BackupStatus={"S": "Success"}, BackupStopTime=now)
        boto3.client("autoscaling", REGION).set_desired_capacity(
            AutoScalingGroupName=self.cloud.settings.group, DesiredCapacity=0
        )

    def terminated(self, instance: str = "i-1") -> None:
        group = self.cloud.settings.group
        detail = {"AutoScalingGroupName": group, "EC2InstanceId": instance}
        self.deliver({**TERMINATED, "detail": detail}, "an event")

    def end_window(self) -> None:
        if lock := self.cloud.item("lock"):
            self.cloud.instance_writes("lock", **{**lock, "Until": {"N": "1"}})

    def notified(self, run: str = RUN) -> list[str]:
        """The statuses that were notified as the end of a run."""
        bodies = [body for _, body in self.cloud.mails()]
        return [b["BackupStatus"] for b in bodies if b["BackupId"] == run]

    def status(self, run: str = RUN) -> str | None:
        item = self.cloud.item(run)
        return item["BackupStatus"]["S"] if item else None


@pytest.fixture
def backups(monkeypatch: pytest.MonkeyPatch) -> Iterator[Backups]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME")}
    make, faults = boto3.client, Faults()

    def client(*words: Any, **options: Any) -> Any:
        made = make(*words, **options)
        made.meta.events.register_first("before-send.*.*", faults.answer)
        return made

    with mock.patch.dict(os.environ, kept, clear=True):
        os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
        with mock_aws():
            cloud = Cloud()
            os.environ.update(cloud.env, AWS_DEFAULT_REGION=REGION, send_anonymous_data="No")
            handler._connect.cache_clear()
            monkeypatch.setattr(boto3, "client", client)
            monkeypatch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)
            yield Backups(cloud, faults)
    handler._connect.cache_clear()


@pytest.mark.parametrize(("service", "error", "moment"), CASES)
def test_for_a_while(backups: Backups, service: str, error: str, moment: str) -> None:
    """For two requests: the SDK tries again what is worth it, Lambda and the check the rest."""
    if moment == "start":
        backups.breaks(service, error, 2)
    backups.start()
    assert backups.status() == "Running"
    assert len(backups.cloud.instances()) == 1
    assert backups.cloud.entries() == [RUN]
    backups.report()
    if moment == "end":
        backups.breaks(service, error, 2)
    backups.terminated()
    for hour in ("first", "second"):
        backups.deliver(CHECK, f"the {hour} check")
    assert backups.faults.answered
    assert backups.notified() == ["Success"]
    assert backups.cloud.item("lock") is None


# What is known of the run when the service has come back, and what was said about it.
@pytest.mark.parametrize(
    ("service", "status"),
    [
        ("dynamodb", None),  # no run has begun; the age of the newest snapshot will tell
        ("auto-scaling", None),
        ("scheduler", "Unsuccessful"),  # no instance runs without a stop
        ("sns", "Unknown"),  # not needed yet; the instance never said anything
    ],
)
def test_for_good_while_a_backup_begins(backups: Backups, service: str, status: str | None) -> None:
    backups.breaks(service, "denies", FAR)
    backups.start()
    backups.faults.left = 0
    backups.end_window()
    backups.deliver(CHECK, "a check")
    assert backups.status() == status
    assert backups.notified() == ([status] if status else [])
    assert_the_next_run_works(backups)


# Of a service that fails after the notification the next delivery cannot know that it was sent.
@pytest.mark.parametrize("service", SERVICES)
def test_for_good_while_a_backup_ends(backups: Backups, service: str) -> None:
    backups.start()
    backups.report()
    backups.breaks(service, "denies", FAR)
    backups.terminated()
    backups.end_window()
    backups.deliver(CHECK, "a check")
    assert (backups.cloud.item("lock") is None) == (service != "dynamodb"), "while it refuses"
    backups.faults.left = 0
    backups.end_window()
    backups.deliver(CHECK, "a check")
    assert backups.status() == "Success"
    assert backups.notified() == ["Success"]
    assert_the_next_run_works(backups)


def test_backups_go_on_for_nights_in_which_nobody_can_be_notified(backups: Backups) -> None:
    nights = [f"night-{n}" for n in range(4)]
    backups.breaks("sns", "denies", FAR)
    for night in nights:
        backups.start(night)
        assert backups.status(night) == "Running"
        backups.report(night)
        backups.terminated()
        assert backups.cloud.item("lock") is None
        assert backups.cloud.item(night)["Undone"] == {"SS": ["notification"]}  # type: ignore[index]
    backups.deliver(CHECK, "a check")
    assert not backups.cloud.mails()
    backups.faults.left = 0
    backups.deliver(CHECK, "a check")
    backups.deliver(CHECK, "another check")
    assert [backups.notified(night) for night in nights] == [["Success"]] * 4
    backups.deliver(CHECK, "one more")
    assert len(backups.cloud.mails()) == 4
    assert not any("Undone" in (backups.cloud.item(night) or {}) for night in nights)


def test_names_of_any_length_are_recorded_and_notified(backups: Backups, tmp_path: Path) -> None:
    """As many and as long as an engine may tell of, through the instance's report."""
    line = "could not be copied: " + r"\xff" * 4096
    result = {"outcome": "partial", "errors": [line] * 50, "warnings": [line] * 50}
    (tmp_path / "result.json").write_text(json.dumps(result))
    backups.start()
    words = ["--backup-id", RUN, "--table", backups.cloud.settings.table, "--instance", "i-1"]
    words += ["--result", "result.json", "--logs", "s3://logs/x/", "--topic", "arn:aws:sns:r:1:t"]
    command = [sys.executable, "-m", "report", "backup", *words, "--request", "update.json"]
    subprocess.run([*command, "--message", "message.json"], cwd=tmp_path, env=INSTANCE, check=True)
    update = json.loads((tmp_path / "update.json").read_text())
    boto3.client("dynamodb", REGION).update_item(**update)
    backups.terminated()
    assert backups.notified() == ["Partial"]
    assert backups.cloud.item("lock") is None
    assert "Undone" not in (backups.cloud.item(RUN) or {})


def assert_the_next_run_works(backups: Backups) -> None:
    backups.start("next")
    assert backups.status("next") == "Running"
    assert len(backups.cloud.instances()) == 1
    backups.report("next")
    backups.terminated()
    assert backups.notified("next") == ["Success"]
    assert backups.cloud.item("lock") is None


class TestLifecycleEvents:
    def test_twice(self, backups: Backups) -> None:
        backups.start()
        backups.report()
        backups.terminated()
        backups.terminated()
        assert backups.notified() == ["Success"]

    def test_late_in_the_next_run(self, backups: Backups) -> None:
        backups.start()
        backups.report()
        backups.end_window()
        backups.start("next")
        assert backups.notified() == ["Success"]
        backups.terminated("i-of-the-first-run")
        assert backups.status("next") == "Running"
        assert backups.notified("next") == []

    def test_never(self, backups: Backups) -> None:
        backups.start()
        backups.report()
        backups.end_window()
        backups.deliver(CHECK, "a check")
        backups.deliver(CHECK, "another check")
        assert backups.notified() == ["Success"]
        assert_the_next_run_works(backups)
