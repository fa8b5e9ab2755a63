"""What a check finds, and in which words."""

from dataclasses import dataclass
from enum import Enum


class Status(Enum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Result:
    status: Status
    text: str
    advice: str = ""
    typed: str = ""
    """A command that follows it."""


def ok(text: str) -> Result:
    return Result(Status.OK, text)


def failed(text: str, advice: str, typed: str = "") -> Result:
    return Result(Status.FAILED, text, advice, typed)


def warning(text: str, advice: str, typed: str = "") -> Result:
    return Result(Status.WARNING, text, advice, typed)
