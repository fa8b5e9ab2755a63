"""The record of a backup run at its end, and the notification for when the record cannot say it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from common.limits import clean, count, shortened
from common.phases import MOMENTS, TIMES
from common.statuses import not_copied
from common.words import plural

from report.ended import Ended, by_workers, camel, console_link
from report.verdicts import BACKUP

NOTE = "The DynamoDB record of this backup could not be updated. It may say something else."

FIGURES = (
    "number_of_files",
    "number_of_files_transferred",
    "number_of_files_failed",
    "number_of_files_carried_forward",
    "total_file_size",
    "total_transferred_file_size",
)
UNREAD = "number_of_directories_failed"
EXCLUDED = ("number_of_files_excluded", "excluded_file_size")
FIGURES_OF_PHASES = {
    "read back": (
        "number_of_files_verified",
        "number_of_files_changed_since",
        "number_of_files_mismatched",
    ),
    "restore test": (
        "number_of_files_test_restored",
        "number_of_files_test_read",
        "number_of_files_test_failed",
        "test_restored_file_size",
        "restore_test_age",
    ),
}
# Lines that the engine writes about snapshots, and what was asked for; and those of all of them,
# which are short and may be some hundred.
LINES = ("mass_change", "not_restorable", "retention", "requests")
SNAPSHOTS, SNAPSHOT_BYTES = 400, 200
KILLED = 137  # by SIGKILL, which is also what the kernel sends when there is no memory left
LARGEST_NUMBER = 10**18


def known(found: dict[str, Any]) -> dict[str, Any]:
    """What of a result is of the kind that it should be. The file may be cut off, damaged, or of
    another release: nothing that is in it must keep a run from being reported."""
    if not isinstance(found.get("outcome"), str):
        return {}
    result: dict[str, Any] = {"outcome": found["outcome"]}
    for key in ("cause", "message"):
        result[key] = found[key] if isinstance(found.get(key), str) else ""
    for key in ("warnings", "errors", *LINES, "snapshots"):
        lines = found.get(key)
        lines = [*lines.values()] if isinstance(lines, dict) and key == "requests" else lines
        result[key] = [str(line) for line in lines] if isinstance(lines, list) else []
    for key in (*FIGURES, UNREAD, *EXCLUDED, *sum(FIGURES_OF_PHASES.values(), ())):
        value = found.get(key)
        if isinstance(value, int) and 0 <= value < LARGEST_NUMBER:
            result[key] = int(value)
    result["workers"] = found.get("workers")
    phases = found.get("phases")
    result["phases"] = {
        name: {moment: str(times.get(moment, "")) for moment in MOMENTS}
        for name, times in (phases.items() if isinstance(phases, dict) else ())
        if isinstance(times, dict)
    }
    return result


@dataclass(frozen=True)
class Backup(Ended):
    """stopped: the run was told to stop."""

    stopped: bool

    verdicts = BACKUP

    @property
    def without_result(self) -> str:
        return "stopped" if self.stopped else "died"

    @property
    def why(self) -> str:
        if self.outcome == "died" and self.exit_status == KILLED:
            return "killed"
        if self.outcome == "published" and self.warnings:
            return "warnings"
        if self.outcome == "partial" and self.stopped:
            return "out-of-time"
        return super().why

    @property
    def failed(self) -> str:
        failed = self.result.get("number_of_files_failed", count(self.result["errors"]))
        return not_copied(failed, self.result.get(UNREAD, 0))

    @property
    def in_time(self) -> str:
        return " before the backup window expired" if self.stopped else ""

    @property
    def carried(self) -> str:
        files = self.result.get("number_of_files_carried_forward")
        return f"; the snapshot has {plural(files, 'file')} as in the one before" if files else ""


def attributes(run: Backup, logs: str, now: str) -> dict[str, Any]:
    """The record's attributes at the end of a run, as plain values."""
    result, phases = run.result, run.result.get("phases", {})
    verdict = run.verdict
    found: dict[str, Any] = {
        "BackupStatus": verdict.status,
        "Message": verdict.message,
        "WhatToDo": verdict.what_to_do,
        "BackupStopTime": now,
        "EC2Logs": logs,
    }
    figures = [*FIGURES]
    for phase, more in FIGURES_OF_PHASES.items():
        figures += more if phase in phases else ()
    figures += [UNREAD] if result.get(UNREAD) else []
    figures += EXCLUDED if result.get("number_of_files_excluded") else ()
    found.update({camel(name): result[name] for name in figures if name in result})
    found.update(by_workers(result.get("workers")))
    found.update({name: phases[p][moment] for name, (p, moment) in TIMES.items() if p in phases})
    lines = {**{key: result.get(key) for key in LINES}, "warnings": run.warnings}
    lines["errors"] = result.get("errors")
    found.update({camel(name): some for name, some in lines.items() if some})
    if result.get("snapshots"):
        found["Snapshots"] = [
            shortened(clean(line), SNAPSHOT_BYTES) for line in result["snapshots"][:SNAPSHOTS]
        ]
    return found


def notification(found: dict[str, Any], backup_id: str, topic: str) -> dict[str, Any]:
    """In the order in which it is read."""
    first = {name: found[name] for name in ("BackupStatus", "Message", "WhatToDo")}
    link = console_link(found["EC2Logs"], topic)
    return {**first, "Logs": link, "Note": NOTE, "BackupId": backup_id, **found}
