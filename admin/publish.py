"""Builds a release and uploads it, to a bucket in each region: PREFIX-REGION.

    make publish BUCKET=prefix REGIONS="eu-west-1 us-east-1" VERSION=v2.0.0 [CREATE=yes]

Prints the links that launch stacks from it, and writes them into the README of a clone. Parameters
of the templates that are given, too, are filled into the links. Exit code 1: an error, which is
explained; all regions were checked before the first upload, and the same command goes on where it
ended.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from common.consoles import Console

from admin.command import AdminError, Clients, Given, clients
from admin.commands import PUBLISH
from admin.template import Template
from admin.wording import value_of
from tools import build

TEMPLATES = {
    "Backup": ("efs-to-efs-backup.template", "efs-backup"),
    "Restore": ("efs-to-efs-restore.template", "efs-restore"),
}
"""What the links launch: the template, and a name for its stack."""

BEGIN, END = "<!-- launch-stack:begin -->", "<!-- launch-stack:end -->"


@dataclass(frozen=True)
class Release:
    """The files of a release. The checksums come last: where they are, all the others are."""

    version: str
    files: Mapping[str, bytes]

    @classmethod
    def built(cls, version: str, bucket_prefix: str) -> Release:
        """A new one in dist/, or where users have their caches if the program is installed, and
        not in a clone. Raises AdminError when it cannot be built."""
        dist = (build.ROOT if is_clone() else cache_directory()) / "dist"
        try:
            build.build(build.version(version), build.bucket(bucket_prefix), dist)
        except (argparse.ArgumentTypeError, build.BuildError, OSError) as error:
            raise AdminError(str(error)) from error
        return cls.read(version, dist)

    @classmethod
    def read(cls, version: str, dist: Path) -> Release:
        """One that was built into `dist`."""
        files = {path.name: path.read_bytes() for path in sorted(dist.glob("*-s3-assets/*"))}
        sums = [f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in files]
        return cls(version, {**files, "SHA256SUMS": "".join(sums).encode()})

    @property
    def folder(self) -> str:
        return f"{build.SOLUTION_NAME}/{self.version}"

    def template(self, name: str) -> Template:
        return Template.parse(self.files[name].decode())


@dataclass(frozen=True)
class Bucket:
    """A bucket of the account, and the region in which it must be.

    client: of Amazon S3, in that region.
    """

    name: str
    region: str
    account: str
    client: Any

    def exists(self) -> bool:
        """Raises AdminError for a bucket that is not ours, or not where its name says."""
        try:
            found = self.client.head_bucket(Bucket=self.name, ExpectedBucketOwner=self.account)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if status == 404:
                return False
            if status == 403:
                raise AdminError(
                    f"The bucket {self.name} belongs to another account, or the credentials lack"
                    " the right to use it. If it is not yours, choose another BUCKET"
                ) from error
            if status not in (301, 400):
                raise
            found = error.response["ResponseMetadata"]["HTTPHeaders"]
            found = {"BucketRegion": found.get("x-amz-bucket-region", "another region")}
        if found.get("BucketRegion", self.region) != self.region:
            raise AdminError(
                f"The bucket {self.name} is in {found['BucketRegion']}; it has to be in"
                f" {self.region}, as its name says"
            )
        return True

    def create(self) -> None:
        place = {"LocationConstraint": self.region}
        # us-east-1 is no LocationConstraint.
        location = {} if self.region == "us-east-1" else {"CreateBucketConfiguration": place}
        self.client.create_bucket(Bucket=self.name, **location)

    def is_empty(self) -> bool:
        own = {"Bucket": self.name, "ExpectedBucketOwner": self.account}
        return "Contents" not in self.client.list_objects_v2(**own, MaxKeys=1)

    def protect(self) -> None:
        """Closed to the public, as all who launch from it need the account's rights anyway, and to
        plain HTTP. May be repeated."""
        own = {"Bucket": self.name, "ExpectedBucketOwner": self.account}
        blocked = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls")
        self.client.put_public_access_block(
            **own,
            PublicAccessBlockConfiguration=dict.fromkeys((*blocked, "RestrictPublicBuckets"), True),
        )
        self.client.put_bucket_versioning(**own, VersioningConfiguration={"Status": "Enabled"})
        arn = f"arn:{self.client.meta.partition}:s3:::{self.name}"
        tls_only = {
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [arn, f"{arn}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [tls_only]})
        self.client.put_bucket_policy(**own, Policy=policy)

    def missing(self, release: Release) -> list[str]:
        """The files of the release that are still to upload.

        Raises AdminError when the version was published with another content.
        """
        found = {name: self._digest(f"{release.folder}/{name}") for name in release.files}
        if others := [n for n, digest in found.items() if digest not in (None, sha256(release, n))]:
            raise AdminError(
                f"{release.version} is published in {self.name} with another content of"
                f" {', '.join(others)}. What is published is never changed: choose another VERSION"
            )
        return [name for name, digest in found.items() if digest is None]

    def upload(self, release: Release, name: str) -> None:
        """Raises AdminError when another content is there afterwards."""
        key, digest = f"{release.folder}/{name}", sha256(release, name)
        try:
            self.client.put_object(
                Bucket=self.name,
                Key=key,
                Body=release.files[name],
                ChecksumSHA256=digest,
                IfNoneMatch="*",
                ExpectedBucketOwner=self.account,
            )
        except ClientError as error:
            # Someone else has published it, or is just doing so.
            if error.response["ResponseMetadata"]["HTTPStatusCode"] not in (409, 412):
                raise
        if self._digest(key) != digest:
            raise AdminError(
                f"s3://{self.name}/{key} is not what was built: is someone else publishing"
                f" {release.version} now? Choose another VERSION"
            )

    def _digest(self, key: str) -> str | None:
        """The SHA-256 of an object, as S3 writes it; None if there is no such object."""
        place = {"Bucket": self.name, "Key": key, "ExpectedBucketOwner": self.account}
        try:
            head = self.client.head_object(**place, ChecksumMode="ENABLED")
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return None
            raise
        if checksum := head.get("ChecksumSHA256"):
            return str(checksum)
        return encoded(self.client.get_object(**place)["Body"].read())


def buckets_of(connect: Clients, prefix: str, regions: Iterable[str]) -> list[Bucket]:
    account = connect("sts").get_caller_identity()["Account"]
    return [
        Bucket(f"{prefix}-{region}", region, account, connect("s3", region_name=region))
        for region in dict.fromkeys(regions)
    ]


def object_url(s3: Any, bucket: str, key: str) -> str:
    """Where CloudFormation gets a file. An endpoint that is not Amazon's may know only paths."""
    scheme, _, host = s3.meta.endpoint_url.partition("://")
    place = f"{bucket}.{host}" if host.startswith("s3.") else f"{host}/{bucket}"
    return f"{scheme}://{place}/{key}"


def sha256(release: Release, name: str) -> str:
    return encoded(release.files[name])


def encoded(content: bytes) -> str:
    return b64encode(hashlib.sha256(content).digest()).decode()


def publish(
    release: Release, buckets: Sequence[Bucket], create: bool, say: Callable[[str], None] = print
) -> None:
    """Has the release in all buckets. Raises AdminError, before the first upload if possible."""
    absent = [bucket for bucket in buckets if not bucket.exists()]
    if absent and not create:
        names = ", ".join(bucket.name for bucket in absent)
        commands = [f"  aws s3 mb s3://{b.name} --region {b.region}" for b in absent]
        raise AdminError(
            f"There is no bucket {names}. To have it created, closed to the public and with"
            f" versioning, add {value_of('CREATE', 'yes')}; or run:\n" + "\n".join(commands)
        )
    missing = [(bucket, bucket.missing(release)) for bucket in buckets if bucket not in absent]
    for bucket in absent:
        bucket.create()
        say(f"Created the bucket {bucket.name}")
        missing.append((bucket, list(release.files)))
    for bucket, files in missing:
        # Also one that an earlier run has created and could not protect any more. One in which
        # something is belongs to its user.
        if create and bucket.is_empty():
            bucket.protect()
        for name in files:
            bucket.upload(release, name)
            say(f"Uploaded s3://{bucket.name}/{release.folder}/{name}")
        if not files:
            say(f"{release.version} is in {bucket.name} already")


def launch_url(
    bucket: Bucket, release: Release, name: str, stack: str, parameters: Mapping[str, str]
) -> str:
    """The console's page that creates the stack, filled in as far as it is known."""
    known = {n: v for n, v in parameters.items() if n in release.template(name).parameters}
    url = object_url(bucket.client, bucket.name, f"{release.folder}/{name}")
    console = Console(bucket.client.meta.partition, bucket.region)
    return console.quick_create(url, stack, known)


def launch_block(release: Release, buckets: Iterable[Bucket], parameters: Mapping[str, str]) -> str:
    """The links of all regions, in Markdown."""
    rows = []
    for bucket in buckets:
        links = (
            f"[Launch stack]({launch_url(bucket, release, name, stack, parameters)})"
            for name, stack in TEMPLATES.values()
        )
        rows.append(f"| {bucket.region} | {' | '.join(links)} |")
    head = [
        f"| {release.version} | {' | '.join(TEMPLATES)} |",
        "| --- " * (len(TEMPLATES) + 1) + "|",
    ]
    return "\n".join([*head, *rows])


def with_block(readme: str, block: str) -> str:
    """The README with another block. Raises AdminError when it has no place for it."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise AdminError(f"README.md has no lines {BEGIN} and {END} for the links")
    return f"{before}{begin}\n{block}\n{end}{after}"


def main(given: Given) -> int:
    prefix = given.required("BUCKET", "my-backups")
    regions = given.required("REGIONS", '"eu-west-1 us-east-1"').split()
    version = given.required("VERSION", "v2.0.0")
    parameters = {name: value for name, value in given.items() if name not in PUBLISH.takes}
    readme = build.ROOT / "README.md"
    if is_clone():
        with_block(readme.read_text(), "")

    release = Release.built(version, prefix)
    names = [name for kind, _ in TEMPLATES.values() for name in release.template(kind).parameters]
    given.only(*PUBLISH.takes, *dict.fromkeys(names))
    buckets = buckets_of(clients(regions[0]), prefix, regions)
    publish(release, buckets, given.yes("CREATE"))

    if is_clone():
        block = launch_block(release, buckets, parameters)
        readme.write_text(with_block(readme.read_text(), block))
    for bucket in buckets:
        for kind, (name, stack) in TEMPLATES.items():
            url = launch_url(bucket, release, name, stack, parameters)
            print(f"\n{kind} in {bucket.region}:\n{url}")
    if is_clone():
        print(f"\nThe links are in {readme.name}, too.")
    return 0


def is_clone() -> bool:
    """Whether this is a clone of the project, rather than a program that was installed."""
    return (build.ROOT / "README.md").exists()


def cache_directory() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "efs2efs"
