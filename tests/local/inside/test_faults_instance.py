"""What an instance meets while it works: packages, mounts, a full disk, services that fail."""

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

FAILS_TWICE = (
    "echo >>/run/tried; (($(wc -l </run/tried) > 2)) ||"
    " { echo 'mount.nfs4: Connection timed out' >&2; exit 32; }"
)
FULL = "/usr/bin/mount -t tmpfs -o nr_inodes=1 full"


def failing(what, output, status):
    return {what: f"echo '{output}' >&2; exit {status}"}


@dataclass
class Case:
    """faults: by command. status: of the run. words: in its message, or in its warnings."""

    faults: dict
    status: str
    words: str
    new: int = 0
    notes: list = field(default_factory=list)
    """The subjects of what the instance itself sent before the notification."""


NOTE = "EFS backup: the DynamoDB record could not be updated"
DENIED = "An error occurred (AccessDenied) when calling the operation"
NO_LOGS = failing("*'s3 cp '*efs-backup-log* | *'s3 cp '*ec2-logs*", DENIED, 1)
NO_REPORT = failing("*/update.json*", DENIED, 254)
CASES = {
    "the backup denies the mount": Case(
        {"mount": failing("*/mnt/backup", "mount.nfs4: access denied by server", 32)},
        "Unsuccessful",
        "denies the mount: check its file system policy",
    ),
    "the source can be mounted late": Case(
        {"mount": {"*/mnt/source": FAILS_TWICE}},
        "Success",
        "",
        new=1,
    ),
    "the disk is full before the copy": Case(
        {"mount": {"*/mnt/source": f"{FULL} /var/tmp"}},
        "Unsuccessful",
        "No space left on device: '/var/tmp",
    ),
    "the disk is full when all is copied": Case(
        {"sync": {"*": f"{FULL} /var/log/efs-backup"}},
        "Success",
        "could not be kept: [Errno 28] No space left on device",
        new=1,
    ),
    "S3 takes no logs": Case({"aws": NO_LOGS}, "Success", "could not be uploaded", new=1),
    "DynamoDB takes no report": Case(
        {"aws": NO_REPORT}, "Unknown", "could not update the DynamoDB", new=1, notes=[NOTE]
    ),
    "neither DynamoDB nor SNS takes the report": Case(
        {"aws": {**NO_REPORT, **failing("'sns publish '*", DENIED, 254)}},
        "Unknown",
        "could not update the DynamoDB",
        new=1,
    ),
}


def expect(backups, outcome, case):
    told = [outcome.record["Message"], *outcome.record.get("Warnings", [])]
    assert outcome.record["BackupStatus"] == case.status, told
    assert any(case.words in line for line in told), told
    assert outcome.new == case.new
    assert len(outcome.instances) == 1
    if case.new:
        assert backups.published_is_the_source()
    if case.status != "Success":
        backups.expect_the_next_run_to_work()


@pytest.mark.parametrize("name", CASES)
def test_a_fault_is_named_and_the_next_run_works(backups, name):
    backups.break_instances(CASES[name].faults)
    expect(backups, backups.run(notes=CASES[name].notes), CASES[name])


@contextmanager
def without_mount_targets(backups):
    """Of the source, which has no name in the VPC then."""
    efs, stack = backups.account.client("efs"), backups.stack
    targets = efs.describe_mount_targets(FileSystemId=stack.source_id)["MountTargets"]
    for target in targets:
        efs.delete_mount_target(MountTargetId=target["MountTargetId"])
    away = stack.source.rename(backups.account.home / "away")
    yield
    away.rename(stack.source)
    for target in targets:
        efs.create_mount_target(FileSystemId=stack.source_id, SubnetId=target["SubnetId"])


def test_a_source_without_mount_targets(backups):
    backups.break_instances({})
    with without_mount_targets(backups):
        outcome = backups.run(change=False)
    expect(backups, outcome, Case({}, "Unsuccessful", "has no DNS name here"))


def test_packages_that_cannot_be_installed(backups):
    """On an image without rsync."""
    no_repository = "echo 'Error: Failed to download metadata for repo' >&2; exit 1"
    backups.break_instances(
        {"dnf": {"*": no_repository}}, PATH="/opt/aws/bin:/opt/few:/usr/sbin:/sbin"
    )
    few = backups.account.image / "opt/few"
    few.mkdir()
    for command in Path("/usr/bin").iterdir():
        if command.name != "rsync":
            (few / command.name).symlink_to(command)
    expect(
        backups, backups.run(), Case({}, "Unsuccessful", "programs that a backup needs could not")
    )


def statement(effect, action, **condition):
    principal = {"AWS": "*"}
    return {"Effect": effect, "Principal": principal, "Action": action, "Condition": condition}


VIA_TARGET = {"elasticfilesystem:AccessedViaMountTarget": "true"}
READ = statement(
    "Allow",
    ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientRootAccess"],
    Bool=VIA_TARGET,
)
WRITE_DENIED = statement("Deny", "elasticfilesystem:ClientWrite", Bool=VIA_TARGET)
BY_ROLE = statement(
    "Deny", "elasticfilesystem:ClientWrite", ArnNotEquals={"aws:PrincipalArn": "a role"}
)


@pytest.mark.parametrize(
    ("policy", "case"),
    [
        ([READ], Case({}, "Success", "", new=1)),
        ([READ, WRITE_DENIED], Case({}, "Unsuccessful", "'/mnt/backup' cannot be written")),
        # EFS does not enforce it, so nobody knows what it would do.
        ([READ, BY_ROLE], Case({}, "Unsuccessful", "aws:PrincipalArn, which EFS does not")),
    ],
    ids=["reading", "no writing", "by role"],
)
def test_the_policy_of_the_backup_file_system_holds_for_mounts(backups, policy, case):
    backups.break_instances({})
    efs, backup = backups.account.client("efs"), backups.stack.resources["DstEFS"]
    document = {"Version": "2012-10-17", "Statement": policy}
    efs.put_file_system_policy(FileSystemId=backup, Policy=json.dumps(document))
    outcome = backups.run()
    efs.delete_file_system_policy(FileSystemId=backup)
    expect(backups, outcome, case)
