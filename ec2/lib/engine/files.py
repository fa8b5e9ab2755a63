"""Small things to do with files and directories."""

from __future__ import annotations

import os
from pathlib import Path


def is_empty(directory: Path) -> bool:
    with os.scandir(directory) as entries:
        return next(entries, None) is None


def write_atomically(path: Path, text: str) -> None:
    """A reader sees the old file or the whole new one."""
    new = path.with_name(path.name + ".new")
    new.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
    new.replace(path)
