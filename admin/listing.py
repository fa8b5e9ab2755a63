"""What is in a bucket, however much it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def objects(client: Any, bucket: str, prefix: str, after: str = "") -> Iterator[dict[str, Any]]:
    """Those whose keys begin with the prefix, and come after a key, as S3 describes them."""
    for page in _pages(client, Bucket=bucket, Prefix=prefix, StartAfter=after):
        yield from page.get("Contents", [])


def folders(client: Any, bucket: str, prefix: str, after: str = "") -> Iterator[str]:
    """What is right below the prefix, each with a slash at its end."""
    for page in _pages(client, Bucket=bucket, Prefix=prefix, StartAfter=after, Delimiter="/"):
        for found in page.get("CommonPrefixes", []):
            yield found["Prefix"]


def _pages(client: Any, **request: str) -> Iterator[dict[str, Any]]:
    given = {name: value for name, value in request.items() if value}
    yield from client.get_paginator("list_objects_v2").paginate(**given)
