"""Counters with names. What a task counts adds up, under the name that it has in the result."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Kind(Enum):
    """Of what is counted in files and in bytes. word: for people. files, size: its figures."""

    def __init__(self, word: str, files: str, size: str) -> None:
        self.word = word
        self.files = files
        self.size = size


@dataclass
class Counters:
    def __getstate__(self) -> dict[str, Any]:
        """What is 0 takes no room on the way from a worker."""
        return {name: value for name, value in vars(self).items() if value}

    def add(self, figure: str, number: int) -> None:
        setattr(self, figure, getattr(self, figure) + number)

    def add_all(self, others: Counters) -> None:
        for figure, number in vars(others).items():
            self.add(figure, number)

    def count(self, kind: Kind, size: int, files: int = 1) -> None:
        """files: -1 to take back what was counted."""
        self.add(kind.files, files)
        self.add(kind.size, size * files)

    def files_of(self, kinds: Iterable[Kind]) -> int:
        return sum(getattr(self, kind.files) for kind in kinds)
