"""The deployment's settings, read once from the Lambda environment."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from orchestrator.record import Hook

MINIMUM_WINDOW = timedelta(minutes=60)
METRICS_URL = "https://metrics.awssolutionsbuilder.com/generic"


class SettingsError(ValueError):
    """A setting is missing or makes no sense; the message names it."""


@dataclass(frozen=True)
class Settings:
    table: str
    group: str
    worker_group: str
    """Of the instances that help; '' if there are to be none."""
    topic_arn: str
    schedule_group: str
    scheduler_role_arn: str
    log_bucket: str
    source_efs: str
    destination_efs: str
    backup_prefix: str
    folder_label: str
    interval: str
    retain: int | float
    window: timedelta
    instance_type: str
    notify_success: bool
    efs_mode: str
    uuid: str
    send_anonymous_data: bool
    metrics_url: str
    version: str
    stack: str
    region: str
    functions: Mapping[Hook, str]
    """Those of the user's, by the moment at which they are called."""

    @property
    def partition(self) -> str:
        """aws, aws-cn, aws-us-gov, …"""
        return self.topic_arn.partition(":")[2].partition(":")[0]

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Settings":
        """Raises SettingsError for a variable that is missing, empty or malformed."""
        return cls(
            table=_text(env, "table_name"),
            group=_text(env, "autoscaling_group_name"),
            worker_group=_optional(env, "worker_group"),
            topic_arn=_text(env, "topic_arn"),
            schedule_group=_text(env, "schedule_group"),
            scheduler_role_arn=_text(env, "scheduler_role_arn"),
            log_bucket=_text(env, "s3_bucket"),
            source_efs=_text(env, "source_efs"),
            destination_efs=_text(env, "destination_efs"),
            backup_prefix=_text(env, "backup_prefix"),
            folder_label=_text(env, "folder_label"),
            interval=_text(env, "interval_tag"),
            retain=_quantity(env, "backup_retention_copies"),
            window=_window(env, "backup_window_period"),
            instance_type=_text(env, "instance_type"),
            notify_success=_yes_or_no(env, "notification_on_success"),
            efs_mode=_text(env, "efs_mode"),
            uuid=_text(env, "uuid"),
            send_anonymous_data=_yes_or_no(env, "send_anonymous_data"),
            metrics_url=env.get("METRICS_URL", METRICS_URL),
            version=_text(env, "solution_version"),
            stack=_text(env, "stack_name"),
            region=_text(env, "AWS_REGION"),
            functions=_functions(env),
        )


def _text(env: Mapping[str, str], name: str) -> str:
    if value := env.get(name, "").strip():
        return value
    raise SettingsError(f"environment variable {name} is missing or empty; set it on the function")


def _functions(env: Mapping[str, str]) -> dict[Hook, str]:
    arns = {
        Hook.BEFORE: _optional(env, "before_function"),
        Hook.AFTER: _optional(env, "after_function"),
    }
    return {hook: arn for hook, arn in arns.items() if arn}


def _optional(env: Mapping[str, str], name: str) -> str:
    return env.get(name, "").strip()


def _number(env: Mapping[str, str], name: str) -> int:
    value = _text(env, name)
    if value.isascii() and value.isdigit():
        return int(value)
    raise SettingsError(f"environment variable {name} is {value!r}; set it to a whole number")


def _quantity(env: Mapping[str, str], name: str) -> int | float:
    """A number as the template accepts it. Whether it makes sense is for the instance to say: there
    it ends in a notification."""
    value = _text(env, name)
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value, re.ASCII):
        return float(value) if "." in value else int(value)
    raise SettingsError(f"environment variable {name} is {value!r}; set it to a number")


def _window(env: Mapping[str, str], name: str) -> timedelta:
    window = timedelta(minutes=_number(env, name))
    if window >= MINIMUM_WINDOW:
        return window
    raise SettingsError(
        f"environment variable {name} is {env[name]!r}; set it to 60 minutes or more"
    )


def _yes_or_no(env: Mapping[str, str], name: str) -> bool:
    value = _text(env, name)
    if value.lower() in ("yes", "no"):
        return value.lower() == "yes"
    raise SettingsError(f"environment variable {name} is {value!r}; set it to Yes or No")
