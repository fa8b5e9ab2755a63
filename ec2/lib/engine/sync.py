"""Giving the directories of a copy the attributes of the originals."""

from __future__ import annotations

import signal
from pathlib import Path

from engine.command.outcome import Stopped
from engine.command.process import StopSignals
from engine.copying.rsync import RSYNC_KEEP
from engine.copying.tally import RSYNC_VANISHED
from engine.safety import SAFETY_PREFIX


def copy_directories(
    source: Path, target: Path, work: Path, stop: StopSignals
) -> tuple[list[str], list[str]]:
    """Create the empty directories and set the attributes of all; return (warnings, errors).

    Directories come last because creating a file in one changes its time. A directory that
    cannot be read fails here, which the lists of files alone would not show.
    """
    output = work / "directories.log"
    command = ["rsync", "-r", *RSYNC_KEEP, f"--exclude={SAFETY_PREFIX}*"]
    command += ["--include=*/", "--exclude=*", "--", f"{source}/", f"{target}/"]
    code = stop.run(command, log=output, stop_with=signal.SIGTERM)
    if stop.received:
        raise Stopped("stopped; start the restore again to finish it, or undo it")
    if code == RSYNC_VANISHED:
        return ["a directory vanished meanwhile"], []
    if code:
        messages = output.read_text(errors="backslashreplace").splitlines()
        return [], [f"copying the directories ended with exit code {code}", *messages[:20]]
    return [], []
