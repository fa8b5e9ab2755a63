"""The instances of the account: launches them as their group says, and ends them."""

import base64
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from local import api, imds
from local.api import Credentials, Record
from local.instance import Instance

IMAGE = "image"
FILE_SYSTEMS = "efs"
"""The contents of each file system that was ever mounted, in a directory of its name."""
NO_CAPACITY = "no-capacity"
TAKEN = "taken"

OpenSession = Callable[[str, str, str, Credentials], None]
"""Makes credentials valid for a session of a role: (account, role, session name, credentials)."""


@dataclass(frozen=True)
class Machine:
    """A running instance, known to EC2 and to its metadata service."""

    instance: Instance
    identity: imds.Identity
    fleet: "Fleet"

    @property
    def instance_id(self) -> str:
        return self.identity.instance_id

    @property
    def zone(self) -> str:
        return self.identity.zone

    @property
    def running(self) -> bool:
        return self.instance.running

    def terminate(self) -> None:
        self.fleet.terminate(self)


class CapacityError(Exception):
    """There is no room for an instance, in AWS's own words."""


class Fleet:
    """launch_configuration(group): what a group without a launch template launches, in the terms
    of one."""

    def __init__(
        self,
        home: Path,
        metadata: imds.MetadataService,
        open_session: OpenSession,
        launch_configuration: Callable[[Record], Record],
    ) -> None:
        self._home = home
        self._metadata = metadata
        self._open_session = open_session
        self._launch_configuration = launch_configuration

    def launch(self, group: Record) -> Machine:
        """Boots an instance as its Auto Scaling group says."""
        account, region = owner(group)
        ec2 = self.client("ec2", region)
        data = self._launch_data(ec2, group)
        image = self._image(region, data["ImageId"])
        subnet_id = group["VPCZoneIdentifier"].split(",")[0]
        zone = ec2.describe_subnets(SubnetIds=[subnet_id])["Subnets"][0]["AvailabilityZone"]
        if (self._home / NO_CAPACITY).exists():
            raise CapacityError(
                f"We currently do not have sufficient {data['InstanceType']} capacity in the "
                f"Availability Zone you requested ({zone}). Launching EC2 instance failed."
            )
        instance_id = ec2.run_instances(
            ImageId=image,
            InstanceType=data["InstanceType"],
            SubnetId=subnet_id,
            MinCount=1,
            MaxCount=1,
            TagSpecifications=[{"ResourceType": "instance", "Tags": _propagated_tags(group)}],
        )["Instances"][0]["InstanceId"]
        role = self._role(region, data["IamInstanceProfile"])
        identity = imds.Identity(
            account=account,
            image=image,
            instance_id=instance_id,
            instance_type=data["InstanceType"],
            zone=zone,
            role=role,
            credentials=partial(self._credentials, account, role, instance_id),
            is_spot=data.get("InstanceMarketOptions", {}).get("MarketType") == "spot",
            is_taken=(self._home / TAKEN / instance_id).exists,
        )
        instance = Instance(
            instance_id,
            disk=self._home / "instances" / instance_id,
            image=self._home / IMAGE,
            user_data=base64.b64decode(data["UserData"]),
            file_systems=self._home / FILE_SYSTEMS,
            certificate=api.certificate(self._home),
            environment={
                "AWS_ENDPOINT_URL": api.ENDPOINT,
                "AWS_EC2_METADATA_SERVICE_ENDPOINT": self._metadata.add(identity),
            },
        )
        return Machine(instance, identity, self)

    def terminate(self, machine: Machine) -> None:
        machine.instance.terminate()
        self._metadata.remove(machine.instance_id)
        ec2 = self.client("ec2", machine.identity.region)
        ec2.terminate_instances(InstanceIds=[machine.instance_id])

    def client(self, service: str, region: str, credentials: Credentials = api.ROOT_USER) -> Any:
        return api.client(service, region, api.certificate(self._home), credentials)

    def _launch_data(self, ec2: Any, group: Record) -> Record:
        template = group["LaunchTemplate"]
        if not template:
            return self._launch_configuration(group)
        versions = ec2.describe_launch_template_versions(
            LaunchTemplateId=template["LaunchTemplateId"], Versions=[template["Version"]]
        )["LaunchTemplateVersions"]
        data: Record = versions[0]["LaunchTemplateData"]
        return data

    def _image(self, region: str, named: str) -> str:
        """What an image is named by in a launch template is its id, or a parameter that has it."""
        parameter = named.removeprefix("resolve:ssm:")
        if parameter == named:
            return named
        answer = self.client("ssm", region).get_parameter(Name=parameter)
        return str(answer["Parameter"]["Value"])

    def _role(self, region: str, profile: Record) -> str:
        name = profile.get("Name") or profile["Arn"].rpartition("/")[2]
        answer = self.client("iam", region).get_instance_profile(InstanceProfileName=name)
        return str(answer["InstanceProfile"]["Roles"][0]["RoleName"])

    def _credentials(self, account: str, role: str, instance_id: str) -> Credentials:
        credentials = Credentials(
            f"ASIA{secrets.token_hex(8).upper()}", secrets.token_hex(20), secrets.token_hex(32)
        )
        self._open_session(account, role, instance_id, credentials)
        return credentials


def owner(group: Record) -> tuple[str, str]:
    """The account and the region of a group."""
    region, account = group["AutoScalingGroupARN"].split(":")[3:5]
    return account, region


def _propagated_tags(group: Record) -> list[Record]:
    own = {"Key": "aws:autoscaling:groupName", "Value": group["AutoScalingGroupName"]}
    tags = [
        {"Key": tag["Key"], "Value": tag["Value"]}
        for tag in group["Tags"]
        if tag["PropagateAtLaunch"]
    ]
    return [own, *tags]
