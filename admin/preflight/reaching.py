"""Whether the instances reach the source, over NFS."""

from admin.preflight.facts import Facts, Item, Request, Unknown, listing
from admin.preflight.network import acl_allows, admits
from admin.preflight.results import Result, failed, ok, warning

NFS, HTTPS, EPHEMERAL = 2049, 443, (1024, 65535)


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
    without = zones_of(facts) - zones
    if without:
        return failed(
            f"the source has none that is available in {listing(without)}",
            "Create one (aws efs create-mount-target), or give subnets in "
            f"{listing(zones) if zones else 'other Availability Zones'}. "
            "A One Zone file system has a mount target in its own zone only.",
        )
    return ok(f"of the source in {listing(zones_of(facts))}")


def closed_to_nfs(request: Request, facts: Facts) -> tuple[list[str], list[str]]:
    """Of each mount target that lets nobody in, a security group to open; of those of which it
    cannot be told, as they go by a prefix list, all."""
    closed, by_list = set(), set()
    for target, subnet in pairs_of(facts):
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
        typed = " && ".join(opening(each, group) for each in closed)
        if request.group:
            text = f"{listing(closed)} does not let NFS in from {request.group}"
            return failed(text, "Let it in by the command below.", typed)
        return warning(
            f"{listing(closed)} does not let NFS in from the subnets yet",
            "Let it in by the command below, once the stack is deployed.",
            typed,
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
    for target, subnet in pairs_of(facts):
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
    for subnet in subnets_of(facts):
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
            "Turn it on by the command below.",
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


def subnets_of(facts: Facts) -> list[Item]:
    found = facts.subnets.get()
    if not found:
        raise Unknown("there is no subnet to look at")
    return found


def zones_of(facts: Facts) -> set[str]:
    return {s["AvailabilityZone"] for s in subnets_of(facts)}


def pairs_of(facts: Facts) -> list[tuple[Item, Item]]:
    """Each mount target of the source with the given subnet of its zone."""
    pairs = [
        (target, subnet)
        for target in facts.mount_targets.get()
        for subnet in subnets_of(facts)
        if subnet["AvailabilityZone"] == target["AvailabilityZoneName"]
    ]
    if not pairs:
        raise Unknown("the source has no mount target in the zones of the subnets")
    return pairs
