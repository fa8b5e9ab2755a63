"""Checks whether a network is ready for backups: what docs/network.md asks for, through the APIs.

    make preflight SrcEFS=fs-0123456789abcdef0 VpcId=vpc-0a1b2c3d Subnets=subnet-0a1b2c3d,subnet-…
    make preflight STACK=name

Only reads. Exit code 0: nothing failed; 1: something did, or it could not begin.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Generic, TypeVar

from botocore.exceptions import ClientError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from admin.command import AdminError, Given, clients, console, run
from admin.stack import Stack
from admin.template import Template

TEMPLATE = Path(__file__).parent.parent / "templates" / "efs-to-efs-backup.template"
NFS, HTTPS = 2049, 443
GATEWAYS = ("s3", "dynamodb")
INTERFACES = ("autoscaling", "sns", "ssm", "ssmmessages")
"""The endpoints that an instance without another way out needs."""

Item = dict[str, Any]
T = TypeVar("T")


# --- Facts ----------------------------------------------------------------------------------------


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
class Request:
    """What is to be checked. A stack that exists has a security group already."""

    source: str
    vpc: str
    subnets: tuple[str, ...]
    region: str
    instance_type: str
    group: str = ""


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


DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedOperation",
    "InvalidAction",  # by an endpoint that does not have the call, like the local account's
    "UnsupportedOperation",
}
ABSENT = {"FileSystemNotFound", "PolicyNotFound"}


class Reader:
    """Fetches the facts. Every error but a missing permission is the caller's."""

    def __init__(self, efs: Any, ec2: Any) -> None:
        self._efs, self._ec2 = efs, ec2

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
        )

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
            raise Unreadable(f"{operation} for {_list(hidden)}")
        return {item[name]: item for item in found}

    def _policy(self, source: str) -> Item:
        found = self._efs.describe_file_system_policy(FileSystemId=source)
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


# --- Checks ---------------------------------------------------------------------------------------


class Status(Enum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Result:
    status: Status
    text: str
    advice: str = ""


def ok(text: str) -> Result:
    return Result(Status.OK, text)


def failed(text: str, advice: str) -> Result:
    return Result(Status.FAILED, text, advice)


def warning(text: str, advice: str) -> Result:
    return Result(Status.WARNING, text, advice)


def source_file_system(request: Request, facts: Facts) -> Result:
    found = facts.file_system.get()
    if found is None:
        return failed(
            f"{request.source} does not exist in {request.region}",
            "Give the id of a file system of this account and region.",
        )
    state = found["LifeCycleState"]
    if state != "available":
        return failed(f"{request.source} is {state}", "Wait until it is available.")
    return ok(f"{request.source} is available")


NEEDED = ("ClientMount", "ClientRootAccess")
"""What the instance does with the source; it never writes."""
HARMLESS = [  # conditions of a Deny that this solution's mounts never meet
    {"Bool": {"aws:SecureTransport": "false"}},
    {"Bool": {"elasticfilesystem:AccessedViaMountTarget": "false"}},
    {"BoolIfExists": {"elasticfilesystem:AccessedViaMountTarget": "false"}},
]


def file_system_policy(request: Request, facts: Facts) -> Result:
    """In its own account a role needs no Allow in the policy; only a Deny stands in its way."""
    if facts.file_system == Fact(None):
        raise Unknown("there is no such file system")
    policy = facts.policy.get()
    if policy is None:
        return ok("none; the instance's role decides")
    statements = policy.get("Statement", [])
    for statement in [statements] if isinstance(statements, dict) else statements:
        if statement.get("Effect") != "Deny" or not _concerns_mounting(statement):
            continue
        if statement.get("Condition") in HARMLESS:
            continue
        name = statement.get("Sid", "without a Sid")
        everybody = statement.get("Principal") in ("*", {"AWS": "*"}, {"AWS": ["*"]})
        advice = f"Let the instance's role {' and '.join(NEEDED)}, for example by a condition."
        if everybody and not statement.get("Condition"):
            return failed(f"the statement {name} denies mounting as root", advice)
        return warning(f"the statement {name} may deny mounting as root", advice)
    return ok("denies nothing that backups need")


def _concerns_mounting(statement: Item) -> bool:
    if "NotAction" in statement:
        return True
    actions = statement.get("Action", [])
    patterns = [
        re.escape(action).replace(r"\*", ".*").replace(r"\?", ".")
        for action in ([actions] if isinstance(actions, str) else actions)
    ]
    return any(
        re.fullmatch(pattern, f"elasticfilesystem:{action}", re.IGNORECASE)
        for pattern in patterns
        for action in NEEDED
    )


def subnets(request: Request, facts: Facts) -> Result:
    advice = "Give two subnets of the VPC in different Availability Zones."
    found = facts.subnets.get()
    absent = set(request.subnets) - {s["SubnetId"] for s in found}
    if absent:
        return failed(f"{_list(absent)} does not exist in {request.region}", advice)
    if len(found) != 2:
        return failed(f"{len(found)} given", advice)
    outside = [s["SubnetId"] for s in found if s["VpcId"] != request.vpc]
    if outside:
        return failed(f"{_list(outside)} is not in {request.vpc}", advice)
    zones = {s["AvailabilityZone"] for s in found}
    if len(zones) != 2:
        return failed(f"both are in {_list(zones)}", advice)
    return ok(f"in {_list(zones)}")


def mount_targets(request: Request, facts: Facts) -> Result:
    targets = facts.mount_targets.get()
    elsewhere = {t["VpcId"] for t in targets} - {request.vpc}
    if elsewhere:
        return failed(
            f"the source has its mount targets in {_list(elsewhere)}",
            "Deploy into that VPC, with subnets of it.",
        )
    zones = {t["AvailabilityZoneName"] for t in targets if t["LifeCycleState"] == "available"}
    without = _zones(facts) - zones
    if without:
        return failed(
            f"the source has none that is available in {_list(without)}",
            "Create one (aws efs create-mount-target), or give subnets in "
            f"{_list(zones) if zones else 'other Availability Zones'}. "
            "A One Zone file system has a mount target in its own zone only.",
        )
    return ok(f"of the source in {_list(_zones(facts))}")


def nfs_security_groups(request: Request, facts: Facts) -> Result:
    closed, by_list = set(), set()
    for target, subnet in _pairs(facts):
        groups = facts.target_groups.get()[target["MountTargetId"]]
        admitted = admits(groups, NFS, subnet["CidrBlock"], request.group)
        ids = {g["GroupId"] for g in groups}
        if admitted is None:
            by_list |= ids
        elif not admitted:
            closed |= ids
    if closed:
        group = request.group or "<output EFSSecurityGroup of the stack>"
        advice = (
            "aws ec2 authorize-security-group-ingress --protocol tcp --port 2049 "
            f"--source-group {group} --group-id {sorted(closed)[0]}"
        )
        if request.group:
            return failed(f"{_list(closed)} does not let NFS in from {request.group}", advice)
        return warning(
            f"{_list(closed)} does not let NFS in from the subnets yet",
            f"Once the stack is deployed: {advice}",
        )
    if by_list:
        return warning(
            f"{_list(by_list)} lets NFS in from a prefix list",
            "Make sure that the list has the addresses of the subnets.",
        )
    return ok("the source's mount targets let NFS (TCP 2049) in")


def admits(groups: list[Item], port: int, cidr: str, group: str) -> bool | None:
    """Whether the groups let TCP in from a network or a group. None: only by prefix list."""
    by_list = False
    for permission in (p for g in groups for p in g["IpPermissions"]):
        if not _covers_port(permission, port):
            continue
        if any(_within(cidr, r["CidrIp"]) for r in permission.get("IpRanges", [])):
            return True
        if group and group in [p["GroupId"] for p in permission.get("UserIdGroupPairs", [])]:
            return True
        by_list = by_list or bool(permission.get("PrefixListIds"))
    return None if by_list else False


def _covers_port(permission: Item, port: int) -> bool:
    protocol = permission["IpProtocol"]
    if protocol == "-1":
        return True
    return protocol in ("tcp", "6") and permission["FromPort"] <= port <= permission["ToPort"]


def network_acls(request: Request, facts: Facts) -> Result:
    """NFS between two subnets of a zone, and answers from the services that instances call."""
    acls = {
        association["SubnetId"]: acl["Entries"]
        for acl in facts.acls.get()
        for association in acl["Associations"]
    }
    denied, unsure = [], []
    for target, subnet in _pairs(facts):
        if target["SubnetId"] == subnet["SubnetId"]:
            continue  # traffic within a subnet passes no ACL
        there = facts.target_subnets.get()[target["SubnetId"]]
        inside, outside = subnet["CidrBlock"], there["CidrBlock"]
        for at, egress, other, ports in (
            (subnet, True, outside, (NFS, NFS)),
            (there, False, inside, (NFS, NFS)),
            (there, True, inside, EPHEMERAL),
            (subnet, False, outside, EPHEMERAL),
        ):
            allowed = acl_allows(acls.get(at["SubnetId"], []), egress, other, ports)
            way = "to" if egress else "from"
            what = f"{at['SubnetId']} {way} {other} on TCP {'-'.join(map(str, sorted({*ports})))}"
            if allowed is None:
                unsure.append(what)
            elif not allowed:
                denied.append(what)
    if denied:
        return failed(f"no traffic of {_list(denied)}", "Allow it in the network ACL.")
    if unsure:
        return warning(f"only a part is allowed of {_list(unsure)}", "Look at the network ACL.")
    for subnet in _subnets(facts):
        entries = acls.get(subnet["SubnetId"], [])
        everywhere = "0.0.0.0/0"
        if not (
            acl_allows(entries, True, everywhere, (HTTPS, HTTPS))
            and acl_allows(entries, False, everywhere, EPHEMERAL)
        ):
            return warning(
                f"{subnet['SubnetId']} is not open to everywhere on TCP 443 and for answers",
                "Make sure that its network ACL allows HTTPS to the AWS services or endpoints.",
            )
    return ok("let NFS and HTTPS pass")


EPHEMERAL = (1024, 65535)


def acl_allows(entries: list[Item], egress: bool, cidr: str, ports: tuple[int, int]) -> bool | None:
    """What the first rule that applies says. None: it applies to a part of the traffic only."""
    for entry in sorted(entries, key=lambda e: int(e["RuleNumber"])):
        if entry["Egress"] != egress or "CidrBlock" not in entry:
            continue
        if entry["Protocol"] not in ("-1", "6"):
            continue
        low, high = 0, 65535
        if entry["Protocol"] == "6" and "PortRange" in entry:
            low, high = entry["PortRange"]["From"], entry["PortRange"]["To"]
        ours, rule = ip_network(cidr), ip_network(entry["CidrBlock"])
        if high < ports[0] or low > ports[1] or not ours.overlaps(rule):
            continue
        if low <= ports[0] and high >= ports[1] and _within(cidr, entry["CidrBlock"]):
            return bool(entry["RuleAction"] == "allow")
        return None
    return False


def dns(request: Request, facts: Facts) -> Result:
    if facts.vpc.get() is None:
        return failed(f"{request.vpc} does not exist in {request.region}", "Give another VPC.")
    wanted = {
        "enableDnsSupport": facts.dns_support.get(),
        "enableDnsHostnames": facts.dns_hostnames.get(),
    }
    off = [name for name, on in wanted.items() if not on]
    if off:
        option = (
            "--enable-dns-support" if off[0] == "enableDnsSupport" else "--enable-dns-hostnames"
        )
        return failed(
            f"{_list(off)} is off in {request.vpc}",
            f"aws ec2 modify-vpc-attribute --vpc-id {request.vpc} {option}",
        )
    return ok("support and hostnames are on")


def dhcp_options(request: Request, facts: Facts) -> Result:
    servers = facts.name_servers.get()
    if servers == ["AmazonProvidedDNS"]:
        return ok("use AmazonProvidedDNS")
    if not servers:
        return warning(
            "name no DNS servers", "Use a set of DHCP options with AmazonProvidedDNS for the VPC."
        )
    return warning(
        f"use the DNS servers {_list(servers)}",
        "Use AmazonProvidedDNS, or make sure that these servers forward the names of EFS and of "
        "the endpoints to it.",
    )


def way_out(request: Request, facts: Facts) -> Result:
    problems, through = [], set()
    for subnet in _subnets(facts):
        route = default_route(facts.route_tables.get(), subnet["SubnetId"])
        if route is None:
            through.add("VPC endpoints only")
            continue
        target = _route_target(route)
        if route.get("State") == "blackhole":
            problems.append(f"the default route of {subnet['SubnetId']} leads nowhere ({target})")
        elif target.startswith("igw-") and not subnet.get("MapPublicIpOnLaunch"):
            problems.append(
                f"{subnet['SubnetId']} leads to {target}, but gives instances no public address"
            )
        else:
            through.add(target)
    if problems:
        return failed(
            "; ".join(problems),
            "Give private subnets a NAT gateway or VPC endpoints, and let public subnets assign "
            "public addresses (aws ec2 modify-subnet-attribute --map-public-ip-on-launch).",
        )
    return ok(f"through {_list(through)}")


def default_route(tables: list[Item], subnet: str) -> Item | None:
    table = route_table(tables, subnet)
    routes = table["Routes"] if table else []
    return next((r for r in routes if r.get("DestinationCidrBlock") == "0.0.0.0/0"), None)


def route_table(tables: list[Item], subnet: str) -> Item | None:
    """The one that is associated with the subnet, or else the VPC's main one."""

    def associated(table: Item, key: str, value: object) -> bool:
        return any(a.get(key) == value for a in table["Associations"])

    own = (t for t in tables if associated(t, "SubnetId", subnet))
    main = (t for t in tables if associated(t, "Main", True))
    return next(own, None) or next(main, None)


def _route_target(route: Item) -> str:
    kinds = (
        "NatGatewayId",
        "GatewayId",
        "TransitGatewayId",
        "NetworkInterfaceId",
        "InstanceId",
        "VpcPeeringConnectionId",
        "LocalGatewayId",
        "CarrierGatewayId",
        "CoreNetworkArn",
    )
    return next((str(route[kind]) for kind in kinds if route.get(kind)), "an unknown target")


def vpc_endpoints(request: Request, facts: Facts) -> Result:
    tables = facts.route_tables.get()
    enclosed = [s for s in _subnets(facts) if not default_route(tables, s["SubnetId"])]
    if not enclosed:
        return ok("not needed")
    problems = [*_gateway_problems(enclosed, request, facts)]
    problems += _interface_problems(enclosed, request, facts)
    if not problems:
        return ok(f"{', '.join(GATEWAYS + INTERFACES)} are there")
    text = "; ".join(problem for problem, _ in problems)
    if all(later for _, later in problems):
        return warning(
            text,
            "Let TCP 443 in from the subnets, or, once the stack is deployed, from its output "
            "EFSSecurityGroup.",
        )
    return failed(text, "docs/network.md has the endpoints, their policies and the commands.")


Problems = Iterator[tuple[str, bool]]
"""What is wrong, and whether it can only be put right when the stack has its security group."""


def _endpoints(service: str, kind: str, request: Request, facts: Facts) -> list[Item]:
    return [
        endpoint
        for endpoint in facts.endpoints.get()
        if endpoint["ServiceName"].endswith(f".{request.region}.{service}")
        and endpoint["VpcEndpointType"] == kind
        and endpoint["State"].lower() == "available"
    ]


def _gateway_problems(enclosed: list[Item], request: Request, facts: Facts) -> Problems:
    for service in GATEWAYS:
        gateways = _endpoints(service, "Gateway", request, facts)
        joined = {table for gateway in gateways for table in gateway["RouteTableIds"]}
        without = {
            subnet["SubnetId"]
            for subnet in enclosed
            if _table_id(facts, subnet["SubnetId"]) not in joined
        }
        if without:
            yield f"{service} has no gateway endpoint for {_list(without)}", False


def _table_id(facts: Facts, subnet: str) -> str | None:
    table = route_table(facts.route_tables.get(), subnet)
    return str(table["RouteTableId"]) if table else None


def _interface_problems(enclosed: list[Item], request: Request, facts: Facts) -> Problems:
    known = facts.endpoint_groups.get()
    for service in INTERFACES:
        interfaces = _endpoints(service, "Interface", request, facts)
        private = [e for e in interfaces if e.get("PrivateDnsEnabled")]
        groups = [known[g["GroupId"]] for e in private for g in e["Groups"]]
        if not interfaces:
            yield f"{service} has no interface endpoint", False
        elif not private:
            yield f"the endpoint of {service} has no private DNS", False
        elif any(admits(groups, HTTPS, s["CidrBlock"], request.group) is False for s in enclosed):
            ids = _list({g["GroupId"] for g in groups})
            text = f"the endpoint of {service} does not let HTTPS in from the subnets ({ids})"
            yield text, not request.group


def instance_type(request: Request, facts: Facts) -> Result:
    if not request.instance_type:
        return failed(
            f"the template has no InstanceSize for {request.region}",
            "Add a line for the region to its Mappings.",
        )
    without = {s["AvailabilityZone"] for s in _subnets(facts)} - facts.offered_in.get()
    if without:
        return failed(
            f"{request.instance_type} is not offered in {_list(without)}",
            "Choose another InstanceSize in the template's Mappings, or other subnets.",
        )
    return ok(f"{request.instance_type} is offered in both zones")


CHECKS: dict[str, Callable[[Request, Facts], Result]] = {
    "Source file system": source_file_system,
    "File system policy": file_system_policy,
    "Subnets": subnets,
    "Mount targets": mount_targets,
    "NFS security groups": nfs_security_groups,
    "Network ACLs": network_acls,
    "DNS": dns,
    "DHCP options": dhcp_options,
    "Way out": way_out,
    "VPC endpoints": vpc_endpoints,
    "Instance type": instance_type,
}
"""In the order and with the names of the checklist in docs/network.md."""


def checked(request: Request, facts: Facts) -> Iterator[tuple[str, Result]]:
    for name, check in CHECKS.items():
        try:
            yield name, check(request, facts)
        except Unreadable as error:
            yield name, Result(Status.UNKNOWN, str(error), "Run this with that permission.")
        except Unknown as error:
            yield name, Result(Status.UNKNOWN, str(error))


def _subnets(facts: Facts) -> list[Item]:
    found = facts.subnets.get()
    if not found:
        raise Unknown("there is no subnet to look at")
    return found


def _zones(facts: Facts) -> set[str]:
    return {s["AvailabilityZone"] for s in _subnets(facts)}


def _pairs(facts: Facts) -> list[tuple[Item, Item]]:
    """Each mount target of the source with the given subnet of its zone."""
    pairs = [
        (target, subnet)
        for target in facts.mount_targets.get()
        for subnet in _subnets(facts)
        if subnet["AvailabilityZone"] == target["AvailabilityZoneName"]
    ]
    if not pairs:
        raise Unknown("the source has no mount target in the zones of the subnets")
    return pairs


def _within(inner: str, outer: str) -> bool:
    a, b = ip_network(inner), ip_network(outer)
    return a.version == b.version and a.subnet_of(b)  # type: ignore[arg-type]


def _list(things: Iterable[str]) -> str:
    return ", ".join(sorted(things))


# --- Command line ---------------------------------------------------------------------------------


PATTERNS = {
    "SrcEFS": r"fs-([0-9a-f]{8}|[0-9a-f]{17})",
    "VpcId": r"vpc-([0-9a-f]{8}|[0-9a-f]{17})",
    "Subnets": r"subnet-([0-9a-f]{8}|[0-9a-f]{17})( *, *subnet-([0-9a-f]{8}|[0-9a-f]{17}))*",
}
EXAMPLES = {
    "SrcEFS": "fs-0123456789abcdef0, or STACK=name for a stack that exists",
    "VpcId": "vpc-0a1b2c3d",
    "Subnets": "subnet-0a1b2c3d,subnet-4e5f6a7b",
}


def planned(given: Given, region: str, template: Template) -> Request:
    """A request from the parameters of a stack that does not exist yet."""
    values = {name: given.required(name, EXAMPLES[name]) for name in PATTERNS}
    for name, pattern in PATTERNS.items():
        if not re.fullmatch(pattern, values[name]):
            raise AdminError(f"{name}={values[name]} must look like this: {EXAMPLES[name]}")
    return Request(
        source=values["SrcEFS"],
        vpc=values["VpcId"],
        subnets=listed(values["Subnets"]),
        region=region,
        instance_type=instance_size(template, region),
    )


def listed(text: str) -> tuple[str, ...]:
    return tuple(text.replace(" ", "").split(","))


def of_stack(stack: Stack) -> Request:
    return Request(
        source=stack.parameters["SrcEFS"],
        vpc=stack.parameters["VpcId"],
        subnets=listed(stack.parameters["Subnets"]),
        region=stack.region,
        instance_type=instance_size(stack.template(), stack.region),
        group=stack.outputs.get("EFSSecurityGroup", ""),
    )


def instance_size(template: Template, region: str) -> str:
    """InstanceSize of a region in a template's Mappings; empty if there is none."""
    regions = template.content["Mappings"]["Map"]
    return str(regions.get(region, {}).get("InstanceSize", ""))


STYLES = {
    Status.OK: "green",
    Status.WARNING: "yellow",
    Status.FAILED: "bold red",
    Status.UNKNOWN: "magenta",
}


def report(results: Sequence[tuple[str, Result]], output: Console) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, result in results:
        table.add_row(Text(result.status.value, STYLES[result.status]), name, result.text)
        if result.advice:
            table.add_row("", "", Text(f"→ {result.advice}", "dim"))
    output.print(table)
    counts = {s: sum(r.status is s for _, r in results) for s in Status}
    output.print(f"\n{', '.join(f'{n} {s.value}' for s, n in counts.items() if n)}.")
    output.print("What each check is about, and how to put things right: docs/network.md")


def main(given: Given) -> int:
    given.only("STACK", "REGION", *PATTERNS)
    connect = clients(given.get("REGION"))
    efs, ec2 = connect("efs"), connect("ec2")
    if name := given.get("STACK"):
        request = of_stack(Stack.backup(connect, name))
    else:
        template = Template.parse(TEMPLATE.read_text())
        request = planned(given, ec2.meta.region_name, template)
    results = list(checked(request, Reader(efs, ec2).facts(request)))
    report(results, console())
    return 1 if any(r.status is Status.FAILED for _, r in results) else 0


if __name__ == "__main__":
    sys.exit(run(main))
