"""A backup that is long enough to be caught at it, and the end of its window."""

import os
from datetime import UTC, datetime, timedelta

LARGE = 1 << 30


def make_large_files(directory, count):
    """Each is a job of its own for the engine, which runs four per processor at a time."""
    for number in range(count):
        with (directory / f"large.{number}").open("wb") as file:
            file.truncate(LARGE)


def copying(stack):
    """Whether a large file is on its way into the stage of the engine."""
    names = (name for _, _, files in os.walk(stack.snapshots) for name in files)
    return any("large" in name for name in names)


def reach_stop_time(stack, backup_id):
    """Moves the entry that ends the run to now, as the window's end would."""
    scheduler = stack.account.client("scheduler")
    group = stack.resources["ScheduleGroup"]
    entry = scheduler.get_schedule(Name=backup_id, GroupName=group)
    now = (datetime.now(UTC) - timedelta(seconds=1)).strftime("at(%Y-%m-%dT%H:%M:%S)")
    names = ("Name", "GroupName", "FlexibleTimeWindow", "Target", "ActionAfterCompletion")
    scheduler.update_schedule(**{name: entry[name] for name in names}, ScheduleExpression=now)
