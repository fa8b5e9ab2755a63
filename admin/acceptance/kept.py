"""The kinds of resources that a stack leaves behind when it is deleted."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from admin.command import Clients

KINDS = (
    "AWS::EFS::FileSystem",
    "AWS::DynamoDB::Table",
    "AWS::S3::Bucket",
    "AWS::Logs::LogGroup",
)
GONE = {
    "FileSystemNotFound",
    "ResourceNotFoundException",
    "NoSuchBucket",
    "404",
}
ATTEMPTS = 120  # at an interval of five seconds


@dataclass(frozen=True)
class Kept:
    kind: str
    identity: str
    clients: Clients
    region: str

    def tags(self) -> dict[str, str]:
        """Raises ClientError for one that is gone."""
        found: list[dict[str, str]] = []
        match self.kind:
            case "AWS::EFS::FileSystem":
                found = self._efs.describe_file_systems(FileSystemId=self.identity)["FileSystems"][
                    0
                ].get("Tags", [])
            case "AWS::DynamoDB::Table":
                found = self._dynamodb.list_tags_of_resource(ResourceArn=self._table_arn)["Tags"]
            case "AWS::S3::Bucket":
                found = self._bucket_tags()
            case "AWS::Logs::LogGroup":
                return dict(
                    self._logs.list_tags_for_resource(resourceArn=self._log_group_arn)["tags"]
                )
        return {tag["Key"]: tag["Value"] for tag in found}

    def exists(self) -> bool:
        try:
            self.tags()
        except ClientError as error:
            if error.response["Error"]["Code"] in GONE:
                return False
            raise
        return True

    def has_tag(self, key: str, value: str) -> bool:
        return self.tags().get(key) == value

    def tag(self, key: str, value: str) -> None:
        """CloudFormation gives a stack's tags to what it makes; this is for what it left out."""
        if self.has_tag(key, value):
            return
        tags = [{"Key": key, "Value": value}]
        match self.kind:
            case "AWS::EFS::FileSystem":
                self._efs.tag_resource(ResourceId=self.identity, Tags=tags)
            case "AWS::DynamoDB::Table":
                self._dynamodb.tag_resource(ResourceArn=self._table_arn, Tags=tags)
            case "AWS::S3::Bucket":
                all_of_them = [{"Key": k, "Value": v} for k, v in self.tags().items()]
                self._s3.put_bucket_tagging(
                    Bucket=self.identity, Tagging={"TagSet": [*all_of_them, *tags]}
                )
            case "AWS::Logs::LogGroup":
                self._logs.tag_resource(resourceArn=self._log_group_arn, tags={key: value})

    def delete(self) -> None:
        match self.kind:
            case "AWS::EFS::FileSystem":
                self._end_replication()
                self._when_unused(lambda: self._efs.delete_file_system(FileSystemId=self.identity))
            case "AWS::DynamoDB::Table":
                self._dynamodb.delete_table(TableName=self.identity)
            case "AWS::S3::Bucket":
                self.empty()
                self._s3.delete_bucket(Bucket=self.identity)
            case "AWS::Logs::LogGroup":
                self._logs.delete_log_group(logGroupName=self.identity)

    def empty(self) -> None:
        """A bucket, of all versions."""
        for page in self._s3.get_paginator("list_object_versions").paginate(Bucket=self.identity):
            found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            for version in found:
                self._s3.delete_object(
                    Bucket=self.identity, Key=version["Key"], VersionId=version["VersionId"]
                )

    def replicas(self) -> list[Kept]:
        """Those that a file system has in other regions."""
        return [
            Kept(self.kind, found["FileSystemId"], self.clients, found["Region"])
            for replication in self._replications()
            if replication["SourceFileSystemId"] == self.identity
            for found in replication["Destinations"]
            if found["Status"] != "DELETING"
        ]

    def _replications(self) -> list[dict[str, Any]]:
        """In which a file system takes part."""
        if self.kind != "AWS::EFS::FileSystem":
            return []
        try:
            return list(
                self._efs.describe_replication_configurations(FileSystemId=self.identity)[
                    "Replications"
                ]
            )
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("ReplicationNotFound", *GONE):
                raise
            return []

    def _end_replication(self) -> None:
        """It takes minutes, in which neither side can be deleted."""
        if self.replicas():
            self._efs.delete_replication_configuration(SourceFileSystemId=self.identity)
        for _ in range(ATTEMPTS):
            if not self._replications():
                return
            time.sleep(5)

    def _when_unused(self, delete: Any) -> None:
        """The mount targets of a file system go a while after their stack."""
        for attempt in range(ATTEMPTS):
            try:
                delete()
                return
            except ClientError as error:
                in_use = error.response["Error"]["Code"] == "FileSystemInUse"
                if not in_use or attempt == ATTEMPTS - 1:
                    raise
                time.sleep(5)

    def _bucket_tags(self) -> list[dict[str, str]]:
        try:
            found: list[dict[str, str]] = self._s3.get_bucket_tagging(Bucket=self.identity)[
                "TagSet"
            ]
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchTagSet":
                raise
            return []
        return found

    @property
    def _efs(self) -> Any:
        return self.clients("efs", region_name=self.region)

    @property
    def _dynamodb(self) -> Any:
        return self.clients("dynamodb")

    @property
    def _s3(self) -> Any:
        return self.clients("s3")

    @property
    def _logs(self) -> Any:
        return self.clients("logs")

    @property
    def _table_arn(self) -> str:
        return str(self._dynamodb.describe_table(TableName=self.identity)["Table"]["TableArn"])

    @property
    def _log_group_arn(self) -> str:
        found = self._logs.describe_log_groups(logGroupNamePrefix=self.identity)["logGroups"]
        for group in found:
            if group["logGroupName"] == self.identity:
                return str(group["arn"]).removesuffix(":*")
        raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "DescribeLogGroups")
