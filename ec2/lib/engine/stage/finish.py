"""Directories get their attributes last."""

from __future__ import annotations

from typing import NamedTuple

from engine.command.text import shown_path
from engine.stage.report import Report
from engine.tree.attributes import Directory, set_attributes
from engine.tree.pool import Worker


class Finish(NamedTuple):
    """Give directories the attributes of the source's, now that nothing in them changes."""

    directories: list[Directory]

    def perform(self, worker: Worker) -> Report:
        report = Report()
        for directory in self.directories:
            try:
                set_attributes(worker.context.trees.stage, directory)
            except FileNotFoundError:
                continue  # it vanished from the source after it had been noted
            except OSError as error:
                report.errors.append(f"{shown_path(directory.path)}: {error}")
        return report
