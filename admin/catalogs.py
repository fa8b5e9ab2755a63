"""Where the catalogs of a stack's snapshots are."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from engine.history.upkeep import LIST

from admin import listing
from admin.command import AdminError, Clients
from admin.stack import Stack
from admin.wording import command
from console_page.in_bucket import InBucket

# Of the project, whatever directory this is called from: in another one, others may have put it.
CACHE = Path(__file__).absolute().parents[1] / ".cache/catalogs"


def catalogs_of(connect: Clients, stack: Stack) -> InBucket:
    bucket, label = stack.outputs.get("LogBucket"), stack.parameters.get("FolderLabel")
    if not bucket or not label:
        raise AdminError(
            f"The stack {stack.name} is of a release that has no catalogs. Update it first:"
            f"\n  {command('deploy', {'STACK': stack.name})}"
        )
    client = connect("s3")
    return InBucket(client, bucket, prefix_of(client, bucket, label), cache())


def cache() -> Path:
    """Where nothing can be kept, as on a disk that is only read, they are brought for once."""
    with suppress(OSError):
        CACHE.mkdir(parents=True, exist_ok=True)
    if os.access(CACHE, os.W_OK | os.X_OK):
        return CACHE
    place = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return Path(place)


def prefix_of(client: Any, bucket: str, label: str) -> str:
    """CloudFormation tells question marks for what is not ASCII; the instance knows better. Of
    several labels that would look alike, it is the one of the last backup."""
    own = f"catalog/{label}/"
    if "?" not in label:
        return own
    names = [name for name in listing.folders(client, bucket, "catalog/") if is_like(own, name)]

    def written(name: str) -> list[Any]:
        return [o["LastModified"] for o in listing.objects(client, bucket, name + LIST)]

    return max(names, key=written, default=own)


def is_like(told: str, name: str) -> bool:
    return len(told) == len(name) and all(a in (b, "?") for a, b in zip(told, name, strict=True))
