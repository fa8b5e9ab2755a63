"""What the rows work with: a small source with an instance beside it, a release, a stack."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from common.records import Run
from common.statuses import SUCCESS
from rich.console import Console

from admin import publish, restore
from admin.acceptance.account import Account
from admin.acceptance.runs import Runs
from admin.command import AdminError, Given
from admin.restoration import Restoration
from admin.stack import Stack

HERE = Path(__file__).parent
HOSTILE = HERE / "hostile.py"
VERSION = "v0.0.0-acceptance"
BACKUP_TEMPLATE, _ = publish.TEMPLATES["Backup"]
SOURCE, BACKUP = "/mnt/acceptance-source", "/mnt/acceptance-backup"
FOLDER = "efs-backup"
LARGE = "large"


class CommandFailed(AdminError):
    """A command on the client instance."""


@dataclass
class Scene:
    account: Account
    network: Mapping[str, str]
    """The parameters VpcId, Subnets and Email of the backup stack."""
    out: Console
    pause: Callable[[float], None] = time.sleep
    emulated: bool = False
    replica: str = ""
    """The region for a replica, where the user has named one."""
    stays: bool = field(default=False, init=False)
    """Whether all that was made is wanted for another visit."""
    killed: Run | None = field(default=None, init=False)
    """A run whose first instance was killed."""
    restores: int = field(default=0, init=False)
    restorers: set[str] = field(default_factory=set, init=False)
    """The instances of the last restore."""

    def client(self, service: str) -> Any:
        return self.account.clients(service)

    @property
    def region(self) -> str:
        return self.account.journal.region

    def until(self, what: str, minutes: float, found: Callable[[], Any]) -> Any:
        """The first true value. Raises AdminError when none comes in time."""
        deadline = time.monotonic() + minutes * 60
        while not (value := found()):
            if time.monotonic() > deadline:
                raise AdminError(f"Waited {minutes:g} minutes in vain for {what}")
            self.pause(0.3 if self.emulated else 2)
        return value

    @cached_property
    def source(self) -> Stack:
        name = self.account.source
        if found := self.account.made(name):
            return found
        self.account.say("Making a source file system, and an instance beside it")
        vpcs = self.client("ec2").describe_vpcs(VpcIds=[self.network["VpcId"]])["Vpcs"]
        return self.account.create(
            name,
            {
                "VpcId": self.network["VpcId"],
                "VpcCidr": vpcs[0]["CidrBlock"],
                "Subnets": self.network["Subnets"],
                "Bucket": f"{self.account.name}-{self.region}",
            },
            TemplateBody=(HERE / "source.template").read_text(),
        )

    @cached_property
    def release_url(self) -> str:
        """Of the release that is here, in a bucket of the run's own."""
        _ = self.source
        release = publish.Release.built(VERSION, self.account.name)
        buckets = publish.buckets_of(self.account.clients, self.account.name, [self.region])
        publish.publish(release, buckets, create=False, say=lambda _: None)
        return publish.object_url(buckets[0].client, buckets[0].name, release.folder)

    @property
    def template_url(self) -> str:
        return f"{self.release_url}/{BACKUP_TEMPLATE}"

    @cached_property
    def parameters(self) -> dict[str, str]:
        return {
            "SrcEFS": self.source.outputs["FileSystem"],
            "BackupWindow": "60",
            "BackupSchedule": "rate(30 days)",
            "Dashboard": "No",
            "SendAnonymousData": "No",
            "SuccessNotification": "No",
            **self.network,
        }

    @cached_property
    def stack(self) -> Stack:
        if found := self.account.made(self.account.name):
            return found
        url = self.template_url
        self.account.say("Making the backup stack")
        return self.account.create(self.account.name, self.parameters, TemplateURL=url)

    @cached_property
    def instance(self) -> str:
        """The client, once it can be commanded."""
        group = self.source.outputs["Client"]

        def managed() -> str:
            found = self.client("autoscaling").describe_auto_scaling_groups(
                AutoScalingGroupNames=[group]
            )["AutoScalingGroups"][0]["Instances"]
            known = self.client("ssm").describe_instance_information()["InstanceInformationList"]
            ids = {i["InstanceId"] for i in known}
            return next((i["InstanceId"] for i in found if i["InstanceId"] in ids), "")

        return str(self.until("the client instance to be reached by Systems Manager", 10, managed))

    def run(self, script: str) -> str:
        """What a script on the client prints. Raises CommandFailed with what it says."""
        sent = self.client("ssm").send_command(
            InstanceIds=[self.instance],
            DocumentName="AWS-RunShellScript",
            Parameters={"commands": [f"set -e\n{script}"]},
        )["Command"]["CommandId"]

        def ended() -> Any:
            try:
                found = self.client("ssm").get_command_invocation(
                    CommandId=sent, InstanceId=self.instance
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != "InvocationDoesNotExist":
                    raise
                return None
            waiting = ("Pending", "InProgress", "Delayed", "Cancelling")
            return None if found["Status"] in waiting else found

        found = self.until("a command on the client", 10, ended)
        if found["Status"] != SUCCESS:
            raise CommandFailed(found["StandardErrorContent"].strip() or found["Status"])
        return str(found["StandardOutputContent"]).strip()

    def mount(self, file_system: str, place: str) -> None:
        self.run(
            "command -v mount.efs >/dev/null || dnf -yq install amazon-efs-utils\n"
            f"mkdir -p {place}\n"
            f"mountpoint -q {place} || mount -t efs -o tls {file_system}:/ {place}"
        )

    @cached_property
    def tree(self) -> bool:
        """The hostile tree is in the source."""
        self.mount(self.source.outputs["FileSystem"], SOURCE)
        self.tool("make", SOURCE)
        return True

    def tool(self, verb: str, place: str) -> str:
        program = shlex.quote(HOSTILE.read_text())
        return self.run(f"python3 -c {program} {verb} {place}")

    @cached_property
    def backup_mounted(self) -> bool:
        self.mount_backup(self.stack, BACKUP)
        return True

    def mount_backup(self, stack: Stack, place: str) -> None:
        """The security group of a backup lets in whoever has it; the client has it until its stack
        is deleted, which is the first to be deleted."""
        if not self.emulated:
            groups = [self.source.outputs["SecurityGroup"], stack.outputs["EFSSecurityGroup"]]
            self.client("ec2").modify_instance_attribute(InstanceId=self.instance, Groups=groups)
        self.mount(stack.outputs["BackupEFS"], place)

    @contextmanager
    def large_file(self) -> Iterator[None]:
        """In the source, for as long as it takes to catch an instance that copies it."""
        path = shlex.quote(f"{SOURCE}/{LARGE}")
        _ = self.tree
        self.run(f"truncate -s 1G {path}" if self.emulated else f"head -c 8G /dev/urandom >{path}")
        try:
            yield
        finally:
            self.run(f"rm -f {path}")

    @property
    def soon(self) -> timedelta:
        """From when on EventBridge Scheduler can be relied upon."""
        return timedelta(seconds=-1 if self.emulated else 60)

    @cached_property
    def replica_region(self) -> str:
        """One that the account may use, near by if there is such; empty if there is none."""
        if self.replica:
            return self.replica
        found = self.client("ec2").describe_regions()["Regions"]
        others = {each["RegionName"] for each in found} - {self.region}
        continent = self.region.partition("-")[0]
        return min(others, key=lambda r: (r.partition("-")[0] != continent, r), default="")

    @property
    def runs(self) -> Runs:
        """Of the backup stack, with the hostile tree in its source."""
        _ = self.tree
        return self.runs_of(self.stack)

    def runs_of(self, stack: Stack) -> Runs:
        return Runs(self.account, stack, self.until)

    def restore(
        self, meanwhile: Callable[[str], object] = lambda stack: None, **asked: str
    ) -> dict[str, Any]:
        """What a restore notified, once its stack is gone. meanwhile: gets the stack's name."""
        self.restores += 1
        name = f"{self.account.name}-restore-{self.restores}"
        self.account.say(f"Restoring: {asked or 'everything'}")
        values = {"STACK": self.stack.name, **asked}
        given = Given(values)
        url, template = restore.restore_template(self.client("s3"), self.stack)
        settings = {n: v for n, v in self.stack.settings().items() if n in template.parameters}
        parameters = settings | restore.parameters_for(self.stack, given, restore.SHORT)
        restoration = Restoration(
            self.account.clients, name, parameters["RestoreLogBucket"], tags=self.account.tags
        )
        self.account.note(name)
        restoration.begin(url, parameters)
        meanwhile(name)
        restoration.wait(self.out)
        self.restorers = restoration.instances
        message = restoration.notification()
        self.account.remove(name)
        return message
