"""A stack of version 1.5, with what it has made, is updated in place to the templates of today.

admin/acceptance/v15.template has its shape; its functions are stand-ins. The emulator replaces,
cleans up and rolls back as CloudFormation does, with these differences: it lets a function return
to any runtime (Lambda refuses version 1.5's by now). Which properties replace a resource in AWS is
checked against the resource schemas in tests/templates/.
"""

import json
import os
import re
import subprocess
import sys
import time

import pytest
from botocore.exceptions import ClientError

from admin import publish
from local import deployment, sandbox
from local.tree import inodes, read_tree
from tests.v15 import V15

TEMPLATE = sandbox.REPOSITORY / "admin/acceptance/v15.template"
CUSTOM_RESOURCES = ("AMIInfo", "CreateUniqueID", "SendAnonymousMetrics")
IMAGE_OF_V15 = "ami-00000000000000015"
RUN = "a1b2c3d4"
# As version 1.5 wrote it: ExpireItem and other numbers as strings, and no status while it runs.
STARTED = {
    "BackupId": {"S": RUN},
    "BackupWindow": {"S": "180"},
    "IntervalTag": {"S": "daily"},
    "RetainPeriod": {"S": "7"},
    "ExpireItem": {"S": "1584662400"},
    "S3BucketSize": {"S": "0"},
    "SourceEfsSize": {"N": "6144"},
    "SourceBurstCreditBalance": {"N": "2308974418329.6"},
    "SourcePerformanceMode": {"S": "generalPurpose"},
    "BackupStartTime": {"S": "2019-12-21T02:00:07"},
}
ENDED = {
    **STARTED,
    "BackupId": {"S": "0f9e8d7c"},
    "BackupStatus": {"S": "Success"},
    "BackupStopTime": {"S": "2019-12-21T02:09:55"},
    "NumberOfFiles": {"N": "12"},
    "EC2Logs": {"S": "https://s3.amazonaws.com/logs/ec2-logs/efs-backup-backup-20191221-0209.log"},
}
STOP_RULE = "stop_backup_0f8fad5b"
LOG = ("ec2-logs/efs-backup-backup-20191221-0209.log", b"a log of version 1.5")


class Stack:
    """A stack of v15.template, which an update turns into one of ours."""

    def __init__(self, account, name, **parameters):
        self.account = account
        self.name = name
        self.cloudformation = account.client("cloudformation")
        network = deployment.create_network(account)
        source = deployment.create_file_system(account, network)
        values = {
            "SrcEFS": source,
            "VpcId": network.vpc,
            "Subnets": ",".join(network.subnets),
            "Email": deployment.EMAIL,
            **parameters,
        }
        self.parameters = sorted(values)
        bucket, key = deployment.BUCKET, "v15.template"
        account.client("s3").upload_file(str(TEMPLATE), bucket, key)
        url = f"{account.environment['AWS_ENDPOINT_URL']}/{bucket}/{key}"
        created = deployment.create_stack(account, name, url, values, lambda text: None)
        self.before = deployment.Deployment(account, network, source, created)

    @property
    def now(self):
        """The stack as ours; an update has not changed what it watches over."""
        old = self.before
        return deployment.Deployment(old.account, old.network, old.source_id, self.resources())

    def describe(self):
        return self.cloudformation.describe_stacks(StackName=self.name)["Stacks"][0]

    def outputs(self):
        return {o["OutputKey"]: o["OutputValue"] for o in self.describe()["Outputs"]}

    def resources(self):
        found = self.cloudformation.describe_stack_resources(StackName=self.name)["StackResources"]
        return {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in found}

    def update(self, **template):
        """Every parameter keeps its value, as a user of the console leaves it. The final status."""
        self.cloudformation.update_stack(
            StackName=self.name,
            Parameters=[
                {"ParameterKey": name, "UsePreviousValue": True} for name in self.parameters
            ],
            Capabilities=["CAPABILITY_IAM"],
            **template,
        )
        deadline = time.monotonic() + deployment.WAIT_SECONDS
        while (status := self.describe()["StackStatus"]).endswith("_IN_PROGRESS"):
            assert time.monotonic() < deadline, self.events()
            time.sleep(0.2)
        return status

    def events(self):
        pages = self.cloudformation.get_paginator("describe_stack_events")
        found = [e for page in pages.paginate(StackName=self.name) for e in page["StackEvents"]]
        return [
            f"{e['LogicalResourceId']} {e['ResourceStatus']} {e.get('ResourceStatusReason', '')}"
            for e in reversed(found)
        ]

    def state(self):
        """All that version 1.5 has made: items, logs and snapshots."""
        table, bucket = self.before.resources["EFSDynamoDB"], self.before.resources["EFSLogBucket"]
        s3 = self.account.client("s3")
        items = self.account.client("dynamodb").scan(TableName=table)["Items"]
        versions = s3.list_object_versions(Bucket=bucket).get("Versions", [])
        snapshots = self.account.file_system(self.before.resources["DstEFS"])
        return {
            "items": {item["BackupId"]["S"]: item for item in items},
            "logs": {(v["Key"], v["VersionId"], v["ETag"]) for v in versions},
            "files": read_tree(snapshots),
            "inodes": {name: s.st_ino for name, s in inodes(snapshots).items()},
        }


def ours(release_url):
    return {"TemplateURL": f"{release_url}/{deployment.BACKUP_TEMPLATE}"}


def without_custom(resources):
    return {name: r for name, r in resources.items() if name not in CUSTOM_RESOURCES}


def broken(account, what):
    """Our template, with a resource that cannot be made. It is too long for the request itself."""
    s3, bucket = account.client("s3"), deployment.BUCKET
    key = "efs-to-efs-backup/v0.0.0-test/efs-to-efs-backup.template"
    body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    s3.put_object(Bucket=bucket, Key="broken.template", Body=what(body.decode()).encode())
    return {"TemplateURL": publish.object_url(s3, bucket, "broken.template")}


def not_uploaded(template):
    """The first function that is looked at cannot be updated."""
    assert "/v0.0.0-test'" in template
    return template.replace("/v0.0.0-test'", "/v9.9.9'")


def late(template):
    """Everything has been updated by the time that this fails: nobody answers for it. A
    release is indented by one blank."""
    head, resources = template.split("\nResources:\n")
    others = re.findall(r"^ (\w+):$", resources.partition("\nOutputs:\n")[0], re.MULTILINE)
    failing = {
        "Type": "Custom::TooMuch",
        "DependsOn": others,
        "Properties": {"ServiceToken": {"Fn::GetAtt": "Orchestrator.Arn"}, "ServiceTimeout": 1},
    }
    return f"{head}\nResources:\n TooMuch: {json.dumps(failing)}\n{resources}"


@pytest.fixture(scope="module")
def v15(local_account, release_url):
    """A stack of version 1.5 with two records, a log, and three snapshots."""
    stack = Stack(local_account, "nightly")
    old = stack.before
    for item in (STARTED, ENDED):
        local_account.client("dynamodb").put_item(TableName=old.resources["EFSDynamoDB"], Item=item)
    key, body = LOG
    local_account.client("s3").put_object(Bucket=old.resources["EFSLogBucket"], Key=key, Body=body)
    # The file system is mounted when an instance comes; until then nobody made its directory.
    old.snapshots.parent.mkdir(exist_ok=True)
    made = V15(old.source, old.snapshots)
    (old.source / "docs").mkdir()
    for number in range(20):
        (old.source / "docs" / f"file {number}").write_text(f"content {number}")
    subprocess.run(
        ["find", old.source, "-exec", "touch", "-d", "@1577000000", "{}", "+"], check=True
    )
    made.back_up()
    (old.source / "docs" / "file 0").write_text("changed")
    made.back_up()
    (old.source / "docs" / "file 1").unlink()
    made.back_up()
    return stack


@pytest.mark.parametrize(("what", "failed"), [(not_uploaded, "AMIInfoFunction"), (late, "TooMuch")])
def test_an_update_that_fails_loses_nothing(v15, what, failed):
    before, resources = v15.state(), without_custom(v15.resources())
    seen = len(v15.events())
    assert v15.update(**broken(v15.account, what)) == "UPDATE_ROLLBACK_COMPLETE", v15.events()
    events = v15.events()[seen:]
    assert [e.split()[0] for e in events if " UPDATE_FAILED " in e][:1] == [failed]
    assert v15.state() == before
    assert without_custom(v15.resources()) == resources
    group = v15.before.group()
    assert group["LaunchConfigurationName"] == resources["BackupInstanceLaunchConfig"]
    assert v15.outputs()["AmiId"] == IMAGE_OF_V15
    # It would be in the way of the next attempt.
    with pytest.raises(ClientError, match="NoSuchBucketPolicy"):
        v15.account.client("s3").get_bucket_policy(Bucket=resources["EFSLogBucket"])


@pytest.fixture(scope="module")
def before(v15):
    return {"state": v15.state(), "resources": v15.resources(), "outputs": v15.outputs()}


@pytest.fixture(scope="module")
def updated(v15, before, release_url):
    status = v15.update(**ours(release_url))
    assert status == "UPDATE_COMPLETE", v15.events()
    return v15.now


def schedule_stop(stack):
    """As version 1.5 does: a rule of its own, which fires again and again."""
    events, function = stack.account.client("events"), stack.before.resources["Orchestrator"]
    rule = events.put_rule(Name=STOP_RULE, ScheduleExpression="rate(165 minutes)")
    lambdas = stack.account.client("lambda")
    arn = lambdas.get_function(FunctionName=function)["Configuration"]["FunctionArn"]
    lambdas.add_permission(
        FunctionName=function,
        StatementId="stop",
        Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com",
        SourceArn=rule["RuleArn"],
    )
    event = {"mode": "backup", "action": "stop", "backup_id": RUN}
    event["time_stamp"] = "2019-12-21T02:00:09.123456"
    target = {"Id": "terminate_event_orchestrator", "Arn": arn, "Input": json.dumps(event)}
    events.put_targets(Rule=STOP_RULE, Targets=[target])


@pytest.fixture(scope="module")
def busy(local_account, release_url, wait_until):
    """A stack of version 1.5 in the middle of a backup."""
    stack = Stack(local_account, "busy")
    old = stack.before
    local_account.client("dynamodb").put_item(TableName=old.resources["EFSDynamoDB"], Item=STARTED)
    schedule_stop(stack)
    local_account.client("autoscaling").update_auto_scaling_group(
        AutoScalingGroupName=old.resources["EFSAutoScalingGroup"], DesiredCapacity=1
    )
    wait_until((local_account.file_system(old.resources["DstEFS"]) / "v15-runs").exists)
    return stack


class TestUpdate:
    def test_nothing_that_was_made_is_changed(self, v15, before, updated):
        assert v15.state() == before["state"]

    def test_only_what_has_to_be_is_replaced(self, v15, before, updated):
        """A rule of a security group has no property that could change in place."""
        old, new = before["resources"], updated.resources
        assert old.keys() - new.keys() == {"BackupInstanceLaunchConfig"}
        kept = old.keys() & new.keys()
        changed = {name for name in kept if old[name] != new[name]}
        assert changed == {"EFSIngressRule"}

    def test_outputs_are_what_they_were(self, v15, before, updated):
        old, new = before["outputs"], v15.outputs()
        assert {name for name in old if old[name] != new.get(name)} == {"UUID", "AmiId"}
        assert new["AmiId"] != IMAGE_OF_V15

    def test_nothing_runs_and_the_group_launches_what_is_new(self, updated):
        group = updated.group()
        assert (group["DesiredCapacity"], group["Instances"]) == (0, [])
        assert not group.get("LaunchConfigurationName")
        template = updated.resources["BackupInstanceLaunchTemplate"]
        assert group["LaunchTemplate"]["LaunchTemplateId"] == template

    def test_the_first_backup_continues_the_snapshots(self, updated):
        def snapshot(number):
            return updated.snapshots / f"daily.{number}"

        old = [read_tree(snapshot(number)) for number in range(3)]
        updated.start()
        updated.wait_until_idle()
        assert all(len(tree) > 20 for tree in old)
        assert [read_tree(snapshot(number + 1)) for number in range(3)] == old
        assert read_tree(snapshot(0)) == read_tree(updated.source)
        newest, second = inodes(snapshot(0)), inodes(snapshot(1))
        names = [b"docs/file %d" % number for number in range(2, 20)]
        assert [n for n in names if newest[n].st_ino != second[n].st_ino] == []

    def test_old_records_stay_as_they_are_beside_the_new(self, v15, before, updated):
        items = v15.state()["items"]
        assert {run: items[run] for run in before["state"]["items"]} == before["state"]["items"]
        (new,) = items.keys() - before["state"]["items"].keys() - {"newest-snapshot"}
        assert items[new]["BackupStatus"] == {"S": "Success"}
        assert "N" in items[new]["ExpireItem"]

    def test_the_status_lists_old_records_beside_the_new(self, v15, updated):
        done = subprocess.run(
            [sys.executable, "-m", "admin", "status", v15.name],
            env={**os.environ, **v15.account.environment},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        for seen in ("2019-12-21", "Success", "Unknown"):
            assert seen in done.stdout

    def test_an_old_snapshot_is_restored(self, updated, release_url):
        """daily.3 is from before the first change, and has the file that was deleted."""
        restoration = deployment.Restoration.create(updated, "from-v15", release_url, BackupNum="3")
        assert restoration.wait()["Status"] == "Success"
        docs = updated.source / "docs"
        assert (docs / "file 0").read_text() == "content 0"
        assert (docs / "file 1").read_text() == "content 1"

    def test_the_uuid_changes_once_and_never_again(self, v15, before, updated, release_url):
        first, physical = v15.outputs()["UUID"], v15.resources()["CreateUniqueID"]
        assert physical == before["resources"]["CreateUniqueID"]
        key = "efs-to-efs-backup/v0.0.0-test/efs-to-efs-backup.template"
        s3 = v15.account.client("s3")
        body = s3.get_object(Bucket=deployment.BUCKET, Key=key)["Body"].read().decode()
        # The next release.
        body = body.replace("v0.0.0-test", "v0.0.0-next")
        for folder in (deployment.BUCKET,):
            for found in s3.list_objects_v2(Bucket=folder, Prefix="efs-to-efs-backup/")["Contents"]:
                name = found["Key"].replace("v0.0.0-test", "v0.0.0-next")
                s3.copy_object(
                    Bucket=folder, Key=name, CopySource={"Bucket": folder, "Key": found["Key"]}
                )
        assert v15.update(TemplateBody=body) == "UPDATE_COMPLETE", v15.events()
        assert v15.outputs()["UUID"] == first
        assert v15.resources()["CreateUniqueID"] == physical

    def test_going_back_to_version_15_loses_nothing(self, v15, before, updated):
        """In AWS only where its function runtimes can still be created. It is the last test."""
        state = v15.state()
        assert v15.update(TemplateBody=TEMPLATE.read_text()) == "UPDATE_COMPLETE", v15.events()
        assert v15.state() == state
        changed = {
            name
            for name, physical in without_custom(v15.resources()).items()
            if physical != before["resources"][name]
        }
        assert changed <= {"EFSIngressRule", "BackupInstanceLaunchConfig"}


class TestARunDuringTheUpdate:
    """A run of version 1.5: its instance goes on until its stop, and the next backup is ours."""

    def test_it_is_not_interrupted(self, busy, release_url):
        (instance,) = (i["InstanceId"] for i in busy.before.group()["Instances"])
        assert busy.update(**ours(release_url)) == "UPDATE_COMPLETE", busy.events()
        time.sleep(1)
        group = busy.now.group()
        assert [(i["InstanceId"], i["LifecycleState"]) for i in group["Instances"]] == [
            (instance, "InService")
        ]

    def test_it_ends_at_its_stop(self, busy, wait_until):
        """It cannot end itself: finding its group needs a right that our instances do without."""
        backup = busy.account.file_system(busy.before.resources["DstEFS"])
        (backup / "v15-may-end").touch()
        wait_until((backup / "v15-has-ended").exists)
        group = busy.now.group()
        assert group["DesiredCapacity"] == 1
        log = busy.account.instance_log(group["Instances"][0]["InstanceId"]).read_text()
        assert "not authorized to perform: ec2:DescribeTags" in log
        busy.account.fire(STOP_RULE)
        busy.now.wait_until_idle()
        assert busy.state()["items"][RUN] == STARTED

    def test_its_stop_does_not_touch_the_next_backup(self, busy):
        (busy.now.source / "file").write_text("content")
        stack = busy.now
        run = stack.start()
        busy.account.fire(STOP_RULE)
        stack.wait_until_idle()
        assert stack.item(run)["BackupStatus"] == "Success"
        assert (stack.snapshots / "daily.0" / "file").read_text() == "content"
