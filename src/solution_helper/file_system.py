"""Whether an update of the stack would exchange the backup file system for a new, empty one.

CloudFormation replaces a file system whose encryption, key or performance mode changes. The old one
would be kept, but nobody would go on with its snapshots.
"""

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

LOGICAL_ID = "DstEFS"
LONGEST_NAME = 64
"""Characters of the name of a function, and so of the stack that it is named like."""


class Refused(ValueError):
    """The stack must not be made or updated like this; the message says why."""


def check_name(stack_id: str) -> None:
    """Rules of a template see parameters only, and cannot measure them."""
    name = stack_id.split("/")[1]
    if len(name) > LONGEST_NAME:
        raise Refused(
            f"The name of the stack has {len(name)} characters, and that of the function, which is"
            f" the same, can have {LONGEST_NAME}. Give the stack a shorter name"
        )


def existing(cloudformation: Any, efs: Any, stack_id: str) -> Mapping[str, Any] | None:
    """The backup file system that the stack has, as EFS describes it."""
    try:
        resource = cloudformation.describe_stack_resource(
            StackName=stack_id, LogicalResourceId=LOGICAL_ID
        )["StackResourceDetail"]
        file_system = resource.get("PhysicalResourceId")
        if not file_system:
            return None
        found: Mapping[str, Any] = efs.describe_file_systems(FileSystemId=file_system)[
            "FileSystems"
        ][0]
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("ValidationError", "FileSystemNotFound"):
            raise
        return None  # the stack is new, or there is nothing left to lose
    return found


def check_not_replaced(
    found: Mapping[str, Any], wanted: Mapping[str, str], before: Mapping[str, str]
) -> None:
    """wanted, before: the parameters that make a file system what it is; before is empty where no
    update has told them yet.

    Only what the file system is counts: a rollback asks for what it was, and has to get it.
    """
    key, old_key = wanted["KmsKeyId"], before.get("KmsKeyId", "")
    current = found.get("KmsKeyId", "")
    changed = [
        name
        for name, same in (
            ("EFSMode", wanted["EFSMode"] == found["PerformanceMode"]),
            ("EFSEncryption", (wanted["EFSEncryption"] == "Yes") == found["Encrypted"]),
            ("KmsKeyId", key == current if key else not old_key or old_key != current),
        )
        if not same
    ]
    if changed:
        raise Refused(
            f"{' and '.join(changed)} would replace the backup file system {found['FileSystemId']}"
            " by an empty one. Leave that as it was, or make a new stack"
        )
