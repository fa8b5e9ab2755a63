"""Restores: of a file, of everything, undone, and with an instance that ends early."""

from __future__ import annotations

from botocore.exceptions import ClientError
from common.statuses import SUCCESS, UNDONE

from admin.acceptance.found import Found
from admin.acceptance.scene import SOURCE, Scene
from admin.stack import Stack


def restores(scene: Scene) -> Found:
    scene.runs.have_snapshot()
    before = scene.tool("digest", SOURCE)
    scene.run(
        f"rm {SOURCE}/docs/file {SOURCE}/docs/other; rm -r {SOURCE}/empty; echo new >{SOURCE}/new"
    )
    damaged = scene.tool("digest", SOURCE)
    messages = [scene.restore(SUBDIR="/docs/file")]
    one = scene.run(f"cat {SOURCE}/docs/file")
    messages.append(scene.restore(SUBDIR="/docs/"))
    messages.append(scene.restore())
    after = scene.tool("digest", SOURCE)
    messages.append(scene.restore(UndoId=messages[-1].get("RestoreId", "")))
    back = scene.run(f"cat {SOURCE}/new")
    statuses = [message["Status"] for message in messages]
    good = statuses == [SUCCESS, SUCCESS, SUCCESS, UNDONE] and bool(one) and back == "new"
    return Found(
        good and after == before != damaged,
        f"{statuses}; before {before}, damaged {damaged}, restored {after}",
        f"s3://{scene.stack.outputs['LogBucket']}/efs-restore-logs/",
    )


def replaced(scene: Scene) -> Found:
    """Its instance is ended from outside as soon as it is there."""
    scene.runs.have_snapshot()
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
    good = message["Status"] == SUCCESS and "file" in back
    return Found(
        (good if others else None),
        f"{ended[0]} was terminated; {', '.join(others) or 'no other one was seen'}:"
        f" {message['Status']}: {message['Message']}",
        f"s3://{scene.stack.outputs['LogBucket']}/efs-restore-logs/",
    )
