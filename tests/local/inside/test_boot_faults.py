"""Instances that cannot have their scripts: the run ends at once, and says why."""

import gzip
from urllib.parse import urlsplit

import pytest

from local import deployment

CHECKSUM = "its checksum is not that of the release"
BUNDLES = {
    "missing": (lambda bundle: None, "could not fetch s3://"),
    "truncated": (lambda bundle: bundle[: len(bundle) // 2], CHECKSUM),
    "another": (lambda bundle: gzip.compress(b"anything"), CHECKSUM),
}


@pytest.fixture
def bundle(local_account, release_url):
    """break_it(change): puts something else, or nothing, where the bundle of the scripts is."""
    s3 = local_account.client("s3")
    key = f"{urlsplit(release_url).path.strip('/')}/ec2.tar.gz".removeprefix(deployment.BUCKET)
    place = {"Bucket": deployment.BUCKET, "Key": key.lstrip("/")}
    whole = s3.get_object(**place)["Body"].read()

    def break_it(change):
        broken = change(whole)
        if broken is None:
            s3.delete_object(**place)
        else:
            s3.put_object(**place, Body=broken)

    yield break_it
    s3.put_object(**place, Body=whole)


def text(stack, key):
    bucket = stack.resources["EFSLogBucket"]
    return stack.account.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode()


def snapshots(stack):
    return sorted(path.name for path in stack.snapshots.glob("*"))


@pytest.mark.parametrize("name", BUNDLES)
def test_a_backup_without_its_scripts_ends_at_once_and_says_why(stack, inbox, bundle, name):
    change, cause = BUNDLES[name]
    before = snapshots(stack)
    bundle(change)
    backup_id = stack.start()
    stack.wait_until_idle()

    record, notification = stack.item(backup_id), inbox.wait().message
    assert record["BackupStatus"] == notification["BackupStatus"] == "Unsuccessful"
    assert record["Message"] == notification["Message"]
    assert cause in record["Message"]
    assert "ec2.tar.gz" in record["Message"]
    assert notification["WhatToDo"]
    assert stack.group()["DesiredCapacity"] == 0
    assert snapshots(stack) == before
    _, _, prefix = record["EC2Logs"].partition(f"{stack.resources['EFSLogBucket']}/")
    (log,) = stack.logs(prefix)
    assert "ec2.tar.gz" in text(stack, log["Key"])


def test_a_restore_without_its_scripts_says_why_and_ends_its_instance(stack, release_url, bundle):
    bundle(lambda whole: whole[:1000])
    message = deployment.Restoration.create(stack, "unscripted", release_url).wait()
    assert message["Status"] == "Unsuccessful"
    assert CHECKSUM in message["Message"]
    assert "unscripted" in message["WhatToDo"]


def test_the_next_backup_works(stack, inbox):
    (stack.source / "file").write_text("content")
    stack.start()
    stack.wait_until_idle()
    assert inbox.wait().message["BackupStatus"] == "Success"
    assert (stack.snapshots / "daily.0" / "file").read_text() == "content"
