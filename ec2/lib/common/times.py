"""How times are written that programs read: UTC, whole seconds."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def timestamp(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).strftime(TIME_FORMAT)


def utc_now() -> str:
    return timestamp(datetime.now(timezone.utc))


def moment(text: Any) -> datetime | None:
    """The time that a text says, if it does."""
    try:
        found = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return None
    # Version 1.5 leaves the Z out.
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)
