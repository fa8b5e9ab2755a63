"""What the rsync jobs of a run did, from the records that rsync-job left."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from engine.sync import RSYNC_VANISHED

LINES_SHOWN = 20


@dataclass
class Tally:
    """Sums over all jobs. Sizes are bytes; files are everything that is not a directory."""

    number_of_files: int = 0
    number_of_files_transferred: int = 0
    total_file_size: int = 0
    total_transferred_file_size: int = 0
    vanished: list[bytes] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def tally_jobs(jobs: Path, source: Path) -> Tally:
    tally = Tally()
    for record in sorted(jobs.glob("*.exit"), key=lambda path: int(path.stem)):
        _add_job(tally, record, source)
    return tally


def _add_job(tally: Tally, record: Path, source: Path) -> None:
    """Add the job whose exit code is in ``record`` (N.exit; beside it N.list and N.stats)."""
    exit_code = int(record.read_text())
    stats = parse_stats(record.with_suffix(".stats").read_text(errors="replace"))
    seen = stats.get("number of files", 0) - stats.get("dir", 0)
    tally.number_of_files += seen
    tally.number_of_files_transferred += stats.get("number of regular files transferred", 0)
    tally.total_file_size += stats.get("total file size", 0)
    tally.total_transferred_file_size += stats.get("total transferred file size", 0)
    if exit_code not in (0, RSYNC_VANISHED):
        messages = record.with_suffix(".stderr").read_text(errors="backslashreplace").splitlines()
        tally.errors.append(f"rsync job {record.stem} ended with exit code {exit_code}")
        tally.errors.extend(messages[:LINES_SHOWN])
        return
    # rsync passes over missing names in silence: fewer files seen than listed means some vanished.
    names = listed_files(record.with_suffix(".list").read_bytes())
    if exit_code == RSYNC_VANISHED or seen < len(names):
        top = os.fsencode(source)
        vanished = [name for name in names if not os.path.lexists(os.path.join(top, name))]
        changed = [name for name in names if _is_directory(os.path.join(top, name))]
        tally.vanished += vanished
        if seen + len(vanished) + len(changed) < len(names):
            tally.errors.append(f"rsync job {record.stem} passed over files that are there")


def _is_directory(path: bytes) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def parse_stats(text: str) -> dict[str, int]:
    """The figures of rsync's --stats (C locale, plain digits), by their lower-case titles.

    >>> parse_stats("Number of files: 5 (reg: 3, dir: 2)\\nTotal file size: 7 bytes")
    {'number of files': 5, 'reg': 3, 'dir': 2, 'total file size': 7}
    """
    figures: dict[str, int] = {}
    for line in text.splitlines():
        match = re.match(r"([A-Z][\w ]+): (\d+)", line)
        if match:
            figures[match[1].lower()] = int(match[2])
            if match[1] == "Number of files":
                kinds = re.findall(r"(reg|dir|link|dev|special): (\d+)", line)
                figures.update({kind: int(number) for kind, number in kinds})
    return figures


def listed_files(names: bytes) -> list[bytes]:
    """The entries of a job's list that are not directories (fpart marks those with a slash)."""
    return [name for name in names.split(b"\0") if name and not name.endswith(b"/")]


def vanished_warnings(names: list[bytes]) -> list[str]:
    """One line a name; bytes that are not UTF-8 and control characters stay visible."""
    shown = [name.decode(errors="backslashreplace") for name in names[:LINES_SHOWN]]
    lines = [f"vanished during the backup: {name!r}" for name in shown]
    if len(names) > LINES_SHOWN:
        lines.append(f"… and {len(names) - LINES_SHOWN} more vanished files")
    return lines
