"""What trying a row has shown."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Found:
    as_expected: bool | None
    """None where it could not be answered."""
    text: str
    proof: str = ""


def shown(found: Found) -> str:
    return {True: "as expected", False: "OTHERWISE", None: "not answered"}[found.as_expected]
