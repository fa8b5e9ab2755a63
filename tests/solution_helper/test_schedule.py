"""The alarm waits for two intervals of the schedule, whatever the backups are labelled."""

from datetime import UTC, date, datetime, timedelta
from itertools import islice

import pytest
from ministack.services import eventbridge  # type: ignore[import-untyped]

from solution_helper import schedule
from solution_helper.schedule import two_intervals
from tests.cloudformation import CloudFormation, aws_environment

HOURS, DAYS = timedelta(hours=1), timedelta(days=1)
TODAY = date(2026, 11, 26)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("rate(1 day)", 2 * DAYS),
        ("rate(4 days)", 8 * DAYS),
        ("rate(12 hours)", 24 * HOURS),
        ("rate(5000 days)", 10000 * DAYS),
        ("cron(0 2 * * ? *)", 2 * DAYS),
        ("cron(0 2 */2 * ? *)", 4 * DAYS),
        ("cron(0 2,14 * * ? *)", DAYS),
        ("cron(0 1-23/6 * * ? *)", 12 * HOURS),
        # due on Thursday, Friday and Monday
        ("cron(0 2 ? * MON-FRI *)", 4 * DAYS),
        ("cron(0 2 ? * 2-6 *)", 4 * DAYS),
        # SAT-SUN goes round the week, of which Sunday is the first day
        ("cron(0 2 ? * SAT-SUN *)", 7 * DAYS),
        ("cron(0 2 ? * SUN *)", 14 * DAYS),
        ("cron(0 2 ? * mon,thu *)", 7 * DAYS),
        ("cron(0 2 ? * L *)", 14 * DAYS),
        ("cron(0 2 1 * ? *)", 62 * DAYS),
        ("cron(0 2 L * ? *)", 62 * DAYS),
        # from the 31st of a month to the next but one that has it
        ("cron(0 2 31 * ? *)", (31 + 30 + 31 + 30 + 31 - 31) * DAYS),
        # Monday, 1 December, and Monday, 2 February, since the 1st is a Sunday
        ("cron(0 2 1W * ? *)", 63 * DAYS),
        ("cron(0 2 ? * 2#1 *)", 63 * DAYS),
        ("cron(0 2 ? * 6L *)", 63 * DAYS),
        ("cron(0 2 1 1,7 ? *)", 366 * DAYS),
        ("cron(0 2 29 2 ? *)", 2922 * DAYS),
    ],
)
def test_two_intervals(expression: str, expected: timedelta) -> None:
    assert two_intervals(expression, "daily", 3 * HOURS, TODAY) == expected


@pytest.mark.parametrize(
    ("expression", "window", "expected"),
    [
        # Each second one is due while the one before may run, and is refused.
        ("rate(2 hours)", 3 * HOURS, 8 * HOURS),
        ("rate(1 minute)", 3 * HOURS, 6 * HOURS),
        ("cron(0 * * * ? *)", 22 * HOURS, 44 * HOURS),
        ("cron(* * * * ? *)", 3 * HOURS, 6 * HOURS),
        ("rate(3 hours)", 3 * HOURS, 6 * HOURS),
    ],
)
def test_what_is_due_within_the_window_is_no_backup(
    expression: str, window: timedelta, expected: timedelta
) -> None:
    assert two_intervals(expression, "weekly", window, TODAY) == expected


@pytest.mark.parametrize(
    "expression",
    [
        "cron(0 2 1 1 ? 2027)",
        "cron(0 2 * * ? 2020)",
        "cron(0 2 * * ?)",
        "cron(0 25 * * ? *)",
        "cron(0 2 ? * 9#1 *)",
        "cron(0 */0 * * ? *)",
        "rate(0 days)",
        "rate(1 week)",
        "rate(day)",
    ],
)
def test_a_schedule_that_tells_nothing_is_taken_by_its_label(expression: str) -> None:
    found = [
        two_intervals(expression, label, 3 * HOURS, TODAY)
        for label in ("daily", "weekly", "monthly")
    ]
    assert found == [2 * DAYS, 14 * DAYS, 62 * DAYS]


@pytest.mark.parametrize(
    "expression",
    [
        "0 2 LW * ? *",
        "15 3 15W,L 1-12/2 ? *",
        "0 0/7 1,15,31 * ? *",
        "*/25 4 ? FEB,MAR TUE#5,FRIL *",
        "30 2 ? * 3#2 2027-2029/2",
        "5 6 31W * ? *",
        "0 0 ? JUN-AUG SUN,WED *",
    ],
)
def test_it_is_due_when_another_reader_of_such_expressions_says(expression: str) -> None:
    fields = eventbridge._parse_cron_fields(f"cron({expression})")
    moment = datetime(2025, 12, 31, 23, 59, tzinfo=UTC)
    ours = [m.replace(tzinfo=UTC) for m in islice(schedule._cron(expression, 2026), 60)]
    theirs = []
    while len(theirs) < len(ours):
        moment = eventbridge._cron_next_fire(fields, moment)
        theirs.append(moment)
    assert ours == theirs
    assert ours


def test_cloudformation_gets_the_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    aws_environment(monkeypatch)
    from solution_helper.handler import lambda_handler

    cloudformation = CloudFormation(monkeypatch, lambda_handler)
    kind = "Custom::AlarmThreshold"
    properties = {
        "BackupSchedule": "rate(4 days)", "BackupWindow": "180", "IntervalTag": "daily",
    }  # fmt: skip
    created = cloudformation.request("Create", kind, properties)
    assert created["Data"] == {"TooOld": 8 * 86400}
    properties["BackupSchedule"] = "rate(1 day)"
    physical_id = created["PhysicalResourceId"]
    updated = cloudformation.request("Update", kind, properties, physical_id=physical_id)
    assert updated["Data"] == {"TooOld": 2 * 86400}
    gone = cloudformation.request("Delete", kind, properties, physical_id=physical_id)
    assert gone["Status"] == "SUCCESS"
