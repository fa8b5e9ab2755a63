"""Who listens hears of each run by events, with no e-mail at all, and functions of theirs are
called before and after it."""

import io
import json
import zipfile
from pathlib import Path

import fastjsonschema
import pytest

from local import deployment
from local.deployment import Inbox

SCHEMA = Path("docs/events.schema.json")
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}
GOOD = "def handler(event, context):\n    assert event['Moment'] and event['BackupId']\n"
BAD = "def handler(event, context):\n    raise RuntimeError('the database does not answer')\n"


def code(text):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("hook.py", text)
    return file.getvalue()


@pytest.fixture(scope="module")
def functions(local_account):
    role = local_account.client("iam").create_role(
        RoleName="hook", AssumeRolePolicyDocument=json.dumps(TRUST)
    )["Role"]["Arn"]
    client = local_account.client("lambda")
    return {
        name: client.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Role=role,
            Handler="hook.handler",
            Code={"ZipFile": code(GOOD)},
        )["FunctionArn"]
        for name in ("freeze", "thaw")
    }


@pytest.fixture(scope="module")
def stack(local_account, release_url, functions):
    network = deployment.create_network(local_account)
    source = deployment.create_file_system(local_account, network)
    stack = deployment.Deployment.create(
        local_account, network, source, release_url, Email="",
        BeforeBackupFunction=functions["freeze"], AfterBackupFunction=functions["thaw"],
    )  # fmt: skip
    (stack.source / "file").write_text("content")
    return stack


@pytest.fixture(scope="module")
def heard(local_account, stack):
    """heard(): the events since the last call."""
    sqs, events = local_account.client("sqs"), local_account.client("events")
    url = sqs.create_queue(QueueName="heard")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    events.put_rule(Name="all", EventPattern=json.dumps({"source": ["efs-backup"]}))
    events.put_targets(Rule="all", Targets=[{"Id": "queue", "Arn": arn["QueueArn"]}])
    is_an_event = fastjsonschema.compile(json.loads(SCHEMA.read_text()))

    def since():
        found = []
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                event = json.loads(message["Body"])
                is_an_event(event)
                found.append(event)
        return sorted(found, key=lambda event: event["detail-type"], reverse=True)

    return since


@pytest.fixture(scope="module")
def inbox(stack):
    topic = stack.resources["SNSTopic"]
    listed = stack.account.client("sns").list_subscriptions_by_topic(TopicArn=topic)
    assert listed["Subscriptions"] == [], "without Email"
    return Inbox.subscribe(stack)


def test_a_run_is_told_from_its_start_to_its_end(stack, heard, inbox):
    run = stack.start()
    stack.wait_until_idle()
    assert inbox.wait().message["BackupStatus"] == "Success"
    started, ended = heard()
    assert (started["detail"]["Id"], ended["detail"]["Id"]) == (
        f"{run}/started",
        f"{run}/ended/Success",
    )
    assert ended["detail"]["NumberOfFiles"] == 1
    record = stack.item(run)
    assert (record["BeforeBackup"], record["AfterBackup"]) == ("done", "done")
    assert "Undone" not in record


def test_a_function_that_fails_refuses_the_run(stack, heard, inbox):
    client = stack.account.client("lambda")
    client.update_function_code(FunctionName="freeze", ZipFile=code(BAD))
    stack.account.fire(stack.resources["EFSBackupStartEvent"])
    notification = inbox.wait().message
    assert notification["BackupStatus"] == "Refused"
    assert "the database does not answer" in notification["Message"]
    stack.wait_until_idle()
    (ended,) = heard()
    assert ended["detail"]["BackupStatus"] == "Refused"
    assert "InstanceId" not in stack.item(notification["BackupId"])


def test_a_function_that_fails_afterwards_changes_no_backup(stack, heard, inbox):
    client = stack.account.client("lambda")
    client.update_function_code(FunctionName="freeze", ZipFile=code(GOOD))
    client.update_function_code(FunctionName="thaw", ZipFile=code(BAD))
    run = stack.start()
    stack.wait_until_idle()
    notification = inbox.wait().message
    assert notification["BackupStatus"] == "Success"
    assert "the database does not answer" in notification["AfterBackup"]
    assert "thaw" in notification["WhatToDo"]
    assert "the database does not answer" in stack.item(run)["AfterBackup"]
    assert [event["detail"]["BackupStatus"] for event in heard()] == ["Running", "Success"]


def test_a_restore_is_told(stack, heard, release_url):
    restoration = deployment.Restoration.create(stack, "restored", release_url, Email="")
    restoration.wait_until_gone()
    (ended,) = heard()
    assert (ended["detail-type"], ended["detail"]["Status"]) == ("EFS Restore Ended", "Success")
    assert ended["detail"]["StackName"] == "restored"
