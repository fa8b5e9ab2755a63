"""Where the catalogs of a stack's snapshots are."""

from __future__ import annotations

from typing import Any

from admin.command import AdminError, Clients
from admin.in_bucket import InBucket
from admin.stack import Stack


def catalogs_of(connect: Clients, stack: Stack) -> InBucket:
    bucket, label = stack.outputs.get("LogBucket"), stack.parameters.get("FolderLabel")
    if not bucket or not label:
        raise AdminError(
            f"The stack {stack.name} is of a release that has no catalogs. Update it first:"
            " make deploy"
        )
    client = connect("s3")
    return InBucket(client, bucket, prefix_of(client, bucket, label))


def prefix_of(client: Any, bucket: str, label: str) -> str:
    """CloudFormation tells question marks for what is not ASCII; the instance knows better."""
    own = f"catalog/{label}/"
    if "?" not in label:
        return own
    found = client.list_objects_v2(Bucket=bucket, Prefix="catalog/", Delimiter="/")
    names = [each["Prefix"] for each in found.get("CommonPrefixes", [])]
    return next((name for name in names if is_like(own, name)), own)


def is_like(told: str, name: str) -> bool:
    return len(told) == len(name) and all(a in (b, "?") for a, b in zip(told, name, strict=True))
