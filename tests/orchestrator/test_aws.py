"""The AWS side, against moto; against a Stubber where moto has no such call."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from unittest import mock

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from common.limits import SNS_MESSAGE_BYTES
from report.requests import for_engine

from orchestrator.actions import (
    AskToHold,
    Attempt,
    AwaitScaleIn,
    BeginRun,
    CloseRun,
    CompleteHook,
    EndInstance,
    EndWorkers,
    NoteSnapshot,
    Notify,
    ReleaseLock,
    RemoveSchedule,
    Retry,
    ScaleIn,
    ScaleOut,
    Schedule,
    StopInstance,
)
from orchestrator.aws import Account, WorldChanged
from orchestrator.core import Group, World, decide
from orchestrator.events import Check, Close, Hold, Start, Stop, Terminated, Terminating
from orchestrator.record import Lock, NewestSnapshot, Record, Step
from orchestrator.settings import Settings
from tests.orchestrator.cloud import FUNCTION_ARN, REGION, Cloud
from tests.orchestrator.test_settings import ENV

NOW = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
LOCK = Lock("run-a", NOW + timedelta(hours=3))
RECORD = Record({"BackupId": "run-a", "BackupStatus": "Running", "RetainPeriod": 7})
CLOSED = RECORD.closed("Unknown", "No report", "See the logs", NOW)
STOP = Schedule("run-a", "stop", NOW + timedelta(minutes=165))
CLOSE = Schedule("run-a", "close", NOW + timedelta(minutes=180))
TOKEN = "630aa23f-48eb-45e7-aba6-799ea6093a0f"
TOO_LONG = Notify("subject", "x" * (SNS_MESSAGE_BYTES + 1))
TERMINATING = Terminating("backup-group", "i-1", "hook; rm -rf /", TOKEN)


@pytest.fixture
def account(cloud: Cloud) -> Account:
    return Account(cloud.settings, FUNCTION_ARN, partial(boto3.client, region_name=REGION))


class TestLoad:
    def test_an_empty_table(self, account: Account) -> None:
        assert account.load(Start("run-a")) == World(None, {}, Group(0, frozenset()))

    def test_the_lock_its_run_and_the_run_of_the_event(self, account: Account) -> None:
        account.apply(BeginRun(RECORD, LOCK))
        account.apply(ReleaseLock("run-a"))
        other = Record({"BackupId": "run-b", "BackupStatus": "Running"})
        account.apply(BeginRun(other, Lock("run-b", LOCK.until)))
        world = account.load(Stop("run-a"))
        assert world.lock == Lock("run-b", LOCK.until)
        assert world.records == {"run-a": RECORD, "run-b": other}
        assert account.load(Terminated("backup-group", "i-1")).records == {"run-b": other}

    def test_what_the_instance_wrote(self, account: Account, cloud: Cloud) -> None:
        account.apply(BeginRun(RECORD, LOCK))
        cloud.instance_writes(
            "run-a", InstanceId={"S": "i-1"}, Speed={"N": "1.5"}, Odd={"BOOL": True}
        )
        record = account.load(Start("run-b")).records["run-a"]
        assert record.attributes == {
            **RECORD.attributes,
            "InstanceId": "i-1",
            "Speed": 1.5,
            "Odd": "True",
        }

    def test_a_record_with_lines_and_progress_survives_the_table(self, account: Account) -> None:
        lines: dict[str, Any] = {"Warnings": ["vanished: 'a\\nb'", "… 漢字"]}
        progress = {"Phase": "copy", "Done": 3, "Total": 7, "Unit": "parts"}
        record = Record({**RECORD.attributes, **lines, "Progress": progress})
        account.apply(BeginRun(record, LOCK))
        assert account.load(Start("run-a")).records == {"run-a": record}

    def test_the_group(self, account: Account, cloud: Cloud) -> None:
        account.apply(ScaleOut())
        group = account.load(Start("run-a")).group
        assert group == Group(1, frozenset(cloud.instances()))
        assert len(group.instances) == 1

    def test_an_instance_that_is_ended(self, account: Account, cloud: Cloud) -> None:
        account.apply(ScaleOut())
        (instance,) = cloud.instances()
        waiting = {"InstanceId": instance, "LifecycleState": "Terminating:Wait"}
        found = {"DesiredCapacity": 1, "Instances": [waiting]}
        named = {**found, "AutoScalingGroupName": cloud.settings.group}
        answer = {"AutoScalingGroups": [named]}
        with mock.patch.object(
            account._autoscaling, "describe_auto_scaling_groups", return_value=answer
        ):
            group = account.load(Start("run-a")).group
        assert group == Group(1, frozenset({instance}), frozenset({instance}))

    def test_workers_are_those_of_the_other_group(self, cloud: Cloud) -> None:
        workers = cloud.create_workers(2)
        settings = replace(cloud.settings, worker_group=workers)
        account = Account(settings, FUNCTION_ARN, partial(boto3.client, region_name=REGION))
        assert account.load(Check()).group == Group(0, frozenset(), workers=2)
        account.apply(EndWorkers())
        assert account.load(Check()).group == Group(0, frozenset())

    def test_workers_whose_group_is_gone_are_none(self, cloud: Cloud) -> None:
        settings = replace(cloud.settings, worker_group="gone")
        account = Account(settings, FUNCTION_ARN, partial(boto3.client, region_name=REGION))
        assert account.load(Start("run-a")).group.workers == 0

    def test_a_group_that_does_not_exist_is_named(self, cloud: Cloud) -> None:
        settings = replace(cloud.settings, group="gone")
        account = Account(settings, FUNCTION_ARN, partial(boto3.client, region_name=REGION))
        with pytest.raises(LookupError, match="gone"):
            account.load(Start("run-a"))

    @pytest.mark.parametrize("event", [Close("run-a"), Check()])
    def test_the_window_ends_whatever_auto_scaling_says(self, cloud: Cloud, event: Any) -> None:
        settings = replace(cloud.settings, group="gone")
        account = Account(settings, FUNCTION_ARN, partial(boto3.client, region_name=REGION))
        assert account.load(event).group == Group(1, frozenset())

    def test_a_group_of_another_moment_than_the_lock(self, account: Account, cloud: Cloud) -> None:
        """A late stop must not take the capacity of a run that has just begun for its own's."""
        account.apply(BeginRun(RECORD, LOCK))
        describe = account._autoscaling.describe_auto_scaling_groups

        def while_another_begins(**request: Any) -> Any:
            account.apply(ReleaseLock("run-a"))
            other = Record({"BackupId": "run-b", "BackupStatus": "Running"})
            account.apply(BeginRun(other, Lock("run-b", LOCK.until)))
            account.apply(ScaleOut())
            return describe(**request)

        with (
            mock.patch.object(
                account._autoscaling, "describe_auto_scaling_groups", while_another_begins
            ),
            pytest.raises(WorldChanged),
        ):
            account.load(Stop("run-a"))
        assert decide(Stop("run-a"), account.load(Stop("run-a")), cloud.settings, NOW).actions == ()


class TestRefusal:
    """What a service refuses at the end of a run waits for the checks."""

    @pytest.fixture(autouse=True)
    def begun(self, account: Account) -> None:
        account.apply(BeginRun(RECORD, LOCK))

    def refused(self, run: str = "run-a") -> Attempt:
        return Attempt(run, Step.NOTIFICATION, TOO_LONG)

    def test_is_noted_in_the_record_and_where_checks_look(
        self, account: Account, cloud: Cloud
    ) -> None:
        account.apply(self.refused())
        account.apply(Attempt("run-a", Step.CAPACITY, TOO_LONG))
        world = account.load(Check())
        assert world.unfinished == {"run-a": frozenset({Step.CAPACITY, Step.NOTIFICATION})}
        assert world.records["run-a"].attributes["Undone"] == ["capacity", "notification"]
        assert account.load(Start("run-b")).unfinished == {}

    def test_is_done_later(self, account: Account, cloud: Cloud) -> None:
        account.apply(self.refused())
        account.apply(Retry("run-a", Step.NOTIFICATION, (TOO_LONG,)))
        assert account.load(Check()).unfinished
        account.apply(Retry("run-a", Step.NOTIFICATION, (Notify("subject", "{}"),)))
        assert cloud.mails() == [("subject", {})]
        assert account.load(Check()).unfinished == {}
        assert "Undone" not in (cloud.item("run-a") or {})

    def test_is_noted_of_a_run_without_record_that_does_not_come_back(
        self, account: Account, cloud: Cloud
    ) -> None:
        account.apply(self.refused("run-z"))
        assert account.load(Check()).unfinished == {"run-z": frozenset({Step.NOTIFICATION})}
        assert cloud.item("run-z") is None

    def test_leaves_no_note_of_what_was_done(self, account: Account, cloud: Cloud) -> None:
        account.apply(Attempt("run-a", Step.NOTIFICATION, Notify("subject", "{}")))
        assert cloud.item("unfinished") is None

    def test_is_none_when_the_world_changed(self, account: Account, cloud: Cloud) -> None:
        cloud.instance_writes("run-a", BackupStatus={"S": "Success"})
        with pytest.raises(WorldChanged):
            account.apply(Attempt("run-a", Step.STATUS, CloseRun(CLOSED)))
        assert cloud.item("unfinished") is None

    def test_of_the_note_itself_is_raised(self, stubbed: "Stubbed") -> None:
        """Without a note, nobody would try again: the lock stays, and the event comes again."""
        stubbed.stubbers["sns"].add_client_error("publish", "AuthorizationError")
        for _ in ("the record", "the note"):
            stubbed.stubbers["dynamodb"].add_client_error("update_item", "AccessDeniedException")
        with pytest.raises(ClientError, match="AccessDenied"):
            stubbed.account.apply(self.refused())

    def test_notes_of_another_release_are_left_alone(self, account: Account, cloud: Cloud) -> None:
        cloud.instance_writes(
            "unfinished",
            BackupId={"S": "unfinished"},
            **{"run-a": {"SS": ["notification", "something new"]}, "run-b": {"SS": ["new"]}},
        )
        assert account.load(Check()).unfinished == {"run-a": frozenset({Step.NOTIFICATION})}


class TestRun:
    def test_begins_once(self, account: Account, cloud: Cloud) -> None:
        account.apply(BeginRun(RECORD, LOCK))
        with pytest.raises(WorldChanged):
            account.apply(BeginRun(RECORD, LOCK))
        assert cloud.item("lock") == {
            "BackupId": {"S": "lock"},
            "Run": {"S": "run-a"},
            "Until": {"N": str(int(LOCK.until.timestamp()))},
        }

    def test_a_second_run_leaves_no_record_while_the_lock_is_held(
        self, account: Account, cloud: Cloud
    ) -> None:
        account.apply(BeginRun(RECORD, LOCK))
        with pytest.raises(WorldChanged):
            account.apply(BeginRun(Record({"BackupId": "run-b"}), Lock("run-b", LOCK.until)))
        assert cloud.item("run-b") is None

    def test_is_closed_while_running(self, account: Account) -> None:
        account.apply(BeginRun(RECORD, LOCK))
        account.apply(CloseRun(CLOSED))
        assert account.load(Start("run-b")).records == {"run-a": CLOSED}

    def test_is_not_closed_over_a_report(self, account: Account, cloud: Cloud) -> None:
        account.apply(BeginRun(RECORD, LOCK))
        cloud.instance_writes("run-a", BackupStatus={"S": "Success"})
        with pytest.raises(WorldChanged):
            account.apply(CloseRun(CLOSED))
        assert account.load(Start("run-b")).records["run-a"].status == "Success"

    def test_is_not_closed_into_existence(self, account: Account, cloud: Cloud) -> None:
        with pytest.raises(WorldChanged):
            account.apply(CloseRun(CLOSED))
        assert cloud.item("run-a") is None

    def test_gives_up_only_its_own_lock(self, account: Account, cloud: Cloud) -> None:
        account.apply(BeginRun(RECORD, LOCK))
        account.apply(ReleaseLock("run-b"))
        assert cloud.item("lock")
        account.apply(ReleaseLock("run-a"))
        account.apply(ReleaseLock("run-a"))
        assert cloud.item("lock") is None


class TestNewestSnapshot:
    @pytest.fixture(autouse=True)
    def noted(self, account: Account) -> None:
        account.apply(NoteSnapshot(NewestSnapshot("run-a", NOW)))

    def test_is_an_item_that_only_a_check_reads(self, account: Account, cloud: Cloud) -> None:
        assert cloud.item("newest-snapshot") == {
            "BackupId": {"S": "newest-snapshot"},
            "Time": {"N": str(int(NOW.timestamp()))},
            "Run": {"S": "run-a"},
        }
        assert account.load(Check()).newest == NewestSnapshot("run-a", NOW)
        assert account.load(Start("run-b")).newest is None

    @pytest.mark.parametrize(("hours", "run"), [(-1, "run-a"), (0, "run-a"), (1, "run-b")])
    def test_is_never_replaced_by_an_older_one(
        self, account: Account, hours: int, run: str
    ) -> None:
        account.apply(NoteSnapshot(NewestSnapshot("run-b", NOW + timedelta(hours=hours))))
        newest = account.load(Check()).newest
        assert newest
        assert newest.run == run

    def test_may_be_that_there_is_none(self, account: Account) -> None:
        account.apply(NoteSnapshot(NewestSnapshot("", NOW + timedelta(hours=1))))
        newest = account.load(Check()).newest
        assert newest
        assert newest.run == ""


class TestSchedule:
    def test_is_a_one_shot_in_utc_that_calls_this_function(
        self, account: Account, cloud: Cloud
    ) -> None:
        account.apply(STOP)
        entry = cloud.entry("run-a")
        assert entry["ScheduleExpression"] == "at(2026-03-01T04:45:00)"
        assert entry["ScheduleExpressionTimezone"] == "UTC"
        assert entry["ActionAfterCompletion"] == "DELETE"
        assert entry["FlexibleTimeWindow"] == {"Mode": "OFF"}
        assert entry["Target"]["Arn"] == FUNCTION_ARN
        assert entry["Target"]["RoleArn"] == cloud.settings.scheduler_role_arn
        assert json.loads(entry["Target"]["Input"]) == {
            "mode": "backup",
            "action": "stop",
            "backup_id": "run-a",
        }

    def test_stop_and_close_stand_side_by_side_and_go_together(
        self, account: Account, cloud: Cloud
    ) -> None:
        for _ in range(2):
            account.apply(STOP)
            account.apply(CLOSE)
        assert cloud.entries() == ["run-a", "run-a-close"]
        assert cloud.entry("run-a-close")["ScheduleExpression"] == "at(2026-03-01T05:00:00)"
        for _ in range(2):
            account.apply(RemoveSchedule("run-a"))
        assert cloud.entries() == []

    def test_the_name_of_a_request_id_fits(self) -> None:
        assert len(f"{'5f1c2f0e-8a53-4c5e-9f0e-2f8d6b1f7a11'}-close") <= 64


class TestGroup:
    def test_scales_out_and_in(self, account: Account, cloud: Cloud) -> None:
        for action, count in ((ScaleOut(), 1), (ScaleOut(), 1), (ScaleIn(""), 0), (ScaleIn(""), 0)):
            account.apply(action)
            assert len(cloud.instances()) == count
        assert cloud.item("scale-in") == {"BackupId": {"S": "scale-in"}}

    def test_the_capacity_of_another_run_stays(self, account: Account, cloud: Cloud) -> None:
        """A stop that comes late has read the world of before."""
        account.apply(BeginRun(RECORD, LOCK))
        account.apply(ScaleOut())
        for run in ("run-b", ""):
            with pytest.raises(WorldChanged):
                account.apply(ScaleIn(run))
        assert len(cloud.instances()) == 1
        account.apply(ScaleIn("run-a"))
        assert cloud.instances() == []

    def test_no_run_begins_while_the_group_is_scaled_in(
        self, account: Account, cloud: Cloud
    ) -> None:
        """The lock is looked at in one moment, and the call arrives in a later one."""
        account.apply(BeginRun(RECORD, LOCK))
        account.apply(ScaleOut())
        other = BeginRun(Record({"BackupId": "run-b"}), Lock("run-b", LOCK.until))
        call = account._autoscaling.set_desired_capacity

        def while_another_begins(**request: Any) -> Any:
            account.apply(ReleaseLock("run-a"))
            with pytest.raises(WorldChanged, match="being scaled in"):
                account.apply(other)
            return call(**request)

        with mock.patch.object(account._autoscaling, "set_desired_capacity", while_another_begins):
            account.apply(ScaleIn("run-a"))
        assert cloud.instances() == []
        account.apply(other)
        assert cloud.item("lock")["Run"] == {"S": "run-b"}  # type: ignore[index]

    def test_a_capacity_that_is_set_to_0_is_waited_for_and_not_for_ever(
        self, account: Account, cloud: Cloud
    ) -> None:
        account.apply(ScaleOut())
        waits: list[float] = []

        def wait(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 2:
                account._set_desired(cloud.settings.group, 0)

        with mock.patch("time.sleep", wait), pytest.raises(WorldChanged):
            account.apply(AwaitScaleIn())
        assert len(waits) == 2
        account.apply(ScaleOut())
        clock = mock.patch("time.monotonic", side_effect=range(0, 1000, 10))
        with mock.patch("time.sleep", waits.append), clock, pytest.raises(WorldChanged):
            account.apply(AwaitScaleIn())
        assert 2 < len(waits) < 10
        assert len(cloud.instances()) == 1

    def test_who_died_while_scaling_in_is_waited_for_and_no_longer(
        self, account: Account, cloud: Cloud
    ) -> None:
        now = time.time()
        dead = {"SS": [f"{now - 1} a", f"{now - 2} b"]}
        cloud.instance_writes("scale-in", BackupId={"S": "scale-in"}, Calls=dead)
        alive = {"SS": [*dead["SS"], f"{now + 60} c"]}
        cloud.instance_writes("scale-in", Calls=alive)
        with pytest.raises(WorldChanged, match="being scaled in"):
            account.apply(BeginRun(RECORD, LOCK))
        cloud.instance_writes("scale-in", Calls=dead)
        account.apply(BeginRun(RECORD, LOCK))
        assert cloud.item("scale-in") is None

    def test_one_that_begins_to_scale_in_while_a_run_begins_is_seen(
        self, account: Account, cloud: Cloud
    ) -> None:
        """Between the look at the note and the transaction, with the dead and without."""
        transact = account._transact
        for calls in ({}, {"Calls": {"SS": [f"{time.time() - 1} dead"]}}):
            cloud.instance_writes("scale-in", BackupId={"S": "scale-in"}, **calls)

            def after_another(*arguments: Any) -> None:
                account._dynamodb.update_item(**account._noted_call("ADD", "9999999999 alive"))
                transact(*arguments)

            with (
                mock.patch.object(account, "_transact", after_another),
                pytest.raises(WorldChanged),
            ):
                account.apply(BeginRun(RECORD, LOCK))
            assert cloud.item("lock") is None
            account._dynamodb.update_item(**account._noted_call("DELETE", "9999999999 alive"))

    def test_of_two_that_scale_in_neither_forgets_the_other(
        self, account: Account, cloud: Cloud
    ) -> None:
        """Whichever is done first: no run begins before the other is."""
        call = account._autoscaling.set_desired_capacity
        kept_out: list[bool] = []

        def another_begins() -> bool:
            try:
                account.apply(BeginRun(RECORD, LOCK))
            except WorldChanged:
                return False
            return True

        def while_another_does(**request: Any) -> Any:
            with mock.patch.object(account._autoscaling, "set_desired_capacity", call):
                account.apply(ScaleIn(""))
            kept_out.append(not another_begins())
            return call(**request)

        with mock.patch.object(account._autoscaling, "set_desired_capacity", while_another_does):
            account.apply(ScaleIn(""))
        assert kept_out == [True]
        assert another_begins()

    def test_a_group_that_refuses_keeps_no_run_from_beginning(
        self, account: Account, cloud: Cloud
    ) -> None:
        refusal = ClientError({"Error": {"Code": "Throttling", "Message": "slow"}}, "op")
        with (
            mock.patch.object(account._autoscaling, "set_desired_capacity", side_effect=refusal),
            pytest.raises(ClientError, match="slow"),
        ):
            account.apply(ScaleIn(""))
        account.apply(BeginRun(RECORD, LOCK))


class TestNotify:
    def test_goes_to_the_topic(self, account: Account, cloud: Cloud) -> None:
        account.apply(Notify("A subject", '{"a": 1}'))
        assert cloud.mails() == [("A subject", {"a": 1})]


class Stubbed:
    """An account whose clients answer only what a test expects, in order."""

    def __init__(self) -> None:
        self.stubbers: dict[str, Stubber] = {}
        self.account = Account(Settings.from_env(ENV), FUNCTION_ARN, self.client)

    def client(self, service: str) -> Any:
        client = boto3.client(service, region_name=REGION)
        self.stubbers[service] = Stubber(client)
        self.stubbers[service].activate()
        return client

    def expects_completion(self, error: str = "") -> None:
        stubber = self.stubbers["autoscaling"]
        expected = {
            "AutoScalingGroupName": "backup-group",
            "LifecycleHookName": "hook; rm -rf /",
            "LifecycleActionToken": TOKEN,
            "InstanceId": "i-1",
            "LifecycleActionResult": "CONTINUE",
        }
        if error:
            stubber.add_client_error(
                "complete_lifecycle_action", "ValidationError", error, expected_params=expected
            )
        else:
            stubber.add_response("complete_lifecycle_action", {}, expected)

    def all_expected_calls_were_made(self) -> None:
        for stubber in self.stubbers.values():
            stubber.assert_no_pending_responses()


@pytest.fixture
def stubbed() -> Iterator[Stubbed]:
    stubbed = Stubbed()
    yield stubbed
    stubbed.all_expected_calls_were_made()


class TestInstance:
    def test_is_ended_whatever_the_capacity(self, stubbed: Stubbed) -> None:
        expected = {"InstanceId": "i-1", "ShouldDecrementDesiredCapacity": False}
        call = "terminate_instance_in_auto_scaling_group"
        stubbed.stubbers["autoscaling"].add_response(call, {}, expected)
        stubbed.account.apply(EndInstance("i-1"))

    def test_need_not_be_ended_when_it_is_gone(self, stubbed: Stubbed) -> None:
        stubbed.stubbers["autoscaling"].add_client_error(
            "terminate_instance_in_auto_scaling_group",
            "ValidationError",
            "Instance Id not found - No managed instance found for instance ID i-1",
        )
        stubbed.account.apply(EndInstance("i-1"))

    def test_is_asked_to_stop_with_quoted_values(self, stubbed: Stubbed) -> None:
        command = (
            "/opt/efs-backup/ec2/ssm.sh --hook 'hook; rm -rf /' --group backup-group "
            f"--instance i-1 --token {TOKEN}"
        )
        stubbed.stubbers["ssm"].add_response(
            "send_command",
            {},
            {
                "InstanceIds": ["i-1"],
                "DocumentName": "AWS-RunShellScript",
                "Parameters": {"commands": [command]},
                "TimeoutSeconds": 60,
                "OutputS3BucketName": "log-bucket",
                "OutputS3KeyPrefix": "ssm-logs",
            },
        )
        stubbed.account.apply(StopInstance(TERMINATING))

    @pytest.mark.parametrize("code", ["InvalidInstanceId", "ThrottlingException", "AccessDenied"])
    def test_is_let_go_when_ssm_does_not_reach_it(
        self, stubbed: Stubbed, code: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        for _ in ("with output", "without"):
            stubbed.stubbers["ssm"].add_client_error("send_command", code)
        stubbed.expects_completion()
        stubbed.account.apply(StopInstance(TERMINATING))
        assert "i-1" in caplog.text
        assert code in caplog.text

    def test_is_asked_to_stop_without_output_when_the_bucket_is_refused(
        self, stubbed: Stubbed
    ) -> None:
        stubbed.stubbers["ssm"].add_client_error("send_command", "AccessDeniedException")
        without = {
            "InstanceIds": ["i-1"],
            "DocumentName": "AWS-RunShellScript",
            "Parameters": {"commands": [mock.ANY]},
            "TimeoutSeconds": 60,
        }
        stubbed.stubbers["ssm"].add_response("send_command", {}, without)
        stubbed.account.apply(StopInstance(TERMINATING))

    def test_is_let_go(self, stubbed: Stubbed) -> None:
        stubbed.expects_completion()
        stubbed.account.apply(CompleteHook(TERMINATING))

    def test_is_let_go_once(self, stubbed: Stubbed) -> None:
        stubbed.expects_completion(error="No active Lifecycle Action found with token")
        stubbed.account.apply(CompleteHook(TERMINATING))

    def test_another_refusal_is_raised(self, stubbed: Stubbed) -> None:
        stubbed.expects_completion(error="AutoScalingGroup name not found")
        with pytest.raises(ClientError, match="name not found"):
            stubbed.account.apply(CompleteHook(TERMINATING))


@pytest.mark.parametrize(
    ("service", "call", "action"),
    [
        ("dynamodb", "get_item", BeginRun(RECORD, LOCK)),
        ("dynamodb", "transact_write_items", BeginRun(RECORD, LOCK)),
        ("dynamodb", "update_item", CloseRun(CLOSED)),
        ("dynamodb", "put_item", NoteSnapshot(NewestSnapshot("run-a", NOW))),
        ("dynamodb", "delete_item", ReleaseLock("run-a")),
        ("scheduler", "create_schedule", STOP),
        ("autoscaling", "set_desired_capacity", ScaleOut()),
        ("autoscaling", "terminate_instance_in_auto_scaling_group", EndInstance("i-1")),
        ("sns", "publish", Notify("subject", "body")),
    ],
)
def test_an_unexpected_error_is_raised(
    stubbed: Stubbed, service: str, call: str, action: Any
) -> None:
    if call == "transact_write_items":
        stubbed.stubbers[service].add_response("get_item", {})
    stubbed.stubbers[service].add_client_error(call, "AccessDeniedException")
    with pytest.raises(ClientError, match="AccessDenied"):
        stubbed.account.apply(action)


class TestHold:
    def test_it_is_asked_for_as_make_hold_does(self, account: Account, cloud: Cloud) -> None:
        """Beside what others have asked for, and in the shape that the instance reads."""
        hold = Hold("2026-02-28T02:11:12Z", "console-20260228T021112Z")
        for moment in (NOW, NOW + timedelta(seconds=1)):
            decision = decide(hold, account.load(hold), cloud.settings, moment)
            (action,) = decision.actions
            assert isinstance(action, AskToHold)
            account.apply(action)
        asked = {"Action": "hold", "Snapshot": hold.snapshot, "Name": hold.name}
        item = boto3.client("dynamodb", region_name=REGION).get_item(
            TableName=cloud.settings.table, Key={"BackupId": {"S": "requests"}}
        )["Item"]
        assert for_engine(item) == {f"20260301T02000{n}Z-{hold.name}": asked for n in (0, 1)}
        assert hold.snapshot in decision.reason
