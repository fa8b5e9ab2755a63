"""The end of a backup's window."""

from datetime import UTC, datetime, timedelta


def reach_stop_time(stack, backup_id):
    """Moves the entry that ends the run to now, as the window's end would."""
    scheduler = stack.account.client("scheduler")
    group = stack.resources["ScheduleGroup"]
    entry = scheduler.get_schedule(Name=backup_id, GroupName=group)
    now = (datetime.now(UTC) - timedelta(seconds=1)).strftime("at(%Y-%m-%dT%H:%M:%S)")
    names = ("Name", "GroupName", "FlexibleTimeWindow", "Target", "ActionAfterCompletion")
    scheduler.update_schedule(**{name: entry[name] for name in names}, ScheduleExpression=now)
