"""What is tried, in this order; each row says what it found, and where the proof of it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from botocore.exceptions import ClientError

from admin.acceptance.scene import BACKUP, FOLDER, SOURCE, CommandFailed, Scene
from admin.command import AdminError
from admin.cost.model import load_prices
from admin.stack import Stack


@dataclass(frozen=True)
class Found:
    as_expected: bool | None
    """None where it could not be answered."""
    text: str
    proof: str = ""


@dataclass(frozen=True)
class Row:
    letter: str
    title: str
    expected: str
    check: Callable[[Scene], Found]
    launches: int = 0
    """Instances that are launched for it: what takes time, and costs."""
    by_default: bool = True
    needs_snapshot: bool = False
    """One more instance is launched where no row before has made one."""
    not_local: str = ""
    """Why an emulator cannot answer it."""


def refused(scene: Scene, words: str, **parameters: str) -> Found:
    """A stack that must be refused, before anything is made."""
    name = f"{scene.account.name}-refused"
    url = scene.template_url
    try:
        scene.account.create(name, {**scene.parameters, **parameters}, TemplateURL=url)
        found = "it was created"
    except ClientError as error:
        found = error.response["Error"]["Message"]
    except AdminError as error:
        found = str(error)
    scene.account.remove(name)
    return Found(words in found, found, f"CreateStack with {parameters}")


def rules(scene: Scene) -> Found:
    return refused(scene, "must be another region", ReplicaRegion=scene.region)


def patterns(scene: Scene) -> Found:
    words = "must be the IDs of subnets"
    first, *_ = scene.network["Subnets"].split(",")
    return refused(scene, words, Subnets=f"{first},subnet_x")


def digests(scene: Scene) -> tuple[str, str]:
    """Of the source and of the newest snapshot."""
    _ = scene.backup_mounted
    return scene.tool("digest", SOURCE), scene.tool("digest", f"{BACKUP}/{FOLDER}/daily.0")


def backups(scene: Scene) -> Found:
    first = scene.back_up()
    scene.run(f"echo changed >>{SOURCE}/docs/file")
    second = scene.back_up()
    source, snapshot = digests(scene)
    old = scene.run(f"cat {BACKUP}/{FOLDER}/daily.1/docs/file")
    good = first.status == second.status == "Success" and source == snapshot
    return Found(
        good and old == "as backed up",
        f"{first.status}, {second.status}; source {source}; daily.0 {snapshot}; in daily.1 {old!r}",
        f"the runs {first.backup_id} and {second.backup_id}",
    )


def stopped(scene: Scene) -> Found:
    run = scene.start()

    def works() -> str:
        found = scene.table.run(run)
        return str(found.attributes.get("InstanceId", "")) or ("" if found.running else "none")

    instance = scene.until("the instance of the run to report", 15, works)
    scene.ask(action="stop", backup_id=run)
    ended = scene.ended(run)
    bucket = scene.stack.outputs["LogBucket"]

    def log() -> str:
        pages = scene.client("s3").get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket, Prefix="ssm-logs/"):
            for found in page.get("Contents", []):
                if instance in found["Key"]:
                    return str(found["Key"])
        return ""

    if ended.status == "Success":
        return Found(None, "the run was over before it could be stopped", f"the run {run}")
    try:
        key = scene.until("the output of the command", 5, log)
    except AdminError as error:
        return Found(False, f"{ended.status}; {error}", f"s3://{bucket}/ssm-logs/")
    return Found(ended.status == "Incomplete", f"{ended.status}; {key}", f"s3://{bucket}/{key}")


def can_write(scene: Scene) -> bool:
    try:
        scene.run(f"touch '{BACKUP}/written by the client'")
    except CommandFailed as error:
        if not any(w in str(error) for w in ("Permission denied", "Read-only", "not permitted")):
            raise
        return False
    scene.run(f"rm -f '{BACKUP}/written by the client'")
    return True


def remount(scene: Scene) -> None:
    scene.run(f"umount {BACKUP}")
    scene.mount(scene.stack.outputs["BackupEFS"], BACKUP)


def protection(scene: Scene) -> Found:
    scene.need_snapshot()
    _ = scene.backup_mounted
    before = can_write(scene)
    scene.account.update(scene.stack, ProtectSnapshots="Yes")

    def closed() -> bool:
        try:
            remount(scene)
            return not can_write(scene)
        except CommandFailed as error:
            scene.account.say(f"The client cannot mount yet: {error}")
            scene.pause(10)
            return False

    try:
        scene.until("the policy to hold", 10, closed)
        after = "a client without a role cannot write"
    except AdminError as error:
        after = f"a client without a role can still write: {error}"
    seen = scene.run(f"ls {BACKUP}/{FOLDER}")
    run = scene.back_up()
    good = before and after.endswith("cannot write") and "daily.0" in seen
    return Found(
        good and run.status == "Success",
        f"before, it {'could' if before else 'could not'}; {after}; it reads {seen.split()};"
        f" the backup: {run.status}",
        f"the run {run.backup_id}; file system {scene.stack.outputs['BackupEFS']}",
    )


def removed(scene: Scene) -> Found:
    """The policy. The replica is another region's, and is not made by this."""
    efs, backup = scene.client("efs"), scene.stack.outputs["BackupEFS"]
    for value in ("Yes", "No"):
        current = Stack.backup(scene.account.clients, scene.stack.name)
        if current.parameters["ProtectSnapshots"] != value:
            scene.account.update(current, ProtectSnapshots=value)
    try:
        found = efs.describe_file_system_policy(FileSystemId=backup)["Policy"]
    except ClientError as error:
        found = error.response["Error"]["Code"]
    return Found(found == "PolicyNotFound", found, f"the policy of {backup}")


def restores(scene: Scene) -> Found:
    scene.need_snapshot()
    before = scene.tool("digest", SOURCE)
    scene.run(f"rm {SOURCE}/docs/file; rm -r {SOURCE}/empty; echo new >{SOURCE}/new")
    damaged = scene.tool("digest", SOURCE)
    file = scene.restore(SUBDIR="/docs/file")
    one = scene.run(f"cat {SOURCE}/docs/file")
    whole = scene.restore()
    after = scene.tool("digest", SOURCE)
    undone = scene.restore(UndoId=whole.get("RestoreId", ""))
    back = scene.run(f"cat {SOURCE}/new")
    statuses = [message["Status"] for message in (file, whole, undone)]
    good = statuses == ["Success", "Success", "Undone"] and bool(one) and back == "new"
    return Found(
        good and after == before != damaged,
        f"{statuses}; before {before}, damaged {damaged}, restored {after}",
        f"s3://{scene.stack.outputs['LogBucket']}/efs-restore-logs/",
    )


def replaced(scene: Scene) -> Found:
    """Killed while it copies: without a word, and with the lock."""
    scene.mount(scene.source.outputs["FileSystem"], SOURCE)
    scene.run(f"head -c 4G /dev/urandom >'{SOURCE}/large'")
    run = scene.start()

    def copies() -> str:
        found = scene.table.run(run).attributes
        return str((found.get("Progress") and found.get("InstanceId")) or "")

    first = scene.until("the copy", 20, copies)
    killed = datetime.now(UTC)
    scene.client("ec2").terminate_instances(InstanceIds=[first])
    ended = scene.ended(run, 55)
    second = ended.attributes.get("InstanceId")
    took = (ended.stopped or killed) - killed
    scene.run(f"rm -f '{SOURCE}/large'")
    return Found(
        ended.status == "Success" and second not in (None, first),
        f"{ended.status}; {first} was terminated, {second} ended the run after {took}",
        f"the run {run}; its logs tell how long it waited for the lock of {first}",
    )


def restore_replaced(scene: Scene) -> Found:
    """Its instance is ended from outside as soon as it is there."""
    scene.need_snapshot()
    scene.run(f"mv {SOURCE}/docs {SOURCE}/docs-were-here")
    ended: list[str] = []

    def instance(name: str) -> str:
        try:
            stack = Stack.find(scene.account.clients, name)
            group = stack.resource("RestoreAutoScalingGroup") if stack else ""
        except (ClientError, KeyError):
            return ""  # not yet
        found = scene.client("autoscaling").describe_auto_scaling_groups(
            AutoScalingGroupNames=[group]
        )["AutoScalingGroups"]
        return next((i["InstanceId"] for g in found for i in g["Instances"]), "")

    def end_it(stack: str) -> None:
        ended.append(scene.until("the instance of the restore", 15, lambda: instance(stack)))
        scene.client("ec2").terminate_instances(InstanceIds=ended)

    message = scene.restore(end_it, SUBDIR="/docs/")
    back = scene.run(f"ls {SOURCE}/docs")
    others = sorted(scene.restorers - {*ended})
    good = message["Status"] == "Success" and "file" in back
    return Found(
        (good if others else None),
        f"{ended[0]} was terminated; {', '.join(others) or 'no other one was seen'}:"
        f" {message['Status']}: {message['Message']}",
        f"s3://{scene.stack.outputs['LogBucket']}/efs-restore-logs/",
    )


def metered(scene: Scene) -> Found:
    efs, now = scene.stack.outputs["BackupEFS"], datetime.now(UTC)
    found = scene.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/EFS",
        MetricName="MeteredIOBytes",
        Dimensions=[{"Name": "FileSystemId", "Value": efs}],
        StartTime=now - timedelta(hours=6),
        EndTime=now,
        Period=21600,
        Statistics=["Sum"],
    )["Datapoints"]
    if not found:
        return Found(None, "CloudWatch has no MeteredIOBytes yet", efs)
    amount = sum(point["Sum"] for point in found)
    price = load_prices()["efs_write"]
    return Found(
        True,
        f"{amount:,.0f} bytes were metered in the backup; with elastic throughput, as writes,"
        f" ${amount / 2**30 * price:.4f}. Compare make cost, and the bill of tomorrow",
        f"AWS/EFS MeteredIOBytes of {efs}",
    )


NO_CLOUD = "nothing is metered here"
ROWS = (
    Row("c", "Pseudo parameters in Rules",
        "a replica in the stack's own region is refused, before anything is made", rules),
    Row("d", "Patterns on list types",
        "a subnet of another form is refused, with the words of the template", patterns),
    Row("k", "Two backups of a hostile tree",
        "Success twice; the newest snapshot is the source, the one before what it was",
        backups, 2),
    Row("b", "A run is stopped through SSM, with an output bucket",
        "Incomplete, and what the command said is in the log bucket", stopped, 1),
    Row("a", "Who can write under ProtectSnapshots",
        "before, whoever connects; then only the backup, while a client still reads",
        protection, 1, needs_snapshot=True),
    Row("e", "The policy is removed with its parameter",
        "the backup file system has no policy (a replica is not tried)", removed),
    Row("m", "Restores: a file, everything, undo",
        "Success, Success, Undone; the source is again what was backed up",
        restores, 3, needs_snapshot=True),
    Row("j", "What is metered", "a figure that make cost can be compared with", metered,
        not_local=NO_CLOUD),
    Row("f", "The instance of a restore ends early",
        "another one takes its place: Success", restore_replaced, 2, by_default=False,
        needs_snapshot=True),
    Row("g", "A killed instance is replaced (MaxSize 1), and (h) its lock runs out",
        "Success by another instance, which waited for the lock", replaced, 2, by_default=False,
        not_local="a lock here ends with its process, and the disk of an instance is the host's"),
)  # fmt: skip
NOT_HERE = {
    "h": "is a part of g",
    "i": "cold storage stays cold: takes two visits a day apart; see docs/acceptance.md",
}


def chosen(only: str) -> Iterator[Row]:
    """Raises AdminError for a letter that is none."""
    letters = [word.strip() for word in only.split(",") if word.strip()]
    known = {row.letter: row for row in ROWS}
    if unknown := sorted(set(letters) - known.keys() - {"all"}):
        reasons = "; ".join(f"{n}: {NOT_HERE.get(n, 'is no row')}" for n in unknown)
        raise AdminError(f"ONLY takes {', '.join(known)}, or all. {reasons}")
    for row in ROWS:
        if row.letter in letters or "all" in letters or (not letters and row.by_default):
            yield row


def shown(found: Found) -> str:
    return {True: "as expected", False: "OTHERWISE", None: "not answered"}[found.as_expected]
