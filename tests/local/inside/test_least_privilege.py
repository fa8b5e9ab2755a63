"""What the roles of the stacks may do is what they do: nothing less, and nothing more.

The emulator evaluates the policies at each call and notes its decision. This compares the notes of
some runs and a restore with the policies themselves.
"""

import gzip
import json
import re
from fnmatch import fnmatchcase

import pytest

from local import emulator
from local.deployment import Restoration
from tests.local.inside.faults import LAST, Backups
from tests.local.inside.window import reach_stop_time

BACKUP_ROLES = ("OrchestratorRole", "SchedulerRole", "EC2Role", "SolutionHelperRole")
RESTORE_ROLES = ("EC2Role", "HelperRole", "RestoreWatchRole", "SchedulerRole")

# What is granted and not seen here, and why it is needed all the same.
AGENT = "by the SSM agent of a real instance, to receive a command"
KEY = "by SNS in the name of who publishes to an encrypted topic"
MOUNT = "by the mount targets, which decide by it and keep no journal"
LOGS = "by Lambda in the name of the function; here it writes to a file"
UNSEEN = {
    "* logs:CreateLogStream": LOGS,
    "* logs:PutLogEvents": LOGS,
    "* kms:Decrypt": KEY,
    "* kms:GenerateDataKey[*]": KEY,
    "* elasticfilesystem:Client*": MOUNT,
    "backup OrchestratorRole iam:PassRole": "by Scheduler, before it takes an entry with a role",
    "backup SchedulerRole lambda:InvokeFunction": "by Scheduler, when an entry is due",
    "restore RestoreWatchRole iam:PassRole": "by Scheduler, before it takes an entry with a role",
    "restore SchedulerRole lambda:InvokeFunction": "by Scheduler, when an entry is due",
    "backup SolutionHelperRole elasticfilesystem:*": "when the stack is updated, to keep it",
    "backup EC2Role sns:Publish": "to tell of a record that cannot be updated",
    "backup EC2Role ssm:UpdateInstanceInformation": AGENT,
    "backup EC2Role ssmmessages:*": AGENT,
    "backup EC2Role ec2messages:*": AGENT,
}


def move_window_end_to_the_past(stack):
    stack.account.client("dynamodb").update_item(
        TableName=stack.resources["EFSDynamoDB"],
        Key={"BackupId": {"S": "lock"}},
        UpdateExpression="SET #until = :past",
        ExpressionAttributeNames={"#until": "Until"},
        ExpressionAttributeValues={":past": {"N": "1"}},
    )


@pytest.fixture(scope="session")
def runs(stack, inbox, wait_until):
    """A run whose end is lost, one that is stopped, one that succeeds, in this order; a check."""
    for name in LAST:
        (stack.source / name).write_text("content")
    faults = Backups(stack, inbox)
    faults.hold_copies()
    lost = stack.start()
    wait_until(faults.mark(".holding").exists)
    faults.mark(".holding").unlink()
    move_window_end_to_the_past(stack)
    old = stack.wait_for_instance()
    stack.account.fire(stack.resources["EFSBackupStartEvent"])
    stopped = wait_until(lambda: (run := stack.item("lock").get("Run")) != lost and run)
    wait_until(faults.mark(".holding").exists)
    ended = inbox.wait().message
    reach_stop_time(stack, stopped)
    stack.wait_until_idle()
    stopped_message = inbox.wait().message
    faults.mend()
    catalogs = {"Bucket": stack.resources["EFSLogBucket"], "Prefix": "catalog/"}
    s3 = stack.account.client("s3")
    expired = "catalog/efs-backup/files/2019-04-14T000000Z-0.tsv.gz"
    s3.put_object(Bucket=catalogs["Bucket"], Key=expired)
    stack.start()
    stack.wait_until_idle()
    assert inbox.wait().message["BackupStatus"] == "Success"
    names = [each["Key"] for each in s3.list_objects_v2(**catalogs)["Contents"]]
    assert "catalog/efs-backup/snapshots.json" in names
    assert expired not in names
    stack.account.fire(stack.resources["CheckEvent"])
    age = {"Namespace": "EFSBackup", "MetricName": "SnapshotAge"}
    wait_until(lambda: stack.account.client("cloudwatch").list_metrics(**age)["Metrics"])
    return {"old": old, "ended": ended, "stopped": stopped_message, "run": stack.item(stopped)}


@pytest.fixture(scope="session")
def restoration(runs, stack, inbox, release_url):
    """A restore that succeeds, and one whose window is over."""
    restoration = Restoration.create(stack, "restored", release_url)
    assert restoration.wait()["Status"] == "Success"
    hang = {"python3": {"*engine.restore*": "exec sleep infinity"}}
    Backups(stack, inbox).break_instances(hang, PROGRESS_SECONDS="0.5")
    restoration.scale(1)
    restoration.wait_for_instance()
    reach_stop_time(restoration, "restore")
    restoration.wait_until_gone()
    return restoration


@pytest.fixture(scope="session")
def decisions(local_account, restoration):
    journal = local_account.home / emulator.AUTHORIZATIONS
    return [json.loads(line) for line in journal.read_text().splitlines()]


@pytest.fixture(scope="session")
def roles(stack, restoration):
    """What a role is called in the account -> in the templates."""
    return {
        **{stack.resources[name]: f"backup {name}" for name in BACKUP_ROLES},
        **{restoration.resources[name]: f"restore {name}" for name in RESTORE_ROLES},
    }


def grants(account, role):
    """Each (action, resource) that the policies of a role allow."""
    iam = account.client("iam")
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for statement in document["Statement"]:
            for action in listed(statement["Action"]):
                for resource in listed(statement["Resource"]):
                    yield action, resource


def listed(value):
    return [value] if isinstance(value, str) else value


def test_a_run_whose_end_was_lost_gives_way_to_the_next(runs):
    """Its instance still copied: the next run got one of its own."""
    assert runs["ended"]["BackupStatus"] == "Unknown"
    assert runs["run"]["InstanceId"] != runs["old"]


def test_nothing_is_denied(decisions, roles):
    denied = {
        (roles[d["role"]], d["action"], d["resource"])
        for d in decisions
        if d["role"] in roles and not d["allowed"]
    }
    assert denied == set()


def test_nothing_is_granted_that_is_never_used(local_account, decisions, roles):
    used = {(d["role"], d["action"], d["resource"]) for d in decisions if d["allowed"]}
    unused = {
        (roles[role], action, resource)
        for role in roles
        for action, resource in grants(local_account, role)
        if not any(
            role == by and fnmatchcase(done, action) and fnmatchcase(to, resource)
            for by, done, to in used
        )
    }
    names = {grant: f"{grant[0]} {grant[1]}" for grant in unused}
    unexplained = {
        grant for grant in unused if not any(fnmatchcase(names[grant], n) for n in UNSEEN)
    }
    assert unexplained == set()
    seen_all = {n for n in UNSEEN if not any(fnmatchcase(name, n) for name in names.values())}
    assert seen_all == set(), "these are no exceptions"


CREDENTIALS = re.compile(
    r"X-Amz-(Signature|Credential|Security-Token)|AWSAccessKeyId=|(AKIA|ASIA)[0-9A-Z]{16}", re.I
)


def test_nothing_that_is_kept_or_sent_has_credentials(local_account, stack, restoration):
    s3, dynamodb = local_account.client("s3"), local_account.client("dynamodb")
    bucket = stack.resources["EFSLogBucket"]
    written = {}
    for log in stack.logs(""):
        content = s3.get_object(Bucket=bucket, Key=log["Key"])["Body"].read()
        plain = gzip.decompress(content) if log["Key"].endswith(".gz") else content
        written[log["Key"]] = plain.decode(errors="replace")
    written["table"] = json.dumps(dynamodb.scan(TableName=stack.resources["EFSDynamoDB"])["Items"])
    disks = local_account.home / "instances"
    for path in [*disks.glob("*/var/log/*.log"), *disks.glob("*/run/efs-backup/*.json")]:
        written[str(path)] = path.read_text()
    for kind in ("cloud-init-output.log", "notification.json", "stderr", "table", "message.json"):
        assert any(name.endswith(kind) and text for name, text in written.items()), kind
    assert [name for name, text in written.items() if CREDENTIALS.search(text)] == []
