"""The notification of a restore or an undo."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.restores import AGAIN, WAY_BACK, start_command
from engine.command import text
from engine.command.outcome import REFUSED, STOPPED

from report.ended import Ended, by_workers, camel, console_link
from report.verdicts import LAUNCH, RESTORE

TARGET_MOUNT = "/mnt/target"

SETTINGS = {
    "TARGET_EFS": "SrcEFS",
    "BACKUP_EFS": "DstEFS",
    "INTERVAL_TAG": "IntervalTag",
    "BACKUP_NUM": "BackupNum",
    "BACKUP_DATE": "BackupDate",
    "FOLDER_LABEL": "FolderLabel",
    "RESTORE_PREFIX": "RestorePrefix",
    "RESTORE_SUBDIR": "RestoreSubDir",
    "RESTORE_MODE": "RestoreMode",
    "DRY_RUN": "DryRun",
    "UNDO_ID": "UndoId",
    "RESTORE_WINDOW": "RestoreWindow",
}
CHANGES = ("created", "replaced", "removed")
DONE = {**{change: change for change in CHANGES}, "unchanged": "left as they were"}
TO_DO = {
    "created": "to create",
    "replaced": "to replace",
    "removed": "to remove",
    "unchanged": "to leave as they are",
}
FIGURES = (
    *(f"number_of_files_{change}" for change in DONE),
    *(f"size_{change}" for change in CHANGES),
    "number_of_files_compared",
    "number_of_files_damaged",
    "number_of_files_not_moved",
    "number_of_entries_put_back",
    "number_of_entries_set_aside",
)
PLACES = ("target", "safety_directory", "damaged_directory")
# A notification has at most 256 KiB.
LINES_KEPT = 20
LINE_LENGTH = 500


@dataclass(frozen=True)
class Restore(Ended):
    """settings: what UserData wrote. last_words: the last line that the engine logged. group: the
    instance's Auto Scaling group, '' if it is not known."""

    settings: dict[str, str]
    last_words: str
    group: str

    verdicts = RESTORE

    @property
    def without_result(self) -> str:
        return {REFUSED: "refused", STOPPED: "stopped"}.get(self.exit_status, "died")

    @property
    def why(self) -> str:
        if self.outcome == "restored" and self.warnings:
            return "warnings"
        if self.undo_id and self.outcome in ("planned", "refused"):
            return f"undo {self.outcome}"
        return super().why

    @property
    def undo_id(self) -> str:
        """The restore that was to be undone, '' if this is a restore."""
        return self.settings.get("UNDO_ID", "")

    @property
    def snapshot(self) -> str:
        """With its date: the number means another one after the next backup."""
        name = self.result.get("snapshot_name")
        return f"{name}, made {self.result['snapshot_date']}" if name else ""

    @property
    def from_snapshot(self) -> str:
        return f" from {self.snapshot}" if self.snapshot else ""

    @property
    def task(self) -> str:
        """The subject of a sentence."""
        if self.undo_id:
            return f"The undoing of the restore {self.undo_id}"
        return f"The EFS restore of {self.snapshot}," if self.snapshot else "The EFS restore"

    @property
    def reason(self) -> str:
        return (super().reason or self.last_words).rstrip(". ")

    @property
    def because(self) -> str:
        return f": {self.reason}" if self.reason else ""

    @property
    def new_place(self) -> str:
        if self.result["mode"] != "NewDirectory":
            return ""
        place = self.in_file_system(self.result["target"])
        return f" The files are in {place}; nothing else was touched."

    @property
    def done(self) -> str:
        return self._counts(DONE)

    @property
    def to_do(self) -> str:
        return self._counts(TO_DO)

    @property
    def where_named(self) -> str:
        if not self.examples:
            return "No file would be created, replaced or removed."
        return (
            "See Examples; create.txt, replace.txt and remove.txt beside the logs name each file."
        )

    @property
    def examples(self) -> dict[str, list[str]]:
        """Some of the files of which a dry run says what a restore would do with them."""
        if self.outcome != "planned" or self.undo_id:
            return {}
        found = self.result["examples"].items()
        return {kind: shortened(lines) for kind, lines in found if lines}

    def _counts(self, words: Mapping[str, str]) -> str:
        """The numbers of files, with ``words`` for what happened or would happen to them."""
        counts = [f"{self.result[f'number_of_files_{change}']} {words[change]}" for change in words]
        sizes = [f" ({size(self.result[f'size_{change}'])})" for change in CHANGES] + [""]
        return ", ".join(map("".join, zip(counts, sizes)))

    @property
    def nothing_to_do(self) -> str:
        return "" if self.result["delete_command"] else " Nothing had to be changed."

    @property
    def untouched(self) -> str:
        """Only a result tells: it has the undo command from before the first change."""
        if self.undo_id or not self.result or self.result["undo_command"]:
            return ""
        return " Nothing was replaced or removed."

    @property
    def what_was_set_aside(self) -> str:
        entries = self.result["number_of_entries_set_aside"]
        place = self.in_file_system(f"{self.kept_of_undo}/restored")
        text = f" What it had put in place, {entries} entries, is in {place}."
        return text if entries else ""

    @property
    def kept_of_undo(self) -> str:
        return f"{self.result['target']}/.efs-restore-{self.undo_id}.undo"

    @property
    def way_back(self) -> str:
        """What can be undone, and how."""
        result = self.result
        if self.undo_id:
            is_unfinished = self.outcome in ("stopped", "failed", "died")
            return "Undoing it again goes on where this has ended." if is_unfinished else ""
        if not result and self.outcome in ("stopped", "died"):
            return WAY_BACK
        words, commands = [], []
        if result.get("safety_directory"):
            place = self.in_file_system(result["safety_directory"])
            words.append(f"What was replaced or removed is kept in {place}.")
        if result.get("undo_command"):
            commands.append(
                "UndoCommand puts everything back as it was before (as the template does with Undo "
                f"ID {result['id']})"
            )
        if result.get("delete_command"):
            commands.append(f"DeleteCommand deletes {self._what_is_left}")
        if commands:
            words.append(f"After MountCommand, {', and '.join(commands)}.")
        return " ".join(words)

    @property
    def _what_is_left(self) -> str:
        if self.result["mode"] == "NewDirectory":
            return "the new directory"
        return "what is kept for that" if self.result["undo_command"] else "what it has left there"

    def in_file_system(self, path: str) -> str:
        """A path below the mount point as users know it: fs-0123:/path."""
        return f"{self.settings['TARGET_EFS']}:{path[len(TARGET_MOUNT) :] or '/'}"

    @property
    def mount_command(self) -> str:
        file_system = f"{self.settings['TARGET_EFS']}:/"
        mount = f"sudo mount -t efs -o tls {file_system} {TARGET_MOUNT}"
        return f"sudo mkdir -p {TARGET_MOUNT} && {mount}"

    @property
    def again(self) -> str:
        return AGAIN if self.group else LAUNCH


def size(count: int) -> str:
    """A number of bytes for people."""
    return text.size(count).replace(".0 ", " ")


def notification(run: Restore, start: str, stop: str, logs: str) -> dict[str, Any]:
    """In the order in which it is read; without what is empty."""
    result, verdict = run.result, run.verdict
    found: dict[str, Any] = {
        "Status": verdict.status,
        "Message": verdict.message,
        "WhatToDo": f"{verdict.what_to_do} {run.way_back}".strip(),
        "Logs": console_link(logs, run.settings["TOPIC_ARN"]),
        "StartTime": start,
        "StopTime": stop,
    }
    if run.outcome not in ("refused", "not started"):
        found.update({camel(name): result[name] for name in FIGURES if name in result})
        found.update(by_workers(result.get("workers")))
    found["Snapshot"] = run.snapshot
    found["LeftAlone"] = shortened(result.get("excluded", []))
    for name in PLACES:
        found[camel(name)] = run.in_file_system(result[name]) if result.get(name) else ""
    undo, delete = result.get("undo_command", ""), result.get("delete_command", "")
    if run.outcome == "undone":
        delete = f"sudo rm -rf {shlex.quote(run.kept_of_undo)}"
    if undo:
        found["RestoreId"] = result["id"]
    if undo or delete:
        found["MountCommand"] = run.mount_command
        found["UndoCommand"] = undo
        found["DeleteCommand"] = delete
    if "StartCommand" in found["WhatToDo"]:
        found["StartCommand"] = start_command(run.settings["REGION"], run.group)
    found["Warnings"] = shortened(run.warnings)
    found["Errors"] = shortened(result.get("errors", []))
    found["Examples"] = run.examples
    found["Parameters"] = {name: run.settings.get(key, "") for key, name in SETTINGS.items()}
    found["EC2Logs"] = logs
    return {name: value for name, value in found.items() if value not in ("", [], {})}


def shortened(lines: list[str]) -> list[str]:
    return [line[:LINE_LENGTH] for line in lines[:LINES_KEPT]]


def read_settings(path: Path) -> dict[str, str]:
    """KEY=value lines; the values are taken as they are."""
    # By line feeds alone, as the script reads them: a value may hold any other character.
    lines = path.read_text(errors="backslashreplace").split("\n")
    return dict(line.split("=", 1) for line in lines if re.match("[A-Z_]+=", line))


def last_line(path: Path) -> str:
    """The last line of the engine's log, without its time. Those that are indented belong to one
    above."""
    text = path.read_text(errors="backslashreplace") if path.exists() else ""
    lines = [line for line in text.splitlines() if not line.startswith(" ")]
    return re.sub(r"^\d\S+Z  (refused: )?", "", lines[-1])[:LINE_LENGTH] if lines else ""
