"""The backup stack, as CloudFormation makes it."""

import json
import time

import pytest
from botocore.exceptions import ClientError

from ami_info.image import PARAMETER
from local import api, deployment

ALARM = "SnapshotAgeAlarm"


def test_the_alarm_reaches_the_subscribers(local_account, stack, inbox):
    local_account.client("cloudwatch").set_alarm_state(
        AlarmName=stack.resources[ALARM], StateValue="ALARM", StateReason="a test"
    )
    assert inbox.wait().message["NewStateValue"] == "ALARM"


def test_metrics_are_limited_to_the_namespace(local_account, stack):
    iam = local_account.client("iam")
    role = stack.resources["OrchestratorRole"]
    (name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
    policy = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    iam.create_user(UserName="orchestrator")
    iam.put_user_policy(UserName="orchestrator", PolicyName=name, PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName="orchestrator")["AccessKey"]
    credentials = api.Credentials(key["AccessKeyId"], key["SecretAccessKey"])
    certificate = api.certificate(local_account.home)
    cloudwatch = api.client("cloudwatch", local_account.region, certificate, credentials)
    data = [{"MetricName": "SnapshotAge", "Value": 1}]
    cloudwatch.put_metric_data(Namespace="EFSBackup", MetricData=data)
    with pytest.raises(ClientError, match="not authorized"):
        cloudwatch.put_metric_data(Namespace="EFSBackups", MetricData=data)


def test_logs_expire_and_catalogs_do_not(local_account, stack):
    bucket = stack.resources["EFSLogBucket"]
    found = local_account.client("s3").get_bucket_lifecycle_configuration(Bucket=bucket)
    assert {rule["Status"] for rule in found["Rules"]} == {"Enabled"}
    *of_logs, of_all = sorted(found["Rules"], key=lambda rule: "Expiration" not in rule)
    assert {rule["Expiration"]["Days"] for rule in of_logs} == {365}
    prefixes = tuple(rule.get("Prefix") or rule["Filter"]["Prefix"] for rule in of_logs)
    for logs in ("ec2-logs/", "efs-backup-log/", "ssm-logs/"):
        assert logs.startswith(prefixes)
    assert not "catalog/".startswith(prefixes)
    assert of_all["NoncurrentVersionExpiration"]["NoncurrentDays"] == 30
    assert of_all["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] == 7


def test_the_backup_moves_to_cheap_storage(local_account, stack):
    efs = local_account.client("efs")
    backup = stack.resources["DstEFS"]
    found = efs.describe_lifecycle_configuration(FileSystemId=backup)["LifecyclePolicies"]
    assert found == [{"TransitionToIA": "AFTER_1_DAY"}]
    (state,) = efs.describe_file_systems(FileSystemId=backup)["FileSystems"]
    assert state["ThroughputMode"] == "bursting"


def test_the_outputs_name_what_administrators_need(local_account, stack):
    (state,) = local_account.client("cloudformation").describe_stacks(StackName=deployment.STACK)[
        "Stacks"
    ]
    outputs = {o["OutputKey"]: o["OutputValue"] for o in state["Outputs"]}
    assert outputs["BackupTable"] == stack.resources["EFSDynamoDB"]
    assert outputs["OrchestratorFunction"] == stack.resources["Orchestrator"]
    assert outputs["RestoreTemplate"].startswith(
        f"https://{deployment.BUCKET}.s3.{local_account.region}.amazonaws.com/"
    )
    assert outputs["RestoreTemplate"].endswith(f"/{deployment.RESTORE_TEMPLATE}")


# What the user edits and gets wrong.


@pytest.fixture
def create(local_account, stack, release, release_url):
    """create(edits, parameters): a second stack for the same source, from an edited template."""
    body = (release / "global-s3-assets" / deployment.BACKUP_TEMPLATE).read_text()

    def create(edits=(), **parameters):
        edited = body
        for old, new in edits:
            assert edited.count(old) == 1
            edited = edited.replace(old, new)
        local_account.client("s3").put_object(
            Bucket=deployment.BUCKET, Key="edited.template", Body=edited.encode()
        )
        values = {
            "SrcEFS": stack.source_id,
            "VpcId": stack.network.vpc,
            "Subnets": ",".join(stack.network.subnets),
            "Email": deployment.EMAIL,
            **parameters,
        }
        url = release_url.partition("/efs-to-efs-backup/")[0] + "/edited.template"
        return deployment.create_stack(local_account, "second", url, values, lambda text: None)

    yield create
    cloudformation = local_account.client("cloudformation")
    cloudformation.delete_stack(StackName="second")
    cloudformation.get_waiter("stack_delete_complete").wait(
        StackName="second", WaiterConfig={"Delay": 1}
    )


REGION_LINE = "    us-east-1: {InstanceSize: c5.xlarge}\n"
NEW_TYPE = "    us-east-1: {InstanceSize: m8g.medium}\n"


def launched(local_account, resources):
    """Of which type instances of the stack are, and with which image."""
    (version,) = local_account.client("ec2").describe_launch_template_versions(
        LaunchTemplateId=resources["BackupInstanceLaunchTemplate"]
    )["LaunchTemplateVersions"]
    data = version["LaunchTemplateData"]
    return data["InstanceType"], data["ImageId"]


def test_another_instance_size_takes_two_lines(local_account, create):
    """As Appendix A of the guide says."""
    resources = create([(REGION_LINE, NEW_TYPE + "    m8g.medium: {Arch: ARM64}\n")])
    assert launched(local_account, resources) == (
        "m8g.medium",
        f"resolve:ssm:{PARAMETER.format('arm64')}",
    )


def test_parameters_in_place_of_edits(local_account, create):
    """Of a type that the Mappings do not have."""
    resources = create(
        InstanceType="m8g.medium", SendAnonymousData="No", BackupSchedule="rate(4 days)"
    )
    assert launched(local_account, resources) == (
        "m8g.medium",
        f"resolve:ssm:{PARAMETER.format('arm64')}",
    )
    told = local_account.client("lambda").get_function_configuration(
        FunctionName=resources["Orchestrator"]
    )["Environment"]["Variables"]
    assert (told["instance_type"], told["send_anonymous_data"]) == ("m8g.medium", "No")
    (alarm,) = local_account.client("cloudwatch").describe_alarms(AlarmNames=[resources[ALARM]])[
        "MetricAlarms"
    ]
    assert alarm["Threshold"] == 8 * 86400


def test_a_wrong_architecture_is_explained(create):
    with pytest.raises(deployment.DeploymentError) as error:
        create([(REGION_LINE, NEW_TYPE + "    m8g.medium: {Arch: HVM64}\n")])
    assert "AMIInfo: " in str(error.value)
    assert "Make its line m8g.medium: {Arch: ARM64}" in str(error.value)


def refused(create, *edits, **parameters):
    """The message with which a stack is refused before anything is made."""
    with pytest.raises(ClientError) as error:
        create(edits, **parameters)
    assert error.value.response["Error"]["Code"] == "ValidationError"
    return error.value.response["Error"]["Message"]


@pytest.mark.parametrize(
    ("line", "missing"),
    [(NEW_TYPE, "Map::m8g.medium::Arch"), ("", "Map::us-east-1::InstanceSize")],
)
def test_a_missing_line_of_the_mappings_is_named(create, line, missing):
    """Here when the stack is made; AWS looks before."""
    with pytest.raises((ClientError, deployment.DeploymentError), match=missing):
        create([(REGION_LINE, line)])


def test_a_subnet_of_another_vpc_is_refused(local_account, create, stack):
    other = deployment.create_network(local_account).subnets[0]
    message = refused(create, Subnets=f"{stack.network.subnets[0]},{other}")
    assert "Each of the Subnet IDs must be a subnet of the VPC" in message


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"EFSMode": "maxIO", "EFSThroughputMode": "elastic"}, "EFS Mode generalPurpose"),
        ({}, "EFS Throughput Mode elastic"),
        (
            {"EFSThroughputMode": "elastic", "TransitionToIA": "None"},
            "needs Transition to Infrequent Access",
        ),
    ],
)
def test_archive_where_efs_refuses_it(create, parameters, expected):
    assert expected in refused(create, TransitionToArchive="AFTER_90_DAYS", **parameters)


@pytest.mark.parametrize(
    ("parameters", "mode", "policies"),
    [
        ({"EFSMode": "maxIO"}, "bursting", [{"TransitionToIA": "AFTER_1_DAY"}]),
        (
            {"EFSMode": "maxIO", "EFSThroughputMode": "elastic"},
            "bursting",
            [{"TransitionToIA": "AFTER_1_DAY"}],
        ),
        ({"TransitionToIA": "None"}, "bursting", []),
        ({"EFSThroughputMode": "elastic", "TransitionToIA": "None"}, "elastic", []),
        (
            {"TransitionToArchive": "AFTER_180_DAYS", "EFSThroughputMode": "elastic"},
            "elastic",
            [{"TransitionToIA": "AFTER_1_DAY"}, {"TransitionToArchive": "AFTER_180_DAYS"}],
        ),
    ],
)
def test_what_the_backup_file_system_becomes(local_account, create, parameters, mode, policies):
    backup = create(**parameters)["DstEFS"]
    efs = local_account.client("efs")
    (state,) = efs.describe_file_systems(FileSystemId=backup)["FileSystems"]
    assert state["ThroughputMode"] == mode
    found = efs.describe_lifecycle_configuration(FileSystemId=backup)["LifecyclePolicies"]
    assert found == policies


def update(account, **changes):
    """The status that an update of the second stack ends with."""
    cloudformation = account.client("cloudformation")

    def state():
        return cloudformation.describe_stacks(StackName="second")["Stacks"][0]

    values = {p["ParameterKey"]: p["ParameterValue"] for p in state()["Parameters"]} | changes
    cloudformation.update_stack(
        StackName="second",
        UsePreviousTemplate=True,
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in values.items()],
    )
    deadline = time.monotonic() + deployment.WAIT_SECONDS
    while (status := state()["StackStatus"]).endswith("_IN_PROGRESS"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return status


def backup_file_system(account):
    found = account.client("cloudformation").describe_stack_resource(
        StackName="second", LogicalResourceId="DstEFS"
    )
    return found["StackResourceDetail"]["PhysicalResourceId"]


def failures(account, stack):
    """What CloudFormation says of the resources that failed."""
    pages = account.client("cloudformation").get_paginator("describe_stack_events")
    events = [e for page in pages.paginate(StackName=stack) for e in page["StackEvents"]]
    return "\n".join(
        f"{e['LogicalResourceId']}: {e.get('ResourceStatusReason', '')}"
        for e in events
        if e["ResourceStatus"].endswith("_FAILED")
    )


KEY = f"arn:aws:kms:us-east-1:{api.ACCOUNT_ID}:key/1234abcd-12ab-34cd-56ef-1234567890ab"


@pytest.mark.parametrize(
    ("before", "change"),
    [
        ({}, {"KmsKeyId": KEY}),
        ({}, {"EFSMode": "maxIO"}),
        ({"KmsKeyId": KEY}, {"KmsKeyId": ""}),
        ({"KmsKeyId": KEY}, {"KmsKeyId": "", "EFSEncryption": "No"}),
    ],
)
def test_no_update_exchanges_the_backup_file_system(local_account, create, before, change):
    backup = create(**before)["DstEFS"]
    assert update(local_account, **change) == "UPDATE_ROLLBACK_COMPLETE"
    assert backup_file_system(local_account) == backup
    said = failures(local_account, "second")
    assert f"would replace the backup file system {backup} by an empty one" in said
    assert all(name in said for name in change)
    assert update(local_account, Retain="9") == "UPDATE_COMPLETE"
    assert backup_file_system(local_account) == backup


def test_a_key_needs_encryption(create):
    assert "KMS Key needs EFS Encryption" in refused(create, KmsKeyId=KEY, EFSEncryption="No")


def test_protection_and_replica_come_and_go_in_place(local_account, create):
    """What the policy says is tested in tests/templates/test_protection.py."""
    resources = create(ProtectSnapshots="Yes", ReplicaRegion="eu-west-1")
    backup = resources["DstEFS"]
    efs = local_account.client("efs")
    policy = json.loads(efs.describe_file_system_policy(FileSystemId=backup)["Policy"])
    assert [s["Sid"] for s in policy["Statement"]] == ["EverybodyReads", "OnlyWithTLS"]
    (replication,) = efs.describe_replication_configurations(FileSystemId=backup)["Replications"]
    assert [d["Region"] for d in replication["Destinations"]] == ["eu-west-1"]

    assert update(local_account, ProtectSnapshots="No", ReplicaRegion="") == "UPDATE_COMPLETE"
    assert backup_file_system(local_account) == backup
    with pytest.raises(efs.exceptions.PolicyNotFound):
        efs.describe_file_system_policy(FileSystemId=backup)
    with pytest.raises(efs.exceptions.ReplicationNotFound):
        efs.describe_replication_configurations(FileSystemId=backup)


def test_a_replica_in_the_region_of_the_stack_is_refused(create):
    assert "Replica Region must be another region" in refused(
        create, ReplicaRegion=deployment.REGION
    )


# What AWS refuses, and ministack alone would not.


@pytest.fixture
def made(local_account):
    """made(name, resources): how the creation of a stack ends, and what failed."""
    cloudformation = local_account.client("cloudformation")
    names = []

    def made(name, resources):
        cloudformation.create_stack(
            StackName=name,
            TemplateBody=json.dumps({"Resources": resources}),
            Capabilities=["CAPABILITY_IAM"],
        )
        names.append(name)
        deadline = time.monotonic() + deployment.WAIT_SECONDS
        while True:
            (state,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
            if not state["StackStatus"].endswith("_IN_PROGRESS"):
                return state["StackStatus"], failures(local_account, name)
            assert time.monotonic() < deadline
            time.sleep(0.2)

    yield made
    for name in names:
        cloudformation.delete_stack(StackName=name)


def test_a_name_that_is_too_long_is_refused_before_anything_else(local_account, stack, release_url):
    """In 128 characters, CloudFormation takes it; the function is named like it."""
    values = {
        "SrcEFS": stack.source_id,
        "VpcId": stack.network.vpc,
        "Subnets": ",".join(stack.network.subnets),
        "Email": deployment.EMAIL,
    }
    url = f"{release_url}/{deployment.BACKUP_TEMPLATE}"
    before = len(local_account.client("efs").describe_file_systems()["FileSystems"])
    with pytest.raises(deployment.DeploymentError) as error:
        deployment.create_stack(local_account, "x" * 65, url, values, lambda text: None)
    assert "FileSystemCheck: " in str(error.value)
    assert "has 65 characters" in str(error.value)
    assert len(local_account.client("efs").describe_file_systems()["FileSystems"]) == before


def test_a_function_with_a_long_name_is_refused(stack, made):
    function = {
        "FunctionName": "x" * 65,
        "Runtime": "python3.13",
        "Handler": "index.handler",
        "Role": f"arn:aws:iam::{api.ACCOUNT_ID}:role/none",
        "Code": {"ZipFile": "def handler(event, context): pass"},
    }
    status, said = made("long", {"F": {"Type": "AWS::Lambda::Function", "Properties": function}})
    assert status == "ROLLBACK_COMPLETE"
    assert "F: " in said
    assert "length less than or equal to 64" in said


def test_a_bucket_that_has_a_policy_gets_no_other_one(local_account, stack, made):
    bucket = stack.resources["EFSLogBucket"]
    s3 = local_account.client("s3")
    before = s3.get_bucket_policy(Bucket=bucket)["Policy"]
    policy = {"Bucket": bucket, "PolicyDocument": json.loads(before)}
    status, said = made("other", {"P": {"Type": "AWS::S3::BucketPolicy", "Properties": policy}})
    assert status == "ROLLBACK_COMPLETE"
    assert f"The bucket policy already exists on bucket {bucket}" in said
    assert s3.get_bucket_policy(Bucket=bucket)["Policy"] == before


def test_the_throughput_mode_changes_once_a_day(local_account, create):
    backup = create()["DstEFS"]
    assert update(local_account, EFSThroughputMode="elastic") == "UPDATE_COMPLETE"
    assert update(local_account, EFSThroughputMode="bursting") == "UPDATE_ROLLBACK_COMPLETE"
    assert "maximum number of throughput mode changes" in failures(local_account, "second")
    (state,) = local_account.client("efs").describe_file_systems(FileSystemId=backup)["FileSystems"]
    assert state["ThroughputMode"] == "elastic"


def test_what_is_not_ascii_is_not_shown_but_kept(local_account, create):
    resources = create(FolderLabel="b\N{LATIN SMALL LETTER U WITH DIAERESIS}ro")
    (state,) = local_account.client("cloudformation").describe_stacks(StackName="second")["Stacks"]
    shown = {p["ParameterKey"]: p["ParameterValue"] for p in state["Parameters"]}
    assert shown["FolderLabel"] == "b?ro"
    told = local_account.client("lambda").get_function_configuration(
        FunctionName=resources["Orchestrator"]
    )["Environment"]["Variables"]
    assert told["folder_label"] == "b\N{LATIN SMALL LETTER U WITH DIAERESIS}ro"
