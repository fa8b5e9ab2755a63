"""Systems Manager: commands run nowhere, and their output goes nowhere."""

import logging

from botocore.exceptions import ClientError

from local.api import Record
from local.autoscaling import AutoScaling
from local.emulator import ministack
from local.fleet import Fleet, Machine

logger = logging.getLogger(__name__)


def hook(scaling: AutoScaling, fleet: Fleet) -> None:
    ec2, ssm = ministack("services.ec2"), ministack("services.ssm")
    finish = ssm._finish_invocation

    def machine(instance_id: str) -> Machine | None:
        found = scaling.machine(instance_id)
        return found if isinstance(found, Machine) and found.instance.reachable else None

    def run(instance_id: str, command: list[str]) -> tuple[int, str, str]:
        target = machine(instance_id)
        if target is None:
            return 255, "", "the instance is gone"
        done = target.instance.run(command)
        return done.returncode, done.stdout, done.stderr

    def finish_and_ship(command_id: str, instance_id: str, command: list[str]) -> None:
        target = machine(instance_id)
        finish(command_id, instance_id, command)
        if target:
            _ship_output(ssm._commands[command_id], target, fleet)

    ec2.instance_is_managed = lambda instance_id: machine(instance_id) is not None
    ec2.exec_in_instance_blocking = run
    ssm._finish_invocation = finish_and_ship


def _ship_output(command: Record, machine: Machine, fleet: Fleet) -> None:
    """Puts what a command printed into the bucket, with the rights of the instance.

    The agent asks how the bucket encrypts, which AWS wants to be allowed, and gives what it uploads
    an access control list, which takes a right of its own.
    """
    bucket = command["OutputS3BucketName"]
    if not bucket:
        return
    invocation = command["Invocations"][machine.instance_id]
    identity = machine.identity
    s3 = fleet.client("s3", identity.region, identity.credentials())
    folder = "/".join(
        filter(
            None,
            (
                command["OutputS3KeyPrefix"].strip("/"),
                command["CommandId"],
                machine.instance_id,
                "awsrunShellScript/0.awsrunShellScript",
            ),
        )
    )
    streams = (("stdout", "StandardOutputContent"), ("stderr", "StandardErrorContent"))
    try:
        s3.get_bucket_encryption(Bucket=bucket)
        for stream, name in streams:
            if content := invocation[name]:
                s3.put_object(
                    Bucket=bucket,
                    Key=f"{folder}/{stream}",
                    Body=content.encode(),
                    ACL="bucket-owner-full-control",
                )
    except ClientError as error:
        logger.warning("the output of a command is not kept: %s", error)
