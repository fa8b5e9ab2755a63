"""The backup stack in the account, where the demo does not lead."""

import os

from local import tree
from tests.local.inside.window import copying, make_large_files, reach_stop_time

INCOMPLETE = (
    "The EFS backup was incomplete. Either backup window expired before full backup "
    "or fpsync process was not completed."
)
LARGE_FILES = 10 * (os.cpu_count() or 1)


def run(stack, inbox):
    """The record and the notification of a run that nobody disturbs."""
    backup_id = stack.start()
    stack.wait_until_idle(180)
    return stack.item(backup_id), inbox.wait().message


def attributes(tree_root):
    return {
        name: (status.st_mode, status.st_size, status.st_mtime_ns)
        for name, status in tree.inodes(tree_root).items()
    }


def test_a_run_that_the_window_end_stops_is_continued_by_the_next(stack, inbox, wait_until):
    (stack.source / "small").write_text("first")
    record, _ = run(stack, inbox)
    assert record["BackupStatus"] == "Success"
    first = attributes(stack.snapshots / "daily.0")

    make_large_files(stack.source, LARGE_FILES)
    backup_id = stack.start()
    wait_until(lambda: copying(stack), 60)
    reach_stop_time(stack, backup_id)
    stack.wait_until_idle(180)

    record, notification = stack.item(backup_id), inbox.wait().message
    assert record["BackupStatus"] == notification["BackupStatus"] == "Incomplete"
    assert record["Message"] == notification["Message"] == INCOMPLETE
    assert [path.name for path in stack.snapshots.glob("[!.]*")] == ["daily.0"]
    assert attributes(stack.snapshots / "daily.0") == first
    keys = [log["Key"] for log in stack.logs("ssm-logs/")]
    assert [key.rpartition("/")[2] for key in keys] == ["stderr"]

    record, notification = run(stack, inbox)
    assert record["BackupStatus"] == notification["BackupStatus"] == "Success"
    assert record["NumberOfFilesTransferred"] < LARGE_FILES, "nothing was taken from the stage"
    assert attributes(stack.snapshots / "daily.0") == attributes(stack.source)
    assert attributes(stack.snapshots / "daily.1") == first


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
    stack.wait_until_idle(180)
    assert inbox.wait().message["BackupStatus"] == "Success"
