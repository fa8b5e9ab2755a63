"""Restores on real NFS mounts, one way after the other of the same damage: A B C, A B C, …"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.nfs import GUEST, HOUR
from tests.nfs.rig import Rig, parse_mountstats

LOST = "0/7"  # a directory of 45 files
SEED = 1

# How each case damages the live tree, and which directory of it is asked for then. They come in
# this order as each leaves inodes that have changed since the snapshot was made: the next one
# damages the same files again, or asks for a part alone.
CASES = {
    "nothing differs": ("true", ""),
    "1 % damaged": (f"python3 {GUEST}/many.py damage /srv/source 1 {SEED}", ""),
    "one directory": (f"rm -r /srv/source/{LOST}", f"{LOST}/"),
    "everything": ("rm -r /srv/source/*", ""),
}

# Bash for the machine. SAVED, LIVE: the directory in the snapshot and in the live tree; FOLDER: its
# path in both, with a slash at its end, or nothing; JOBS. fpsync deletes nothing, and none of the
# cases needs it to.
METHODS = {
    "rsync -aH --delete": """
rsync -aH --numeric-ids --modify-window=-1 --delete "$SAVED" "$LIVE"
""",
    "fpsync": """
mkdir -p "$LIVE"
bash /usr/bin/fpsync -n "$JOBS" -O '-e' -o '-lptgoDH --numeric-ids --modify-window=-1' \\
  "$SAVED" "$LIVE"
""",
    "this project": """
/project/ec2/efs-restore.sh --backup /mnt/backup --folder ours --interval daily \\
  --number 0 --target /mnt/source --path "/$FOLDER" --jobs "$JOBS"
""",
}


@dataclass
class Restored:
    """One restore. calls: NFS round trips of both mounts."""

    case: str
    method: str
    files: int
    delay_ms: float
    seconds: float
    calls: int


def restore(rig: Rig, method: str, folder: str, jobs: int) -> tuple[float, int]:
    """The seconds and calls of one restore, into a mount that may be written to."""
    script = (
        "umount /mnt/source && mount -t efs -o tls,iam fs-source:/ /mnt/source\n"
        f"FOLDER={folder} JOBS={jobs}\n"
        "SAVED=/mnt/backup/ours/daily.0/$FOLDER LIVE=/mnt/source/$FOLDER\n"
        "begin=$EPOCHREALTIME\n"
        f"{{\n{METHODS[method]}\n}} >&2\n"
        'echo "$begin $EPOCHREALTIME"\n'
        "cat /proc/self/mountstats\n"
    )
    times, counts = rig.run(script, timeout=10 * HOUR).stdout.split("\n", 1)
    begin, end = map(float, times.split())
    return end - begin, sum(each.total() for each in parse_mountstats(counts).values())


def check_restored(rig: Rig) -> None:
    """The live tree is as the snapshot again; what a restore keeps for undoing is removed."""
    done = rig.run(
        "rm -rf /srv/source/.efs-restore-*\n"
        "rsync -aHn --omit-dir-times --delete -i /srv/backup/ours/daily.0/ /srv/source/",
        timeout=HOUR,
    )
    if done.stdout:
        raise RuntimeError(f"not all was restored:\n{done.stdout}")


def prepare(rig: Rig, files: int) -> None:
    """A tree, its snapshot, and a day later: what changes then is newer than the snapshot's run."""
    rig.fresh()
    rig.run(f"python3 {GUEST}/many.py make /srv/source {files}", timeout=HOUR)
    rig.run(
        "date --set '1 day'\n"
        "/project/ec2/efs-backup.sh --source /mnt/source --backup /mnt/backup"
        " --folder ours --interval daily --retain 7\n"
        "date --set '1 day'\n",
        timeout=HOUR,
    )


def measure(
    rig: Rig, files: int, delays_ms: list[float], cases: list[str], rounds: int, jobs: int
) -> Iterator[Restored]:
    prepare(rig, files)
    for case in cases:
        damage, folder = CASES[case]
        for delay_ms in delays_ms:
            for _ in range(rounds):
                for method in METHODS:
                    rig.run(damage, timeout=HOUR)
                    rig.delay(0)
                    rig.remount()
                    rig.delay(delay_ms)
                    seconds, calls = restore(rig, method, folder, jobs)
                    yield Restored(case, method, files, delay_ms, seconds, calls)
                    check_restored(rig)
