"""How a run ends: one exception and one exit status for each way."""

from __future__ import annotations

FAILED, REFUSED, STOPPED = 1, 2, 3


def sentence(outcome: str, message: str) -> str:
    """What a terminal is told of a run that did not end well: first of all, how it ended."""
    return message if message.startswith(outcome) else f"{outcome}: {message}"


class EngineError(Exception):
    """A run that ends before its snapshot is published. ``cause`` is one word for programs."""

    exit_code = FAILED
    outcome = "failed"

    def __init__(self, message: str, cause: str = "") -> None:
        super().__init__(message)
        self.cause = cause


class Refused(EngineError):
    """The request makes no sense as it stands; nothing has been touched."""

    exit_code = REFUSED
    outcome = "refused"


class Failed(EngineError):
    """The work was begun and cannot be finished."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message, cause)


GOES_ON = "stopped before the snapshot was complete; the next run continues from it"


class Stopped(EngineError):
    """A signal ended the run; the next one continues from what was copied."""

    exit_code = STOPPED
    outcome = "stopped"
