"""What is judged of the facts, in the words of docs/network.md."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from admin.preflight.facts import Fact, Facts, Item, Request, Unknown, Unreadable, listing
from admin.preflight.network import acl_allows, admits, default_route, route_table, route_target

NFS, HTTPS, EPHEMERAL = 2049, 443, (1024, 65535)
GATEWAYS = ("s3", "dynamodb")
INTERFACES = ("autoscaling", "sns", "ssm", "ssmmessages")
"""The endpoints that an instance without another way out needs."""


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
READ_ONLY_MOUNT = "what keeps a backup from writing is that it mounts the source read-only"
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
        return ok(f"none: whoever can connect may write; {READ_ONLY_MOUNT}")
    for statement in _statements(policy):
        if statement.get("Effect") != "Deny" or not _concerns(statement, NEEDED):
            continue
        if statement.get("Condition") in HARMLESS:
            continue
        name = statement.get("Sid", "without a Sid")
        everybody = statement.get("Principal") in EVERYBODY
        advice = f"Let the instance's role {' and '.join(NEEDED)}, for example by a condition."
        if everybody and not statement.get("Condition"):
            return failed(f"the statement {name} denies mounting as root", advice)
        return warning(f"the statement {name} may deny mounting as root", advice)
    return ok(f"denies nothing that backups need; {_who_writes(policy)}")


EVERYBODY = ("*", {"AWS": "*"}, {"AWS": ["*"]})


def _who_writes(policy: Item) -> str:
    """Whether the policy lets a role write that has no right of its own, like the instance's."""
    writing = [s for s in _statements(policy) if _concerns(s, ("ClientWrite",))]
    denied = [s for s in writing if s["Effect"] == "Deny" and not s.get("Condition")]
    if any(s.get("Principal") in EVERYBODY for s in denied):
        return "nobody can write"
    if denied:
        return f"who may write depends on the role; in any case {READ_ONLY_MOUNT}"
    if any(s["Effect"] == "Allow" for s in writing):
        return f"it lets others write, maybe all; {READ_ONLY_MOUNT}"
    return "the instance could not write, since its role may not"


def _statements(policy: Item) -> list[Item]:
    found = policy.get("Statement", [])
    return [found] if isinstance(found, dict) else found


def _concerns(statement: Item, needed: Sequence[str]) -> bool:
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
        for action in needed
    )


def subnets(request: Request, facts: Facts) -> Result:
    advice = "Give two subnets of the VPC in different Availability Zones."
    found = facts.subnets.get()
    absent = set(request.subnets) - {s["SubnetId"] for s in found}
    if absent:
        return failed(f"{listing(absent)} does not exist in {request.region}", advice)
    if len(found) != 2:
        return failed(f"{len(found)} given", advice)
    outside = [s["SubnetId"] for s in found if s["VpcId"] != request.vpc]
    if outside:
        return failed(f"{listing(outside)} is not in {request.vpc}", advice)
    zones = {s["AvailabilityZone"] for s in found}
    if len(zones) != 2:
        return failed(f"both are in {listing(zones)}", advice)
    return ok(f"in {listing(zones)}")


def mount_targets(request: Request, facts: Facts) -> Result:
    targets = facts.mount_targets.get()
    elsewhere = {t["VpcId"] for t in targets} - {request.vpc}
    if elsewhere:
        return failed(
            f"the source has its mount targets in {listing(elsewhere)}",
            "Deploy into that VPC, with subnets of it.",
        )
    zones = {t["AvailabilityZoneName"] for t in targets if t["LifeCycleState"] == "available"}
    without = _zones(facts) - zones
    if without:
        return failed(
            f"the source has none that is available in {listing(without)}",
            "Create one (aws efs create-mount-target), or give subnets in "
            f"{listing(zones) if zones else 'other Availability Zones'}. "
            "A One Zone file system has a mount target in its own zone only.",
        )
    return ok(f"of the source in {listing(_zones(facts))}")


def closed_to_nfs(request: Request, facts: Facts) -> tuple[list[str], list[str]]:
    """Of each mount target that lets nobody in, a security group to open; of those of which it
    cannot be told, as they go by a prefix list, all."""
    closed, by_list = set(), set()
    for target, subnet in _pairs(facts):
        groups = facts.target_groups.get()[target["MountTargetId"]]
        admitted = admits(groups, NFS, subnet["CidrBlock"], request.group)
        ids = sorted(g["GroupId"] for g in groups)
        if admitted is None:
            by_list |= {*ids}
        elif not admitted:
            closed |= {*ids[:1]}
    return sorted(closed), sorted(by_list)


def opening(group: str, source: str) -> str:
    """The command that lets NFS into a security group."""
    return (
        "aws ec2 authorize-security-group-ingress --protocol tcp --port 2049 "
        f"--source-group {source} --group-id {group}"
    )


def nfs_security_groups(request: Request, facts: Facts) -> Result:
    closed, by_list = closed_to_nfs(request, facts)
    if closed:
        group = request.group or "<output EFSSecurityGroup of the stack>"
        advice = " && ".join(opening(each, group) for each in closed)
        if request.group:
            return failed(f"{listing(closed)} does not let NFS in from {request.group}", advice)
        return warning(
            f"{listing(closed)} does not let NFS in from the subnets yet",
            f"Once the stack is deployed: {advice}",
        )
    if by_list:
        return warning(
            f"{listing(by_list)} lets NFS in from a prefix list",
            "Make sure that the list has the addresses of the subnets.",
        )
    return ok("the source's mount targets let NFS (TCP 2049) in")


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
        return failed(f"no traffic of {listing(denied)}", "Allow it in the network ACL.")
    if unsure:
        return warning(f"only a part is allowed of {listing(unsure)}", "Look at the network ACL.")
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
            f"{listing(off)} is off in {request.vpc}",
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
        f"use the DNS servers {listing(servers)}",
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
        target = route_target(route)
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
    return ok(f"through {listing(through)}")


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
            yield f"{service} has no gateway endpoint for {listing(without)}", False


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
            ids = listing({g["GroupId"] for g in groups})
            text = f"the endpoint of {service} does not let HTTPS in from the subnets ({ids})"
            yield text, not request.group


def instance_type(request: Request, facts: Facts) -> Result:
    if not request.instance_type:
        return failed(
            f"the template has no InstanceSize for {request.region}",
            "Give one, InstanceType=c7i.xlarge, or add a line for the region to its Mappings.",
        )
    without = {s["AvailabilityZone"] for s in _subnets(facts)} - facts.offered_in.get()
    if without:
        return failed(
            f"{request.instance_type} is not offered in {listing(without)}",
            "Choose another InstanceType, or other subnets.",
        )
    return ok(f"{request.instance_type} is offered in both zones")


AUTO_SCALING = "AWSServiceRoleForAutoScaling"


def disk_encryption(request: Request, facts: Facts) -> Result:
    """Auto Scaling may use keys of AWS; a key of the account only where that says so."""
    key = facts.disk_key.get()
    if key is None:
        return ok("new disks are encrypted with the key of AWS")
    if AUTO_SCALING in key.policy or any(AUTO_SCALING in name for name in key.grantees):
        return ok(f"Auto Scaling may use {key.arn}")
    return failed(
        f"new disks are encrypted with {key.arn}, which Auto Scaling is not allowed to use: no "
        "instance could be launched",
        f"Let the role {AUTO_SCALING} use the key: docs/network.md has the statements.",
    )


def throughput_mode(request: Request, facts: Facts) -> Result:
    if request.existing is None:
        return ok("that of a new file system")
    found = facts.backup.get()
    if found is None:
        raise Unknown(f"there is no {request.existing.file_system}")
    now, wanted = found["ThroughputMode"], request.existing.throughput
    if now == wanted:
        return ok(f"{now}, as the stack has it")
    return failed(
        f"{request.existing.file_system} has {now}, and the stack has {wanted}: an update sets it "
        "back, or fails if the mode was changed in the last 24 hours",
        f"Give EFSThroughputMode={now} with the update, or change the mode of the file system "
        "first, a day before. docs/upgrade.md has more.",
    )


def own_policies(request: Request, facts: Facts) -> Result:
    """The update from version 1.5 brings policies for the log bucket and the topic, and
    ProtectSnapshots one for the backup file system."""
    stack = request.existing
    if stack is None:
        return ok("none that an update would meet")
    if not stack.keeps_policies and facts.bucket_policy.get() is not None:
        bucket = stack.bucket
        return failed(
            f"the log bucket {bucket} has a policy already, over which the update would fail, and "
            "its rollback too",
            f"Keep it (aws s3api get-bucket-policy --bucket {bucket}), take it away (aws s3api "
            f"delete-bucket-policy --bucket {bucket}), and add its statements to the new one "
            "after the update.",
        )
    policy = (not stack.keeps_policies and facts.topic_policy.get()) or {}
    if any(s.get("Sid") != "__default_statement_ID" for s in _statements(policy)):
        return warning(
            f"the topic {stack.topic} has a policy that the update replaces",
            "Keep it (aws sns get-topic-attributes), and subscribe or publish by other means: "
            "the stack's policy lets CloudWatch publish, and roles of the account by their own.",
        )
    if not stack.protected and facts.backup_policy.get() is not None:
        return warning(
            f"{stack.file_system} has a policy that ProtectSnapshots=Yes would replace",
            "Keep it (aws efs describe-file-system-policy) if you choose that, and see that it "
            "lets the role of the backup instance mount, write and be root.",
        )
    return ok("none that an update would meet")


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
    "Disk encryption": disk_encryption,
    "Throughput mode": throughput_mode,
    "Own policies": own_policies,
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
