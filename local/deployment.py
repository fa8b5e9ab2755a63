"""The backup solution in an account: what a user does to deploy it, and what it then does."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from common.dynamodb import plain_item
from common.table import LOCK_KEY, key_of

from admin import publish, restoration
from local import api
from local.account import REGION, Account
from local.api import Record

Progress = Callable[[str], None]

BUCKET = f"efs-backup-solution-{REGION}"
BACKUP_TEMPLATE, STACK = publish.TEMPLATES["Backup"]
RESTORE_TEMPLATE, _ = publish.TEMPLATES["Restore"]
EMAIL = "you@example.com"
# Nothing takes that long, whatever else this machine does, unless it never comes.
WAIT_SECONDS = 300
FINISHED = ("CREATE_COMPLETE", "CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED")


class DeploymentError(Exception):
    """Something is not as it must be; the message says what was expected and what was found."""


@dataclass(frozen=True)
class Network:
    vpc: str
    subnets: tuple[str, str]


def create_network(account: Account) -> Network:
    """A VPC with two subnets in two Availability Zones, as a user of EFS has it."""
    ec2 = account.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    first, second = (
        ec2.create_subnet(
            VpcId=vpc, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=account.region + zone
        )["Subnet"]["SubnetId"]
        for number, zone in enumerate("ab")
    )
    return Network(vpc, (first, second))


def create_file_system(account: Account, network: Network) -> str:
    """An empty EFS file system that instances in the network can mount; returns its id."""
    efs = account.client("efs")
    token = f"source-{network.vpc}"
    file_system = str(efs.create_file_system(CreationToken=token)["FileSystemId"])
    for subnet in network.subnets:
        efs.create_mount_target(FileSystemId=file_system, SubnetId=subnet)
    account.file_system(file_system).mkdir()
    return file_system


def upload(
    account: Account, release: Path, version: str, progress: Progress = lambda text: None
) -> str:
    """Publishes a release that was built, as make publish does; returns the URL of its folder."""
    s3 = account.client("s3")
    published = publish.Release.read(version, release)
    bucket = publish.Bucket(BUCKET, account.region, api.ACCOUNT_ID, s3)
    publish.publish(published, [bucket], create=True, say=progress)
    return publish.object_url(s3, BUCKET, published.folder)


def create_stack(
    account: Account, name: str, url: str, parameters: dict[str, str], progress: Progress
) -> dict[str, str]:
    """Creates a stack; returns its resources, logical id → physical id.

    Raises DeploymentError with the resources that failed, and why.
    """
    cloudformation = account.client("cloudformation")
    cloudformation.create_stack(
        StackName=name,
        TemplateURL=url,
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
        ],
        Capabilities=["CAPABILITY_IAM"],
    )
    for _ in _until(f"the stack {name} to be complete"):
        status = cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
        events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        done = [e for e in events if e["ResourceStatus"] == "CREATE_COMPLETE"]
        progress(f"{len(done)} resources")
        if status in FINISHED:
            break
    if status != "CREATE_COMPLETE":
        failures = [
            f"{e['LogicalResourceId']}: {e.get('ResourceStatusReason', 'no reason given')}"
            for e in reversed(events)
            if e["ResourceStatus"] == "CREATE_FAILED"
        ]
        raise DeploymentError(
            f"expected the stack {name} to be CREATE_COMPLETE, found {status}\n"
            + "\n".join(failures)
        )
    found = cloudformation.describe_stack_resources(StackName=name)["StackResources"]
    return {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in found}


@dataclass(frozen=True)
class Deployment:
    """A stack of the backup template. resources: logical id → physical id."""

    account: Account
    network: Network
    source_id: str
    resources: dict[str, str]

    @classmethod
    def create(
        cls,
        account: Account,
        network: Network,
        source_id: str,
        release_url: str,
        progress: Progress = lambda text: None,
        **parameters: str,
    ) -> "Deployment":
        """Creates the stack, with a user's parameters or the given ones."""
        values = {
            "SrcEFS": source_id,
            "VpcId": network.vpc,
            "Subnets": ",".join(network.subnets),
            "Email": EMAIL,
            **parameters,
        }
        url = f"{release_url}/{BACKUP_TEMPLATE}"
        resources = create_stack(account, STACK, url, values, progress)
        return cls(account, network, source_id, resources)

    @property
    def source(self) -> Path:
        return self.account.file_system(self.source_id)

    @property
    def snapshots(self) -> Path:
        """The directory of the snapshots that the default parameters give."""
        return self.account.file_system(self.resources["DstEFS"]) / "efs-backup"

    def start(self) -> str:
        """Lets the schedule rule fire; returns the BackupId of the run that it starts."""
        self.account.fire(self.resources["EFSBackupStartEvent"])
        for _ in _until("the orchestrator to start a run"):
            if lock := self.item(LOCK_KEY):
                break
        return str(lock["Run"])

    def wait_for_instance(self) -> str:
        """The id of the group's instance, once there is one."""
        for _ in _until("the Auto Scaling group to launch an instance"):
            if instances := self.group()["Instances"]:
                break
        return str(instances[0]["InstanceId"])

    def item(self, backup_id: str) -> Record:
        """An item of the table, as plain values; empty when there is none."""
        answer = self.account.client("dynamodb").get_item(
            TableName=self.resources["EFSDynamoDB"],
            Key=key_of(backup_id),
            ConsistentRead=True,
        )
        return plain_item(answer.get("Item", {}))

    def group(self, name: str = "EFSAutoScalingGroup") -> Record:
        return group_of(self.account, self.resources[name])

    def workers(self) -> list[str]:
        """The instances that help."""
        return [str(i["InstanceId"]) for i in self.group("WorkerGroup")["Instances"]]

    def schedules(self) -> list[Record]:
        """The entries that will stop or close a run."""
        found: list[Record] = self.account.client("scheduler").list_schedules(
            GroupName=self.resources["ScheduleGroup"]
        )["Schedules"]
        return found

    def logs(self, prefix: str) -> list[Record]:
        """The objects below a prefix of the log bucket."""
        found: list[Record] = (
            self.account.client("s3")
            .list_objects_v2(Bucket=self.resources["EFSLogBucket"], Prefix=prefix)
            .get("Contents", [])
        )
        return found

    def idle(self) -> bool:
        """Whether nothing is left of a run but its record."""
        groups = [name for name in ("EFSAutoScalingGroup", "WorkerGroup") if name in self.resources]
        return not (
            any(g["Instances"] or g["DesiredCapacity"] for g in map(self.group, groups))
            or self.schedules()
            or self.item(LOCK_KEY)
        )

    def wait_until_idle(self) -> None:
        for _ in _until("no instance, no scheduler entry and no lock to be left"):
            if self.idle():
                return


def group_of(account: Account, name: str) -> Record:
    answer = account.client("autoscaling").describe_auto_scaling_groups(
        AutoScalingGroupNames=[name]
    )
    (group,) = answer["AutoScalingGroups"]
    return dict(group)


@dataclass(frozen=True)
class Restoration:
    """A stack of the restore template: it restores once, as soon as it is created."""

    deployment: Deployment
    resources: dict[str, str]

    @classmethod
    def create(
        cls,
        deployment: Deployment,
        name: str,
        release_url: str,
        progress: Progress = lambda text: None,
        **parameters: str,
    ) -> "Restoration":
        """Creates the stack, to restore all of daily.0 unless the parameters say otherwise."""
        values = {
            "SrcEFS": deployment.source_id,
            "DstEFS": deployment.resources["DstEFS"],
            "VpcId": deployment.network.vpc,
            "Subnets": ",".join(deployment.network.subnets),
            "SecurityGroupId": deployment.resources["EFSSecurityGroup"],
            "RestoreLogBucket": deployment.resources["EFSLogBucket"],
            "Email": EMAIL,
            **parameters,
        }
        url = f"{release_url}/{RESTORE_TEMPLATE}"
        return cls(deployment, create_stack(deployment.account, name, url, values, progress))

    @property
    def account(self) -> Account:
        return self.deployment.account

    def scale(self, capacity: int) -> None:
        """As the StartCommand of a notification, or a user who ends the restore."""
        self.account.client("autoscaling").set_desired_capacity(
            AutoScalingGroupName=self.resources["RestoreAutoScalingGroup"], DesiredCapacity=capacity
        )

    def wait_for_instance(self) -> None:
        """Until there is one, and the entry that will end it."""
        scheduler = self.account.client("scheduler")
        for _ in _until("an instance, and an entry that will end it"):
            group = self.resources["ScheduleGroup"]
            if scheduler.list_schedules(GroupName=group)["Schedules"]:
                return

    def group(self, name: str = "RestoreAutoScalingGroup") -> Record:
        return group_of(self.account, self.resources[name])

    def wait_until_gone(self) -> None:
        """Waits for the end of the restore: its instance is gone, and no other one comes."""
        for _ in _until("the restore to end and its instance to be gone"):
            state = self.group()
            if not state["Instances"] and not state["DesiredCapacity"]:
                return

    def wait(self) -> Record:
        """What the restore notified its user of, once its instance is gone.

        Read from the logs: at this time nobody can have confirmed a subscription to the topic.
        """
        self.wait_until_gone()
        account = self.deployment.account
        keys = sorted(log["Key"] for log in self.deployment.logs(restoration.LOGS))
        notifications = [key for key in keys if key.endswith("/notification.json")]
        if not notifications:
            raise DeploymentError(
                f"expected a notification in the logs of the restore, found {keys}"
            )
        body = account.client("s3").get_object(
            Bucket=self.deployment.resources["EFSLogBucket"], Key=notifications[-1]
        )["Body"]
        message: Record = json.loads(body.read())
        return message


class Notification(NamedTuple):
    subject: str
    message: Record


@dataclass(frozen=True)
class Inbox:
    """What a subscriber of the deployment's topic gets."""

    account: Account
    url: str

    @classmethod
    def subscribe(cls, deployment: Deployment | Restoration) -> "Inbox":
        account = deployment.account
        sqs = account.client("sqs")
        topic = deployment.resources["SNSTopic"]
        url = sqs.create_queue(QueueName=topic.rpartition(":")[2][-80:])["QueueUrl"]
        queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
        allowed = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": queue["QueueArn"],
            "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
        }
        policy = {"Version": "2012-10-17", "Statement": [allowed]}
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
        account.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue["QueueArn"])
        return cls(account, url)

    def messages(self) -> list[Notification]:
        """The notifications since the last call."""
        sqs = self.account.client("sqs")
        found = sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages", [])
        for message in found:
            sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        envelopes = [json.loads(message["Body"]) for message in found]
        return [Notification(e["Subject"], json.loads(e["Message"])) for e in envelopes]

    def wait(self) -> Notification:
        """The next notification. Raises DeploymentError when there is none, or more than one."""
        for _ in _until("a notification"):
            if found := self.messages():
                break
        if len(found) > 1:
            raise DeploymentError(f"expected one notification, found {found}")
        return found[0]


def _until(what: str) -> Iterator[None]:
    """Goes round until the loop is left; raises DeploymentError when that takes too long."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        yield
        time.sleep(0.3)  # each question takes processor time of what is waited for
    raise DeploymentError(f"expected {what} within {WAIT_SECONDS} s")
