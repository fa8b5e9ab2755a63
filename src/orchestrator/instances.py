"""The group's instances: ending them, and stopping what one of them does."""

import logging
import shlex
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from orchestrator.events import Terminating
from orchestrator.settings import Settings

SSM_SCRIPT = "/opt/efs-backup/ec2/ssm.sh"
SSM_DELIVERY_SECONDS = 60

logger = logging.getLogger(__name__)


class Instances:
    """autoscaling, ssm: boto3's clients."""

    def __init__(self, settings: Settings, autoscaling: Any, ssm: Any) -> None:
        self._settings = settings
        self._autoscaling = autoscaling
        self._ssm = ssm

    def end(self, instance: str) -> None:
        try:
            self._autoscaling.terminate_instance_in_auto_scaling_group(
                InstanceId=instance, ShouldDecrementDesiredCapacity=False
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationError":
                raise
            logger.info("instance %s is gone already, or about to be: %s", instance, error)

    def stop(self, terminating: Terminating) -> None:
        command = [
            *(SSM_SCRIPT, "--hook", terminating.hook, "--group", terminating.group),
            *("--instance", terminating.instance, "--token", terminating.token),
        ]
        try:
            self._run(terminating.instance, shlex.join(command))
        except (BotoCoreError, ClientError):
            # Nobody on the instance will complete the hook, and the group must not wait for it.
            logger.exception("SSM does not reach instance %s", terminating.instance)
            self.complete_hook(terminating)

    def _run(self, instance: str, command: str) -> None:
        """A stop never depends on where its output goes: whoever is refused the bucket does
        without."""
        request = {
            "InstanceIds": [instance],
            "DocumentName": "AWS-RunShellScript",
            "Parameters": {"commands": [command]},
            "TimeoutSeconds": SSM_DELIVERY_SECONDS,
        }
        bucket = self._settings.log_bucket
        try:
            self._ssm.send_command(
                **request, OutputS3BucketName=bucket, OutputS3KeyPrefix="ssm-logs"
            )
        except ClientError as error:
            logger.warning("once more, without output to the bucket %s: %s", bucket, error)
            self._ssm.send_command(**request)

    def complete_hook(self, terminating: Terminating) -> None:
        try:
            self._autoscaling.complete_lifecycle_action(
                AutoScalingGroupName=terminating.group,
                LifecycleHookName=terminating.hook,
                LifecycleActionToken=terminating.token,
                InstanceId=terminating.instance,
                LifecycleActionResult="CONTINUE",
            )
        except ClientError as error:
            if "No active Lifecycle Action" not in str(error):
                raise
            logger.info("the hook of instance %s is completed already", terminating.instance)
