"""How the time, CPU and memory of backups and restores grow with the tree, on a local disk."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.nfs.guest import many

HERE = Path(__file__).resolve().parent
SCRIPT = HERE.parent / "ec2/efs-backup.sh"
RESTORE = HERE.parent / "ec2/efs-restore.sh"
RETAIN = 2


@dataclass
class Growth:
    """One command. cpu_seconds: of all its processes. peak_mb: of its largest one."""

    what: str
    files: int
    seconds: float
    cpu_seconds: float
    peak_mb: float


def measure_command(
    what: str,
    files: int,
    command: list[str],
    meanwhile: Callable[[subprocess.Popen[str]], None] = lambda _: None,
    code: int = 0,
) -> Growth:
    """Signals go to the command. code: what it is to end with."""
    measuring = [sys.executable, "-I", "-S", str(HERE / "usage.py"), *command]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(measuring, stdout=subprocess.PIPE, stderr=errors, text=True)
        meanwhile(process)
        used, _ = process.communicate()
        if process.returncode != code:
            errors.seek(0)
            raise RuntimeError(f"{command[0]} failed:\n{errors.read()}")
    return Growth(what, files, **json.loads(used))


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


def measure_restores(files: int, parent: Path | None) -> Iterator[Growth]:
    with tempfile.TemporaryDirectory(prefix="efs-backup-bench.", dir=parent) as directory:
        live, backup = Path(directory, "live"), Path(directory, "backup")
        backup.mkdir()
        many.make(str(live), files)
        # The tree is new, but older than the run.
        names = ["--backup", str(backup), "--folder", "files", "--interval", "daily"]
        names += ["--clock-skew", "0"]
        measure_command("", files, [str(SCRIPT), "--source", str(live), "--retain", "2", *names])
        saved = f"{backup}/files/daily.0/"
        rsync = ["rsync", "-aH", "--numeric-ids", "--modify-window=-1", "--delete", saved]
        methods = {
            "this project": [str(RESTORE), "--number", "0", "--target", str(live), *names],
            "rsync": [*rsync, f"{live}/"],
        }
        for what, percent in (("nothing differs", 0), ("1 % damaged", 1), ("everything", 100)):
            for method, command in methods.items():
                if percent == 100:
                    for top in live.iterdir():
                        shutil.rmtree(top)
                else:
                    many.damage(str(live), percent, seed=1)
                yield measure_command(f"{what}, {method}", files, command)
                for kept in live.glob(".efs-restore-*"):
                    shutil.rmtree(kept)
        # The longest journal: each file is set aside, and another put in its place.
        for path in many.files_below(str(live)):
            os.chmod(path, 0o600)
        yield measure_command("each file replaced", files, methods["this project"])
        (undo,) = live.glob(".efs-restore-*.undo/undo")
        yield measure_command("and undone", files, [sys.executable, str(undo), "--yes"])
