"""A restore stack and its instance: begun, watched, asked how it ended, and removed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError
from common.records import spoken
from common.times import moment
from engine.command.text import size
from rich.console import Console

from admin import listing
from admin.command import AdminError, Clients, printable, say
from admin.stack import UNUSABLE, Stack

LOGS = "efs-restore-logs/"
POLL_SECONDS = 2
# The topic goes with its stack, and takes with it what it has not delivered yet.
DELIVERY = timedelta(seconds=30)
# Clocks differ: from when on the logs of an instance are looked for.
EARLIER = timedelta(hours=1)


@dataclass
class Restoration:
    """A restore stack and its instance. It restores once, when it is created.

    bucket: where its logs go.
    """

    clients: Clients
    name: str
    bucket: str
    pause: Callable[[float], None] = time.sleep
    instances: set[str] = field(default_factory=set)
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    tags: Sequence[Mapping[str, str]] = ()

    def begin(self, template_url: str, parameters: Mapping[str, str]) -> None:
        self.clients("cloudformation").create_stack(
            StackName=self.name,
            TemplateURL=template_url,
            Parameters=[
                {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
            ],
            Capabilities=["CAPABILITY_IAM"],
            Tags=list(self.tags),
        )

    def wait(self, out: Console) -> None:
        """Until the instance has ended. Raises AdminError when there cannot be one."""
        began, shown, pace = time.monotonic(), "", Pace()
        with out.status("") as spinner:
            while state := self._state():
                progress = self._progress()
                how_far = pace.describe(progress) if progress else ""
                line = f"{state}: {pace.phase}" if progress else state
                if line != shown:
                    out.print(line)
                shown = line
                past = spoken(timedelta(seconds=time.monotonic() - began))
                spinner.update(f"{how_far or state}; {past}")
                self.pause(POLL_SECONDS)

    def _state(self) -> str:
        """What is happening; empty when all is over."""
        stack = Stack.find(self.clients, self.name)
        if stack is None or stack.status in UNUSABLE - {"CREATE_IN_PROGRESS"}:
            failures = [f"  {failure}" for failure in stack.failures()] if stack else []
            status = stack.status if stack else "gone"
            raise AdminError(
                "\n".join([f"The stack {self.name} is {status}; nothing was restored", *failures])
            )
        group = self._group()
        here = {instance["InstanceId"] for instance in group.get("Instances", [])}
        self.instances |= here
        if here:
            return f"The instance {', '.join(sorted(here))} is at work"
        if stack.status == "CREATE_IN_PROGRESS":
            return "The stack is being created"
        if group["DesiredCapacity"]:
            return f"The Auto Scaling group {group['AutoScalingGroupName']} launches an instance"
        if not self.instances:
            self.instances |= self._gone(group["AutoScalingGroupName"])
        return ""

    def _gone(self, group: str) -> set[str]:
        """Those that came and went between two looks; EC2 knows them for about an hour."""
        of_group = {"Name": "tag:aws:autoscaling:groupName", "Values": [group]}
        found = self.clients("ec2").describe_instances(Filters=[of_group])["Reservations"]
        return {each["InstanceId"] for some in found for each in some["Instances"]}

    def _group(self) -> dict[str, Any]:
        """The Auto Scaling group; empty as long as there is none."""
        resources = self.clients("cloudformation").describe_stack_resources(StackName=self.name)
        for resource in resources["StackResources"]:
            name = resource.get("PhysicalResourceId")
            if resource["LogicalResourceId"] == "RestoreAutoScalingGroup" and name:
                found = self.clients("autoscaling").describe_auto_scaling_groups(
                    AutoScalingGroupNames=[name]
                )["AutoScalingGroups"]
                return dict(found[0]) if found else {}
        return {}

    def _progress(self) -> dict[str, Any]:
        """What the last instance said of its progress; empty if nothing yet."""
        try:
            return self._newest("progress.json") if self.instances else {}
        except (ClientError, ValueError):
            return {}  # whoever watches must not be disturbed

    def notification(self) -> dict[str, Any]:
        """What the last instance said. Raises AdminError when it could not keep that in S3."""
        if found := self._newest("notification.json"):
            return found
        raise AdminError(
            f"The restore has ended, but there is no report in s3://{self.bucket}/{LOGS}. The"
            f" e-mail about it says more. The stack is still there: {self.name}"
        )

    def _newest(self, file: str) -> dict[str, Any]:
        keys = [key for key in self._keys() if key.endswith(f"/{file}")]
        if not keys:
            return {}
        answer = self.clients("s3").get_object(Bucket=self.bucket, Key=max(keys))
        found: dict[str, Any] = json.loads(answer["Body"].read())
        return found

    def _keys(self) -> Iterator[str]:
        """Those of its instances. They begin with the time."""
        first = f"{LOGS}{self.began - EARLIER:%Y%m%d-%H%M%S}"
        for found in listing.objects(self.clients("s3"), self.bucket, LOGS, first):
            folder = found["Key"].rpartition("/")[0]
            if folder.endswith(tuple(f"-{instance}" for instance in self.instances)):
                yield found["Key"]

    def remove(self, out: Console, message: Mapping[str, Any]) -> None:
        """The stack, once its topic has had time to deliver the message."""
        ended = moment(message.get("StopTime")) or datetime.now(UTC)
        with out.status(f"The stack {self.name} is being removed"):
            while datetime.now(UTC) < ended + DELIVERY:
                self.pause(POLL_SECONDS)
            self.clients("cloudformation").delete_stack(StackName=self.name)
            while (stack := Stack.find(self.clients, self.name)) is not None:
                if stack.status in ("DELETE_FAILED", "DELETE_COMPLETE"):
                    break
                self.pause(POLL_SECONDS)
        if stack and stack.status == "DELETE_FAILED":
            failures = [f"  {failure}" for failure in stack.failures()]
            raise AdminError("\n".join([f"The stack {self.name} could not be removed", *failures]))
        say(f"\nThe stack {self.name} was removed. Its logs stay.", out.file)


@dataclass
class Pace:
    """How fast the phase is that is under way, from when it was first seen."""

    phase: str = ""
    done: int = 0
    seen: datetime | None = None

    def describe(self, progress: Mapping[str, Any]) -> str:
        """phase: done of total files, bytes, rate, time left."""
        phase, done = printable(str(progress.get("phase", ""))), int(progress.get("done", 0))
        now = moment(progress.get("updated"))
        if phase != self.phase:
            self.phase, self.done, self.seen = phase, done, now
        total, unit = progress.get("total"), printable(str(progress.get("unit", "")))
        words = [f"{phase}: {done:,}" + (f" of {int(total):,}" if total else "") + f" {unit}"]
        if progress.get("bytes"):
            words.append(size(int(progress["bytes"])))
        seconds = (now - self.seen).total_seconds() if now and self.seen else 0
        if seconds > 0 and done > self.done:
            rate = (done - self.done) / seconds
            words.append(f"{rate:,.0f} {unit}/s")
            if total and int(total) > done:
                words.append(f"{spoken(timedelta(seconds=(int(total) - done) / rate))} left")
        return ", ".join(words)
