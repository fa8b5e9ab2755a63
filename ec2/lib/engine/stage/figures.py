"""What a backup counts, under one name from the workers to its result, and to the record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.stage.judging import Change


@dataclass
class Figures:
    """Files are everything that is not a directory.

    added to newly_excluded: since the snapshot before. excluded: by patterns, with each directory
    as one, as what is in it is not counted. at_link_limit: copied although they did not change,
    as no more links could be made to them. checked: compared by content. failed: they could not be
    copied; carried_forward: for so many of them the snapshot has what the one before had.
    """

    number_of_files: int = 0
    number_of_files_transferred: int = 0
    total_file_size: int = 0
    total_transferred_file_size: int = 0
    number_of_files_vanished: int = 0
    number_of_files_failed: int = 0
    number_of_files_carried_forward: int = 0
    number_of_files_added: int = 0
    number_of_files_changed: int = 0
    number_of_files_with_new_metadata: int = 0
    number_of_files_removed: int = 0
    size_added: int = 0
    size_changed: int = 0
    size_with_new_metadata: int = 0
    size_removed: int = 0
    number_of_files_newly_excluded: int = 0
    size_newly_excluded: int = 0
    number_of_files_excluded: int = 0
    excluded_file_size: int = 0
    number_of_files_linked: int = 0
    number_of_files_at_link_limit: int = 0
    number_of_files_checked: int = 0
    number_of_files_continued: int = 0
    number_of_directories: int = 0

    def __getstate__(self) -> dict[str, Any]:
        """What is 0 takes no room on the way from a worker."""
        return {name: value for name, value in vars(self).items() if value}

    def add(self, figure: str, number: int) -> None:
        setattr(self, figure, getattr(self, figure) + number)

    def add_all(self, others: Figures) -> None:
        for figure, number in vars(others).items():
            self.add(figure, number)

    def count(self, change: Change, size: int) -> None:
        self.add(change.files, 1)
        self.add(change.size, size)

    @property
    def number_of_changes(self) -> int:
        return sum(getattr(self, change.files) for change in Change)


@dataclass
class Seen(Figures):
    """listed: files that are to be copied. copied: those that are known to have been though their
    job failed."""

    listed: int = 0
    copied: int = 0
    copied_size: int = 0
