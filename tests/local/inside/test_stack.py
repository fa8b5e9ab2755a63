"""The backup stack, as CloudFormation makes it."""

import json

import pytest
from botocore.exceptions import ClientError

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
    assert state["ThroughputMode"] == "elastic"


def test_the_outputs_name_what_administrators_need(local_account, stack):
    (state,) = local_account.client("cloudformation").describe_stacks(StackName=deployment.STACK)[
        "Stacks"
    ]
    outputs = {o["OutputKey"]: o["OutputValue"] for o in state["Outputs"]}
    assert outputs["BackupTable"] == stack.resources["EFSDynamoDB"]
    assert outputs["OrchestratorFunction"] == stack.resources["Orchestrator"]
    assert outputs["RestoreTemplate"].startswith(
        f"https://{deployment.BUCKET}-{local_account.region}.s3.{local_account.region}.amazonaws.com/"
    )
    assert outputs["RestoreTemplate"].endswith(f"/{deployment.RESTORE_TEMPLATE}")
