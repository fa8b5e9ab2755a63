"""A deployment as the page reads it: what is in its table, its log bucket and its file system."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from boto3.dynamodb.types import TypeSerializer
from botocore.exceptions import ClientError
from engine.history.catalog import Totals, Version, escaped, write_catalog, write_changes
from engine.history.members import Member, to_json
from engine.history.upkeep import LIST, catalog_key, changes_key

from console_page import handler
from console_page.page import Request
from console_page.settings import Settings
from tests.stubs import Checked

ME = "arn:aws:lambda:eu-west-1:111122223333:function:page"
ORCHESTRATOR = "arn:aws:lambda:eu-west-1:111122223333:function:backup"
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
GIB = 2**30
HOSTILE = [
    b"plain report.xlsx",
    b'"><script>window.hacked = 1</script>.xlsx',
    b"</cwdb-action><a class=btn>x</a><cwdb-action action=call endpoint=" + ME.encode() + b">.xlsx",
    b"<img src=x onerror='window.hacked = 1'>.xlsx",
    b"</style><b>&lt;&amp;'\"\\.xlsx",
    b"\x1b[31mred\x07\n\t.xlsx",
    b"\xff\xfe not utf-8.xlsx",
    "\N{RIGHT-TO-LEFT OVERRIDE}xslx.exe.xlsx".encode(),
    b"long " + b"x" * 240 + b".xlsx",
]


def version(size: int) -> bytes:
    return Version("f", size, 1_795_000_000 * 10**9, "", 0o644, 0, 0, 0).fields()


def member(number: int, name: str = "", **more: Any) -> Member:
    made = (NOW - timedelta(days=number, hours=9)).timestamp()
    known = {
        "files": 1_234_567 + number,
        "bytes": 512 * GIB,
        "frees": number * 3 * GIB,
        "why": "newest",
    }
    return Member(f"{number:016x}", name or f"daily.{number}", made, "daily", **{**known, **more})


def record(number: int, status: str = "Success", **more: Any) -> dict[str, Any]:
    started = NOW - timedelta(days=number, hours=10)
    return {
        "BackupId": f"run-{number}",
        "BackupStatus": status,
        "BackupStartTime": f"{started:%Y-%m-%dT%H:%M:%SZ}",
        "BackupStopTime": f"{started + timedelta(minutes=41):%Y-%m-%dT%H:%M:%SZ}",
        "BackupWindow": 180,
        "Message": "The EFS was backed up successfully",
        "NumberOfFiles": 1_234_567,
        "NumberOfFilesTransferred": 4_711,
        "TotalTransferredFileSize": 3 * GIB,
        "ExpireItem": 1,
        **more,
    }


@dataclass
class World:
    """Stands in for the clients; `refusing` names the operations that are denied."""

    folder: Path
    members: list[Member] = field(default_factory=list)
    items: list[dict[str, Any]] = field(default_factory=list)
    paths: list[bytes] = field(default_factory=lambda: [*HOSTILE])
    refusing: set[str] = field(default_factory=set)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def fill(self) -> None:
        """The newest snapshot lacks the last path; before, each file was a byte shorter."""
        self.objects = {f"catalog/efs backup/{LIST}": to_json(self.members).encode()}
        before = None
        for number, each in enumerate(self.members):
            has = {path: version(10 + (number == 0)) for path in self.paths}
            if number == 0 and len(self.members) > 1:
                has.pop(self.paths[-1])
            path, to = self.folder / f"{number}.catalog", self.folder / f"{number}.changes"
            write_catalog(path, (escaped(name) + b"\t" + has[name] for name in sorted(has)))
            newer = self.members[number - 1].id if before else ""
            write_changes(to, each.id, newer, path, before, Totals(len(has), 10))
            for key, content in ((catalog_key(each), path), (changes_key(each), to)):
                self.objects[f"catalog/efs backup/{key}"] = content.read_bytes()
            before = path

    def client(self, service: str) -> Any:
        return Checked(self, service)

    def _refuse(self, operation: str) -> None:
        if operation in self.refusing:
            error = {"Code": "AccessDenied", "Message": f"no right to {operation}"}
            raise ClientError({"Error": error}, operation)

    def get_paginator(self, name: str) -> Any:
        self._refuse(name)

        class Pages:
            paginate = staticmethod({"scan": self._scan, "list_objects_v2": self._list}[name])

        return Pages

    def _scan(self, **asked: Any) -> list[dict[str, Any]]:
        names = set(asked["ExpressionAttributeNames"].values())
        found = [{name: item[name] for name in item if name in names} for item in self.items]
        return [{"Items": [serialized(item)]} for item in found]

    def _list(self, **asked: Any) -> list[dict[str, Any]]:
        assert asked == {"Bucket": "logs", "Prefix": "catalog/efs backup/"}
        return [
            {"Contents": [{"Key": key, "ETag": str(hash(c)), "LastModified": NOW, "Size": len(c)}]}
            for key, c in self.objects.items()
        ]

    def get_item(self, **asked: Any) -> dict[str, Any]:
        wanted = asked["Key"]["BackupId"]["S"]
        return next(
            ({"Item": serialized(item)} for item in self.items if item["BackupId"] == wanted), {}
        )

    def describe_file_systems(self, **asked: Any) -> dict[str, Any]:
        self._refuse("describe_file_systems")
        assert asked == {"FileSystemId": PARAMETERS["DstEFS"]}
        size = {"Value": 700 * GIB, "ValueInStandard": 10 * GIB, "ValueInIA": 690 * GIB}
        return {"FileSystems": [{"SizeInBytes": size, "ThroughputMode": "bursting"}]}

    def download_file(self, bucket: str, key: str, path: str) -> None:
        Path(path).write_bytes(self.objects[key])

    def page(self, event: dict[str, Any] | None = None, pace: Any = lambda: None) -> str:
        request = Request.of(event or {}, ME)
        return handler.page(request, SETTINGS, self.client, pace, NOW)

    def call(self, endpoint: str, event: dict[str, Any]) -> Any:
        """As the console does, with rights to both functions unless they are refused."""
        self.calls.append((endpoint, event))
        self._refuse(endpoint)
        if endpoint == ME:
            return self.page(event)
        assert endpoint == ORCHESTRATOR
        return {"reason": f"{event['action']} it is", "actions": [], "observations": []}


def serialized(item: dict[str, Any]) -> dict[str, Any]:
    return {name: TypeSerializer().serialize(value) for name, value in item.items()}


PARAMETERS = {
    "SrcEFS": "fs-0a0a0a0a",
    "DstEFS": "fs-0b0b0b0b",
    "IntervalTag": "daily",
    "FolderLabel": "efs backup",
    "RestorePrefix": "/",
    "RestoreLogBucket": "logs",
    "VpcId": "vpc-1a2b",
    "Subnets": "subnet-1a,subnet-2b",
    "SecurityGroupId": "sg-1a",
    "Email": "you@example.com",
}
TEMPLATE = "https://release-eu-west-1.s3.eu-west-1.amazonaws.com/v2/efs-to-efs-restore.template"
ENVIRONMENT = {
    "table": "backup",
    "orchestrator": ORCHESTRATOR,
    "template": TEMPLATE,
    **PARAMETERS,
}
SETTINGS = Settings.from_env(ENVIRONMENT)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Seven snapshots, of which one is held and one partial, and ten runs, of which two failed."""
    monkeypatch.setattr(handler, "gettempdir", lambda: str(tmp_path / "tmp"))
    return filled(tmp_path, 7)


def filled(folder: Path, snapshots: int) -> World:
    members = [member(number) for number in range(snapshots)]
    if snapshots > 3:
        members[2] = member(2, is_partial=True)
        members[3] = member(3, "held.before-migration", why="held")
    items = [record(number) for number in range(10)]
    items[0]["BackupStatus"] = "Unsuccessful"
    items[0] |= {
        "Message": "mount.nfs4: <b>access denied</b>\x1b[2J",
        "WhatToDo": "Let NFS in. " * 9,
    }
    items[2]["BackupStatus"] = "Partial"
    if not snapshots:
        items = []
    world = World(folder, members, items)
    world.fill()
    return world
