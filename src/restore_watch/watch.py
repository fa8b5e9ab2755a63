"""What is done about a restore's events.

boto3 clients are typed Any: their methods are made from service models at run time.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from common.restores import AGAIN, WAY_BACK, start_command
from common.statuses import UNKNOWN
from common.times import timestamp
from common.window import once

ENTRY = "restore"
"""There is one restore at a time in a stack, so there is one entry."""
NO_INSTANCE = "EFS restore: no instance yet"
"""The subject that says nothing about how the restore ends."""


@dataclass(frozen=True)
class Settings:
    """window: minutes from the launch to the end of the restore. worker_group: of the instances
    that help, '' if there are to be none."""

    topic_arn: str
    worker_group: str
    schedule_group: str
    scheduler_role_arn: str
    window: int
    logs: str
    region: str
    stack: str

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> "Settings":
        return cls(
            topic_arn=environment["topic_arn"],
            worker_group=environment["worker_group"],
            schedule_group=environment["schedule_group"],
            scheduler_role_arn=environment["scheduler_role_arn"],
            window=int(environment["restore_window"]),
            logs=environment["logs"],
            region=environment["AWS_REGION"],
            stack=environment["stack_name"],
        )


class Watch:
    """function_arn: the function that the entry calls. client: makes the boto3 client of a
    service."""

    def __init__(self, settings: Settings, function_arn: str, client: Callable[[str], Any]) -> None:
        self.settings = settings
        self._function_arn = function_arn
        self._autoscaling = client("autoscaling")
        self._events = client("events")
        self._scheduler = client("scheduler")
        self._sns = client("sns")

    def launched(self, group: str, end: datetime) -> str:
        """The window begins with the first instance: one that replaces it gets no other."""
        if self._expect(group, end):
            return f"an instance was launched; the window is over at {timestamp(end)}"
        return "the window goes on, or the restore has ended already"

    def not_launched(self, group: str, end: datetime, why: str) -> str:
        """The group tries again every few minutes: it is said once."""
        if not self._expect(group, end):
            return "that was said already, or no instance is wanted any more"
        self._notify(
            NO_INSTANCE,
            f"No instance could be launched for the EFS restore yet: {why.rstrip('. ')}.",
            "Put that right. The Auto Scaling group tries again until "
            f"{timestamp(end)}; to give up earlier, delete the restore's stack.",
        )
        return "no instance could be launched"

    def heard(self, message: Mapping[str, Any], said: datetime) -> str:
        """A message that comes late says nothing about a restore that was started since. Whatever
        it tells of is told on the event bus as well, after all else, even if that is refused."""
        if message.get("Subject") == NO_INSTANCE:
            return "nothing was said about the end of this restore"
        try:
            entry = self._entry()
            is_late = entry and entry["CreationDate"] > said
            if not is_late:
                self._forget()
                self._end_workers()
        finally:
            self._announce(message)
        return "an earlier restore was heard of" if is_late else "the restore was heard of"

    def terminated(self, group: str) -> str:
        if self._desired(group):
            return "the group replaces its instance"
        if not self._entry():
            self._end_workers()
            return "the restore was heard of"
        self._notify(
            f"EFS restore: {UNKNOWN}",
            "The instance of the EFS restore has ended and has not said how the restore ended.",
            "If you ended it yourself, or deleted its stack, that is why. Otherwise see the logs "
            f"below EC2Logs and the activity history of the Auto Scaling group, and {AGAIN}. "
            + WAY_BACK,
            group,
        )
        self._forget()
        self._end_workers()
        return "the instance ended without a word"

    def end(self, group: str) -> str:
        """The instances first: they cost, whether anybody can be told or not. What is refused is
        told, too, and raised at the end: Lambda tries again, and then it is told how that went."""
        refused = []
        for name in filter(None, (group, self.settings.worker_group)):
            try:
                self._scale_in(name)
            except (BotoCoreError, ClientError) as error:
                refused.append(f"{name}: {error}")
        why = "; ".join(refused)
        self._notify(
            f"EFS restore: {UNKNOWN}",
            "The EFS restore has not ended within its Restore Window of "
            f"{self.settings.window} minutes, and has not reported. "
            + (f"Not all instances could be ended: {why}" if why else "Its instance was ended."),
            ("Set the desired capacity of these Auto Scaling groups to 0. " if why else "")
            + "See progress.json below EC2Logs for how far it was. A file system that stops "
            "answering makes an instance hang: check the mount targets of both and their security "
            f"groups. Then {AGAIN}. If there was too much to restore, launch the template again "
            f"with a longer Restore Window. {WAY_BACK}",
            group,
        )
        self._forget()
        if why:
            raise RuntimeError(f"not all instances could be ended: {why}")
        return "the window is over"

    def _end_workers(self) -> None:
        if self.settings.worker_group:
            self._scale_in(self.settings.worker_group)

    def _scale_in(self, group: str) -> None:
        """A group that is gone has nothing to end."""
        try:
            self._autoscaling.set_desired_capacity(
                AutoScalingGroupName=group, DesiredCapacity=0, HonorCooldown=False
            )
        except ClientError:
            if self._desired(group):
                raise

    def _announce(self, message: Mapping[str, Any]) -> None:
        """docs/events.md describes the event. SNS delivers a message once or more, by one id."""
        try:
            told = json.loads(message["Message"])
        except ValueError:
            return  # by somebody else
        if not isinstance(told, dict) or "Status" not in told:
            return
        detail = {"Id": message["MessageId"], "StackName": self.settings.stack, **told}
        entry = {
            "Source": "efs-backup",
            "DetailType": "EFS Restore Ended",
            "Detail": json.dumps(detail),
        }
        answer = self._events.put_events(Entries=[entry])
        if answer["FailedEntryCount"]:
            raise RuntimeError(f"EventBridge refused the event: {answer['Entries']}")

    def _expect(self, group: str, end: datetime) -> bool:
        """False if there is an entry already, or nothing to expect: an event may come late, when
        the restore has reported and is over."""
        if not self._desired(group):
            return False
        event = {"mode": "restore", "action": "end", "group": group}
        try:
            self._scheduler.create_schedule(
                Name=ENTRY,
                GroupName=self.settings.schedule_group,
                **once(end, self._function_arn, self.settings.scheduler_role_arn, event),
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConflictException":
                raise
            return False
        return True

    def _entry(self) -> Any:
        """None if there is none: then nothing is to be heard."""
        return self._unless_missing(self._scheduler.get_schedule)

    def _forget(self) -> None:
        self._unless_missing(self._scheduler.delete_schedule)

    def _unless_missing(self, call: Callable[..., Any]) -> Any:
        try:
            return call(Name=ENTRY, GroupName=self.settings.schedule_group)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            return None

    def _desired(self, group: str) -> int:
        found = self._autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[group])
        return sum(int(g["DesiredCapacity"]) for g in found["AutoScalingGroups"])

    def _notify(self, subject: str, message: str, what_to_do: str, group: str = "") -> None:
        """Like the notification of the instance. group: for how to start the restore again."""
        body = {
            "Status": UNKNOWN,
            "Message": message,
            "WhatToDo": what_to_do,
            **({"StartCommand": start_command(self.settings.region, group)} if group else {}),
            "EC2Logs": self.settings.logs,
        }
        self._sns.publish(
            TopicArn=self.settings.topic_arn, Subject=subject, Message=json.dumps(body, indent=4)
        )
