"""First backups by several machines that copy: each has a network, an NFS client and mounts of its
own. They share a processor, so jobs are few, and what is measured is how they wait."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from bench.nfs import GUEST, HOUR
from tests.nfs.rig import Rig


@dataclass
class Shared:
    """One backup. processor_seconds: of the processor that all of them and the server share.
    files_by_workers: what the others have copied."""

    machines: int
    jobs: int
    files: int
    delay_ms: float
    seconds: float
    processor_seconds: float
    files_by_workers: int

    @property
    def setting(self) -> tuple[int, float]:
        return self.files, self.delay_ms


def measure(
    rig: Rig, files: int, delays_ms: list[float], machines: list[int], jobs: int
) -> Iterator[Shared]:
    rig.fresh()
    rig.run(f"python3 {GUEST}/many.py make /srv/source {files}", timeout=HOUR)
    for delay_ms in delays_ms:
        for count in machines:
            folder = f"m{count}-{delay_ms:g}"
            one_way_us = round(delay_ms * 500)
            command = f"{GUEST}/machines {count} {one_way_us} {jobs} {folder}"
            took, busy = map(float, rig.run(command, timeout=2 * HOUR).stdout.split())
            result = json.loads((rig.files() / "result.json").read_text())
            by_workers = sum(each["files"] for each in result["workers"].values())
            yield Shared(count, jobs, files, delay_ms, took, busy, by_workers)
            rig.run(f"rm -rf /srv/backup/{folder}", timeout=HOUR)
