"""The backup stack, as CloudFormation makes it."""

import json

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


def test_logs_expire(local_account, stack):
    bucket = stack.resources["EFSLogBucket"]
    found = local_account.client("s3").get_bucket_lifecycle_configuration(Bucket=bucket)
    (rule,) = found["Rules"]
    assert rule["Status"] == "Enabled"
    assert rule["Expiration"]["Days"] == 365
    assert rule["NoncurrentVersionExpiration"]["NoncurrentDays"] == 30
    assert rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] == 7


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


def test_another_instance_size_takes_two_lines(local_account, create):
    """As Appendix A of the guide says."""
    resources = create([(REGION_LINE, NEW_TYPE + "    m8g.medium: {Arch: ARM64}\n")])
    ec2 = local_account.client("ec2")
    (version,) = ec2.describe_launch_template_versions(
        LaunchTemplateId=resources["BackupInstanceLaunchTemplate"]
    )["LaunchTemplateVersions"]
    data = version["LaunchTemplateData"]
    assert (data["InstanceType"], data["ImageId"]) == (
        "m8g.medium",
        f"resolve:ssm:{PARAMETER.format('arm64')}",
    )


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


def test_protection_and_replica_come_and_go_in_place(local_account, create):
    """What the policy says is tested in tests/templates/test_protection.py."""
    resources = create(ProtectSnapshots="Yes", ReplicaRegion="eu-west-1")
    backup = resources["DstEFS"]
    efs = local_account.client("efs")
    policy = json.loads(efs.describe_file_system_policy(FileSystemId=backup)["Policy"])
    assert [s["Sid"] for s in policy["Statement"]] == ["EverybodyReads", "OnlyWithTLS"]
    (replication,) = efs.describe_replication_configurations(FileSystemId=backup)["Replications"]
    assert [d["Region"] for d in replication["Destinations"]] == ["eu-west-1"]

    cloudformation = local_account.client("cloudformation")
    (state,) = cloudformation.describe_stacks(StackName="second")["Stacks"]
    values = {p["ParameterKey"]: p["ParameterValue"] for p in state["Parameters"]}
    values |= {"ProtectSnapshots": "No", "ReplicaRegion": ""}
    cloudformation.update_stack(
        StackName="second",
        UsePreviousTemplate=True,
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in values.items()],
    )
    cloudformation.get_waiter("stack_update_complete").wait(
        StackName="second", WaiterConfig={"Delay": 1}
    )
    found = cloudformation.describe_stack_resource(StackName="second", LogicalResourceId="DstEFS")
    assert found["StackResourceDetail"]["PhysicalResourceId"] == backup
    with pytest.raises(efs.exceptions.PolicyNotFound):
        efs.describe_file_system_policy(FileSystemId=backup)
    with pytest.raises(efs.exceptions.ReplicationNotFound):
        efs.describe_replication_configurations(FileSystemId=backup)


def test_a_replica_in_the_region_of_the_stack_is_refused(create):
    assert "Replica Region must be another region" in refused(
        create, ReplicaRegion=deployment.REGION
    )
