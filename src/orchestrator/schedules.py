"""The one-shot schedules of a run: its stop and its close."""

import logging
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from common.window import once

from orchestrator.actions import Schedule
from orchestrator.settings import Settings

logger = logging.getLogger(__name__)


class Schedules:
    """function_arn: the function that they call. scheduler: boto3's client."""

    def __init__(self, settings: Settings, function_arn: str, scheduler: Any) -> None:
        self._settings = settings
        self._function_arn = function_arn
        self._scheduler = scheduler

    def add(self, schedule: Schedule) -> None:
        event = {"mode": "backup", "action": schedule.action, "backup_id": schedule.run}
        try:
            self._scheduler.create_schedule(
                Name=_name(schedule.run, schedule.action),
                GroupName=self._settings.schedule_group,
                **once(schedule.at, self._function_arn, self._settings.scheduler_role_arn, event),
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConflictException":
                raise
            logger.info("the %s of run %s is scheduled already", schedule.action, schedule.run)

    def remove(self, run: str) -> None:
        """Tidying only: an entry that stays is due once, finds its run over, and is gone then.
        For a failure here the whole event would come again, and with it the notification."""
        for action in ("stop", "close"):
            try:
                self._scheduler.delete_schedule(
                    Name=_name(run, action), GroupName=self._settings.schedule_group
                )
            except (BotoCoreError, ClientError) as error:
                logger.info("the %s of run %s is not removed: %s", action, run, error)


def _name(run: str, action: str) -> str:
    # The close has a name of its own: the stop's entry still exists while it is being delivered.
    return run if action == "stop" else f"{run}-{action}"
