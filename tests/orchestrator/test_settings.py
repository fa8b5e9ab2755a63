from datetime import timedelta

import pytest

from orchestrator.record import Hook
from orchestrator.settings import Settings, SettingsError

ENV = {
    "table_name": "stack",
    "autoscaling_group_name": "backup-group",
    "topic_arn": "arn:aws:sns:us-east-1:123456789012:topic",
    "schedule_group": "schedules",
    "scheduler_role_arn": "arn:aws:iam::123456789012:role/scheduler",
    "s3_bucket": "log-bucket",
    "source_efs": "fs-source",
    "destination_efs": "fs-backup",
    "backup_prefix": "/",
    "folder_label": "efs-backup",
    "interval_tag": "daily",
    "backup_retention_copies": "7",
    "backup_window_period": "180",
    "instance_type": "c5.xlarge",
    "notification_on_success": "Yes",
    "efs_mode": "generalPurpose",
    "uuid": "8b5cf5b0-9d0c-4a57-8f43-3c1c1c8f5a11",
    "send_anonymous_data": "No",
    "solution_version": "v2.0.0",
    "stack_name": "stack",
    "AWS_REGION": "us-east-1",
}


def test_settings_come_from_the_environment() -> None:
    settings = Settings.from_env(ENV)
    assert settings.retain == 7
    assert settings.window == timedelta(hours=3)
    assert settings.notify_success
    assert not Settings.from_env({**ENV, "notification_on_success": "no"}).notify_success


def test_the_anonymous_metric_goes_to_the_solutions_endpoint_unless_told_otherwise() -> None:
    assert Settings.from_env(ENV).metrics_url.startswith("https://metrics.awssolutionsbuilder.com/")
    assert Settings.from_env({**ENV, "METRICS_URL": "http://here"}).metrics_url == "http://here"


def test_the_partition_is_that_of_the_topic() -> None:
    arn = "arn:aws-cn:sns:cn-north-1:123456789012:topic"
    assert Settings.from_env({**ENV, "topic_arn": arn}).partition == "aws-cn"


@pytest.mark.parametrize("name", sorted(ENV))
@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_missing_or_empty_variable_is_named(name: str, value: str | None) -> None:
    env = {key: text for key, text in ENV.items() if key != name}
    if value is not None:
        env[name] = value
    with pytest.raises(SettingsError, match=name):
        Settings.from_env(env)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("backup_retention_copies", "seven"),
        ("backup_retention_copies", "-1"),
        ("backup_window_period", "15"),
        ("backup_window_period", "3h"),
        ("notification_on_success", "maybe"),
        ("send_anonymous_data", "maybe"),
    ],
)
def test_a_malformed_variable_is_named_with_its_value(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is '{value}'"):
        Settings.from_env({**ENV, name: value})


def test_functions_are_those_that_are_given() -> None:
    assert Settings.from_env({**ENV, "before_function": "", "after_function": " "}).functions == {}
    given = Settings.from_env({**ENV, "after_function": "arn:thaw"}).functions
    assert given == {Hook.AFTER: "arn:thaw"}


def test_a_fraction_of_a_snapshot_is_left_to_the_instance_to_refuse() -> None:
    """The template cannot refuse it. An error here would be seen by nobody."""
    assert Settings.from_env({**ENV, "backup_retention_copies": "1.5"}).retain == 1.5
