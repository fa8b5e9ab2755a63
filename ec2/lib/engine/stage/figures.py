"""What a backup counts, under one name from the workers to its result, and to the record."""

from __future__ import annotations

from dataclasses import dataclass

from engine.command.figures import Counters
from engine.stage.judging import Change


@dataclass
class Figures(Counters):
    """Files are everything that is not a directory.

    added to newly_excluded: since the snapshot before, without what failed. excluded: by patterns,
    with each directory as one, as what is in it is not counted. at_link_limit: copied although they
    did not change, as no more links could be made to them. checked: compared by content. failed:
    they could not be copied, with each directory that could not be read as one, as what is in it is
    not known; directories_failed: so many of them are that. carried_forward: for so many of them
    the snapshot has what the one before had. verified, changed_since, mismatched: of those that
    were read back. test_: of files of the snapshots that were restored for a test, or only read as
    they are too large for the disk; without_digest: there was none to compare with.
    """

    number_of_files: int = 0
    number_of_files_transferred: int = 0
    total_file_size: int = 0
    total_transferred_file_size: int = 0
    number_of_files_vanished: int = 0
    number_of_files_failed: int = 0
    number_of_directories_failed: int = 0
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
    number_of_files_verified: int = 0
    number_of_files_changed_since: int = 0
    number_of_files_mismatched: int = 0
    number_of_files_test_restored: int = 0
    number_of_files_test_read: int = 0
    number_of_files_test_failed: int = 0
    number_of_files_test_without_digest: int = 0
    test_restored_file_size: int = 0

    @property
    def number_of_changes(self) -> int:
        return self.files_of(Change)

    @property
    def number_of_files_read_back(self) -> int:
        verified, mismatched = self.number_of_files_verified, self.number_of_files_mismatched
        return verified + mismatched + self.number_of_files_changed_since
