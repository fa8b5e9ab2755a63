"""The checks, in the words of docs/network.md."""

from collections.abc import Callable, Iterator

from admin.preflight.facts import Facts, Request, Unknown, Unreadable
from admin.preflight.reaching import (
    dhcp_options,
    dns,
    mount_targets,
    network_acls,
    nfs_security_groups,
    subnets,
)
from admin.preflight.resources import (
    disk_encryption,
    instance_type,
    own_policies,
    throughput_mode,
    workers,
)
from admin.preflight.results import Result, Status
from admin.preflight.services import vpc_endpoints, way_out
from admin.preflight.source import file_system_policy, source_file_system

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
    "Workers": workers,
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
