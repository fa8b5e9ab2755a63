"""Every restore is heard of, and its instance ends, whatever becomes of it."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
import fastjsonschema
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.sns.models import sns_backends

from tests.cloudformation import aws_environment

is_an_event = fastjsonschema.compile(json.loads(Path("docs/events.schema.json").read_text()))
REGION = "eu-west-1"
IMAGE = "ami-12c6146b"  # one that moto knows
GROUP = "my-restore-RestoreAutoScalingGroup-1x2y3z"
WORKERS = "my-restore-WorkerGroup-3x4y5z"
WINDOW = 90
LAUNCHED = "EC2 Instance Launch Successful"
NOT_LAUNCHED = "EC2 Instance Launch Unsuccessful"
TERMINATED = "EC2 Instance Terminate Successful"


def message(
    subject: str, ago: timedelta = timedelta(), said: str = "{}", identifier: str = "m-1"
) -> dict[str, Any]:
    """As SNS delivers it. An instance has to boot before it says anything."""
    moment = (
        (datetime.now(UTC) + timedelta(seconds=2) - ago)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )
    sns = {"Subject": subject, "Message": said, "Timestamp": moment, "MessageId": identifier}
    return {"Records": [{"Sns": sns}]}


class Context:
    invoked_function_arn = f"arn:aws:lambda:{REGION}:{DEFAULT_ACCOUNT_ID}:function:watch"


class Stack:
    """A restore stack whose topic calls the function, as the template says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, workers: str = WORKERS) -> None:
        from restore_watch import handler

        handler.connect.cache_clear()
        self._handle = handler.lambda_handler
        self.scheduler = boto3.client("scheduler", REGION)
        self.autoscaling = boto3.client("autoscaling", REGION)
        self.topic = boto3.client("sns", REGION).create_topic(Name="topic")["TopicArn"]
        self.scheduler.create_schedule_group(Name="entries")
        self.autoscaling.create_launch_configuration(
            LaunchConfigurationName="launch", ImageId=IMAGE, InstanceType="c5.xlarge"
        )
        for name, capacity in ((GROUP, 1), (WORKERS, 2)):
            self.autoscaling.create_auto_scaling_group(
                AutoScalingGroupName=name,
                LaunchConfigurationName="launch",
                AvailabilityZones=[f"{REGION}a"],
                MinSize=0,
                MaxSize=capacity,
                DesiredCapacity=capacity,
            )
        for name, value in {
            "topic_arn": self.topic,
            "worker_group": workers,
            "schedule_group": "entries",
            "scheduler_role_arn": f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}:role/scheduler",
            "restore_window": str(WINDOW),
            "logs": "s3://logs/efs-restore-logs/",
            "stack_name": "my-restore",
        }.items():
            monkeypatch.setenv(name, value)
        self._delivered = 0
        self.told: list[dict[str, Any]] = []
        self.watch = watch = handler.connect(Context.invoked_function_arn)
        watch._events.meta.events.register("before-parameter-build.events.PutEvents", self._tell)

    def _tell(self, params: dict[str, Any], **_: Any) -> None:
        self.told += [
            {
                "source": entry["Source"],
                "detail-type": entry["DetailType"],
                "detail": json.loads(entry["Detail"]),
            }
            for entry in params["Entries"]
        ]

    def call(self, event: dict[str, Any]) -> None:
        """What the function publishes comes back to it."""
        self._handle(event, Context())
        while self._delivered < len(self.mails):
            subject, said = self.mails[self._delivered]
            self._delivered += 1
            self._handle(message(subject, said=json.dumps(said)), Context())

    def happens(self, what: str, **detail: str) -> None:
        self.call(
            {
                "source": "aws.autoscaling",
                "detail-type": what,
                "detail": {"AutoScalingGroupName": GROUP, "EC2InstanceId": "i-1", **detail},
            }
        )

    def entry_is_due(self) -> None:
        """EventBridge Scheduler keeps it until it has been delivered."""
        self.call(json.loads(self.entry["Target"]["Input"]))

    def scaling_is_refused(self, code: str, *groups: str) -> Any:
        """As long as it lasts, for these groups."""
        client = self.watch._autoscaling
        scale = client.set_desired_capacity

        def refuse(**request: Any) -> Any:
            if request["AutoScalingGroupName"] in groups:
                raise ClientError({"Error": {"Code": code}}, "SetDesiredCapacity")
            return scale(**request)

        return mock.patch.object(client, "set_desired_capacity", refuse)

    def says(self, subject: str, ago: timedelta = timedelta()) -> None:
        """What the instance publishes."""
        self.call(message(subject, ago))

    def scale(self, capacity: int, group: str = GROUP) -> None:
        self.autoscaling.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=capacity)

    @property
    def desired(self) -> int:
        return self.desired_of(GROUP)

    def desired_of(self, name: str) -> int:
        found = self.autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])
        (group,) = found["AutoScalingGroups"]
        return int(group["DesiredCapacity"])

    @property
    def entry(self) -> Any:
        """The entry that ends the restore, None if there is none."""
        try:
            return self.scheduler.get_schedule(Name="restore", GroupName="entries")
        except self.scheduler.exceptions.ResourceNotFoundException:
            return None

    @property
    def mails(self) -> list[tuple[str, dict[str, Any]]]:
        sent = sns_backends[DEFAULT_ACCOUNT_ID][REGION].topics[self.topic].sent_notifications
        return [(str(subject), json.loads(text)) for _, text, subject, *_ in sent]


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    aws_environment(monkeypatch)
    with mock_aws():
        yield Stack(monkeypatch)


def test_a_restore_that_reports_is_not_spoken_of(stack: Stack) -> None:
    stack.happens(LAUNCHED)
    assert stack.entry["ActionAfterCompletion"] == "DELETE"
    assert stack.entry["Target"]["Arn"] == Context.invoked_function_arn
    due = datetime.fromisoformat(stack.entry["ScheduleExpression"][3:-1]).replace(tzinfo=UTC)
    assert abs(due - datetime.now(UTC) - timedelta(minutes=WINDOW)) < timedelta(minutes=1)
    stack.says("EFS restore: Success")
    assert stack.entry is None
    stack.scale(0)
    stack.happens(TERMINATED)
    assert stack.mails == []


SUCCESS = {"Status": "Success", "Message": "Restored.", "WhatToDo": "Nothing.", "Errors": ["a"]}


def test_what_is_published_is_an_event_too(stack: Stack) -> None:
    stack.happens(LAUNCHED)
    for _ in range(2):  # SNS delivers at least once
        stack.call(message("EFS restore: Success", said=json.dumps(SUCCESS)))
    first, again = stack.told
    assert first == again
    assert first["detail"] == {"Id": "m-1", "StackName": "my-restore", **SUCCESS}
    is_an_event(first)


def test_what_the_function_says_itself_is_an_event_too(stack: Stack) -> None:
    stack.happens(NOT_LAUNCHED, StatusMessage="There is no capacity.")
    assert stack.told == [], "it has not ended"
    stack.entry_is_due()
    (event,) = stack.told
    is_an_event(event)
    assert event["detail"]["Status"] == "Unknown"


@pytest.mark.parametrize("said", ["hello", "[]", "{}"])
def test_what_others_publish_is_no_event(stack: Stack, said: str) -> None:
    stack.call(message("hello", said=said))
    assert stack.told == []


def test_an_event_that_is_refused_comes_after_all_else_and_is_tried_again(stack: Stack) -> None:
    stack.happens(LAUNCHED)
    refused = {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]}
    with (
        mock.patch("botocore.client.BaseClient._make_api_call", wraps=None) as call,
    ):
        call.side_effect = lambda name, _: (
            refused if name == "PutEvents" else {"CreationDate": datetime.now(UTC)}
        )
        with pytest.raises(RuntimeError, match="InternalFailure"):
            stack.call(message("EFS restore: Success", said=json.dumps(SUCCESS)))
    assert [c.args[0] for c in call.call_args_list] == [
        "GetSchedule",
        "DeleteSchedule",
        "SetDesiredCapacity",
        "PutEvents",
    ]


def test_a_launch_that_is_told_too_late_changes_nothing(stack: Stack) -> None:
    stack.says("EFS restore: Unsuccessful")
    stack.scale(0)
    stack.happens(LAUNCHED)
    assert stack.entry is None
    stack.happens(TERMINATED)
    assert stack.mails == []


def test_one_that_hangs_is_ended_and_told_of_once(stack: Stack) -> None:
    stack.happens(LAUNCHED)
    stack.entry_is_due()
    assert stack.desired == 0
    stack.happens(TERMINATED)
    ((subject, message),) = stack.mails
    assert subject == "EFS restore: Unknown"
    assert f"its Restore Window of {WINDOW} minutes" in message["Message"]
    assert "progress.json below EC2Logs" in message["WhatToDo"]
    assert message["EC2Logs"] == "s3://logs/efs-restore-logs/"
    assert message["StartCommand"] == (
        f"aws autoscaling set-desired-capacity --region {REGION}"
        f" --auto-scaling-group-name {GROUP} --desired-capacity 1"
    )


@pytest.mark.parametrize("how", ["it reports", "it ends without a word", "its window is over"])
def test_workers_end_with_their_restore(stack: Stack, how: str) -> None:
    stack.happens(LAUNCHED)
    assert stack.desired_of(WORKERS) == 2
    if how == "it reports":
        stack.call(message("EFS restore: Success"))
    elif how == "its window is over":
        stack.entry_is_due()
    else:
        stack.scale(0)
        stack.happens(TERMINATED)
    assert stack.desired_of(WORKERS) == 0


def test_workers_that_were_asked_for_after_the_report_end_with_the_instance(stack: Stack) -> None:
    stack.happens(LAUNCHED)
    stack.call(message("EFS restore: Success"))
    stack.scale(1, WORKERS)
    stack.scale(0)
    stack.happens(TERMINATED)
    assert stack.desired_of(WORKERS) == 0


@pytest.mark.parametrize("gone", [WORKERS, GROUP])
def test_a_group_that_is_gone_is_none_to_end(stack: Stack, gone: str) -> None:
    stack.happens(LAUNCHED)
    stack.autoscaling.delete_auto_scaling_group(AutoScalingGroupName=gone, ForceDelete=True)
    with stack.scaling_is_refused("ValidationError", gone):  # as moto does not
        stack.entry_is_due()
    assert stack.desired_of(WORKERS if gone == GROUP else GROUP) == 0
    ((_, message),) = stack.mails
    assert message["Message"].endswith("Its instance was ended.")
    assert [event["detail"]["Status"] for event in stack.told] == ["Unknown"]


def test_the_end_of_the_window_is_told_also_when_instances_cannot_be_ended(stack: Stack) -> None:
    stack.happens(LAUNCHED)
    refused = stack.scaling_is_refused("Throttling", GROUP, WORKERS)
    with refused, pytest.raises(RuntimeError, match=GROUP):  # Lambda tries again
        stack.entry_is_due()
    ((_, message),) = stack.mails
    for group in (GROUP, WORKERS):
        assert f"{group}: An error occurred (Throttling)" in message["Message"]
    assert "desired capacity of these Auto Scaling groups to 0" in message["WhatToDo"]


def test_workers_that_cannot_be_ended_keep_no_report_from_the_event_bus(stack: Stack) -> None:
    stack.happens(LAUNCHED)
    reported = message("EFS restore: Success", said=json.dumps(SUCCESS))
    refused = stack.scaling_is_refused("Throttling", WORKERS)
    with refused, pytest.raises(ClientError):  # Lambda tries again
        stack.call(reported)
    assert [event["detail"]["Status"] for event in stack.told] == ["Success"]
    stack.call(reported)
    assert stack.desired_of(WORKERS) == 0


def test_a_restore_that_goes_on_keeps_its_workers(stack: Stack) -> None:
    stack.happens(LAUNCHED)
    stack.happens(TERMINATED)  # the group replaces it
    assert stack.desired_of(WORKERS) == 2


def test_there_need_not_be_any_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    aws_environment(monkeypatch)
    with mock_aws():
        stack = Stack(monkeypatch, workers="")
        stack.happens(LAUNCHED)
        stack.entry_is_due()
        assert (stack.desired, stack.desired_of(WORKERS)) == (0, 2)


def test_one_that_ends_without_a_word_is_told_of_once(stack: Stack) -> None:
    stack.happens(LAUNCHED)
    stack.scale(0)
    stack.happens(TERMINATED)
    stack.happens(TERMINATED)
    ((subject, message),) = stack.mails
    assert subject == "EFS restore: Unknown"
    assert "has not said how the restore ended" in message["Message"]
    assert ".efs-restore-<id>.undo puts it back" in message["WhatToDo"]


def test_the_window_is_that_of_the_restore_and_not_of_an_instance(stack: Stack) -> None:
    stack.happens(LAUNCHED)
    due = stack.entry["ScheduleExpression"]
    stack.happens(TERMINATED)  # it died, and the group replaces it
    stack.happens(LAUNCHED)
    assert stack.entry["ScheduleExpression"] == due
    assert stack.mails == []


def test_a_restore_that_is_started_again_has_a_window_of_its_own(stack: Stack) -> None:
    stack.happens(LAUNCHED)
    stack.says("EFS restore: Incomplete")
    stack.scale(0)
    stack.happens(TERMINATED)
    stack.scale(1)
    stack.happens(LAUNCHED)
    assert stack.entry
    assert stack.mails == []


def test_a_report_that_comes_late_is_not_that_of_the_next_restore(stack: Stack) -> None:
    stack.happens(LAUNCHED)
    stack.says("EFS restore: Incomplete", ago=timedelta(minutes=2))
    assert stack.entry


def test_an_instance_that_cannot_be_launched_is_told_of_once_and_at_the_end(stack: Stack) -> None:
    for _ in range(3):
        stack.happens(NOT_LAUNCHED, StatusMessage="There is no capacity.")
    ((subject, message),) = stack.mails
    assert subject == "EFS restore: no instance yet"
    assert message["Message"].endswith("yet: There is no capacity.")
    assert "StartCommand" not in message, "the group tries by itself"
    stack.entry_is_due()
    assert stack.desired == 0
    assert [subject for subject, _ in stack.mails[1:]] == ["EFS restore: Unknown"]


def test_an_instance_is_ended_also_when_nobody_can_be_told(stack: Stack) -> None:
    stack.happens(LAUNCHED)
    boto3.client("sns", REGION).delete_topic(TopicArn=stack.topic)
    with pytest.raises(ClientError):  # Lambda tries again
        stack.entry_is_due()
    assert stack.desired == 0
    assert stack.entry, "it was not heard of"


def test_an_event_that_is_not_understood_is_an_error(stack: Stack) -> None:
    with pytest.raises(ValueError, match="event not understood"):
        stack.call({"source": "aws.ec2"})
