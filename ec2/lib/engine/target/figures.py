"""What a restore counts, under one name from the workers to its result, and to the record."""

from __future__ import annotations

from dataclasses import dataclass

from engine.command.figures import Counters, Kind


class Effect(Kind):
    """What becomes of an entry of the live tree."""

    CREATED = "create", "number_of_files_created", "size_created"
    REPLACED = "replace", "number_of_files_replaced", "size_replaced"
    REMOVED = "remove", "number_of_files_removed", "size_removed"


@dataclass
class Figures(Counters):
    """Files are everything that is not a directory.

    compared: by content. damaged: no longer in the snapshot what they were when they were copied.
    not_moved: left as they were, as the system refused to move them.
    """

    number_of_files_created: int = 0
    number_of_files_replaced: int = 0
    number_of_files_removed: int = 0
    number_of_files_unchanged: int = 0
    number_of_files_compared: int = 0
    number_of_files_damaged: int = 0
    number_of_files_not_moved: int = 0
    size_created: int = 0
    size_replaced: int = 0
    size_removed: int = 0
