"""One click to restore: the console's page that creates a stack of the restore template, with all
parameters filled in, as a dry run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from common.consoles import Console
from engine.history.members import Member, unambiguous

from console_page.settings import Settings

LONGEST_PATH = 1024  # that the template takes

Restore = Callable[[Member, str, bool], str]
"""From a snapshot, a path of it, or all with "/", beside what is there or in its place; empty if
the template does not take the path."""


def restoring(settings: Settings, members: Sequence[Member], now: datetime) -> Restore:
    console = Console(settings.partition, settings.region)

    def link(member: Member, path: str, is_apart: bool) -> str:
        if len(path) > LONGEST_PATH:
            return ""
        parameters = {
            **settings.restore,
            "BackupDate": unambiguous(member, members),
            "RestoreSubDir": path,
            "DryRun": "Yes",
            "RestoreMode": "NewDirectory" if is_apart else "Mirror",
        }
        name = f"{settings.stack[:100]}-restore-{now:%Y%m%d-%H%M%S}"
        return console.quick_create(settings.template, name, parameters)

    return link
