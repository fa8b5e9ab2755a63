#!/usr/bin/env python3
"""Turn what a restore or an undo did into its notification, and print the status for the subject.

Python 3.9, standard library only: this runs on Amazon Linux 2023's own python3.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.command import text
from notification import MOUNT, by_workers, console_link, write

TARGET_MOUNT = "/mnt/target"
REFUSED, STOPPED = 2, 3  # exit statuses of the engine

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
DONE = {
    "created": "created",
    "replaced": "replaced",
    "removed": "removed",
    "unchanged": "left as they were",
}
TO_DO = {
    "created": "to create",
    "replaced": "to replace",
    "removed": "to remove",
    "unchanged": "to leave as they are",
}
COUNTS = {
    **{f"number_of_files_{change}": f"NumberOfFiles{change.capitalize()}" for change in DONE},
    **{f"size_{change}": f"Size{change.capitalize()}" for change in CHANGES},
    "number_of_files_compared": "NumberOfFilesCompared",
    "number_of_files_damaged": "NumberOfFilesDamaged",
    "number_of_files_not_moved": "NumberOfFilesNotMoved",
    "number_of_entries_put_back": "NumberOfEntriesPutBack",
    "number_of_entries_set_aside": "NumberOfEntriesSetAside",
}
PLACES = {
    "target": "Target",
    "safety_directory": "SafetyDirectory",
    "damaged_directory": "DamagedDirectory",
}
NOT_NEEDED = "The restore's stack is not needed any more: delete it."
LAUNCH = "delete the restore's stack, and launch the template again"
# What to do, by the engine's cause or by how the restore ended; how to undo it comes after that.
ADVICE = {
    "restored": NOT_NEEDED,
    "undone": NOT_NEEDED,
    "warnings": f"See Warnings, and check what they name. {NOT_NEEDED}",
    "planned": "See Examples; create.txt, replace.txt and remove.txt beside the logs name each "
    "file. To restore, {launch} with Dry Run set to No and Backup Date set to {date}; after the "
    "next backup, the number means another snapshot.",
    "undo planned": "To undo the restore, {launch} with Dry Run set to No.",
    "refused": "Change what the message names in the parameters: {launch} with them.",
    "snapshot": "Choose one that exists, by Backup EFS, Folder Label, Interval Label and Backup "
    "Number or Backup Date: {launch} with them.",
    "expired": "Choose a newer one: {launch} with its Backup Date.",
    "target": "Move away what the message names, and {again}; or {launch} with another Restore "
    "Prefix or Restore Subdirectory.",
    "busy": "Wait until the other restore has ended, and {again}.",
    "mount": "Check mount targets, security groups, DNS and file system policy as the message "
    "says, and {again}.",
    "not started": "See the logs, put right what they name, and {again}.",
    "stopped": "To go on, {again}.",
    "space": "Make room on the target file system, and {again}; or {launch} with a Restore "
    "Subdirectory, to restore less.",
    "verification": "See Errors. What they name has changed in the backup since it was copied: "
    "look at what is kept in DamagedDirectory, or restore these files from another snapshot, with "
    "Restore Subdirectory and Backup Date.",
    "files": "See Errors, put right what they name, and {again}.",
    "failed": "See the logs, put right what they name, and {again}.",
    "died": "See the logs. If the instance ran out of memory, {launch} with a larger one in its "
    "Mappings; otherwise {again}.",
}
# A notification has at most 256 KiB.
LINES_KEPT = 20
LINE_LENGTH = 500


@dataclass(frozen=True)
class Run:
    """All that is known about a run when it ends.

    settings: what UserData wrote. result: what the engine wrote, {} if nothing. warnings: the
    engine's, and those of the script. failure: why the engine was not started. last_words: the last
    line that the engine logged. exit_status: how it ended. group: the instance's Auto Scaling
    group, '' if it is not known.
    """

    settings: dict[str, str]
    result: dict[str, Any]
    warnings: list[str]
    failure: str
    last_words: str
    exit_status: int
    group: str

    @property
    def outcome(self) -> str:
        if self.failure:
            return "not started"
        known = {REFUSED: "refused", STOPPED: "stopped"}
        return str(self.result.get("outcome") or known.get(self.exit_status, "died"))

    @property
    def cause(self) -> str:
        """The key of what to do."""
        if self.failure:
            return "mount" if MOUNT in self.failure else "not started"
        if self.outcome == "restored":
            return "warnings" if self.warnings else "restored"
        if self.undo_id and self.outcome in ("planned", "refused"):
            return {"planned": "undo planned"}.get(self.outcome, self.outcome)
        cause = self.result.get("cause", "")
        return cause if cause in ADVICE else self.outcome

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
    def task(self) -> str:
        """The subject of a sentence."""
        if self.undo_id:
            return f"The undoing of the restore {self.undo_id}"
        return f"The EFS restore of {self.snapshot}," if self.snapshot else "The EFS restore"

    @property
    def reason(self) -> str:
        return str(self.result.get("message") or self.last_words)

    def in_file_system(self, path: str) -> str:
        """A path below the mount point as users know it: fs-0123:/path."""
        inside = path[len(TARGET_MOUNT) :] or "/"
        return f"{self.settings['TARGET_EFS']}:{inside}"

    @property
    def mount_command(self) -> str:
        file_system = f"{self.settings['TARGET_EFS']}:/"
        mount = f"sudo mount -t efs -o tls {file_system} {TARGET_MOUNT}"
        return f"sudo mkdir -p {TARGET_MOUNT} && {mount}"

    @property
    def start_command(self) -> str:
        if not self.group:
            return ""
        command = f"aws autoscaling set-desired-capacity --region {self.settings['REGION']}"
        group = shlex.quote(self.group)
        return f"{command} --auto-scaling-group-name {group} --desired-capacity 1"

    @property
    def again(self) -> str:
        start = "run StartCommand, which starts the restore again with the same parameters"
        return start if self.start_command else LAUNCH


def because(text: str, reason: str = "") -> str:
    """One sentence, with a reason if there is one."""
    return ": ".join(part.rstrip(". ") for part in (text, reason) if part) + "."


def size(count: int) -> str:
    """A number of bytes for people."""
    return text.size(count).replace(".0 ", " ")


def changes(result: dict[str, Any], words: Mapping[str, str]) -> str:
    """The numbers of files, with ``words`` for what happened or would happen to them."""
    counts = [f"{result[f'number_of_files_{change}']} {words[change]}" for change in words]
    sizes = [f" ({size(result[f'size_{change}'])})" for change in CHANGES] + [""]
    return f"Files: {', '.join(map(''.join, zip(counts, sizes)))}."


def what_to_do(run: Run) -> str:
    date = run.result.get("snapshot_date", "")
    advice = ADVICE[run.cause].format(again=run.again, launch=LAUNCH, date=date)
    return f"{advice} {way_back(run)}".strip()


def way_back(run: Run) -> str:
    """What can be undone, and how."""
    result = run.result
    if run.undo_id:
        return "Undoing it again goes on where this has ended." if run.outcome in UNFINISHED else ""
    if run.outcome == "died" or (run.outcome == "stopped" and not result):
        return (
            "What it had moved aside by then is in .efs-restore-<id> below the prefix; the script "
            "undo in .efs-restore-<id>.undo puts it back."
        )
    words = []
    if result.get("safety_directory"):
        place = run.in_file_system(result["safety_directory"])
        words.append(f"What was replaced or removed is kept in {place}.")
    commands = []
    if result.get("undo_command"):
        commands.append(
            "UndoCommand puts everything back as it was before (as the template does with Undo ID "
            f"{result['id']})"
        )
    if result.get("delete_command"):
        commands.append(f"DeleteCommand deletes {what_is_left(result)}")
    if commands:
        words.append(f"After MountCommand, {', and '.join(commands)}.")
    return " ".join(words)


def what_is_left(result: dict[str, Any]) -> str:
    if result["mode"] == "NewDirectory":
        return "the new directory"
    return "what is kept for that" if result["undo_command"] else "what it has left there"


def restored(run: Run) -> list[str]:
    source = f" from {run.snapshot}" if run.snapshot else ""
    warnings = f", with {len(run.warnings)} warning(s)" if run.warnings else ""
    words = [f"The EFS was restored successfully{source}{warnings}."]
    if run.result["mode"] == "NewDirectory":
        place = run.in_file_system(run.result["target"])
        words.append(f"The files are in {place}; nothing else was touched.")
    words.append(changes(run.result, DONE))
    if not run.result["delete_command"]:
        words.append("Nothing had to be changed.")
    return words


def planned(run: Run) -> list[str]:
    if run.undo_id:
        put_back, set_aside = moved(run)
        return [
            f"This was a dry run: nothing was changed. Undoing the restore {run.undo_id} would put "
            f"{put_back} entries back, and set {set_aside} aside."
        ]
    return [
        f"This was a dry run: nothing was changed. It tells what a restore of {run.snapshot}, "
        "would do.",
        changes(run.result, TO_DO),
    ]


def moved(run: Run) -> tuple[int, int]:
    """The entries that an undo puts back, and those that it sets aside."""
    result = run.result
    return result["number_of_entries_put_back"], result["number_of_entries_set_aside"]


def undone(run: Run) -> list[str]:
    put_back, set_aside = moved(run)
    words = [f"The restore {run.undo_id} was undone: {put_back} entries were put back."]
    if set_aside:
        place = run.in_file_system(f"{kept_of_undo(run)}/restored")
        words.append(f"What it had put in place, {set_aside} entries, is in {place}.")
    return words


def kept_of_undo(run: Run) -> str:
    return f"{run.result['target']}/.efs-restore-{run.undo_id}.undo"


def refused(run: Run) -> list[str]:
    return [because(f"{run.task} was refused, and nothing was changed", run.reason)]


def not_started(run: Run) -> list[str]:
    return [because(run.failure), "Nothing was changed."]


def failed(run: Run) -> list[str]:
    return [because(f"{run.task} was unsuccessful", run.reason), *untouched(run)]


def stopped(run: Run) -> list[str]:
    return [because(f"{run.task} is incomplete", run.reason), *untouched(run)]


def untouched(run: Run) -> list[str]:
    """Only a result tells: it has the undo command from before the first change."""
    if run.undo_id or not run.result or run.result["undo_command"]:
        return []
    return ["Nothing was replaced or removed."]


def died(run: Run) -> list[str]:
    return [
        f"{run.task} was unsuccessful.",
        because(f"The engine ended with exit status {run.exit_status} and no result", run.reason),
    ]


UNFINISHED = ("stopped", "failed", "died")
# Outcome -> status, and the sentences of the message.
OUTCOMES: dict[str, tuple[str, Callable[[Run], list[str]]]] = {
    "restored": ("Success", restored),
    "undone": ("Undone", undone),
    "planned": ("Planned", planned),
    "stopped": ("Incomplete", stopped),
    "failed": ("Unsuccessful", failed),
    "refused": ("Unsuccessful", refused),
    "not started": ("Unsuccessful", not_started),
    "died": ("Unsuccessful", died),
}


def notification(run: Run, start: str, stop: str, logs: str) -> dict[str, Any]:
    """The notification's content, in the order in which it is read; without what is empty."""
    result = run.result
    status, message = OUTCOMES[run.outcome]
    found: dict[str, Any] = {
        "Status": status,
        "Message": " ".join(message(run)),
        "WhatToDo": what_to_do(run),
        "Logs": console_link(logs, run.settings["TOPIC_ARN"]),
        "StartTime": start,
        "StopTime": stop,
    }
    if run.outcome not in ("refused", "not started"):
        found.update({name: result[key] for key, name in COUNTS.items() if key in result})
        found.update(by_workers(result.get("workers")))
    found["Snapshot"] = run.snapshot
    found["LeftAlone"] = shortened(result.get("excluded", []))
    for key, name in PLACES.items():
        found[name] = run.in_file_system(result[key]) if result.get(key) else ""
    undo, delete = result.get("undo_command", ""), result.get("delete_command", "")
    if run.outcome == "undone":
        delete = f"sudo rm -rf {shlex.quote(kept_of_undo(run))}"
    if undo:
        found["RestoreId"] = result["id"]
    if undo or delete:
        found["MountCommand"] = run.mount_command
        found["UndoCommand"] = undo
        found["DeleteCommand"] = delete
    if "StartCommand" in found["WhatToDo"]:
        found["StartCommand"] = run.start_command
    found["Warnings"] = shortened(run.warnings)
    found["Errors"] = shortened(result.get("errors", []))
    if run.outcome == "planned" and not run.undo_id:
        found["Examples"] = {key: shortened(lines) for key, lines in result["examples"].items()}
    found["Parameters"] = {name: run.settings.get(key, "") for key, name in SETTINGS.items()}
    found["EC2Logs"] = logs
    return {name: value for name, value in found.items() if value not in ("", [])}


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


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", type=Path, required=True, help="the instance's settings")
    parser.add_argument("--result", type=Path, required=True, help="what the engine wrote, if any")
    parser.add_argument("--engine-log", type=Path, required=True)
    parser.add_argument("--exit-status", type=int, default=0, help="of the engine")
    parser.add_argument("--failure", default="", help="why the engine was not started")
    parser.add_argument("--group", required=True, help="the instance's Auto Scaling group")
    parser.add_argument("--start", required=True, help="when the script started")
    parser.add_argument("--logs", required=True, help="where the logs are")
    parser.add_argument("--warning", action="append", default=[])
    parser.add_argument("--message", type=Path, required=True, help="the notification, to write")
    options = parser.parse_args(words)
    result = json.loads(options.result.read_text()) if options.result.exists() else {}
    run = Run(
        settings=read_settings(options.config),
        result=result,
        warnings=result.get("warnings", []) + options.warning,
        failure=options.failure,
        last_words=last_line(options.engine_log),
        exit_status=options.exit_status,
        group=options.group,
    )
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    found = notification(run, options.start, now, options.logs)
    write(options.message, found)
    print(found["Status"])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
