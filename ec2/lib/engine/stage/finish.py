"""Directories get their attributes last."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import NamedTuple

from engine.command.text import shown_path
from engine.stage.report import Directory, Report, Trees
from engine.tree.descent import is_short, opened
from engine.tree.pool import Worker


class Finish(NamedTuple):
    """Give directories the attributes of the source's, now that nothing in them changes."""

    trees: Trees
    directories: list[Directory]

    def perform(self, worker: Worker) -> Report:
        report = Report()
        for directory in self.directories:
            try:
                set_attributes(self.trees.stage, directory)
            except FileNotFoundError:
                continue  # it vanished from the source after it had been noted
            except OSError as error:
                report.errors.append(f"{shown_path(directory.path)}: {error}")
        return report


def set_attributes(top: int, wanted: Directory) -> None:
    times = (wanted.mtime_ns, wanted.mtime_ns)
    if wanted.only_time and wanted.path and is_short(wanted.path):
        os.utime(wanted.path, ns=times, dir_fd=top, follow_symlinks=False)  # saves opening it
        return
    with opened(top, wanted.path) as descriptor:
        set_owner(descriptor, wanted)
        os.fchmod(descriptor, stat.S_IMODE(wanted.mode))
        os.utime(descriptor, ns=times)


def set_owner(descriptor: int, wanted: Directory) -> None:
    present = os.fstat(descriptor)
    if (present.st_uid, present.st_gid) != (wanted.uid, wanted.gid):
        if os.geteuid() == 0:
            os.fchown(descriptor, wanted.uid, wanted.gid)
        elif present.st_gid != wanted.gid:
            with contextlib.suppress(PermissionError):  # as rsync does
                os.fchown(descriptor, -1, wanted.gid)
