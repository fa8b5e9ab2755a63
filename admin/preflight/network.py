"""What security groups, network ACLs and route tables let through; asks nobody."""

from ipaddress import ip_network

from admin.preflight.facts import Item


def admits(groups: list[Item], port: int, cidr: str, group: str) -> bool | None:
    """Whether the groups let TCP in from a network or a group. None: only by prefix list."""
    by_list = False
    for permission in (p for g in groups for p in g["IpPermissions"]):
        if not _covers_port(permission, port):
            continue
        if any(within(cidr, r["CidrIp"]) for r in permission.get("IpRanges", [])):
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
        if low <= ports[0] and high >= ports[1] and within(cidr, entry["CidrBlock"]):
            return bool(entry["RuleAction"] == "allow")
        return None
    return False


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


def route_target(route: Item) -> str:
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


def within(inner: str, outer: str) -> bool:
    a, b = ip_network(inner), ip_network(outer)
    return a.version == b.version and a.subnet_of(b)  # type: ignore[arg-type]
