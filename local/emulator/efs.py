"""EFS: file systems have no mount targets that would let anybody in."""

import json
from pathlib import Path
from typing import Any

from local import imds, mount_targets
from local.emulator import ministack


def client_rights(
    metadata: imds.MetadataService,
    enforce: Any,
    contents: Path,
    instance: str,
    file_system: str,
    iam: bool,
    tls: bool,
) -> frozenset[str]:
    """What an instance may do with a file system; `enforce` says what its role may do."""
    identity = metadata.identity(instance)
    with ministack("core.responses").request_scope(identity.account, identity.region):
        found = ministack("services.efs")._file_systems.get(file_system)
        if not found or not found["NumberOfMountTargets"]:
            raise mount_targets.Unresolved
        (contents / file_system).mkdir(exist_ok=True)
        policy = found.get("FileSystemPolicy")
        key = identity.credentials().access_key
        arn = found["FileSystemArn"]
        own = (
            right
            for right in mount_targets.RIGHTS
            if not enforce(key, right, "elasticfilesystem", identity.region, resource_arn=arn)
        )
        return mount_targets.granted(
            json.loads(policy) if policy else None,
            own if iam else (),
            f"arn:aws:iam::{identity.account}:role/{identity.role}" if iam else None,
            tls,
            arn,
        )
