"""What the acceptance deletes is its own, whatever happened before; and what it says of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from common.records import Run
from moto import mock_aws

from admin import logs
from admin.acceptance import __main__ as command
from admin.acceptance import backups, report
from admin.acceptance.account import TAG, Account, Journal
from admin.acceptance.found import Found
from admin.acceptance.kept import KINDS, Kept
from admin.acceptance.rows import COLD, ROWS, Row, chosen
from admin.acceptance.runs import Runs
from admin.command import AdminError, Given
from admin.commands import ACCEPTANCE
from tests.cloudformation import aws_environment
from tests.stubs import Checked

NAME = "efs-acceptance-01234567"
REGION = "eu-west-1"
OWN = [{"Key": TAG, "Value": NAME}]


def given(**values: str) -> Given:
    return Given(values)


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    aws_environment(monkeypatch)
    monkeypatch.chdir(tmp_path)
    with mock_aws():
        yield


def make_file_system() -> str:
    return str(boto3.client("efs").create_file_system(CreationToken="x")["FileSystemId"])


def make_table() -> str:
    boto3.client("dynamodb").create_table(
        TableName="table",
        KeySchema=[{"AttributeName": "BackupId", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "BackupId", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return "table"


def make_bucket() -> str:
    """With two versions of an object and one that is deleted."""
    s3 = boto3.client("s3")
    s3.create_bucket(
        Bucket="my-log-bucket", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    versions = {"Status": "Enabled"}
    s3.put_bucket_versioning(Bucket="my-log-bucket", VersioningConfiguration=versions)  # type: ignore[arg-type]
    for body in (b"one", b"two"):
        s3.put_object(Bucket="my-log-bucket", Key="a", Body=body)
    s3.delete_object(Bucket="my-log-bucket", Key="a")
    return "my-log-bucket"


def make_log_group() -> str:
    logs = boto3.client("logs")
    for name in ("group", "group-of-another"):
        logs.create_log_group(logGroupName=name)
    return "group"


MAKERS: dict[str, Callable[[], str]] = dict(
    zip(KINDS, (make_file_system, make_table, make_bucket, make_log_group), strict=True)
)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_kept_is_tagged_and_deleted(kind: str) -> None:
    kept = Kept(kind, MAKERS[kind](), connect, REGION)
    assert kept.exists()
    assert not kept.has_tag(TAG, NAME)
    kept.tag("mine", "before")
    kept.tag(TAG, NAME)
    kept.tag(TAG, NAME)
    assert kept.tags() == {"mine": "before", TAG: NAME}
    kept.delete()
    assert not kept.exists()


REPLICATIONS: dict[str, dict[str, Any]] = {}
"""By its source. Moto knows none."""


class Replicated:
    """EFS, with replications."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def describe_replication_configurations(self, FileSystemId: str) -> dict[str, Any]:
        found = [
            replication
            for source, replication in REPLICATIONS.items()
            if FileSystemId in (source, replication["Destinations"][0]["FileSystemId"])
        ]
        if not found:
            error = {"Error": {"Code": "ReplicationNotFound", "Message": "none"}}
            raise ClientError(error, "DescribeReplicationConfigurations")
        return {"Replications": found}

    def delete_replication_configuration(self, SourceFileSystemId: str) -> None:
        del REPLICATIONS[SourceFileSystemId]

    def delete_file_system(self, FileSystemId: str) -> None:
        for source, replication in REPLICATIONS.items():
            assert FileSystemId not in (source, replication["Destinations"][0]["FileSystemId"])
        self._client.delete_file_system(FileSystemId=FileSystemId)


def connect(service: str, **options: Any) -> Any:
    client = boto3.client(service, **options)  # type: ignore[call-overload]
    return Checked(Replicated(client), service) if service == "efs" else client


class Stacks:
    """CloudFormation, with stacks that leave everything behind."""

    meta = SimpleNamespace(region_name=REGION)

    def __init__(self, **tags: list[dict[str, str]]) -> None:
        self.tags = tags
        self.resources: dict[str, list[tuple[str, str]]] = {}
        self.deleted: list[str] = []
        self.state = lambda: "CREATE_COMPLETE"

    def described(self, name: str) -> dict[str, Any]:
        return {"StackName": name, "StackStatus": self.state(), "Tags": self.tags[name]}

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        if StackName not in self.tags:
            error = {"Error": {"Code": "ValidationError", "Message": "it does not exist"}}
            raise ClientError(error, "DescribeStacks")
        return {"Stacks": [self.described(StackName)]}

    def delete_stack(self, StackName: str) -> None:
        self.deleted.append(StackName)
        del self.tags[StackName]

    def get_paginator(self, operation: str) -> Any:
        def paginate(StackName: str = "") -> Any:
            if operation == "describe_stacks":
                return [{"Stacks": [self.described(name) for name in self.tags]}]
            found = [
                {"ResourceType": k, "PhysicalResourceId": i, "ResourceStatus": "CREATE_COMPLETE"}
                for k, i in self.resources.get(StackName, [])
            ]
            return [{"StackResourceSummaries": found}]

        return SimpleNamespace(paginate=paginate)

    def get_waiter(self, what: str) -> Any:
        return SimpleNamespace(wait=lambda **_: None)


class Here:
    """An account with these stacks, and all that is said about it."""

    def __init__(self, stacks: Stacks) -> None:
        self.stacks, self.said = stacks, []
        self.journal = Journal.read(NAME, REGION)

    said: list[str]

    def clients(self, service: str, **options: Any) -> Any:
        if service == "cloudformation":
            return Checked(self.stacks, service)
        return connect(service, **options)

    @property
    def account(self) -> Account:
        return Account(self.clients, NAME, self.journal, self.said.append)


def exist(*identities: tuple[str, str]) -> list[bool]:
    return [Kept(kind, identity, connect, REGION).exists() for kind, identity in identities]


def test_own_stacks_are_deleted_with_what_they_leave_and_nothing_else() -> None:
    own = [(kind, MAKERS[kind]()) for kind in KINDS]
    other = ("AWS::EFS::FileSystem", boto3.client("efs").create_file_system()["FileSystemId"])
    theirs = [{"Key": TAG, "Value": "efs-acceptance-76543210"}]
    stacks = Stacks(**{NAME: OWN, f"{NAME}-source": OWN, "production": [], "theirs": theirs})
    stacks.resources = {NAME: own, "production": [other]}
    assert Here(stacks).account.remove_all() == []
    assert stacks.deleted == [f"{NAME}-source", NAME], "the client has the group of the other"
    assert exist(*own, other) == [False] * 4 + [True]


def test_a_stack_without_the_tag_is_left_alone_whatever_its_name() -> None:
    resource = ("AWS::EFS::FileSystem", make_file_system())
    stacks = Stacks(**{NAME: []})
    stacks.resources = {NAME: [resource]}
    here = Here(stacks)
    here.account.note(NAME)
    assert here.account.remove_all() == [NAME]
    assert stacks.deleted == []
    assert exist(resource) == [True]
    assert any("is left alone" in line for line in here.said)


def test_what_a_crash_left_between_a_stack_and_its_resources() -> None:
    tagged, bare = make_file_system(), boto3.client("efs").create_file_system()["FileSystemId"]
    Kept(KINDS[0], tagged, connect, REGION).tag(TAG, NAME)
    here = Here(Stacks())
    here.account.note(NAME)
    here.journal.kept = [[KINDS[0], efs, REGION] for efs in (tagged, bare, "fs-01234567")]
    here.journal.write()
    again = Here(Stacks())
    assert again.account.remove_all() == [bare]
    assert exist((KINDS[0], tagged), (KINDS[0], bare)) == [False, True]
    assert json.loads(again.journal.path.read_text())["kept"] == [[KINDS[0], bare, REGION]]


def test_it_is_noted_before_it_is_deleted() -> None:
    resource = ("AWS::EFS::FileSystem", make_file_system())
    stacks = Stacks(**{NAME: OWN})
    stacks.resources = {NAME: [resource]}
    here = Here(stacks)
    here.account.note(NAME)

    def killed(StackName: str) -> None:
        raise KeyboardInterrupt

    stacks.delete_stack = killed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        here.account.remove_all()
    assert Journal.read(NAME, REGION).kept == [[*resource, REGION]]
    assert Journal.read(NAME, REGION).stacks == [NAME]


def test_what_is_still_being_made_is_waited_for() -> None:
    """Interrupted while a stack is created: its list is not complete yet."""
    resource = ("AWS::EFS::FileSystem", make_file_system())
    stacks = Stacks(**{NAME: OWN})
    states = ["CREATE_IN_PROGRESS"] * 3
    stacks.state = lambda: states[0] if states else "CREATE_COMPLETE"

    def time_passes(seconds: float) -> None:
        states.pop()
        if not states:
            stacks.resources = {NAME: [resource]}

    here = Here(stacks)
    account = Account(here.clients, NAME, here.journal, here.said.append, pause=time_passes)
    assert account.remove_all() == []
    assert states == []
    assert exist(resource) == [False]


@pytest.mark.parametrize("ended", [False, True])
def test_a_replica_is_deleted_also_when_no_replication_names_it_any_more(ended: bool) -> None:
    elsewhere = connect("efs", region_name="eu-central-1")
    replica, other = (
        elsewhere.create_file_system(CreationToken=token)["FileSystemId"] for token in "ro"
    )
    source = make_file_system()
    REPLICATIONS[source] = {
        "SourceFileSystemId": source,
        "Destinations": [{"FileSystemId": replica, "Region": "eu-central-1", "Status": "ENABLED"}],
    }
    stacks = Stacks(**{NAME: OWN})
    stacks.resources = {NAME: [(KINDS[0], source)]}
    here = Here(stacks)
    if ended:
        here.account._tagged(NAME)
        del REPLICATIONS[source]
    assert Here(stacks).account.remove_all() == []
    assert REPLICATIONS == {}
    (left,) = elsewhere.describe_file_systems()["FileSystems"]
    assert left["FileSystemId"] == other


def test_a_stack_of_another_name_is_not_noted() -> None:
    with pytest.raises(AssertionError):
        Here(Stacks()).account.note("production")


def test_a_journal_of_another_region_is_not_taken_for_this_one() -> None:
    Journal.read(NAME, REGION).write()
    with pytest.raises(AdminError, match="REGION=eu-west-1"):
        Journal.read(NAME, "us-east-1")


def test_only_what_is_chosen_is_tried() -> None:
    assert {row.letter for row in chosen("")} == {r.letter for r in ROWS if r.by_default}
    assert [row.letter for row in chosen("d, c")] == ["c", "d"]
    assert list(chosen("all")) == list(ROWS)
    assert [row.letter for row in chosen("i,c")] == ["c", "i"]
    with pytest.raises(AdminError, match="it has z"):
        list(chosen("c,z"))


ROW = Row("x", "A row", "nothing", lambda scene: Found(True, "it"))


def test_the_report_is_a_table_in_which_names_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "a" / "report.md"
    found = Found(False, "a|b\n\x1b[2J", "s3://logs/a")
    report.write(path, NAME, REGION, [(ROW, found)])
    (line,) = [line for line in path.read_text().splitlines() if line.startswith("| x")]
    assert line == "| x | A row | nothing | a\\|b  [2J | OTHERWISE | s3://logs/a |"


VALUES = {"REGION": REGION, "VPC": "vpc-1", "SUBNETS": "subnet-1,subnet-2", "EMAIL": "a@b.c"}


@pytest.fixture
def removed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the runs of which all was removed."""
    names: list[str] = []
    monkeypatch.setattr(Account, "remove_all", lambda account: names.append(account.name) or [])
    return names


def rows(monkeypatch: pytest.MonkeyPatch, *checks: Callable[[Any], Found]) -> None:
    tried = [Row(letter, "title", "expected", c) for letter, c in zip("xyz", checks, strict=False)]
    monkeypatch.setattr(command, "chosen", lambda only: tried)


def raise_(error: BaseException) -> Callable[[Any], Found]:
    def check(scene: Any) -> Found:
        raise error

    return check


def test_a_row_that_fails_keeps_no_other_from_being_tried(
    monkeypatch: pytest.MonkeyPatch, removed: list[str]
) -> None:
    good = Found(True, "as it should be")
    rows(monkeypatch, raise_(AdminError("no such luck")), lambda scene: good)
    assert ACCEPTANCE.carry_out(given(**VALUES, YES="yes")) == 1
    (name,) = removed
    text = Path("acceptance", name, "report.md").read_text()
    assert "it could not be tried: no such luck | OTHERWISE" in text
    assert "as it should be | as expected" in text


@pytest.mark.parametrize("error", [KeyboardInterrupt(), KeyError("a fault of the program")])
def test_whatever_ends_it_everything_is_removed(
    monkeypatch: pytest.MonkeyPatch, removed: list[str], error: BaseException
) -> None:
    rows(monkeypatch, lambda scene: Found(True, "first"), raise_(error))
    with pytest.raises(type(error)):
        ACCEPTANCE.carry_out(given(**VALUES, YES="yes"))
    (name,) = removed
    assert "first" in Path("acceptance", name, "report.md").read_text()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"YES": "no"}, "YES=yes"),
        ({"SUBNETS": "subnet-1"}, "SUBNETS are two"),
        ({"VPC": ""}, "VPC is missing"),
        ({"ONLY": "q"}, "it has q"),
        ({"CLEAN": "production"}, "CLEAN is 'production'"),
        ({"CLEANUP": "x"}, "Unknown: CLEANUP"),
    ],
)
def test_nothing_begins_without_what_it_takes(
    removed: list[str], values: dict[str, str], said: str
) -> None:
    with pytest.raises(AdminError, match=said):
        ACCEPTANCE.carry_out(given(**{**VALUES, **values}))
    assert removed == []


def test_the_end_of_a_window_is_brought_forward_and_nothing_else_of_it_is_changed() -> None:
    scheduler = boto3.client("scheduler")
    scheduler.create_schedule_group(Name="group")
    target = {"Arn": "arn:aws:lambda:x", "RoleArn": "arn:aws:iam:y", "Input": '{"action": "stop"}'}
    scheduler.create_schedule(
        Name="run",
        GroupName="group",
        ScheduleExpression="at(2099-01-01T00:00:00)",
        ScheduleExpressionTimezone="UTC",
        FlexibleTimeWindow={"Mode": "OFF"},
        ActionAfterCompletion="DELETE",
        Target=target,
    )
    before = scheduler.get_schedule(Name="run", GroupName="group")
    stack = SimpleNamespace(resource=lambda name: {"ScheduleGroup": "group"}[name])
    account = SimpleNamespace(clients=connect)
    runs = Runs(account, stack, lambda *_: None)  # type: ignore[arg-type]
    runs.end_window("run", timedelta(minutes=1))
    after = scheduler.get_schedule(Name="run", GroupName="group")
    due = datetime.strptime(after.pop("ScheduleExpression"), "at(%Y-%m-%dT%H:%M:%S)")
    assert timedelta() < due.replace(tzinfo=UTC) - datetime.now(UTC) <= timedelta(minutes=1)
    for name in ("ScheduleExpression", "LastModificationDate", "ResponseMetadata"):
        before.pop(name, None)
        after.pop(name, None)
    assert after == before


def test_what_an_instance_says_of_the_lock_is_quoted_with_when_it_had_it() -> None:
    log = "1  mounted\n2  another run is working; waiting for its lock\n3  copying\n4  published\n"
    texts = {"a/cloud-init-output.log": log, "b/rsync.log": "", "b/changes.txt.gz": "no text"}
    bucket = SimpleNamespace(
        logs_of=lambda run: [logs.Log(key, 1) for key in texts],
        end_of=lambda found: texts[found.key],
    )
    found = list(backups.of_lock(bucket, None))  # type: ignore[arg-type]
    assert found == ["2  another run is working; waiting for its lock", "3  copying"]


@pytest.mark.parametrize(
    ("reason", "answered"),
    [
        ("The Launch Configuration creation operation is not available in your account.", False),
        ("another reason", True),
    ],
)
def test_an_account_in_which_version_15_cannot_be_is_no_fault(reason: str, answered: bool) -> None:
    def create(*_: Any, TemplateBody: str) -> None:
        assert f"    {REGION}: " + "{InstanceSize" in TemplateBody
        raise AdminError(f"The stack: {reason}")

    scene = SimpleNamespace(
        tree=True,
        region=REGION,
        network={},
        account=SimpleNamespace(name=NAME, create=create),
        source=SimpleNamespace(outputs={"FileSystem": "fs-1"}),
    )
    if answered:
        with pytest.raises(AdminError, match=reason):
            backups.upgraded(scene)  # type: ignore[arg-type]
    else:
        assert backups.upgraded(scene).as_expected is None  # type: ignore[arg-type]


class Visited:
    """A scene whose backup is measured by EFS."""

    region = REGION

    def __init__(self, *in_ia: int) -> None:
        self.sizes = [
            {"ValueInIA": size, "Timestamp": datetime.now(UTC) + timedelta(hours=number - 1)}
            for number, size in enumerate(in_ia)
        ]
        run = Run({"BackupId": "run", "BackupStatus": "Success"})
        self.runs = SimpleNamespace(back_up=lambda: run)
        self.stack = SimpleNamespace(outputs={"BackupEFS": "fs-1"})
        self.account = SimpleNamespace(name=NAME, say=lambda text: None)
        self.stays = self.tree = False

    def client(self, service: str) -> Any:
        size = self.sizes.pop(0) if len(self.sizes) > 1 else self.sizes[0]
        described = {"FileSystems": [{"SizeInBytes": size}]}
        return SimpleNamespace(describe_file_systems=lambda FileSystemId: described)

    def run(self, script: str) -> str:
        return ""

    def until(self, what: str, minutes: float, found: Callable[[], Any]) -> Any:
        return next(value for value in iter(found, object()) if value)


@pytest.mark.parametrize(
    ("in_ia", "expected", "stays"),
    [((0,), None, True), ((9, 9, 9), True, False), ((9, 9, 8), False, False)],
)
def test_cold_storage_takes_two_visits(
    in_ia: tuple[int, ...], expected: bool | None, stays: bool
) -> None:
    scene = Visited(*in_ia)
    found = COLD.check(scene)  # type: ignore[arg-type]
    assert (found.as_expected, scene.stays) == (expected, stays)
    assert not stays or f"AGAIN={NAME}" in found.text


def test_what_a_second_visit_wants_stays_and_else_nothing_does(
    monkeypatch: pytest.MonkeyPatch, removed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    def leave(scene: Any) -> Found:
        scene.stays = True
        return Found(None, "come again")

    rows(monkeypatch, leave)
    assert ACCEPTANCE.carry_out(given(**VALUES, YES="yes")) == 0
    assert removed == []
    assert "CLEAN=efs-acceptance-" in capsys.readouterr().out
    rows(monkeypatch, leave, raise_(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        ACCEPTANCE.carry_out(given(**VALUES, YES="yes"))
    assert len(removed) == 1


def test_a_second_visit_is_to_something_of_ones_own(
    monkeypatch: pytest.MonkeyPatch, removed: list[str]
) -> None:
    monkeypatch.setattr(Account, "is_own", lambda account, stack: False)
    with pytest.raises(AdminError, match="There is no stack"):
        ACCEPTANCE.carry_out(given(REGION=REGION, AGAIN=NAME))
    assert removed == []


def test_what_a_crash_left_is_removed_by_name(removed: list[str]) -> None:
    assert ACCEPTANCE.carry_out(given(REGION=REGION, CLEAN=NAME)) == 0
    assert removed == [NAME]
