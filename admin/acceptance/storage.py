"""What is metered, and what is cold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from common.statuses import SUCCESS

from admin.acceptance.found import Found
from admin.acceptance.scene import SOURCE, Scene
from admin.cost.model import load_prices
from admin.wording import command


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


def stays_cold(scene: Scene) -> Found:
    """The first visit makes a snapshot. The second, when it has become cold, links to it."""
    before = measured(scene)
    if not cold(before):
        return first_visit(scene)
    scene.run(f"echo changed >>{SOURCE}/docs/file")
    run = scene.runs.back_up()
    since = datetime.now(UTC)

    def anew() -> dict[str, Any] | None:
        found = measured(scene)
        return found if found["Timestamp"] > since else None

    scene.account.say("EFS measures once an hour; waiting for that")
    after = scene.until("EFS to measure the backup again", 150, anew)
    return Found(
        run.status == SUCCESS and cold(after) >= cold(before),
        f"{cold(before):,} bytes were cold; after the next backup ({run.status}) {cold(after):,}",
        f"SizeInBytes of {scene.stack.outputs['BackupEFS']}",
    )


def first_visit(scene: Scene) -> Found:
    """Leaves all that was made, for the second one."""
    _ = scene.tree
    scene.run(f"[[ -e {SOURCE}/cold ]] || head -c 64M /dev/urandom >{SOURCE}/cold")
    run = scene.runs.back_up()
    scene.stays = run.status == SUCCESS
    again = command("acceptance", {"REGION": scene.region, "AGAIN": scene.account.name})
    return Found(
        None if scene.stays else False,
        f"{run.status}: nothing is cold yet. In a day or two: {again}",
        f"the run {run.backup_id}",
    )


def measured(scene: Scene) -> dict[str, Any]:
    """Bytes by storage class, and when EFS measured them."""
    found = scene.client("efs").describe_file_systems(
        FileSystemId=scene.stack.outputs["BackupEFS"]
    )["FileSystems"]
    return dict(found[0]["SizeInBytes"])


def cold(size: dict[str, Any]) -> int:
    return int(size.get("ValueInIA", 0))
