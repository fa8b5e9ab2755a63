"""The backup stack in the account, where the demo does not lead."""

import json
from datetime import UTC, datetime

from local import deployment
from local.tree import read_tree
from tests.local.inside.faults import LAST, Backups
from tests.local.inside.window import reach_stop_time

INCOMPLETE = (
    "The EFS backup was incomplete. Either backup window expired before full backup "
    "or fpsync process was not completed."
)
# What the guide's Appendix E lists, by the names of the record, and what came of the run.
APPENDIX_E = {
    "BackupId",
    "BackupStartTime",
    "BackupStopTime",
    "BackupWindow",
    "SourceEfsSize",
    "DestinationEfsSize",
    "InstanceType",
    "RetainPeriod",
    "S3BucketSize",
    "SourceBurstCreditBalance",
    "SourceBurstCreditBalancePostBackup",
    "SourcePerformanceMode",
    "DestinationPerformanceMode",
    "NumberOfFiles",
    "NumberOfFilesTransferred",
    "TotalFileSize",
    "TotalTransferredFileSize",
    "Region",
    "CreateHardlinksStartTime",
    "CreateHardlinksStopTime",
    "RemoveSnapshotStartTime",
    "RemoveSnapshotStopTime",
    "RsyncDeleteStartTime",
    "RsyncDeleteStopTime",
}


def run(stack, inbox):
    """The record and the notification of a run that nobody disturbs."""
    backup_id = stack.start()
    stack.wait_until_idle()
    return stack.item(backup_id), inbox.wait().message


def test_a_run_that_the_window_end_stops_is_continued_by_the_next(stack, inbox, wait_until):
    (stack.source / "small").write_text("first")
    record, _ = run(stack, inbox)
    assert record["BackupStatus"] == "Success"
    first = read_tree(stack.snapshots / "daily.0")

    for name in ("first", "second", *LAST):
        (stack.source / name).write_text("content")
    faults = Backups(stack, inbox)
    faults.hold_copies()
    backup_id = stack.start()
    wait_until(faults.mark(".holding").exists)
    reach_stop_time(stack, backup_id)
    stack.wait_until_idle()

    record, notification = stack.item(backup_id), inbox.wait().message
    assert record["BackupStatus"] == notification["BackupStatus"] == "Incomplete"
    assert record["Message"] == notification["Message"] == INCOMPLETE
    assert [path.name for path in stack.snapshots.glob("[!.]*")] == ["daily.0"]
    assert read_tree(stack.snapshots / "daily.0") == first
    keys = [log["Key"] for log in stack.logs("ssm-logs/")]
    assert [key.rpartition("/")[2] for key in keys] == ["stderr"]

    faults.mend()
    record, notification = run(stack, inbox)
    assert record["BackupStatus"] == notification["BackupStatus"] == "Success"
    assert record["NumberOfFilesTransferred"] == len(LAST), "nothing was taken from the stage"
    assert read_tree(stack.snapshots / "daily.0") == read_tree(stack.source)
    assert read_tree(stack.snapshots / "daily.1") == first


def test_a_start_while_a_run_is_active_is_refused(stack, inbox):
    backup_id = stack.start()
    # A start within the first minute would be taken for the same tick.
    stack.account.client("dynamodb").update_item(
        TableName=stack.resources["EFSDynamoDB"],
        Key={"BackupId": {"S": backup_id}},
        UpdateExpression="SET BackupStartTime = :earlier",
        ExpressionAttributeValues={":earlier": {"S": "2026-01-01T00:00:00Z"}},
    )
    stack.account.fire(stack.resources["EFSBackupStartEvent"])
    refused = inbox.wait().message
    assert refused["BackupStatus"] == "Refused"
    assert refused["RunningBackupId"] == backup_id
    stack.wait_until_idle()
    assert inbox.wait().message["BackupStatus"] == "Success"


def measured(stack, namespace, metric, **dimensions):
    """Publishes a figure in CloudWatch, as EFS and S3 do of their own accord."""
    named = [{"Name": name, "Value": value} for name, value in dimensions.items()]
    datum = {"MetricName": metric, "Dimensions": named, "Timestamp": datetime.now(UTC), "Value": 7}
    stack.account.client("cloudwatch").put_metric_data(Namespace=namespace, MetricData=[datum])


def send_anonymous_data(stack, url, answer):
    """Edits the Mapping of the template as the guide describes, and updates the stack."""
    s3, cloudformation = stack.account.client("s3"), stack.account.client("cloudformation")
    key = f"{url.partition(deployment.BUCKET)[2].strip('/')}/{deployment.BACKUP_TEMPLATE}"
    body = s3.get_object(Bucket=deployment.BUCKET, Key=key)["Body"].read().decode()
    assert body.count("{SendAnonymousData: 'Yes'}") == 1
    edited = body.replace("{SendAnonymousData: 'Yes'}", f"{{SendAnonymousData: '{answer}'}}")
    given = ("SrcEFS", "VpcId", "Subnets", "Email")
    cloudformation.update_stack(
        StackName=deployment.STACK,
        TemplateBody=edited,
        Parameters=[{"ParameterKey": name, "UsePreviousValue": True} for name in given],
        Capabilities=["CAPABILITY_IAM"],
    )
    cloudformation.get_waiter("stack_update_complete").wait(
        StackName=deployment.STACK, WaiterConfig={"Delay": 1, "MaxAttempts": 300}
    )


def test_each_run_sends_one_anonymous_metric_unless_that_is_switched_off(
    stack, inbox, release_url, wait_until
):
    """The guide's Appendix E: what is sent, what is not, and how to opt out."""
    bucket = stack.resources["EFSLogBucket"]
    measured(stack, "AWS/EFS", "BurstCreditBalance", FileSystemId=stack.source_id)
    measured(stack, "AWS/S3", "BucketSizeBytes", BucketName=bucket, StorageType="StandardStorage")
    (stack.source / "file").write_text("content")

    def of_runs():
        return [m for m in stack.account.metrics() if "BackupId" in m["Data"]]

    def of(record):
        begun = record["BackupStartTime"]
        return [m for m in of_runs() if m["Data"]["BackupStartTime"] == begun]

    send_anonymous_data(stack, release_url, "No")
    silent, _ = run(stack, inbox)
    send_anonymous_data(stack, release_url, "Yes")
    record, _ = run(stack, inbox)
    (metric,) = wait_until(lambda: of(record))
    assert of(silent) == []

    assert set(metric) == {"Solution", "UUID", "TimeStamp", "Data"}
    assert metric["Solution"] == "SO0031"
    assert metric["UUID"] == stack.resources["CreateUniqueID"]
    data = metric["Data"]
    assert set(data) == APPENDIX_E | {"BackupStatus", "Version"}
    assert data["BackupId"] == "daily.0"
    assert data["SourceBurstCreditBalance"] == data["S3BucketSize"] == 7
    in_record = APPENDIX_E - {"BackupId", "Region"} | {"BackupStatus"}
    assert {name: data[name] for name in in_record} == {name: record[name] for name in in_record}
    told = json.dumps(metric)
    for mine in (stack.source_id, stack.resources["DstEFS"], record["BackupId"], bucket, "arn:"):
        assert mine not in told

    # Of each run that has ended so far, with success or without, there is exactly one.
    items = stack.account.client("dynamodb").scan(TableName=stack.resources["EFSDynamoDB"])["Items"]
    runs = {i["BackupStartTime"]["S"] for i in items if "BackupStartTime" in i}
    sent = [m["Data"]["BackupStartTime"] for m in of_runs()]
    assert sorted(sent) == sorted(runs - {silent["BackupStartTime"]})
