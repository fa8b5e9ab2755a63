"""The stack's resources in moto, as the orchestrator's AWS tests need them."""

import json
from typing import Any

import boto3
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.sns.models import sns_backends

from orchestrator.settings import Settings
from tests.orchestrator.test_settings import ENV

REGION = "us-east-1"
FUNCTION_ARN = f"arn:aws:lambda:{REGION}:123456789012:function:stack"
IMAGE = "ami-12c6146b"  # one that moto knows


class Cloud:
    """Create inside mock_aws. The Auto Scaling group has capacities 0/0/1."""

    def __init__(self) -> None:
        self._dynamodb = boto3.client("dynamodb", REGION)
        self._scheduler = boto3.client("scheduler", REGION)
        self._autoscaling = boto3.client("autoscaling", REGION)
        topic = boto3.client("sns", REGION).create_topic(Name="topic")["TopicArn"]
        source, destination = (self._create_file_system(name) for name in ("source", "backup"))
        ids = {"source_efs": source, "destination_efs": destination}
        self.env = {**ENV, **ids, "topic_arn": topic}
        self.settings = Settings.from_env(self.env)
        self._scheduler.create_schedule_group(Name=self.settings.schedule_group)
        self._create_table()
        self._create_group()

    def item(self, key: str) -> dict[str, Any] | None:
        item: dict[str, Any] | None = self._dynamodb.get_item(
            TableName=self.settings.table, Key={"BackupId": {"S": key}}
        ).get("Item")
        return item

    def instance_writes(self, run: str, **attributes: Any) -> None:
        self._dynamodb.put_item(
            TableName=self.settings.table, Item={**(self.item(run) or {}), **attributes}
        )

    def mails(self) -> list[tuple[str, dict[str, Any]]]:
        """Subject and body of what was published to the topic."""
        sent = sns_backends[DEFAULT_ACCOUNT_ID][REGION].topics[self.env["topic_arn"]]
        return [
            (str(subject), json.loads(text)) for _, text, subject, *_ in sent.sent_notifications
        ]

    def entries(self) -> list[str]:
        listed = self._scheduler.list_schedules(GroupName=self.settings.schedule_group)
        return sorted(entry["Name"] for entry in listed["Schedules"])

    def entry(self, name: str) -> Any:
        return self._scheduler.get_schedule(Name=name, GroupName=self.settings.schedule_group)

    def instances(self) -> list[str]:
        groups = self._autoscaling.describe_auto_scaling_groups(
            AutoScalingGroupNames=[self.settings.group]
        )
        return [i["InstanceId"] for i in groups["AutoScalingGroups"][0]["Instances"]]

    def _create_file_system(self, name: str) -> str:
        efs = boto3.client("efs", REGION)
        made = efs.create_file_system(CreationToken=name, PerformanceMode="maxIO")
        return str(made["FileSystemId"])

    def _create_table(self) -> None:
        self._dynamodb.create_table(
            TableName=self.settings.table,
            KeySchema=[{"AttributeName": "BackupId", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "BackupId", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )

    def create_workers(self, capacity: int) -> str:
        """A group of so many; returns its name."""
        self._autoscaling.create_auto_scaling_group(
            AutoScalingGroupName="workers",
            LaunchTemplate={"LaunchTemplateName": "backup", "Version": "$Latest"},
            MinSize=0,
            MaxSize=capacity,
            DesiredCapacity=capacity,
            AvailabilityZones=[f"{REGION}a"],
        )
        return "workers"

    def _create_group(self) -> None:
        boto3.client("ec2", REGION).create_launch_template(
            LaunchTemplateName="backup",
            LaunchTemplateData={"ImageId": IMAGE, "InstanceType": "t3.micro"},
        )
        self._autoscaling.create_auto_scaling_group(
            AutoScalingGroupName=self.settings.group,
            LaunchTemplate={"LaunchTemplateName": "backup", "Version": "$Latest"},
            MinSize=0,
            MaxSize=1,
            DesiredCapacity=0,
            AvailabilityZones=[f"{REGION}a"],
        )
