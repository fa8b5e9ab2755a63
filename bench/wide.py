"""One directory with very many empty files: what its entries alone cost, on a local disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.growth import HERE, RESTORE, SCRIPT, Growth, measure_command

VERIFY = HERE.parent / "ec2/efs-verify.sh"
NEW = ["--clock-skew", "0"]  # the tree is, but older than the first run
STOPPED = 3
DAY = 86_400


class Wide:
    """A source with a directory ``many`` of so many files, and a backup."""

    def __init__(self, home: Path, files: int) -> None:
        self._files = files
        self._source, self._backup = home / "source", home / "backup"
        self._many, self._away = self._source / "many", home / "away"
        self._progress = home / "progress"
        self._names = ["--backup", str(self._backup), "--folder", "files", "--interval", "daily"]
        self._backup.mkdir()

    def _make(self) -> None:
        self._many.mkdir(parents=True, exist_ok=True)
        directory = os.open(self._many, os.O_RDONLY)
        for number in range(self._files):
            flags = os.O_WRONLY | os.O_CREAT
            os.close(os.open(f"a-name-of-an-upload-{number}", flags, 0o644, dir_fd=directory))
        os.close(directory)

    def _with_each(self, change: Callable[[os.DirEntry[str]], object]) -> None:
        with os.scandir(self._many) as entries:
            for entry in entries:
                change(entry)

    def _back_up(self, what: str, *options: str, **how: object) -> Growth:
        words = ["--source", str(self._source), "--retain", "1", "--progress", str(self._progress)]
        return self._measured(what, SCRIPT, *words, *NEW, *options, **how)

    def _restore(self, what: str) -> Growth:
        words = ["--number", "0", "--target", str(self._source)]
        return self._measured(what, RESTORE, *words, *NEW)

    def _measured(self, what: str, script: Path, *words: str, **how: object) -> Growth:
        command = [str(script), *self._names, *words]
        return measure_command(what, self._files, command, **how)  # type: ignore[arg-type]

    def _when_copied(self, then: Callable[[subprocess.Popen[str]], object]) -> Callable[..., None]:
        """Do it when a quarter of the files have been copied."""
        self._progress.unlink(missing_ok=True)

        def wait(process: subprocess.Popen[str]) -> None:
            while process.poll() is None:
                time.sleep(0.1)
                if self._progress.exists():
                    copies = json.loads(self._progress.read_text()).get("copies", 0)
                    if copies >= self._files / 4:
                        then(process)
                        return

        return wait

    def backups(self) -> Iterator[Growth]:
        self._make()
        yield self._back_up("first backup")
        self._back_up("")  # and the next one has a spare
        yield self._back_up("nothing changed")
        self._with_each(lambda entry: os.utime(entry, (DAY, DAY)))
        yield self._back_up("each file changed")
        self._with_each(lambda entry: os.utime(entry, (2 * DAY, 2 * DAY)))
        stop = self._when_copied(lambda process: process.send_signal(signal.SIGTERM))
        yield self._back_up("each changed, stopped", meanwhile=stop, code=STOPPED)
        yield self._back_up("continued")

    def restores(self) -> Iterator[Growth]:
        yield self._measured("verified", VERIFY, "--number", "0")
        yield self._restore("restore, nothing differs")
        self._with_each(lambda entry: os.chmod(entry, 0o600))
        yield self._restore("restore, each file replaced")
        (undo,) = self._source.glob(".efs-restore-*.undo/undo")
        command = [sys.executable, str(undo), "--yes"]
        yield measure_command("undone", self._files, command)
        subprocess.run(["rm", "-rf", undo.parent], check=True)
        self._with_each(os.unlink)
        yield self._restore("restore, each file missing")

    def removals(self) -> Iterator[Growth]:
        self._with_each(os.unlink)
        yield self._back_up("each file removed")
        yield self._back_up("nothing changed, and two snapshots removed", "--no-spare")
        self._make()
        vanish = self._when_copied(lambda _: self._many.rename(self._away))
        yield self._back_up("three quarters vanished", meanwhile=vanish)


def measure(files: int, parent: Path | None) -> Iterator[Growth]:
    with tempfile.TemporaryDirectory(prefix="efs-backup-bench.", dir=parent) as home:
        wide = Wide(Path(home), files)
        yield from wide.backups()
        yield from wide.restores()
        yield from wide.removals()
