#!/usr/bin/env python3
"""Undo the restore that made this directory: put everything back as it was before.

Nothing is deleted: what the restore created is moved into the folder "restored" beside this script.
Running it twice does no harm. Python 3.9, standard library only; needs the rights that the restore
had (root).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any


def read_journal(path: Path) -> list[list[Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def set_created_aside(root: Path, safety: Path, aside: Path, journal: list[list[Any]]) -> int:
    """Move away what the restore created. An entry that it was to replace is the old one as long as
    that was not moved to the safety directory."""
    replaced = {path for verb, path, *_ in journal if verb == "move"}
    count = 0
    for verb, path, *_ in journal:
        if verb != "create" or not os.path.lexists(root / path):
            continue
        if path in replaced and not os.path.lexists(safety / path):
            continue
        target = aside / path
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.rename(root / path, target)
        count += 1
    return count


def move_back(root: Path, safety: Path, journal: list[list[Any]]) -> int:
    count = 0
    for verb, path, *_ in journal:
        if verb == "move" and os.path.lexists(safety / path):
            if os.path.lexists(root / path):
                raise FileExistsError(f"{root / path} is in the way; move it and run this again")
            os.rename(safety / path, root / path)
            count += 1
    return count


def set_directories(root: Path, journal: list[list[Any]]) -> None:
    """Give directories their attributes back, the innermost first."""
    entries = [values for verb, *values in journal if verb == "directory"]
    for path, mode, uid, gid, mtime_ns in sorted(entries, key=lambda e: -e[0].count("/")):
        directory = root / path
        if directory.is_dir() and not directory.is_symlink():
            os.chown(directory, uid, gid)
            os.chmod(directory, mode)
            os.utime(directory, ns=(mtime_ns, mtime_ns))


def remove_empty(directory: Path) -> None:
    for folder, _, _ in os.walk(directory, topdown=False):
        if not os.listdir(folder):
            os.rmdir(folder)


def main() -> int:
    own = Path(__file__).resolve().parent
    root, safety = own.parent, own.with_suffix("")
    journal = read_journal(own / "journal")
    created = set_created_aside(root, safety, own / "restored", journal)
    moved = move_back(root, safety, journal)
    if safety.is_dir():
        remove_empty(safety)
    set_directories(root, [*journal[::-1]])
    print(f"Put back {moved} and set aside {created} entries; the latter are in {own}/restored")
    return 0


if __name__ == "__main__":
    sys.exit(main())
