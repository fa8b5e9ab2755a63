"""What is said of a run, by how it ended and by why: the one table of each task.

Fields in braces are attributes of the run, see :class:`report.ended.Ended`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from common.statuses import (
    FPSYNC_FAILED,
    INCOMPLETE,
    LONGER,
    MOUNT,
    NAMED,
    PARTIAL,
    PLANNED,
    SAID,
    SUCCESS,
    UNDONE,
    UNKNOWN,
    UNSUCCESSFUL,
    UNTOUCHED,
    WHAT_TO_DO,
)


class Verdict(NamedTuple):
    """What a cause leaves empty is said as for any other run that ended so."""

    status: str
    message: str
    what_to_do: str


def advice(texts: Mapping[str, str]) -> dict[str, Verdict]:
    return {cause: Verdict("", "", text) for cause, text in texts.items()}


START = f"then start a backup or wait for the next one. {UNTOUCHED}"
SEE_LOGS = f"See the logs, put right what they name, {START}"
LARGER = "If the instance ran out of memory, of which its logs may say more, use a larger one; "
FAILED = SAID[UNSUCCESSFUL]
DIED = f"{FAILED} The engine ended with exit status {{run.exit_status}} and without a result"
BUT = ", but {run.failed}{run.in_time}{run.carried}{run.but}"

BACKUP = {
    # How it ended.
    "published": Verdict(SUCCESS, f"{SAID[SUCCESS]}{{run.but}}", WHAT_TO_DO[SUCCESS]),
    "partial": Verdict(PARTIAL, f"The EFS was backed up{BUT}", WHAT_TO_DO[PARTIAL]),
    "stopped": Verdict(INCOMPLETE, SAID[INCOMPLETE], WHAT_TO_DO[INCOMPLETE]),
    "refused": Verdict(
        UNSUCCESSFUL,
        f"{FAILED} {{run.reason}}",
        f"Change what the message names in the parameters of the stack, {START}",
    ),
    "failed": Verdict(UNSUCCESSFUL, f"{FAILED} {{run.reason}}", SEE_LOGS),
    "not started": Verdict(UNSUCCESSFUL, f"{FAILED} {{run.reason}}", SEE_LOGS),
    "died": Verdict(UNSUCCESSFUL, f"{DIED}; see the logs", SEE_LOGS),
    "unknown": Verdict(
        UNKNOWN,
        "The EFS backup ended in a way that is not known here: {run.result[outcome]}. {run.reason}",
        f"See the logs: they say how the run ended. {UNTOUCHED}",
    ),
    # Why.
    "mount": Verdict(
        "",
        f"{FAILED} {MOUNT}: {{run.reason}}",
        "Check mount targets, security groups, DNS and the prefix as the message says, " + START,
    ),
    "no-run": Verdict("", "{run.reason}", ""),
    "killed": Verdict("", f"{DIED}: something killed it", LARGER + START),
    "walk": Verdict(
        FPSYNC_FAILED, f"{SAID[FPSYNC_FAILED]}: {{run.reason}}", f"See the logs. {LARGER}{START}"
    ),
    **advice(
        {
            "warnings": "See Warnings: the snapshot holds everything but what they name.",
            "out-of-time": f"{NAMED.format(' in time')} The next backup continues with that. "
            + LONGER,
            "memory": LARGER + START,
            "files": f"See Errors, put right what they name, {START}",
            "empty-source": "Check that Source EFS and Backup Prefix of the stack are the right "
            "ones, and that its files are not lost: if they are, restore the newest snapshot. An "
            "empty source is never backed up; if this one is meant to be empty, put a file into "
            f"it. {UNTOUCHED}",
            "verification": "See Errors. The new snapshot is complete but for what they name, and "
            "the next backup copies that anew. Check that the files are right in the source: if "
            "not, restore them from an older snapshot. If it happens again, re-check the snapshots "
            "with efs-verify.sh.",
        }
    ),
}

NOT_NEEDED = "The restore's stack is not needed any more: delete it."
LAUNCH = "delete the restore's stack, and launch the template again"
NOTHING = "This was a dry run: nothing was changed."

RESTORE = {
    # How it ended.
    "restored": Verdict(
        SUCCESS,
        "The EFS was restored successfully{run.from_snapshot}{run.but}.{run.new_place} Files: "
        "{run.done}.{run.nothing_to_do}",
        NOT_NEEDED,
    ),
    "undone": Verdict(
        UNDONE,
        "The restore {run.undo_id} was undone: {run.result[number_of_entries_put_back]} entries "
        "were put back.{run.what_was_set_aside}",
        NOT_NEEDED,
    ),
    "planned": Verdict(
        PLANNED,
        f"{NOTHING} It tells what a restore of {{run.snapshot}}, would do. Files: {{run.to_do}}.",
        f"{{run.where_named}} To restore, {LAUNCH} with Dry Run set to No and Backup Date set to "
        "{run.result[snapshot_date]}; after the next backup, the number means another snapshot.",
    ),
    "stopped": Verdict(
        INCOMPLETE,
        "{run.task} is incomplete{run.because}.{run.untouched}",
        "To go on, {run.again}.",
    ),
    "refused": Verdict(
        UNSUCCESSFUL,
        "{run.task} was refused, and nothing was changed{run.because}.",
        f"Change what the message names in the parameters: {LAUNCH} with them.",
    ),
    "failed": Verdict(
        UNSUCCESSFUL,
        "{run.task} was unsuccessful{run.because}.{run.untouched}",
        "See the logs, put right what they name, and {run.again}.",
    ),
    "not started": Verdict(
        UNSUCCESSFUL,
        "The EFS restore was unsuccessful. {run.reason}. Nothing was changed.",
        "See the logs, put right what they name, and {run.again}.",
    ),
    "died": Verdict(
        UNSUCCESSFUL,
        "{run.task} was unsuccessful. The engine ended with exit status {run.exit_status} and no "
        "result{run.because}.",
        f"See the logs. If the instance ran out of memory, {LAUNCH} with a larger one in its "
        "Mappings; otherwise {run.again}.",
    ),
    "unknown": Verdict(
        UNKNOWN,
        "{run.task} ended in a way that is not known here: {run.result[outcome]}{run.because}.",
        "See the logs: they say how it ended.",
    ),
    # Why.
    "mount": Verdict(
        "",
        f"The EFS restore was unsuccessful. {MOUNT}{{run.because}}. Nothing was changed.",
        "Check mount targets, security groups, DNS and file system policy as the message says, and "
        "{run.again}.",
    ),
    "undo planned": Verdict(
        "",
        f"{NOTHING} Undoing the restore {{run.undo_id}} would put "
        "{run.result[number_of_entries_put_back]} entries back, and set "
        "{run.result[number_of_entries_set_aside]} aside.",
        f"To undo the restore, {LAUNCH} with Dry Run set to No.",
    ),
    **advice(
        {
            "warnings": f"See Warnings, and check what they name. {NOT_NEEDED}",
            "snapshot": "Choose one that exists, by Backup EFS, Folder Label, Interval Label and "
            f"Backup Number or Backup Date: {LAUNCH} with them.",
            "expired": f"Choose a newer one: {LAUNCH} with its Backup Date.",
            "target": f"Move away what the message names, and {{run.again}}; or {LAUNCH} with "
            "another Restore Prefix or Restore Subdirectory.",
            "busy": "Wait until the other restore has ended, and {run.again}.",
            "space": f"Make room on the target file system, and {{run.again}}; or {LAUNCH} with a "
            "Restore Subdirectory, to restore less.",
            "verification": "See Errors. What they name has changed in the backup since it was "
            "copied: look at what is kept in DamagedDirectory, or restore these files from another "
            "snapshot, with Restore Subdirectory and Backup Date.",
            "files": "See Errors, put right what they name, and {run.again}.",
        }
    ),
}
