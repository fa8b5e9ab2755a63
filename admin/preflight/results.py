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


def ok(text: str) -> Result:
    return Result(Status.OK, text)


def failed(text: str, advice: str) -> Result:
    return Result(Status.FAILED, text, advice)


def warning(text: str, advice: str) -> Result:
    return Result(Status.WARNING, text, advice)
