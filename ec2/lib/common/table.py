"""The table of a stack's runs: its key, and the items that are no runs."""

from __future__ import annotations

KEY = "BackupId"
LOCK_KEY = "lock"
NEWEST_KEY = "newest-snapshot"
UNFINISHED_KEY = "unfinished"
REQUESTS_KEY = "requests"
SCALE_IN_KEY = "scale-in"


def key_of(item: str) -> dict[str, dict[str, str]]:
    return {KEY: {"S": item}}
