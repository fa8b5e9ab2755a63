"""A published version is complete and never changes; its links launch it."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.iam.access_control import PermissionResult

from admin import publish
from admin.command import AdminError
from tests.cloudformation import aws_environment

REGIONS = ("eu-west-1", "us-east-1")
FOLDER = "efs-to-efs-backup/v2.0.0"
TEMPLATE = "Parameters:\n  SrcEFS: {Type: String}\n  Email: {Type: String}\n"


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    aws_environment(monkeypatch)
    # moto reads no Condition: to it, what denies plain HTTP denies everything.
    neutral = PermissionResult.NEUTRAL
    monkeypatch.setattr("moto.s3.models.FakeBucket.get_permission", lambda *_: neutral)
    with mock_aws():
        yield


@pytest.fixture
def release(tmp_path: Path) -> publish.Release:
    for file, content in {
        "global-s3-assets/efs-to-efs-backup.template": TEMPLATE,
        "global-s3-assets/efs-to-efs-restore.template": TEMPLATE,
        "regional-s3-assets/ec2.tar.gz": "bundle",
    }.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(content)
    return publish.Release.read("v2.0.0", tmp_path)


@pytest.fixture
def buckets() -> list[publish.Bucket]:
    """Those of two regions; the buckets themselves are still to be made."""
    return publish.buckets_of(boto3.Session().client, "my", REGIONS)


@pytest.fixture
def made(buckets: list[publish.Bucket]) -> list[publish.Bucket]:
    for bucket in buckets:
        bucket.create()
    return buckets


def contents(bucket: publish.Bucket) -> dict[str, bytes]:
    listed = bucket.client.list_objects_v2(Bucket=bucket.name).get("Contents", [])
    return {
        item["Key"]: bucket.client.get_object(Bucket=bucket.name, Key=item["Key"])["Body"].read()
        for item in listed
    }


def put(bucket: publish.Bucket, name: str, content: bytes) -> None:
    bucket.client.put_object(Bucket=bucket.name, Key=f"{FOLDER}/{name}", Body=content)


def test_all_regions_get_all_files_and_their_checksums(
    release: publish.Release, made: list[publish.Bucket]
) -> None:
    publish.publish(release, made, create=False)
    for bucket in made:
        found = contents(bucket)
        assert found == {f"{FOLDER}/{name}": data for name, data in release.files.items()}
        sums = found[f"{FOLDER}/SHA256SUMS"].decode().splitlines()
        assert f"{hashlib.sha256(b'bundle').hexdigest()}  ec2.tar.gz" in sums
        assert len(sums) == 3


def test_another_content_in_one_region_stops_it_in_all(
    release: publish.Release, made: list[publish.Bucket]
) -> None:
    put(made[1], "ec2.tar.gz", b"another bundle")
    with pytest.raises(AdminError, match=r"v2.0.0 .* my-us-east-1 .* ec2.tar.gz.*another VERSION"):
        publish.publish(release, made, create=False)
    assert contents(made[0]) == {}
    assert contents(made[1]) == {f"{FOLDER}/ec2.tar.gz": b"another bundle"}


def test_the_rest_of_an_interrupted_publication_is_uploaded(
    release: publish.Release, made: list[publish.Bucket]
) -> None:
    put(made[0], "ec2.tar.gz", b"bundle")  # as `aws s3 cp` leaves it: without a SHA-256
    said: list[str] = []
    publish.publish(release, made[:1], create=False, say=said.append)
    assert [line for line in said if "ec2.tar.gz" in line] == []
    assert contents(made[0]).keys() == {f"{FOLDER}/{name}" for name in release.files}
    said.clear()
    publish.publish(release, made[:1], create=False, say=said.append)
    assert said == ["v2.0.0 is in my-eu-west-1 already"]


def test_the_checksums_come_last(release: publish.Release) -> None:
    assert list(release.files)[-1] == "SHA256SUMS"


def test_what_somebody_else_publishes_meanwhile_is_not_overwritten(
    release: publish.Release, made: list[publish.Bucket]
) -> None:
    assert "ec2.tar.gz" in made[0].missing(release)
    put(made[0], "ec2.tar.gz", b"theirs")
    with pytest.raises(AdminError, match="someone else"):
        made[0].upload(release, "ec2.tar.gz")
    assert contents(made[0]) == {f"{FOLDER}/ec2.tar.gz": b"theirs"}


def test_missing_buckets_are_named_with_the_commands_that_make_them(
    release: publish.Release, buckets: list[publish.Bucket]
) -> None:
    buckets[0].create()
    with pytest.raises(AdminError) as error:
        publish.publish(release, buckets, create=False)
    assert "aws s3 mb s3://my-us-east-1 --region us-east-1" in str(error.value)
    assert "my-eu-west-1" not in str(error.value)
    assert contents(buckets[0]) == {}


def test_created_buckets_are_closed_and_versioned(
    release: publish.Release, buckets: list[publish.Bucket]
) -> None:
    publish.publish(release, buckets, create=True)
    for bucket in buckets:
        place = {"Bucket": bucket.name}
        blocked = bucket.client.get_public_access_block(**place)["PublicAccessBlockConfiguration"]
        assert list(blocked.values()) == [True] * 4
        assert bucket.client.get_bucket_versioning(**place)["Status"] == "Enabled"
        assert contents(bucket).keys() == {f"{FOLDER}/{name}" for name in release.files}


def test_a_bucket_that_was_made_and_not_yet_protected_is_protected_by_the_next_run(
    release: publish.Release, made: list[publish.Bucket]
) -> None:
    publish.publish(release, made, create=True)
    for bucket in made:
        place = {"Bucket": bucket.name}
        assert bucket.client.get_bucket_versioning(**place)["Status"] == "Enabled"
        (denied,) = json.loads(bucket.client.get_bucket_policy(**place)["Policy"])["Statement"]
        assert denied["Effect"] == "Deny"
        assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert f"arn:aws:s3:::{bucket.name}/*" in denied["Resource"]


@pytest.mark.parametrize(("create", "used"), [(True, True), (False, False)])
def test_a_bucket_of_the_users_own_is_left_as_it_is(
    release: publish.Release, made: list[publish.Bucket], create: bool, used: bool
) -> None:
    if used:
        put(made[0], "something", b"of theirs")
    publish.publish(release, made[:1], create=create)
    assert "Status" not in made[0].client.get_bucket_versioning(Bucket=made[0].name)
    with pytest.raises(ClientError, match="NoSuchBucketPolicy"):
        made[0].client.get_bucket_policy(Bucket=made[0].name)


class Refusing:
    """S3, where HeadBucket fails."""

    def __init__(self, status: int, region: str = "") -> None:
        self.response = {
            "Error": {"Code": str(status)},
            "ResponseMetadata": {
                "HTTPStatusCode": status,
                "HTTPHeaders": {"x-amz-bucket-region": region},
            },
        }

    def head_bucket(self, **request: str) -> Any:
        assert request == {"Bucket": "my-eu-west-1", "ExpectedBucketOwner": "111122223333"}
        raise ClientError(self.response, "HeadBucket")


@pytest.mark.parametrize(
    ("client", "said"),
    [
        (Refusing(403), "belongs to another account"),
        (Refusing(301, "us-west-2"), "is in us-west-2; it has to be in eu-west-1"),
    ],
)
def test_a_bucket_that_is_not_ours_or_elsewhere(client: Refusing, said: str) -> None:
    with pytest.raises(AdminError, match=said):
        publish.Bucket("my-eu-west-1", "eu-west-1", "111122223333", client).exists()


@pytest.mark.parametrize(
    ("region", "console", "template"),
    [
        (
            "eu-west-1",
            "eu-west-1.console.aws.amazon.com",
            "my-eu-west-1.s3.eu-west-1.amazonaws.com",
        ),
        (
            "us-east-1",
            "us-east-1.console.aws.amazon.com",
            "my-us-east-1.s3.amazonaws.com",
        ),
        (
            "cn-north-1",
            "cn-north-1.console.amazonaws.cn",
            "my-cn-north-1.s3.cn-north-1.amazonaws.com.cn",
        ),
        (
            "us-gov-west-1",
            "us-gov-west-1.console.amazonaws-us-gov.com",
            "my-us-gov-west-1.s3.us-gov-west-1.amazonaws.com",
        ),
        (
            "eusc-de-east-1",
            "eusc-de-east-1.console.amazonaws-eusc.eu",
            "my-eusc-de-east-1.s3.eusc-de-east-1.amazonaws.eu",
        ),
    ],
)
def test_a_link_opens_the_form_for_the_stack(
    release: publish.Release, region: str, console: str, template: str
) -> None:
    s3 = boto3.client("s3", region_name=region)
    bucket = publish.Bucket(f"my-{region}", region, "111122223333", s3)
    name = "efs-to-efs-backup.template"
    parameters = {"Email": "ops+efs@example.com", "RestoreMode": "of the other template"}
    url = urlsplit(publish.launch_url(bucket, release, name, "efs-backup", parameters))
    assert (url.netloc, parse_qs(url.query)) == (console, {"region": [region]})
    page, _, query = url.fragment.partition("?")
    assert page == "/stacks/quickcreate"
    assert parse_qs(query) == {
        "templateURL": [f"https://{template}/{FOLDER}/{name}"],
        "stackName": ["efs-backup"],
        "param_Email": ["ops+efs@example.com"],
    }


def test_the_links_replace_those_before_and_nothing_else(
    release: publish.Release, buckets: list[publish.Bucket]
) -> None:
    readme = f"before\n{publish.BEGIN}\nold\n{publish.END}\nafter\n"
    block = publish.launch_block(release, buckets, {"Email": "a)b|c@example.com"})
    found = publish.with_block(publish.with_block(readme, "other"), block)
    assert found == f"before\n{publish.BEGIN}\n{block}\n{publish.END}\nafter\n"
    rows = block.splitlines()
    assert [row.count("|") for row in rows] == [4] * len(rows)
    assert [row.split(" ")[1] for row in rows] == ["v2.0.0", "---", *REGIONS]


def test_a_readme_without_place_for_links() -> None:
    with pytest.raises(AdminError, match=publish.BEGIN):
        publish.with_block("text", "links")
    assert publish.with_block(Path("README.md").read_text(), "") != ""


@pytest.mark.parametrize(("version", "prefix"), [("2.0", "my"), ("v2.0.0", "My_Bucket")])
def test_what_cannot_be_built_is_explained(version: str, prefix: str) -> None:
    with pytest.raises(AdminError, match=r"VERSION|BUCKET"):
        publish.Release.built(version, prefix)


def test_other_endpoints_know_only_paths() -> None:
    meta = SimpleNamespace(endpoint_url="https://127.0.0.1:4566")
    url = publish.object_url(SimpleNamespace(meta=meta), "my-eu-west-1", "a/b")
    assert url == "https://127.0.0.1:4566/my-eu-west-1/a/b"
