"""What is said of restores by their instance, and by what watches it."""

from __future__ import annotations

import shlex

AGAIN = "run StartCommand, which starts the restore again with the same parameters"
WAY_BACK = (
    "What it had moved aside by then is in .efs-restore-<id> below the prefix; the script undo in "
    ".efs-restore-<id>.undo puts it back."
)


def start_command(region: str, group: str) -> str:
    words = ["aws", "autoscaling", "set-desired-capacity", "--region", region]
    return shlex.join([*words, "--auto-scaling-group-name", group, "--desired-capacity", "1"])
