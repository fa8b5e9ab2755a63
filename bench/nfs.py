"""Backups on real NFS mounts, one way after the other on the same changes: A B C, A B C, …"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from bench.methods import METHODS
from tests.nfs.rig import Rig

GUEST = "/project/tests/nfs/guest"
HOUR = 3600


@dataclass
class Sample:
    """One backup. calls: NFS round trips of both mounts."""

    method: str
    files: int
    delay_ms: float
    changed_percent: float
    seconds: float
    calls: int


@dataclass
class Settings:
    jobs: int
    retain: int
    changed_percent: float
    rounds: int
    methods: list[str]


def backup(rig: Rig, method: str, settings: Settings, over: str) -> float:
    """One backup by ``method``, as on the next day; the seconds that it took."""
    script = (
        f"SOURCE={over}/source BACKUP={over}/backup JOBS={settings.jobs} RETAIN={settings.retain}\n"
        "begin=$EPOCHREALTIME\n"
        f"{{\n{METHODS[method]}\n}} >&2\n"
        'echo "$begin $EPOCHREALTIME"\n'
    )
    rig.run("date --set '1 day'")
    begin, end = rig.run(script, timeout=10 * HOUR).stdout.split()
    return float(end) - float(begin)


def change(rig: Rig, settings: Settings, seed: int) -> None:
    arguments = f"{settings.changed_percent} {seed}"
    rig.run(f"python3 {GUEST}/many.py change /srv/source {arguments}", timeout=HOUR)


def measure(rig: Rig, files: int, delays_ms: list[float], settings: Settings) -> Iterator[Sample]:
    rig.fresh()
    rig.run(f"python3 {GUEST}/many.py make /srv/source {files}", timeout=HOUR)
    seeds = itertools.count()
    # As many snapshots as are kept, each with its changes, and the one that expired since. Without
    # NFS, as that is quicker.
    for _ in range(settings.retain + 1):
        change(rig, settings, next(seeds))
        for method in settings.methods:
            backup(rig, method, settings, over="/srv")
    for delay_ms in delays_ms:
        for _ in range(settings.rounds):
            change(rig, settings, next(seeds))
            for method in settings.methods:
                rig.delay(0)
                rig.remount()
                rig.delay(delay_ms)
                seconds = backup(rig, method, settings, over="/mnt")
                calls = sum(operations.total() for operations in rig.rpcs().values())
                yield Sample(method, files, delay_ms, settings.changed_percent, seconds, calls)
