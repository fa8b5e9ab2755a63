"""What the notifications of backups and restores have in common.

Python 3.9, standard library only: this runs on Amazon Linux 2023's own python3.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from consoles import console_host
from limits import document, fitted, from_bytes

# How mount.sh says that a file system could not be mounted.
MOUNT = "unable to find the mount IP OR mount EFS"

UNSHOWN = "It cannot be shown here; see the logs"


def console_link(place: str, topic: str) -> str:
    """``s3://bucket/prefix/`` in the console, in the region and partition of the topic's ARN."""
    _, partition, _, region = topic.split(":")[:4]
    bucket, _, prefix = place[len("s3://") :].partition("/")
    host = console_host(partition, region)
    return f"https://{host}/s3/buckets/{bucket}?region={region}&prefix={quote(prefix)}"


def write(path: Path, found: dict[str, Any]) -> None:
    """A command that was cut, or in which a character is escaped, would be another command."""
    whole = {
        name: UNSHOWN if name.endswith("Command") and fitted(value) != value else value
        for name, value in found.items()
    }
    path.write_text(document(whole), encoding="utf-8")


def by_workers(found: Any) -> dict[str, Any]:
    """What other machines have copied, as an engine's result says: how many there were, and a line
    for each. Nothing if there were none."""
    workers = found if isinstance(found, dict) else {}
    lines = [
        f"{name}: {done['lists']} list(s), {done['files']} file(s), {done['bytes']} bytes"
        for name, done in sorted(workers.items())
        if isinstance(done, dict) and {"lists", "files", "bytes"} <= done.keys()
    ]
    return {"NumberOfWorkers": len(lines), "Workers": lines} if lines else {}


def read(path: Path) -> Any:
    """What a JSON file holds; None if it is missing, cut off, or no JSON at all."""
    try:
        return json.loads(path.read_text(encoding="utf-8", errors="backslashreplace"))
    except (OSError, ValueError, RecursionError):
        return None


def argument(word: str) -> str:
    """A word of the command line as text: it may hold the bytes of names, in any locale."""
    return from_bytes(os.fsencode(word))
