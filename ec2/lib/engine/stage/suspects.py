"""Looking again at files that the last run found not to be what the source has."""

from __future__ import annotations

import contextlib
import os
import stat

from engine.command.files import nul_separated
from engine.snapshots.folder import SnapshotFolder
from engine.stage.judging import Change
from engine.stage.report import EachPath, Report, Trees, unlink
from engine.tree.content import same_content
from engine.tree.descent import GONE, is_inner_path, opened
from engine.tree.entries import file_of
from engine.tree.pool import Worker


class CopyAnew(EachPath):
    """Have files copied anew whose content the last run found not to be the source's. Of one with
    several names only a person can tell which to keep."""

    def look(self, path: str, report: Report, worker: Worker) -> None:
        with contextlib.suppress(*GONE):
            self._look(path, report, worker)

    def _look(self, path: str, report: Report, worker: Worker) -> None:
        trees: Trees = worker.context.trees
        folder, name = os.path.split(path)
        with opened(trees.source, folder) as source, opened(trees.stage, folder) as stage:
            now = file_of(os.stat(name, dir_fd=source, follow_symlinks=False))
            staged = file_of(os.stat(name, dir_fd=stage, follow_symlinks=False))
            if now.links > 1 or now.kept != staged.kept or not stat.S_ISREG(now.mode):
                return
            report.figures.number_of_files_checked += 1
            with contextlib.suppress(OSError):  # it is copied, if it can be read at all
                if same_content(source, stage, name, now.mode, worker) or worker.stopping:
                    return
        report.changed(Change.CHANGED, now.bytes, path)
        report.to_copy(path, now)
        unlink(trees, path, report)


def suspects_in(folder: SnapshotFolder) -> list[str]:
    """What is no path was not written by a run."""
    if not folder.names.has(folder.suspects):
        return []
    return [os.fsdecode(name) for name in nul_separated(folder.suspects) if is_inner_path(name)]
