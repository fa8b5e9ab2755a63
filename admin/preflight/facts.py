"""What the APIs say of a network, its file systems and its account."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from botocore.exceptions import ClientError

Item = dict[str, Any]
T = TypeVar("T")


class Unknown(Exception):
    """A check has nothing to judge by; the message says why."""


class Unreadable(Unknown):
    """A fact that we may not read."""

    def __init__(self, call: str) -> None:
        super().__init__(f"you may not call {call}")
        self.call = call


@dataclass(frozen=True)
class Fact(Generic[T]):
    """What an API said, or the permission without which it says nothing."""

    value: T | None = None
    missing: str = ""

    def get(self) -> T:
        if self.missing:
            raise Unreadable(self.missing)
        return self.value  # type: ignore[return-value]  # None only where T allows it


@dataclass(frozen=True)
class Existing:
    """What an update of a stack that exists meets."""

    file_system: str
    """Its backup file system."""
    throughput: str
    """The throughput mode that the stack sets."""
    bucket: str
    topic: str
    """ARN."""
    keeps_policies: bool
    """Whether the policies of bucket and topic are its own already; in version 1.5 they are not."""
    protected: bool
    """Whether the policy of the backup file system is its own."""


@dataclass(frozen=True)
class Request:
    """What is to be checked. A stack that exists has a security group already."""

    source: str
    vpc: str
    subnets: tuple[str, ...]
    region: str
    instance_type: str
    group: str = ""
    existing: Existing | None = None
    workers: int = 0
    throughput: str = "bursting"
    """The mode that the backup file system is to have."""


@dataclass(frozen=True)
class DiskKey:
    arn: str
    policy: str
    grantees: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    file_system: Fact[Item | None]
    policy: Fact[Item | None]
    mount_targets: Fact[list[Item]]
    target_groups: Fact[dict[str, list[Item]]]
    """Security groups by mount target."""
    subnets: Fact[list[Item]]
    target_subnets: Fact[dict[str, Item]]
    """By id."""
    vpc: Fact[Item | None]
    dns_support: Fact[bool]
    dns_hostnames: Fact[bool]
    name_servers: Fact[list[str]]
    acls: Fact[list[Item]]
    route_tables: Fact[list[Item]]
    endpoints: Fact[list[Item]]
    endpoint_groups: Fact[dict[str, Item]]
    """By id."""
    offered_in: Fact[set[str]]
    disk_key: Fact[DiskKey | None]
    """What encrypts new volumes, unless it is a key of AWS."""
    backup: Fact[Item | None]
    """The backup file system of a stack that exists."""
    backup_policy: Fact[Item | None]
    bucket_policy: Fact[Item | None]
    topic_policy: Fact[Item | None]


DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedOperation",
    "InvalidAction",  # by an endpoint that does not have the call, like the local account's
    "UnsupportedOperation",
}
ABSENT = {"FileSystemNotFound", "PolicyNotFound", "NoSuchBucket", "NoSuchBucketPolicy", "NotFound"}
EBS_KEY_OF_AWS = "alias/aws/ebs"


class Reader:
    """Fetches the facts. Every error but a missing permission is the caller's."""

    def __init__(self, connect: Callable[[str], Any]) -> None:
        self._efs, self._ec2 = connect("efs"), connect("ec2")
        self._kms, self._s3, self._sns = connect("kms"), connect("s3"), connect("sns")

    def facts(self, request: Request) -> Facts:
        efs, ec2 = self._efs, self._ec2
        source, vpc = request.source, request.vpc
        in_vpc = [{"Name": "vpc-id", "Values": [vpc]}]
        vpcs = self._all(ec2, "describe_vpcs", "Vpcs", Filters=in_vpc)
        subnets = self._all(
            ec2, "describe_subnets", "Subnets", Filters=_named("subnet-id", request.subnets)
        )
        file_system: Fact[Item | None] = self._optional(
            efs, lambda: efs.describe_file_systems(FileSystemId=source)["FileSystems"][0], None
        )
        policy: Fact[Item | None] = Fact(None)
        if file_system != Fact(None):
            policy = self._optional(efs, lambda: self._policy(source), None)
        targets: Fact[list[Item]] = self._optional(
            efs, lambda: efs.describe_mount_targets(FileSystemId=source)["MountTargets"], []
        )
        endpoints = self._all(ec2, "describe_vpc_endpoints", "VpcEndpoints", Filters=in_vpc)
        return Facts(
            file_system=file_system,
            policy=policy,
            mount_targets=targets,
            target_groups=self._ask(efs, lambda: self._groups_of(targets.get())),
            subnets=subnets,
            target_subnets=self._ask(
                ec2, lambda: self._by_id("subnet", {t["SubnetId"] for t in targets.get()})
            ),
            vpc=self._ask(ec2, lambda: next(iter(vpcs.get()), None)),
            dns_support=self._dns(vpcs, vpc, "enableDnsSupport"),
            dns_hostnames=self._dns(vpcs, vpc, "enableDnsHostnames"),
            name_servers=self._ask(ec2, lambda: self._name_servers(vpcs.get())),
            acls=self._all(ec2, "describe_network_acls", "NetworkAcls"),
            route_tables=self._all(ec2, "describe_route_tables", "RouteTables", Filters=in_vpc),
            endpoints=endpoints,
            endpoint_groups=self._ask(
                ec2,
                lambda: self._by_id(
                    "group", {g["GroupId"] for e in endpoints.get() for g in e.get("Groups", [])}
                ),
            ),
            offered_in=self._ask(
                ec2,
                lambda: {o["Location"] for o in self._offerings(request.instance_type)},
            ),
            disk_key=self._disk_key(),
            **self._existing(request.existing),
        )

    def _existing(self, stack: Existing | None) -> dict[str, Fact[Item | None]]:
        if stack is None:
            return dict.fromkeys(
                ("backup", "backup_policy", "bucket_policy", "topic_policy"), Fact(None)
            )

        def backup() -> Item:
            found = self._efs.describe_file_systems(FileSystemId=stack.file_system)["FileSystems"]
            return dict(found[0])

        def bucket_policy() -> Item:
            return dict(json.loads(self._s3.get_bucket_policy(Bucket=stack.bucket)["Policy"]))

        def topic_policy() -> Item:
            found = self._sns.get_topic_attributes(TopicArn=stack.topic)["Attributes"]
            return dict(json.loads(found["Policy"]))

        return {
            "backup": self._optional(self._efs, backup, None),
            "backup_policy": self._optional(
                self._efs, lambda: self._policy(stack.file_system), None
            ),
            "bucket_policy": self._optional(self._s3, bucket_policy, None),
            "topic_policy": self._optional(self._sns, topic_policy, None),
        }

    def _disk_key(self) -> Fact[DiskKey | None]:
        def default() -> str:
            return str(self._ec2.get_ebs_default_kms_key_id()["KmsKeyId"])

        def read(key: str) -> DiskKey | None:
            if key.endswith(EBS_KEY_OF_AWS):
                return None
            found = self._kms.describe_key(KeyId=key)["KeyMetadata"]
            if found["KeyManager"] == "AWS":
                return None
            policy = self._kms.get_key_policy(KeyId=found["KeyId"], PolicyName="default")["Policy"]
            grants = _pages(self._kms, "list_grants", "Grants", KeyId=found["KeyId"])
            return DiskKey(found["Arn"], policy, tuple(g["GranteePrincipal"] for g in grants))

        key = self._ask(self._ec2, default)
        return self._ask(self._kms, lambda: read(key.get()))

    def _ask(self, client: Any, call: Callable[[], T]) -> Fact[T]:
        try:
            return Fact(call())
        except Unreadable as error:
            return Fact(missing=error.call)
        except ClientError as error:
            if error.response["Error"]["Code"] not in DENIED:
                raise
            return Fact(missing=f"{client.meta.service_model.signing_name}:{error.operation_name}")

    def _optional(self, client: Any, call: Callable[[], T], absent: T) -> Fact[T]:
        def attempt() -> T:
            try:
                return call()
            except ClientError as error:
                if error.response["Error"]["Code"] in ABSENT:
                    return absent
                raise

        return self._ask(client, attempt)

    def _all(self, client: Any, operation: str, key: str, **arguments: Any) -> Fact[list[Item]]:
        return self._ask(client, lambda: _pages(client, operation, key, **arguments))

    def _by_id(self, kind: str, ids: set[str]) -> dict[str, Item]:
        if not ids:
            return {}
        operation, key, name = {
            "subnet": ("describe_subnets", "Subnets", "SubnetId"),
            "group": ("describe_security_groups", "SecurityGroups", "GroupId"),
        }[kind]
        found = _pages(self._ec2, operation, key, Filters=_named(f"{kind}-id", sorted(ids)))
        hidden = ids - {item[name] for item in found}
        if hidden:  # of another account that shares its VPC
            raise Unreadable(f"{operation} for {listing(hidden)}")
        return {item[name]: item for item in found}

    def _policy(self, file_system: str) -> Item:
        found = self._efs.describe_file_system_policy(FileSystemId=file_system)
        policy: Item = json.loads(found["Policy"])
        return policy

    def _groups_of(self, targets: list[Item]) -> dict[str, list[Item]]:
        ids = {t["MountTargetId"]: self._group_ids(t["MountTargetId"]) for t in targets}
        groups = self._ask(
            self._ec2, lambda: self._by_id("group", {g for some in ids.values() for g in some})
        ).get()
        return {target: [groups[g] for g in some] for target, some in ids.items()}

    def _group_ids(self, target: str) -> list[str]:
        found = self._efs.describe_mount_target_security_groups(MountTargetId=target)
        return list(found["SecurityGroups"])

    def _dns(self, vpcs: Fact[list[Item]], vpc: str, attribute: str) -> Fact[bool]:
        def read() -> bool:
            if not vpcs.get():
                return False
            found = self._ec2.describe_vpc_attribute(VpcId=vpc, Attribute=attribute)
            return bool(found[attribute[0].upper() + attribute[1:]]["Value"])

        return self._ask(self._ec2, read)

    def _name_servers(self, vpcs: list[Item]) -> list[str]:
        ids = [v["DhcpOptionsId"] for v in vpcs]
        if not ids:
            return []
        found = _pages(
            self._ec2,
            "describe_dhcp_options",
            "DhcpOptions",
            Filters=_named("dhcp-options-id", ids),
        )
        return [
            value["Value"]
            for options in found
            for entry in options["DhcpConfigurations"]
            if entry["Key"] == "domain-name-servers"
            for value in entry["Values"]
        ]

    def _offerings(self, instance_type: str) -> list[Item]:
        if not instance_type:
            return []
        return _pages(
            self._ec2,
            "describe_instance_type_offerings",
            "InstanceTypeOfferings",
            LocationType="availability-zone",
            Filters=_named("instance-type", [instance_type]),
        )


def _named(name: str, values: Iterable[str]) -> list[Item]:
    return [{"Name": name, "Values": list(values)}]


def _pages(client: Any, operation: str, key: str, **arguments: Any) -> list[Item]:
    pages = client.get_paginator(operation).paginate(**arguments)
    return [item for page in pages for item in page[key]]


def listing(things: Iterable[str]) -> str:
    return ", ".join(sorted(things))
