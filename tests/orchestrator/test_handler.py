"""The Lambda end to end, against moto."""

import json
import logging
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
import pytest
from botocore.exceptions import ClientError
from common import metrics
from common.times import timestamp

from orchestrator import handler
from orchestrator.aws import Account, WorldChanged
from orchestrator.bus import EventBus
from orchestrator.events import UnknownEvent
from orchestrator.functions import Functions
from orchestrator.observer import Observer
from orchestrator.record import Hook
from orchestrator.settings import SettingsError
from tests.metrics_endpoint import Endpoint
from tests.orchestrator.cloud import FUNCTION_ARN, REGION, Cloud

EVENTS = Path(__file__).parents[1] / "events"
RUN = "5f1c2f0e-8a53-4c5e-9f0e-2f8d6b1f7a11"


@dataclass
class Context:
    aws_request_id: str
    invoked_function_arn: str = FUNCTION_ARN


@pytest.fixture(autouse=True)
def cold_start(cloud: Cloud) -> None:
    os.environ.update(cloud.env, AWS_DEFAULT_REGION=REGION)
    handler._connect.cache_clear()


def invoke(name: str, request_id: str = RUN) -> Any:
    event = json.loads((EVENTS / f"{name}.json").read_text())
    return handler.lambda_handler(event, Context(request_id))


def report(cloud: Cloud, status: str) -> None:
    """What the instance does at its end."""
    now = {"S": timestamp(datetime.now(UTC))}
    cloud.instance_writes(
        RUN, BackupStatus={"S": status}, BackupStopTime=now, NumberOfFiles={"N": "12"}
    )
    boto3.client("autoscaling").set_desired_capacity(
        AutoScalingGroupName=cloud.settings.group, DesiredCapacity=0
    )


def test_a_backup_from_start_to_success(cloud: Cloud) -> None:
    before = datetime.now(UTC)
    assert invoke("start")["actions"] == ["BeginRun", "Schedule", "ScaleOut"]
    assert cloud.item(RUN)["BackupStatus"] == {"S": "Running"}  # type: ignore[index]
    assert len(cloud.instances()) == 1
    stop = datetime.strptime(cloud.entry(RUN)["ScheduleExpression"], "at(%Y-%m-%dT%H:%M:%S)")
    assert timedelta(minutes=164) < stop.replace(tzinfo=UTC) - before < timedelta(minutes=166)

    report(cloud, "Success")
    ended = ["NoteSnapshot", "Notify", "Announce", "RemoveSchedule", "ReleaseLock"]
    assert invoke("instance-terminated")["actions"] == ended
    ((subject, body),) = cloud.mails()
    assert subject == f"EFS backup Success: {cloud.settings.source_efs} (daily)"
    assert body["NumberOfFiles"] == 12
    newest = cloud.item("newest-snapshot")
    assert newest
    assert newest["Run"] == {"S": RUN}
    assert cloud.entries() == []
    assert cloud.item("lock") is None


def test_a_backup_that_reaches_the_end_of_its_window(cloud: Cloud) -> None:
    invoke("start")
    assert invoke("stop")["actions"] == ["ScaleIn", "Schedule"]
    assert cloud.instances() == []
    assert cloud.entries() == [RUN, f"{RUN}-close"]
    invoke("close")
    assert [body["BackupStatus"] for _, body in cloud.mails()] == ["Unknown"]
    assert cloud.item(RUN)["BackupStatus"] == {"S": "Unknown"}  # type: ignore[index]
    assert cloud.entries() == []
    assert cloud.item("lock") is None


def test_a_function_that_fails_before_a_backup_refuses_it(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("before_function", "after_function"):
        monkeypatch.setenv(name, f"arn:aws:lambda:{REGION}:123456789012:function:{name}")
    called: list[tuple[Hook, str]] = []

    def answer(_: Functions, hook: Hook, detail: Any) -> str:
        called.append((hook, detail["BackupStatus"]))
        return "failed: no lock" if hook is Hook.BEFORE else "done"

    with mock.patch.object(Functions, "_invoke", answer):
        assert "failed: no lock" in invoke("start")["reason"]
    assert called == [(Hook.BEFORE, "Running"), (Hook.AFTER, "Refused")]
    assert cloud.instances() == []
    assert cloud.item("lock") is None
    assert cloud.entries() == []
    assert [body["BackupStatus"] for _, body in cloud.mails()] == ["Refused"]
    assert cloud.item(RUN)["BackupStatus"] == {"S": "Refused"}  # type: ignore[index]


def test_events_that_are_refused_for_good_keep_no_run_from_its_end(cloud: Cloud) -> None:
    denied = ClientError({"Error": {"Code": "AccessDenied"}}, "PutEvents")
    with mock.patch.object(EventBus, "put", side_effect=denied):
        invoke("start")
        report(cloud, "Success")
        invoke("instance-terminated")
    assert cloud.item("lock") is None
    assert [body["BackupStatus"] for _, body in cloud.mails()] == ["Success"]
    assert cloud.item(RUN)["Undone"] == {"SS": ["event"]}  # type: ignore[index]
    told: list[Any] = []
    with mock.patch.object(EventBus, "put", side_effect=told.append):
        invoke("check")
    assert [announce.detail["Id"] for announce in told] == [f"{RUN}/ended/Success"]
    assert "Undone" not in (cloud.item(RUN) or {})


def test_the_alarm_is_told(cloud: Cloud) -> None:
    told: list[Any] = []
    with mock.patch.object(EventBus, "put", side_effect=told.append):
        invoke("alarm")
    ((kind, detail),) = [(announce.kind, announce.detail) for announce in told]
    assert kind == "EFS Backup Alarm"
    assert (detail["State"], detail["PreviousState"]) == ("ALARM", "OK")
    with (
        mock.patch.object(EventBus, "put", side_effect=ClientError({}, "PutEvents")),
        pytest.raises(ClientError),  # so Lambda tries again
    ):
        invoke("alarm")


def test_a_second_start_is_refused_and_changes_nothing(cloud: Cloud) -> None:
    invoke("start")
    cloud.instance_writes(RUN, BackupStartTime={"S": "2026-03-01T02:00:00Z"})
    instances = cloud.instances()
    assert invoke("start", "second")["actions"] == ["Notify"]
    assert [body["BackupStatus"] for _, body in cloud.mails()] == ["Refused"]
    assert cloud.item("second") is None
    assert cloud.instances() == instances
    assert cloud.entries() == [RUN]


def test_the_same_start_twice_is_one_run(cloud: Cloud) -> None:
    invoke("start")
    instances = cloud.instances()
    assert invoke("start")["actions"] == ["Schedule", "ScaleOut"]
    assert cloud.instances() == instances
    assert cloud.mails() == []


def test_the_same_tick_twice_is_one_run_and_no_mail(cloud: Cloud) -> None:
    invoke("start")
    assert invoke("start", "second")["actions"] == []
    assert cloud.mails() == []


def test_a_run_that_everybody_forgot_is_ended_by_the_hourly_check(cloud: Cloud) -> None:
    invoke("start")
    lock = cloud.item("lock") or {}
    cloud.instance_writes("lock", **{**lock, "Until": {"N": "1"}})
    assert invoke("check")["observations"][-1] == "PublishMetrics"
    assert cloud.item("lock") is None
    assert [body["BackupStatus"] for _, body in cloud.mails()] == ["Unknown"]
    assert invoke("check")["actions"] == []


def test_the_age_of_the_newest_snapshot_is_published_whatever_auto_scaling_refuses(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("worker_group", cloud.create_workers(2))
    _, account, _ = handler._connect(FUNCTION_ARN)
    refused = ClientError({"Error": {"Code": "Throttling"}}, "AutoScaling")
    calls = dict.fromkeys(("describe_auto_scaling_groups", "set_desired_capacity"), mock.DEFAULT)
    with (
        mock.patch.multiple(account._autoscaling, **calls) as refusing,
        mock.patch.object(Observer, "observe") as observe,
    ):
        for call in refusing.values():
            call.side_effect = refused
        assert invoke("check")["actions"] == ["NoteSnapshot", "EndWorkers"]
    assert observe.call_args.args[0].data[0].name == "SnapshotAge"
    assert cloud.item("unfinished") is None, "each check tries it"
    assert invoke("check")["actions"] == ["EndWorkers"]
    assert invoke("check")["actions"] == []


def test_observations_are_made_after_all_actions(cloud: Cloud) -> None:
    seen: list[tuple[bool, bool]] = []

    def look(*_: object) -> None:
        seen.append((bool(cloud.instances()), bool(cloud.item("lock"))))

    with mock.patch.object(Observer, "observe", side_effect=look):
        invoke("start")
        report(cloud, "Incomplete")
        invoke("instance-terminated")
    assert seen == [(True, True), (True, True), (False, False), (False, False)]
    assert len(cloud.mails()) == 1


@pytest.mark.parametrize("error", [ValueError("odd"), TimeoutError("slow")])
def test_observations_that_fail_change_nothing(
    cloud: Cloud, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    with mock.patch.object(Observer, "observe", side_effect=error):
        assert invoke("start")["actions"] == ["BeginRun", "Schedule", "ScaleOut"]
        report(cloud, "Success")
        invoke("instance-terminated")
    assert cloud.item("lock") is None
    assert [body["BackupStatus"] for _, body in cloud.mails()] == ["Success"]
    assert str(error) in caplog.text


def test_a_metrics_endpoint_that_hangs_delays_nothing_and_fails_nothing(
    cloud: Cloud, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("send_anonymous_data", "Yes")
    monkeypatch.setattr(metrics, "TIMEOUT_SECONDS", 0.2)
    endpoint.stuck.clear()
    invoke("start")
    report(cloud, "Success")
    assert invoke("instance-terminated")["observations"][-1] == "SendAnonymousMetric"
    ((_, metric),) = endpoint.received
    assert metric["Data"]["BackupStatus"] == "Success"
    assert cloud.item("lock") is None


def test_a_report_that_comes_between_load_and_close_wins(cloud: Cloud) -> None:
    invoke("start")
    cloud.instance_writes(RUN, InstanceId={"S": "i-1"})
    apply = Account.apply

    def report_first(account: Account, action: Any) -> None:
        if type(action).__name__ == "CloseRun":
            report(cloud, "Incomplete")
        apply(account, action)

    with mock.patch.object(Account, "apply", report_first):
        invoke("close")
    assert [body["BackupStatus"] for _, body in cloud.mails()] == ["Incomplete"]
    assert cloud.item("lock") is None


def test_a_world_that_does_not_settle_is_an_error(cloud: Cloud) -> None:
    with (
        mock.patch.object(Account, "apply", side_effect=WorldChanged("again")) as apply,
        pytest.raises(WorldChanged),
    ):
        invoke("start")
    assert apply.call_count == handler.ATTEMPTS


def test_a_world_that_changes_while_it_is_read_is_read_again(cloud: Cloud) -> None:
    load, changes = Account.load, [WorldChanged("meanwhile")]

    def loaded(account: Account, event: Any) -> Any:
        if changes:
            raise changes.pop()
        return load(account, event)

    with mock.patch.object(Account, "load", loaded):
        assert "begins" in invoke("start")["reason"]


def test_the_decision_is_logged_with_its_reason(
    cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "orchestrator")
    invoke("instance-terminated")
    (line,) = [r.getMessage() for r in caplog.records if r.name == "orchestrator"]
    assert "no run is active" in json.loads(line)["reason"]


def test_errors_are_logged_with_the_event_and_raised(
    cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(UnknownEvent):
        handler.lambda_handler({"mode": "restore"}, Context(RUN))
    assert '{"mode": "restore"}' in caplog.text

    boto3.client("dynamodb").delete_table(TableName=cloud.settings.table)
    with pytest.raises(ClientError):
        invoke("start")


def test_a_line_of_the_log_is_short_and_plain_whatever_comes(
    cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(UnknownEvent):
        handler.lambda_handler({"mode": "\x1b[2J" + "é\\" * 100_000}, Context(RUN))
    (line,) = [r.getMessage() for r in caplog.records if r.name == "orchestrator"]
    assert len(line.encode()) < 50_000
    assert line.isprintable()


def test_a_missing_setting_is_named_and_nothing_is_done(cloud: Cloud) -> None:
    os.environ.pop("topic_arn")
    with pytest.raises(SettingsError, match="topic_arn"):
        invoke("start")
    assert cloud.item("lock") is None


def test_clients_are_made_once_and_retry(cloud: Cloud) -> None:
    with mock.patch("boto3.client", wraps=boto3.client) as client:
        invoke("start")
        invoke("start")
    assert len(client.call_args_list) == 6 + 4  # of the account, and of the observer
    for call in client.call_args_list:
        assert call.kwargs["config"].retries["mode"] == "standard"
