"""Who can write to the backup, and what is left when a parameter is taken back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError
from common.statuses import SUCCESS

from admin.acceptance.found import Found
from admin.acceptance.scene import BACKUP, FOLDER, CommandFailed, Scene
from admin.command import AdminError
from admin.stack import Stack

THERE, GONE = "there", ("PolicyNotFound", "ReplicationNotFound")


def can_write(scene: Scene) -> bool:
    try:
        scene.run(f"touch '{BACKUP}/written by the client'")
    except CommandFailed as error:
        if not any(w in str(error) for w in ("Permission denied", "Read-only", "not permitted")):
            raise
        return False
    scene.run(f"rm -f '{BACKUP}/written by the client'")
    return True


def remount(scene: Scene) -> None:
    scene.run(f"umount {BACKUP}")
    scene.mount(scene.stack.outputs["BackupEFS"], BACKUP)


def protection(scene: Scene) -> Found:
    scene.runs.have_snapshot()
    _ = scene.backup_mounted
    before = can_write(scene)
    scene.account.update(scene.stack, ProtectSnapshots="Yes")

    def closed() -> bool:
        try:
            remount(scene)
            return not can_write(scene)
        except CommandFailed as error:
            scene.account.say(f"The client cannot mount yet: {error}")
            scene.pause(10)
            return False

    try:
        scene.until("the policy to hold", 10, closed)
        after = "a client without a role cannot write"
    except AdminError as error:
        after = f"a client without a role can still write: {error}"
    seen = scene.run(f"ls {BACKUP}/{FOLDER}")
    run = scene.runs.back_up()
    good = before and after.endswith("cannot write") and "daily.0" in seen
    return Found(
        good and run.status == SUCCESS,
        f"before, it {'could' if before else 'could not'}; {after}; it reads {seen.split()};"
        f" the backup: {run.status}",
        f"the run {run.backup_id}; file system {scene.stack.outputs['BackupEFS']}",
    )


def taken_back(scene: Scene) -> Found:
    """Both at once, on and off: of what is not there, EFS says so."""
    efs, backup = scene.client("efs"), scene.stack.outputs["BackupEFS"]
    region = scene.replica_region

    def found() -> list[str]:
        return [
            code(lambda: efs.describe_file_system_policy(FileSystemId=backup)),
            code(lambda: efs.describe_replication_configurations(FileSystemId=backup)),
        ]

    current = Stack.backup(scene.account.clients, scene.stack.name)
    current = scene.account.update(current, ProtectSnapshots="Yes", ReplicaRegion=region)
    on = found()
    scene.account.update(current, ProtectSnapshots="No", ReplicaRegion="")
    off = found()
    expected = [THERE, THERE if region else "ReplicationNotFound"]
    where = f"policy, and replica in {region}" if region else "policy (there is no other region)"
    return Found(
        on == expected and off == list(GONE),
        f"{where}: {', '.join(on)}; then {', '.join(off)}",
        f"the file system {backup}",
    )


def code(ask: Callable[[], Any]) -> str:
    """What EFS says of what is not there, or else that it is."""
    try:
        ask()
    except ClientError as error:
        found = str(error.response["Error"]["Code"])
        if found not in GONE:
            raise
        return found
    return THERE
