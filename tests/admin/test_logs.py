"""The logs of a run are found in the bucket, of whatever instances, and of no other run."""

import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from common.records import Run
from moto import mock_aws

from admin import logs
from admin.command import AdminError, Given
from tests.cloudformation import aws_environment
from tests.stubs import Checked

RUN = {
    "BackupId": "5a0c",
    "BackupStatus": "Unsuccessful",
    "BackupStartTime": "2026-03-04T02:00:00Z",
    "InstanceId": "i-2",
    "EC2Logs": "s3://log-bucket/ec2-logs/20260304-021000-5a0c/",
}
NEWER = {**RUN, "BackupId": "15a0c", "BackupStartTime": "2026-03-05T02:00:00Z", "InstanceId": "i-3"}
OURS = {
    "ec2-logs/20260304-020100-5a0c/cloud-init-output.log": b"first instance\n",
    "ec2-logs/20260304-021000-5a0c/cloud-init-output.log": b"second \x1b[2J\xff instance\n",
    "efs-backup-log/20260304-021000-5a0c/changes.txt.gz": gzip.compress(b"changes"),
    "efs-backup-log/20260304-021000-5a0c/rsync.log": b"",
    "ssm-logs/command/i-2/awsrunShellScript/0.awsrunShellScript/stdout": b"stopped\n",
}
OTHERS = (
    "ec2-logs/20260305-020100-15a0c/cloud-init-output.log",
    "ec2-logs/20260304-020100-5a0c7/cloud-init-output.log",
    "efs-restore-logs/20260304-020100-5a0c/restore.log",
    "catalog/efs-backup/5a0c",
    "ssm-logs/command/i-22/stdout",
)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[logs.Bucket]:
    aws_environment(monkeypatch)
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="log-bucket")
        for key, body in {**OURS, **dict.fromkeys(OTHERS, b"of another")}.items():
            client.put_object(Bucket="log-bucket", Key=key, Body=body)
        yield logs.Bucket(client, "log-bucket")


@pytest.fixture
def run(bucket: logs.Bucket, monkeypatch: pytest.MonkeyPatch) -> Any:
    """make logs, with a stack of two runs."""
    table = type("Table", (), {"items": lambda _: [RUN, NEWER]})()
    stack = type("Stack", (), {"outputs": {"LogBucket": "log-bucket"}})()
    monkeypatch.setattr(logs, "clients", lambda region: lambda name: bucket.client)
    monkeypatch.setattr(logs.Stack, "backup", lambda connect, name: stack)
    monkeypatch.setattr(logs, "table_of", lambda connect, stack: table)

    def command(**given: str) -> int:
        given["STACK"] = "s"
        return logs.main(Given(given))

    return command


def test_those_of_all_its_instances_and_of_no_other_run(bucket: logs.Bucket) -> None:
    assert [log.key for log in bucket.logs_of(Run(RUN))] == list(OURS)


def test_they_are_asked_for_by_pages_and_not_from_the_beginning() -> None:
    asked = []

    class S3:
        def get_paginator(self, name: str) -> Any:
            return type("Pages", (), {"paginate": lambda _, **request: pages(request)})()

    def pages(request: Any) -> list[Any]:
        asked.append(request)
        folders = ["ec2-logs/20260304-020100-x/", "ec2-logs/20260304-020100-5a0c/"]
        if "Delimiter" in request:
            return [{"CommonPrefixes": [{"Prefix": folder}]} for folder in folders]
        return [{"Contents": [{"Key": request["Prefix"] + name, "Size": 1}]} for name in "ab"]

    bucket = logs.Bucket(Checked(S3(), "s3"), "logs")
    found = list(bucket.logs_of(Run({**RUN, "InstanceId": ""})))
    assert [log.key[-6:] for log in found] == ["5a0c/a", "5a0c/b"] * 2
    assert asked[0]["StartAfter"] == "ec2-logs/20260303"


def test_they_are_shown_harmless(run: Any, capsys: Any) -> None:
    assert run(RUN="2026-03-04") == 0
    said = capsys.readouterr().out
    assert said.startswith("5 logs of the run 5a0c, Unsuccessful, in s3://log-bucket/\n")
    assert "cloud-init-output.log  15 bytes <==\nfirst instance\n" in said
    assert "second  [2J\ufffd instance\n" in said
    assert "changes.txt.gz  " in said
    assert "(compressed; to have it as a file: TO=a/directory)" in said
    assert said.endswith("stdout  8 bytes <==\nstopped\n")
    assert all(line.isprintable() for line in said.splitlines())


def test_of_a_large_one_the_end_is_shown(
    bucket: logs.Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "SHOWN_BYTES", 20)
    bucket.client.put_object(Bucket="log-bucket", Key="k", Body=b"a long line\n" * 4 + b"last\n")
    assert bucket.end_of(logs.Log("k", 53)) == "a long line\nlast\n"


def test_they_become_files(run: Any, tmp_path: Path, capsys: Any) -> None:
    to = tmp_path / "new" / "directory"
    for _ in range(2):  # again does no harm
        assert run(RUN="5a0c", TO=str(to)) == 0
    files = {str(path.relative_to(to)): path for path in to.rglob("*") if path.is_file()}
    assert {name: path.read_bytes() for name, path in files.items()} == OURS
    assert str(to / "ec2-logs") in capsys.readouterr().out


def test_what_cannot_be_fetched_leaves_no_file(bucket: logs.Bucket, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="404"):
        bucket.save(logs.Log("ec2-logs/gone", 1), tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("key", ["ec2-logs/../../x", "/etc/x", "ec2-logs/./x", "ec2-logs/x/"])
def test_no_key_leads_out_of_the_directory(bucket: logs.Bucket, key: str, tmp_path: Path) -> None:
    with pytest.raises(AdminError, match="is no key of a log"):
        bucket.save(logs.Log(key, 1), tmp_path)


def test_without_a_run_it_is_the_newest(run: Any, capsys: Any) -> None:
    assert run() == 0
    assert "1 log of the run 15a0c," in capsys.readouterr().out


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"BackupId": "q", "BackupStatus": "Running"}, "It is running"),
        ({**RUN, "BackupId": "q"}, "Its record says that they were in s3://log-bucket/ec2-logs/"),
        ({"BackupId": "q"}, "They have expired(?s:.*)make status STACK=s RUN=q"),
    ],
)
def test_why_there_are_none(record: dict[str, Any], said: str) -> None:
    assert re.match(said, logs.why_none(Run(record), {"STACK": "s"}))
