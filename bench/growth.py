"""How the time, CPU and memory of a backup grow with the tree, on a local file system."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.nfs.guest import many

HERE = Path(__file__).resolve().parent
SCRIPT = HERE.parent / "ec2/efs-backup-fpsync.sh"
RETAIN = 2


@dataclass
class Growth:
    """One command. cpu_seconds: of all its processes. peak_mb: of its largest one."""

    what: str
    files: int
    seconds: float
    cpu_seconds: float
    peak_mb: float


def measure_command(what: str, files: int, command: list[str]) -> Growth:
    measuring = [sys.executable, "-I", "-S", str(HERE / "usage.py"), *command]
    done = subprocess.run(measuring, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stderr}")
    return Growth(what, files, **json.loads(done.stdout))


def measure(files: int, parent: Path | None) -> Iterator[Growth]:
    with tempfile.TemporaryDirectory(prefix="efs-backup-bench.", dir=parent) as directory:
        source, target = f"{directory}/source", f"{directory}/backup"
        os.mkdir(target)
        many.make(source, files)
        backup = [str(SCRIPT), "--source", source, "--backup", target, "--folder", "files"]
        backup += ["--interval", "daily", "--retain", str(RETAIN)]
        backup += ["--clock-skew", "0"]  # the tree is new, but older than the first run
        yield measure_command("first", files, backup)
        for _ in range(RETAIN):  # the last of them sets one aside as the spare
            measure_command("", files, backup)
        yield measure_command("nothing changed", files, backup)
        many.change(source, percent=2, seed=1)
        yield measure_command("2 % changed", files, backup)
        trees = [source, *(f"{target}/files/daily.{number}" for number in range(RETAIN))]
        yield measure_command("find -printf, three trees", files, ["find", *trees, "-printf", "%s"])
