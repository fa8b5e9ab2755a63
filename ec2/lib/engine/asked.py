"""Verifications that were asked for from outside: a backup makes them when its own work is done."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from common.words import plural

from engine.command.execution import write_result_so_far
from engine.command.outcome import EngineError, Refused, Stopped
from engine.command.process import StopSignals
from engine.snapshots.choice import Snapshot, Wanted
from engine.snapshots.folder import SnapshotFolder
from engine.stage.result import BackupResult
from engine.verify import VerifyResult, verify

log = logging.getLogger(__name__)

NAMED = 10
"""Files of a damaged snapshot that its warning names; the log names more."""


UNFINISHED = (
    "stopped before it was finished; ask again when there is time for all of it, or use "
    "efs-verify.sh"
)


def verify_asked(
    asked: Mapping[str, Wanted],
    folder: SnapshotFolder,
    work: Path,
    stop: StopSignals,
    result: BackupResult,
    to: Path | None,
) -> None:
    """Answer each. The new snapshot is published: what is found in others is a warning, and told by
    itself. One that a stop ends is answered, too, as the next backup could do no more of it; those
    that were not begun are asked for again."""
    for key, which in asked.items():
        checked = VerifyResult("verified")
        checked.progress = result.progress
        if stop.received:
            return
        result.begin("re-check")
        write_result_so_far(to, result, "a re-check that was asked for")
        try:
            snapshot = verify(folder, which, work, stop, checked)
            result.requests[key] = answer(snapshot, checked)
        except Stopped:
            result.requests[key] = f"re-check: {UNFINISHED}"
            result.warn(f"a re-check that was asked for was {UNFINISHED}")
        except (Refused, OSError, EngineError) as error:
            named = "; ".join(checked.errors[:NAMED])
            if named:
                result.not_restorable += [str(error), *checked.errors[:NAMED]]
            result.requests[key] = f"re-check: {error}"
            result.warn(f"{error}{': ' if named else ''}{named}")
        except Exception as error:  # whatever it is, the new snapshot is good
            log.exception("unforeseen")
            reason = f"{type(error).__name__}: {error}"
            result.warn(f"a re-check that was asked for was not finished: {reason}")


def answer(snapshot: Snapshot, checked: VerifyResult) -> str:
    """If all is well."""
    unlisted = checked.number_of_files_not_listed
    without = f"; {plural(unlisted, 'has', 'have')} no digest" if unlisted else ""
    files = plural(checked.number_of_files_checked, "regular file")
    return f"{snapshot}: {files} checked, each is as it was when it was copied{without}"
