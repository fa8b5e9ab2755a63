"""The checks against networks in moto; what moto does not know, and what is denied, by Stubber."""

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from moto import mock_aws
from moto.core.responses import ActionResult
from moto.ec2.responses.elastic_block_store import ElasticBlockStore
from rich.console import Console

from admin.command import AdminError, Given
from admin.preflight import __main__ as command
from admin.preflight import checks
from admin.preflight import network as algebra
from admin.preflight.facts import Existing, Fact, Facts, Item, Reader, Request
from admin.preflight.results import Result, Status
from admin.preflight.services import GATEWAYS, INTERFACES, way_out
from admin.stack import Stack
from admin.template import Template
from tests.stubs import Checked
from tests.terminals import Terminal

REGION = "us-east-1"
GROUP = "sg-0123456789abcdef0"
DOCUMENT = Path("docs/network.md")
TOPIC = f"arn:aws:sns:{REGION}:123456789012:topic"
EXISTING = Existing(
    "fs-01234567", "bursting", "log-bucket", TOPIC, keeps_policies=False, protected=False
)


class Network:
    """A VPC with a source file system, two subnets and a NAT gateway, where everything is right."""

    def __init__(self) -> None:
        services = ("ec2", "efs", "kms", "s3", "sns")
        self.clients = {service: boto3.client(service, REGION) for service in services}
        self.clients["s3"].create_bucket(Bucket="log-bucket")
        self.clients["sns"].create_topic(Name="topic")
        self.ec2, self.efs = self.clients["ec2"], self.clients["efs"]
        self.vpc = self.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        for attribute in ("EnableDnsSupport", "EnableDnsHostnames"):
            self.ec2.modify_vpc_attribute(VpcId=self.vpc, **{attribute: {"Value": True}})
        options = self.ec2.create_dhcp_options(
            DhcpConfigurations=[{"Key": "domain-name-servers", "Values": ["AmazonProvidedDNS"]}]
        )["DhcpOptions"]["DhcpOptionsId"]
        self.ec2.associate_dhcp_options(DhcpOptionsId=options, VpcId=self.vpc)
        self.subnets = [self.subnet("10.0.1.0/24", "a"), self.subnet("10.0.2.0/24", "b")]
        self.group = self.security_group("source")
        self.admit(self.group, 2049, "10.0.0.0/16")
        self.source = self.efs.create_file_system(CreationToken="source")["FileSystemId"]
        self.targets = [self.mount_target(subnet) for subnet in self.subnets]
        tables = self.ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [self.vpc]}])[
            "RouteTables"
        ]
        self.table = tables[0]["RouteTableId"]
        gateway = self.ec2.create_nat_gateway(SubnetId=self.subnets[0], ConnectivityType="private")[
            "NatGateway"
        ]["NatGatewayId"]
        self.ec2.create_route(
            RouteTableId=self.table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=gateway
        )

    def subnet(self, cidr: str, zone: str, vpc: str = "") -> str:
        created = self.ec2.create_subnet(
            VpcId=vpc or self.vpc, CidrBlock=cidr, AvailabilityZone=REGION + zone
        )
        return str(created["Subnet"]["SubnetId"])

    def security_group(self, name: str) -> str:
        created = self.ec2.create_security_group(GroupName=name, Description=name, VpcId=self.vpc)
        return str(created["GroupId"])

    def admit(self, group: str, port: int, cidr: str) -> None:
        self.ec2.authorize_security_group_ingress(
            GroupId=group, IpProtocol="tcp", FromPort=port, ToPort=port, CidrIp=cidr
        )

    def mount_target(self, subnet: str) -> str:
        created = self.efs.create_mount_target(
            FileSystemId=self.source, SubnetId=subnet, SecurityGroups=[self.group]
        )
        return str(created["MountTargetId"])

    def without_way_out(self) -> None:
        self.ec2.delete_route(RouteTableId=self.table, DestinationCidrBlock="0.0.0.0/0")

    def gateway_endpoint(self, service: str) -> None:
        self.ec2.create_vpc_endpoint(
            VpcId=self.vpc,
            ServiceName=f"com.amazonaws.{REGION}.{service}",
            VpcEndpointType="Gateway",
            RouteTableIds=[self.table],
        )

    def interface_endpoint(self, service: str, group: str, private: bool = True) -> None:
        self.ec2.create_vpc_endpoint(
            VpcId=self.vpc,
            ServiceName=f"com.amazonaws.{REGION}.{service}",
            VpcEndpointType="Interface",
            SubnetIds=self.subnets,
            SecurityGroupIds=[group],
            PrivateDnsEnabled=private,
        )

    def request(self, **changes: Any) -> Request:
        request = Request(self.source, self.vpc, tuple(self.subnets), REGION, "c5.xlarge", group="")
        return replace(request, **changes)

    def facts(self, request: Request) -> Facts:
        return Reader(self.clients.__getitem__).facts(request)

    def results(self, **changes: Any) -> dict[str, Result]:
        request = self.request(**changes)
        return dict(checks.checked(request, self.facts(request)))


@pytest.fixture(autouse=True)
def clean_environment() -> Iterator[None]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    fake = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    with mock.patch.dict(os.environ, {**kept, **fake}, clear=True):
        yield


@pytest.fixture
def network() -> Iterator[Network]:
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
    with (
        mock_aws(),
        mock.patch.object(
            ElasticBlockStore, "get_ebs_default_kms_key_id", default_key_of_disks, create=True
        ),
    ):
        yield Network()


def default_key_of_disks(store: Any) -> ActionResult:
    """moto can change it, and not say it."""
    return ActionResult({"KmsKeyId": store.ec2_backend.default_kms_key_id or "alias/aws/ebs"})


def statuses(results: dict[str, Result]) -> dict[str, Status]:
    return {name: result.status for name, result in results.items()}


def test_a_network_in_which_everything_is_right(network: Network) -> None:
    assert set(statuses(network.results()).values()) == {Status.OK}


@dataclass(frozen=True)
class Case:
    """What is done to the good network, the check that has to notice, and what it has to say."""

    change: Callable[[Network], object]
    check: str
    says: str
    status: Status = Status.FAILED


def policy(effect: str, action: object, principal: object = "*", **more: Any) -> Any:
    statement = {"Effect": effect, "Action": action, "Principal": principal, **more}
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    return lambda n: n.efs.put_file_system_policy(FileSystemId=n.source, Policy=text)


def one_mount_target(network: Network) -> None:
    network.efs.delete_mount_target(MountTargetId=network.targets[1])


def no_mount_target(network: Network) -> None:
    for target in network.targets:
        network.efs.delete_mount_target(MountTargetId=target)


def closed_group(network: Network) -> None:
    for target in network.targets:
        network.efs.modify_mount_target_security_groups(
            MountTargetId=target, SecurityGroups=[network.security_group(f"closed {target}")]
        )


def attribute(name: str) -> Callable[[Network], object]:
    return lambda n: n.ec2.modify_vpc_attribute(VpcId=n.vpc, **{name: {"Value": False}})


def dns_servers(*servers: str) -> Callable[[Network], object]:
    def change(network: Network) -> None:
        created = network.ec2.create_dhcp_options(
            DhcpConfigurations=[{"Key": "domain-name-servers", "Values": list(servers)}]
        )
        network.ec2.associate_dhcp_options(
            DhcpOptionsId=created["DhcpOptions"]["DhcpOptionsId"], VpcId=network.vpc
        )

    return change


def public_subnets_without_addresses(network: Network) -> None:
    network.without_way_out()
    gateway = network.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    network.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=network.vpc)
    network.ec2.create_route(
        RouteTableId=network.table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway
    )


def endpoints_but(*absent: str, port: int = 443, private: bool = True) -> Callable[[Network], None]:
    def change(network: Network) -> None:
        network.without_way_out()
        group = network.security_group("endpoints")
        network.admit(group, port, "10.0.0.0/16")
        for service in set(GATEWAYS) - {*absent}:
            network.gateway_endpoint(service)
        for service in set(INTERFACES) - {*absent}:
            network.interface_endpoint(service, group, private)

    return change


CASES = {
    "denies everybody": Case(
        policy("Deny", "elasticfilesystem:*"), "File system policy", "denies mounting as root"
    ),
    "denies root": Case(
        policy("Deny", ["elasticfilesystem:ClientRootAccess"], {"AWS": "*"}),
        "File system policy",
        "denies mounting as root",
    ),
    "denies some": Case(
        policy("Deny", "elasticfilesystem:ClientM*", Sid="Office", Condition={"IpAddress": {}}),
        "File system policy",
        "Office may deny",
        Status.WARNING,
    ),
    "denies writing only": Case(
        policy("Deny", "elasticfilesystem:ClientWrite"),
        "File system policy",
        "denies nothing",
        Status.OK,
    ),
    "denies without TLS": Case(
        policy("Deny", "*", Condition={"Bool": {"aws:SecureTransport": "false"}}),
        "File system policy",
        "denies nothing",
        Status.OK,
    ),
    "one mount target": Case(one_mount_target, "Mount targets", "us-east-1b"),
    "no mount target": Case(no_mount_target, "Mount targets", "us-east-1a, us-east-1b"),
    "closed mount targets": Case(
        closed_group, "NFS security groups", "does not let NFS in", Status.WARNING
    ),
    "no DNS": Case(attribute("EnableDnsSupport"), "DNS", "enableDnsSupport is off"),
    "no hostnames": Case(attribute("EnableDnsHostnames"), "DNS", "enableDnsHostnames is off"),
    "own DNS servers": Case(dns_servers("10.0.0.5"), "DHCP options", "10.0.0.5", Status.WARNING),
    "no public address": Case(
        public_subnets_without_addresses, "Way out", "gives instances no public address"
    ),
    "neither NAT nor endpoints": Case(
        Network.without_way_out, "VPC endpoints", "ssm has no interface endpoint"
    ),
    "endpoints": Case(endpoints_but(), "VPC endpoints", "are there", Status.OK),
    "no S3": Case(endpoints_but("s3"), "VPC endpoints", "s3 has no gateway endpoint"),
    "no SNS": Case(endpoints_but("sns"), "VPC endpoints", "sns has no interface endpoint"),
    "no private DNS": Case(endpoints_but(private=False), "VPC endpoints", "ssm has no private DNS"),
    "closed endpoints": Case(
        endpoints_but(port=80), "VPC endpoints", "does not let HTTPS in", Status.WARNING
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_is_wrong_is_found_and_nothing_else(network: Network, case: Case) -> None:
    case.change(network)
    results = network.results()
    assert case.says in results[case.check].text
    assert results[case.check].status is case.status
    if case.status is not Status.OK:
        assert results[case.check].advice
    others = {name: s for name, s in statuses(results).items() if name != case.check}
    assert Status.FAILED not in others.values()


def test_a_file_system_that_does_not_exist(network: Network) -> None:
    results = network.results(source="fs-0123456789abcdef0")
    assert results["Source file system"].status is Status.FAILED
    # Nothing that was not looked at is called right.
    for name in ("File system policy", "NFS security groups", "Network ACLs"):
        assert results[name].status is Status.UNKNOWN


def test_a_vpc_that_does_not_exist(network: Network) -> None:
    results = network.results(vpc="vpc-0123456789abcdef0")
    assert results["Subnets"].status is Status.FAILED
    assert "mount targets in" in results["Mount targets"].text
    assert results["DNS"].text == "vpc-0123456789abcdef0 does not exist in us-east-1"


def test_subnets_that_do_not_fit(network: Network) -> None:
    first, second = network.subnets
    same_zone = network.subnet("10.0.3.0/24", "a")
    other_vpc = network.ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    foreign = network.subnet("10.1.1.0/24", "b", other_vpc)
    for given, says in (
        ((first,), "1 given"),
        ((first, second, same_zone), "3 given"),
        ((first, same_zone), "both are in us-east-1a"),
        ((first, foreign), f"{foreign} is not in {network.vpc}"),
        ((first, "subnet-0123456789abcdef0"), "subnet-0123456789abcdef0 does not exist"),
    ):
        result = network.results(subnets=given)["Subnets"]
        assert (result.status, says in result.text) == (Status.FAILED, True), result.text


def test_subnets_none_of_which_exist_leave_nothing_to_call_right(network: Network) -> None:
    results = network.results(subnets=("subnet-0123456789abcdef0", "subnet-0123456789abcdef1"))
    for name in ("Mount targets", "Network ACLs", "Way out", "VPC endpoints", "Instance type"):
        assert results[name].status is Status.UNKNOWN


def test_the_security_group_of_a_stack_that_exists(network: Network) -> None:
    closed_group(network)
    backup = network.security_group("backup")
    result = network.results(group=backup)["NFS security groups"]
    assert result.status is Status.FAILED
    opened = re.findall(r"--group-id (\S+)", result.typed)
    assert f"--source-group {backup}" in result.typed
    for target in network.targets:
        (group,) = network.efs.describe_mount_target_security_groups(MountTargetId=target)[
            "SecurityGroups"
        ]
        network.ec2.authorize_security_group_ingress(
            GroupId=group,
            IpPermissions=[
                {
                    "IpProtocol": "tcp",
                    "FromPort": 2049,
                    "ToPort": 2049,
                    "UserIdGroupPairs": [{"GroupId": backup}],
                }
            ],
        )
    assert network.results(group=backup)["NFS security groups"].status is Status.OK
    assert opened
    assert all(group.startswith("sg-") for group in opened)


def test_network_acls_between_the_subnets_of_a_zone(network: Network) -> None:
    """The mount targets get subnets of their own, with an ACL that lets nothing in."""
    backup_subnets = [network.subnet("10.0.11.0/24", "a"), network.subnet("10.0.12.0/24", "b")]
    acl = network.ec2.create_network_acl(VpcId=network.vpc)["NetworkAcl"]["NetworkAclId"]
    found = network.ec2.describe_network_acls()["NetworkAcls"]
    for association in (a for each in found for a in each["Associations"]):
        if association["SubnetId"] in network.subnets:
            network.ec2.replace_network_acl_association(
                AssociationId=association["NetworkAclAssociationId"], NetworkAclId=acl
            )
    subnets = tuple(backup_subnets)
    result = network.results(subnets=subnets)["Network ACLs"]
    assert result.status is Status.FAILED
    assert "from 10.0.11.0/24 on TCP 2049" in result.text
    for egress, ports in ((False, (2049, 2049)), (True, (1024, 65535))):
        network.ec2.create_network_acl_entry(
            NetworkAclId=acl,
            RuleNumber=100,
            Protocol="6",
            RuleAction="allow",
            Egress=egress,
            CidrBlock="10.0.0.0/16",
            PortRange={"From": ports[0], "To": ports[1]},
        )
    assert network.results(subnets=subnets)["Network ACLs"].status is Status.OK


ALLOW = {"RuleNumber": 100, "Protocol": "-1", "RuleAction": "allow", "Egress": False}


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([], False),
        ([{**ALLOW, "CidrBlock": "0.0.0.0/0"}], True),
        ([{**ALLOW, "CidrBlock": "0.0.0.0/0", "Egress": True}], False),
        ([{**ALLOW, "CidrBlock": "10.0.1.0/25"}], None),
        ([{**ALLOW, "CidrBlock": "10.9.0.0/16"}], False),
        ([{**ALLOW, "Ipv6CidrBlock": "::/0"}], False),
        ([{**ALLOW, "CidrBlock": "0.0.0.0/0", "Protocol": "17"}], False),
        (
            [
                {**ALLOW, "CidrBlock": "0.0.0.0/0", "RuleNumber": 200},
                {**ALLOW, "CidrBlock": "10.0.0.0/8", "RuleAction": "deny"},
            ],
            False,
        ),
        (
            [
                {**ALLOW, "CidrBlock": "0.0.0.0/0"},
                {**ALLOW, "CidrBlock": "10.0.0.0/8", "RuleAction": "deny", "RuleNumber": 200},
            ],
            True,
        ),
        (
            [
                {
                    **ALLOW,
                    "CidrBlock": "0.0.0.0/0",
                    "Protocol": "6",
                    "PortRange": {"From": 2000, "To": 3000},
                }
            ],
            True,
        ),
        (
            [
                {
                    **ALLOW,
                    "CidrBlock": "0.0.0.0/0",
                    "Protocol": "6",
                    "PortRange": {"From": 443, "To": 443},
                }
            ],
            False,
        ),
    ],
)
def test_the_first_rule_of_an_acl_that_applies_decides(
    entries: list[Item], expected: bool | None
) -> None:
    assert algebra.acl_allows(entries, False, "10.0.1.0/24", (2049, 2049)) is expected


def tcp(low: int, high: int, **whom: object) -> Item:
    return {"IpProtocol": "tcp", "FromPort": low, "ToPort": high, **whom}


ANYBODY = {"IpRanges": [{"CidrIp": "0.0.0.0/0"}]}


@pytest.mark.parametrize(
    ("permission", "expected"),
    [
        ({"IpProtocol": "-1", **ANYBODY}, True),
        (tcp(0, 65535, IpRanges=[{"CidrIp": "10.0.1.0/24"}]), True),
        (tcp(2049, 2049, IpRanges=[{"CidrIp": "10.0.1.0/25"}]), False),
        (tcp(22, 22, **ANYBODY), False),
        ({**tcp(2049, 2049, **ANYBODY), "IpProtocol": "udp"}, False),
        (tcp(2049, 2049, UserIdGroupPairs=[{"GroupId": GROUP}]), True),
        (tcp(2049, 2049, UserIdGroupPairs=[{"GroupId": "sg-0"}]), False),
        (tcp(2049, 2049, PrefixListIds=[{"PrefixListId": "pl-1"}]), None),
    ],
)
def test_whom_a_security_group_admits(permission: Item, expected: bool | None) -> None:
    groups = [{"GroupId": "sg-1", "IpPermissions": [permission]}]
    assert algebra.admits(groups, 2049, "10.0.1.0/24", GROUP) is expected


def test_a_default_route_that_leads_nowhere(network: Network) -> None:
    request = network.request()
    facts = network.facts(request)
    tables = facts.route_tables.get()
    for route in tables[0]["Routes"]:
        route["State"] = "blackhole"
    result = way_out(request, replace(facts, route_tables=Fact(tables)))
    assert result.status is Status.FAILED
    assert "leads nowhere (nat-" in result.text


def test_a_subnet_is_routed_by_its_own_table(network: Network) -> None:
    own = network.ec2.create_route_table(VpcId=network.vpc)["RouteTable"]["RouteTableId"]
    network.ec2.associate_route_table(RouteTableId=own, SubnetId=network.subnets[1])
    results = network.results()
    assert "VPC endpoints only" in results["Way out"].text
    assert network.subnets[1] in results["VPC endpoints"].text
    assert network.subnets[0] not in results["VPC endpoints"].text


def test_an_instance_type_that_a_zone_or_the_template_does_not_have(network: Network) -> None:
    assert network.results(instance_type="z9.huge")["Instance type"].status is Status.FAILED
    nothing = network.results(instance_type="")["Instance type"]
    assert nothing.status is Status.FAILED
    assert "no InstanceSize" in nothing.text


def test_a_permission_that_is_missing_is_named_and_nothing_is_called_right() -> None:
    """Here every call is denied."""

    def denied(service: str) -> Any:
        client = boto3.client(service, REGION)
        stubber = Stubber(client)
        code = "UnauthorizedOperation" if service == "ec2" else "AccessDeniedException"
        for operation in OPERATIONS[service]:
            stubber.add_client_error(operation, code)
        stubber.activate()
        return client

    request = Request("fs-01234567", "vpc-01234567", ("subnet-1", "subnet-2"), REGION, "c5.xlarge")
    request = replace(request, existing=EXISTING, workers=2)
    results = dict(checks.checked(request, Reader(denied).facts(request)))
    assert set(statuses(results).values()) == {Status.UNKNOWN}
    assert "elasticfilesystem:DescribeFileSystems" in results["Source file system"].text
    assert "elasticfilesystem:DescribeFileSystemPolicy" in results["File system policy"].text
    assert "ec2:DescribeSubnets" in results["Subnets"].text
    assert "elasticfilesystem:DescribeMountTargets" in results["Mount targets"].text
    assert "ec2:DescribeVpcs" in results["DNS"].text
    assert "ec2:GetEbsDefaultKmsKeyId" in results["Disk encryption"].text
    assert "elasticfilesystem:DescribeFileSystems" in results["Throughput mode"].text
    assert "s3:GetBucketPolicy" in results["Own policies"].text


# In the order in which the reader calls them when each is denied.
OPERATIONS = {
    "efs": [
        "describe_file_systems",
        "describe_file_system_policy",
        "describe_mount_targets",
        "describe_file_systems",
        "describe_file_system_policy",
    ],
    "kms": [],
    "s3": ["get_bucket_policy"],
    "sns": ["get_topic_attributes"],
    "ec2": [
        "describe_vpcs",
        "describe_subnets",
        "describe_vpc_endpoints",
        "describe_network_acls",
        "describe_route_tables",
        "describe_instance_type_offerings",
        "get_ebs_default_kms_key_id",
    ],
}


@pytest.mark.parametrize("code", ["RequestLimitExceeded", "AuthFailure"])
def test_an_error_that_is_no_missing_permission_is_no_result(network: Network, code: str) -> None:
    ec2 = boto3.client("ec2", REGION)
    stubber = Stubber(ec2)
    stubber.add_client_error("describe_vpcs", code)
    stubber.activate()
    with pytest.raises(ClientError, match=code):
        Reader({**network.clients, "ec2": ec2}.__getitem__).facts(network.request())


def test_one_missing_permission_hides_only_what_depends_on_it(network: Network) -> None:
    request = network.request()
    facts = replace(
        network.facts(request), target_groups=Fact(missing="ec2:DescribeSecurityGroups")
    )
    results = dict(checks.checked(request, facts))
    unknown = [name for name, r in results.items() if r.status is Status.UNKNOWN]
    assert unknown == ["NFS security groups"]
    assert "ec2:DescribeSecurityGroups" in results["NFS security groups"].text


# --- The command --------------------------------------------------------------------------------


def given(**values: str) -> Given:
    return Given(values)


def test_the_command_says_what_failed_and_what_to_do(
    network: Network, capsys: pytest.CaptureFixture[str]
) -> None:
    words = {
        "SrcEFS": network.source,
        "VpcId": network.vpc,
        "Subnets": ",".join(network.subnets),
        "REGION": REGION,
    }
    assert command.main(given(**words)) == 0
    assert "15 ok." in capsys.readouterr().out
    attribute("EnableDnsHostnames")(network)
    assert command.main(given(**words)) == 1
    out = capsys.readouterr().out
    assert "14 ok, 1 failed." in out
    assert "aws ec2 modify-vpc-attribute" in out


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"SrcEFS": ""}, "SrcEFS"),
        ({"SrcEFS": "fs-xyz"}, "SrcEFS"),
        ({"VpcId": "10.0.0.0/16"}, "VpcId"),
        ({"Subnets": "subnet-1 subnet-2"}, "Subnets"),
        ({"Subnet": "subnet-0123456789abcdef0"}, "Subnet"),
    ],
)
def test_bad_input_is_named(network: Network, wrong: dict[str, str], named: str) -> None:
    good = {"SrcEFS": "fs-01234567", "VpcId": "vpc-01234567", "Subnets": "subnet-01234567"}
    with pytest.raises(AdminError, match=named):
        command.main(given(REGION=REGION, **{**good, **wrong}))


def test_a_stack_that_exists_gives_the_request() -> None:
    parameters = {"SrcEFS": "fs-01234567", "VpcId": "vpc-01234567", "Subnets": "subnet-1, subnet-2"}
    described = {
        "StackName": "efs-backup",
        "StackStatus": "CREATE_COMPLETE",
        "Parameters": [
            {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
        ],
        "Outputs": [{"OutputKey": "EFSSecurityGroup", "OutputValue": GROUP}],
    }
    client = mock.Mock()
    client.meta.region_name = REGION
    client.describe_stacks.return_value = {"Stacks": [described]}
    client.get_template.return_value = {
        "TemplateBody": "Mappings: {Map: {us-east-1: {InstanceSize: c6g.large}}}\nX: !Ref Y"
    }
    stack = Stack.find(lambda service: Checked(client, service), "efs-backup")
    assert stack
    client.describe_stack_resource.side_effect = lambda StackName, LogicalResourceId: {
        "StackResourceDetail": {"PhysicalResourceId": f"the {LogicalResourceId}"}
    }
    existing = Existing("the DstEFS", "bursting", "the EFSLogBucket", "the SNSTopic", False, False)
    assert command.of_stack(stack, given()) == Request(
        "fs-01234567",
        "vpc-01234567",
        ("subnet-1", "subnet-2"),
        REGION,
        "c6g.large",
        GROUP,
        existing,
    )
    changes = {"EFSThroughputMode": "elastic", "InstanceType": "c7g.large", "Workers": "4"}
    changed = command.of_stack(stack, given(**changes))
    assert changed.existing == replace(existing, throughput="elastic")
    assert (changed.workers, changed.throughput) == (4, "elastic")
    assert changed.instance_type == "c7g.large"


@pytest.mark.parametrize(
    ("parameters", "region", "mode"),
    [
        ({}, REGION, "bursting"),  # version 1.5 has none
        ({"EFSThroughputMode": "elastic"}, REGION, "elastic"),
        ({"EFSThroughputMode": "elastic", "EFSMode": "maxIO"}, REGION, "bursting"),
        ({"EFSThroughputMode": "elastic"}, "cn-north-1", "bursting"),
    ],
)
def test_the_mode_that_a_stack_sets(parameters: dict[str, str], region: str, mode: str) -> None:
    assert command.throughput(parameters, region) == mode


@pytest.mark.parametrize(
    ("workers", "mode", "status", "text"),
    [
        (0, "bursting", Status.OK, "none are wanted"),
        (4, "elastic", Status.OK, "room for 4"),
        (4, "bursting", Status.WARNING, "one machine reaches"),
        (9999, "elastic", Status.WARNING, "addresses left"),
    ],
)
def test_workers_want_addresses_and_a_fast_file_system(
    network: Network, workers: int, mode: str, status: Status, text: str
) -> None:
    result = network.results(workers=workers, throughput=mode)["Workers"]
    assert (result.status, text in result.text) == (status, True), result.text


def test_workers_want_an_endpoint_of_sqs_where_there_is_no_way_out(network: Network) -> None:
    endpoints_but()(network)
    assert network.results()["VPC endpoints"].status is Status.OK
    result = network.results(workers=2)["VPC endpoints"]
    assert (result.status, "sqs has no interface endpoint" in result.text) == (Status.FAILED, True)


@pytest.mark.parametrize("workers", ["-1", "two", "1e1", "999"])
def test_a_number_of_workers_that_is_none_is_refused(workers: str) -> None:
    with pytest.raises(AdminError, match="number from 0 to 32"):
        command.whole(workers)


def test_an_update_that_would_set_the_throughput_mode_back_is_told_of(network: Network) -> None:
    backup = network.efs.create_file_system(CreationToken="backup", ThroughputMode="elastic")
    stack = replace(EXISTING, file_system=backup["FileSystemId"])
    result = network.results(existing=stack)["Throughput mode"]
    assert (result.status, "has elastic, and the stack has bursting" in result.text) == (
        Status.FAILED,
        True,
    )
    assert "EFSThroughputMode=elastic" in result.advice
    elastic = network.results(existing=replace(stack, throughput="elastic"))
    assert elastic["Throughput mode"].status is Status.OK


def test_policies_that_the_update_from_version_1_5_meets(network: Network) -> None:
    s3, sns = network.clients["s3"], network.clients["sns"]
    stack, topic = replace(EXISTING, file_system=network.source), TOPIC
    assert network.results(existing=stack)["Own policies"].status is Status.OK
    statement = {"Sid": "Mine", "Effect": "Deny", "Principal": "*", "Action": "sns:Publish"}
    document = json.dumps(
        {"Version": "2012-10-17", "Statement": [{**statement, "Resource": topic}]}
    )
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=document)
    replaced = network.results(existing=stack)["Own policies"]
    assert (replaced.status, "the update replaces" in replaced.text) == (Status.WARNING, True)
    s3.put_bucket_policy(Bucket="log-bucket", Policy=document)
    met = network.results(existing=stack)["Own policies"]
    assert (met.status, "delete-bucket-policy --bucket log-bucket" in met.typed) == (
        Status.FAILED,
        True,
    )
    own = network.results(existing=replace(stack, keeps_policies=True))["Own policies"]
    assert own.status is Status.OK
    network.efs.put_file_system_policy(FileSystemId=network.source, Policy=document)
    new = replace(stack, keeps_policies=True)
    guarded = network.results(existing=new)["Own policies"]
    assert (guarded.status, "ProtectSnapshots=Yes" in guarded.text) == (Status.WARNING, True)
    own = network.results(existing=replace(new, protected=True))["Own policies"]
    assert own.status is Status.OK


def test_a_key_that_auto_scaling_may_not_use_is_told_of(network: Network) -> None:
    kms = network.clients["kms"]
    key = kms.create_key()["KeyMetadata"]["Arn"]
    network.ec2.modify_ebs_default_kms_key_id(KmsKeyId=key)
    denied = network.results()["Disk encryption"]
    assert (denied.status, key in denied.text) == (Status.FAILED, True)
    role = "arn:aws:iam::123456789012:role/aws-service-role/autoscaling.amazonaws.com/"
    kms.create_grant(
        KeyId=key,
        GranteePrincipal=f"{role}AWSServiceRoleForAutoScaling",
        Operations=["Encrypt", "Decrypt", "CreateGrant"],
    )
    assert network.results()["Disk encryption"].status is Status.OK


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda network: None, "whoever can connect may write"),
        ("Deny ClientWrite", "nobody can write"),
        ("Allow ClientMount", "could not write, since its role may not"),
        ("Allow ClientWrite", "lets others write"),
    ],
)
def test_what_keeps_backups_from_writing_to_the_source(
    network: Network, change: Any, says: str
) -> None:
    if isinstance(change, str):
        effect, action = change.split()
        change = policy(effect, f"elasticfilesystem:{action}", {"AWS": "*"})
    change(network)
    result = network.results()["File system policy"]
    assert result.status is Status.OK
    assert says in result.text


@pytest.mark.parametrize(
    ("region", "more", "expected"),
    [
        ("eu-west-1", {}, "c5.xlarge"),
        ("mars-north-1", {}, ""),
        ("eu-west-1", {"InstanceType": "c7g.large"}, "c7g.large"),
    ],
)
def test_the_template_names_the_instance_of_a_region_unless_it_is_given(
    region: str, more: dict[str, str], expected: str
) -> None:
    template = Template.parse(command.TEMPLATE.read_text())
    network = {"SrcEFS": "fs-01234567", "VpcId": "vpc-01234567", "Subnets": "subnet-01234567"}
    assert command.planned(given(**network, **more), region, template).instance_type == expected


def test_long_texts_stay_readable_in_a_narrow_terminal() -> None:
    console = Console(width=60, record=True, force_terminal=False)
    results = [("Subnets", Result(Status.FAILED, "word " * 40, "[bold] is no markup"))]
    with console.capture() as capture:
        command.report(results, console)
    assert "[bold] is no markup" in capture.get()
    assert max(map(len, capture.get().splitlines()[:-1])) <= 60


def test_the_checklist_in_the_documentation_has_the_same_checks_in_the_same_order() -> None:
    text = DOCUMENT.read_text()
    section = text.partition("## Checklist")[2].partition("\n## ")[0]
    assert re.findall(r"^\d+\. \*\*(.+?)\*\*", section, re.MULTILINE) == list(checks.CHECKS)


def test_the_documented_permissions_are_those_of_the_calls(network: Network) -> None:
    """CloudFormation's come from the class that finds a stack."""
    endpoints_but()(network)
    called = set()

    def note(model: Any, **_: Any) -> None:
        called.add(f"{model.service_model.signing_name}:{model.name}")

    key = network.clients["kms"].create_key()["KeyMetadata"]["Arn"]
    network.ec2.modify_ebs_default_kms_key_id(KmsKeyId=key)
    for client in network.clients.values():
        client.meta.events.register("before-call.*.*", note)
    network.results(existing=replace(EXISTING, file_system=network.source))
    section = DOCUMENT.read_text().partition("## Checklist")[2]
    documented = json.loads(section.partition("```json")[2].partition("```")[0])
    (statement,) = documented["Statement"]
    of_stacks = {a for a in statement["Action"] if a.startswith("cloudformation:")}
    assert set(statement["Action"]) - of_stacks == called


def test_a_command_stands_apart_from_the_table() -> None:
    """In a cell of it, a terminal would get it in parts that are no command."""
    result = Result(Status.FAILED, "closed", "Open it by the command below.", "aws ec2 open " * 20)
    terminal = Terminal(80)
    output = Console(file=terminal.stream, width=80, no_color=True)
    command.report([("Gate", result)], output)
    _, _, typed = terminal.read().replace("\r\n", "\n").partition("Gate:\n")
    lines = typed.partition("\n\n")[0].split("\n")
    assert len(lines) > 3
    assert all(line.endswith(" \\") and len(line) <= 80 for line in lines[:-1])
    assert "".join(line.removesuffix("\\") for line in lines).split() == ["aws", "ec2", "open"] * 20
