"""Whether the instances reach the services that they call."""

from collections.abc import Iterator

from admin.preflight.facts import Facts, Item, Request, listing
from admin.preflight.network import admits, default_route, route_table, route_target
from admin.preflight.reaching import HTTPS, subnets_of
from admin.preflight.results import Result, failed, ok, warning

GATEWAYS = ("s3", "dynamodb")
INTERFACES = ("autoscaling", "sns", "ssm", "ssmmessages")
"""The endpoints that an instance without another way out needs."""


def way_out(request: Request, facts: Facts) -> Result:
    problems, through = [], set()
    for subnet in subnets_of(facts):
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
    enclosed = [s for s in subnets_of(facts) if not default_route(tables, s["SubnetId"])]
    if not enclosed:
        return ok("not needed")
    problems = [*_gateway_problems(enclosed, request, facts)]
    problems += _interface_problems(enclosed, request, facts)
    if not problems:
        return ok(f"{', '.join(GATEWAYS + interfaces_of(request))} are there")
    text = "; ".join(problem for problem, _ in problems)
    if all(later for _, later in problems):
        return warning(
            text,
            "Let TCP 443 in from the subnets, or, once the stack is deployed, from its output "
            "EFSSecurityGroup.",
        )
    return failed(text, "docs/network.md has the endpoints, their policies and the commands.")


def interfaces_of(request: Request) -> tuple[str, ...]:
    return (*INTERFACES, "sqs") if request.workers else INTERFACES


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
    for service in interfaces_of(request):
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
