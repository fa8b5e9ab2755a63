"""What tasks report of trees, whatever it means to who asked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, dataclass, field, fields
from typing import TypeVar

from engine.command.text import shown_path
from engine.tree.pool import Task, Worker

AT_ONCE = 1000  # entries of a directory that may have millions
Item = TypeVar("Item")


@dataclass
class TaskReport:
    """tasks: what is left to do."""

    tasks: list[Task] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def failing(self, path: str) -> Iterator[None]:
        """What the system refuses makes the run fail in the end, but not at once."""
        try:
            yield
        except OSError as error:
            self.errors.append(f"{shown_path(path)}: {error.strerror or error}")

    def hand_over(self, worker: Worker) -> None:
        """What was found so far, ahead of the rest; go on as if it were nothing."""
        worker.emit(self)
        for each in fields(self):
            default = each.default if each.default_factory is MISSING else each.default_factory()
            setattr(self, each.name, default)

    def in_parts(self, items: Iterable[Item], worker: Worker) -> Iterator[Item]:
        """The items; after each thousand of them, what was found is handed over."""
        for number, item in enumerate(items, start=1):
            yield item
            if number % AT_ONCE == 0:
                self.hand_over(worker)
