"""Names that share an inode in the source, or do not any more."""

from __future__ import annotations

import errno
import os
from typing import NamedTuple

from engine.stage.report import (
    Report,
    Trees,
    linked,
    shared_name,
    unique_name,
    unlink,
)
from engine.tree.descent import is_gone, opened
from engine.tree.entries import file_of
from engine.tree.pool import Worker
from engine.tree.sharing import Lack, SharedName


class Share(NamedTuple):
    """Give the names of one inode of the source one inode in the stage."""

    names: list[SharedName]

    def perform(self, worker: Worker) -> Report:
        report = Report()
        with report.failing(self.names[0].path):
            self._share(worker.context.trees, report)
        return report

    def _share(self, trees: Trees, report: Report) -> None:
        there = [name for name in self.names if isinstance(name.inode, int)]
        at_limit = any(name.inode is Lack.AT_LIMIT for name in self.names)
        if there and not at_limit and self._link_all(trees, there[0], report):
            return
        for name in self.names:
            unlink(trees, name.path, report)
        report.together = [(name.path, name.size) for name in self.names]

    def _link_all(self, trees: Trees, leader: SharedName, report: Report) -> bool:
        folder, first = os.path.split(leader.path)
        with opened(trees.stage, folder) as directory:
            for name in self.names:
                if name.inode == leader.inode:
                    continue
                unlink(trees, name.path, report)
                folder, other = os.path.split(name.path)
                with opened(trees.stage, folder) as its_directory:
                    if not linked(first, directory, other, its_directory, report):
                        return False
                report.linked.append(name.path)
        return True


class Separate(NamedTuple):
    """Have a file of the source copied that shares an inode in the stage with others by mistake."""

    names: list[SharedName]

    def perform(self, worker: Worker) -> Report:
        report = Report()
        for name in self.names:
            with report.failing(name.path):
                self._separate(worker.context.trees, name, report)
        return report

    def _separate(self, trees: Trees, name: SharedName, report: Report) -> None:
        """A file with more names is copied with all of them, also those that are new."""
        unlink(trees, name.path, report)
        folder, last = os.path.split(name.path)
        with opened(trees.source, folder) as directory:
            now = file_of(os.stat(last, dir_fd=directory, follow_symlinks=False))
        if now.links > 1:
            report.shared.append(shared_name(now, Lack.AT_LIMIT, name.path))
        else:
            report.together.append((name.path, name.size))


class Join(NamedTuple):
    """Make one file of the copies of one, whose names were too long for one rsync."""

    names: list[SharedName]

    def perform(self, worker: Worker) -> Report:
        report = Report()
        with report.failing(self.names[0].path):
            trees: Trees = worker.context.trees
            there = [n.path for n in self.names if not is_gone(trees.stage, n.path)]
            for path in there[1:]:
                self._join(trees, there[0], path, report)
        return report

    def _join(self, trees: Trees, leader: str, path: str, report: Report) -> None:
        """By one rename: what cannot have one more name stays a file of its own."""
        (folder, name), (other_folder, other_name) = map(os.path.split, (leader, path))
        trash, unique = trees.trash, unique_name()
        with opened(trees.stage, folder) as one, opened(trees.stage, other_folder) as two:
            try:
                os.link(name, unique, src_dir_fd=one, dst_dir_fd=trash, follow_symlinks=False)
            except OSError as error:
                if error.errno != errno.EMLINK:
                    raise
                return
            os.rename(unique, other_name, src_dir_fd=trash, dst_dir_fd=two)
        report.linked.append(path)
