"""Backups: of a hostile tree, stopped, killed, and after an update from version 1.5."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from common.records import Run
from common.statuses import INCOMPLETE, PARTIAL, SUCCESS

from admin import listing, logs
from admin.acceptance.found import Found
from admin.acceptance.scene import BACKUP, FOLDER, SOURCE, Scene
from admin.command import AdminError
from admin.stack import Stack

V15 = Path(__file__).with_name("v15.template")
REFUSED_TO_NEW_ACCOUNTS = "Launch Configuration creation operation is not available"
WAITS = "waiting for its lock"


def backups(scene: Scene) -> Found:
    first = scene.runs.back_up()
    scene.run(f"echo changed >>{SOURCE}/docs/file")
    second = scene.runs.back_up()
    _ = scene.backup_mounted
    source, snapshot = (scene.tool("digest", p) for p in (SOURCE, f"{BACKUP}/{FOLDER}/daily.0"))
    old = scene.run(f"cat {BACKUP}/{FOLDER}/daily.1/docs/file")
    good = first.status == second.status == SUCCESS and source == snapshot
    return Found(
        good and old == "as backed up",
        f"{first.status}, {second.status}; source {source}; daily.0 {snapshot}; in daily.1 {old!r}",
        f"the runs {first.backup_id} and {second.backup_id}",
    )


def stopped(scene: Scene) -> Found:
    with scene.large_file():
        run = scene.runs.start()
        instance = scene.runs.instance(run)
        scene.runs.end_window(run, scene.soon)
        ended = scene.runs.ended(run)
    bucket = scene.stack.outputs["LogBucket"]

    def log() -> str:
        found = (o["Key"] for o in listing.objects(scene.client("s3"), bucket, logs.STOPS))
        return next((key for key in found if instance in key.split("/")), "")

    if ended.status == SUCCESS:
        return Found(None, "the run was over before it could be stopped", f"the run {run}")
    try:
        key = scene.until("the output of the command", 5, log)
    except AdminError as error:
        return Found(False, f"{ended.status}; {error}", f"s3://{bucket}/{logs.STOPS}")
    good = ended.status in (INCOMPLETE, PARTIAL)
    return Found(good, f"{ended.status}; {key}", f"s3://{bucket}/{key}")


def replaced(scene: Scene) -> Found:
    """Killed while it works: without a word, and with the lock."""
    _ = scene.backup_mounted
    with scene.large_file():
        run = scene.runs.start()
        first = scene.runs.instance(run)
        scene.until("the lock of the snapshots, or the end", 20, lambda: working(scene, run))
        if not scene.runs.table.run(run).running:
            return Found(None, "the run was over before its instance was killed", f"the run {run}")
        killed = datetime.now(UTC)
        scene.client("ec2").terminate_instances(InstanceIds=[first])
    ended = scene.runs.ended(run, 55)
    second = str(ended.attributes.get("InstanceId", ""))
    if second == first:
        return Found(None, "the run was over before its instance was killed", f"the run {run}")
    took = (ended.stopped or killed) - killed
    scene.killed = ended
    return Found(
        ended.status == SUCCESS and second != "",
        f"{ended.status}; {first} was terminated, {second} ended the run after {took}",
        f"the run {run}",
    )


def working(scene: Scene, run: str) -> bool:
    """Whether its instance has the lock, or the run is over."""
    held = scene.tool("locked", f"{BACKUP}/{FOLDER}/.lock")
    return bool(held) or not scene.runs.table.run(run).running


def lock(scene: Scene) -> Found:
    """How long EFS keeps the lock of an instance that is gone."""
    if scene.killed is None:
        return Found(None, "no instance was killed: it takes row g")
    bucket = scene.stack.outputs["LogBucket"]
    lines = list(of_lock(logs.Bucket(scene.client("s3"), bucket), scene.killed))
    proof = f"the logs of the run {scene.killed.backup_id} in s3://{bucket}/"
    if not lines:
        return Found(True, "the lock was free when the second instance came", proof)
    return Found(scene.killed.status == SUCCESS, " | ".join(lines), proof)


def of_lock(bucket: logs.Bucket, run: Run) -> Iterator[str]:
    """The line that says that an instance waits, and the next one, when it has waited."""
    for log in bucket.logs_of(run):
        lines = bucket.end_of(log).splitlines() if log.key.endswith(".log") else []
        for number, line in enumerate(lines):
            if WAITS in line:
                yield from lines[number : number + 2]


def upgraded(scene: Scene) -> Found:
    """A stack of version 1.5's shape, whose functions are stand-ins, and its snapshot."""
    _ = scene.tree
    body = V15.read_text().replace("us-east-1:", f"{scene.region}:")
    asked = {"BackupSchedule": "rate(30 days)", "Dashboard": "No", **scene.network}
    values = {"SrcEFS": scene.source.outputs["FileSystem"], **asked}
    try:
        old = scene.account.create(f"{scene.account.name}-v15", values, TemplateBody=body)
    except AdminError as error:
        if REFUSED_TO_NEW_ACCOUNTS not in str(error):
            raise
        return Found(None, f"this account cannot have what version 1.5 was made of: {error}")
    place = f"{BACKUP}-v15"
    scene.mount_backup(old, place)
    scene.run(f"mkdir -p {place}/{FOLDER} && cp -a {SOURCE} {place}/{FOLDER}/daily.0")
    before = scene.tool("digest", f"{place}/{FOLDER}/daily.0")
    new = scene.account.update(old, scene.template_url)
    run = scene.runs_of(new).back_up()
    after, newest = (scene.tool("digest", f"{place}/{FOLDER}/daily.{n}") for n in (1, 0))
    kept = all(same(old, new, output) for output in ("BackupEFS", "LogBucket", "SNSTopic"))
    good = run.status == SUCCESS and before == after == newest and kept
    return Found(
        good,
        f"{new.status}; {run.status}; the old snapshot {before}, now daily.1 {after}, daily.0"
        f" {newest}; file system, bucket and topic {'are' if kept else 'are not'} the same",
        f"the stack {new.name}, the run {run.backup_id}",
    )


def same(old: Stack, new: Stack, output: str) -> bool:
    return old.outputs[output] == new.outputs[output]
