"""A worker's own script, from its start to the end of its instance, without AWS."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from .conftest import until
from .test_restore_script import AWS, Instance

QUEUE = "https://sqs.eu-west-1.amazonaws.com/111122223333/queue"
BACKUP = f"""\
REGION=eu-west-1
SOURCE_EFS=fs-01234567
BACKUP_EFS=fs-89abcdef
BACKUP_PREFIX=/app data
LOG_BUCKET=logs
WORKERS_QUEUE={QUEUE}
"""
RESTORE = f"""\
REGION=eu-west-1
TARGET_EFS=fs-01234567
BACKUP_EFS=fs-89abcdef
LOG_BUCKET=logs
WORKERS_QUEUE={QUEUE}
"""
# A queue without messages.
EMPTY = """
case "$1 $2" in 'sqs receive-message') sleep 0.2; echo '{}' ;; esac
"""
# Answers for a Spot Instance, which is taken away when there is a file `taken`.
SPOT = """
[[ $FAILS != curl ]] || exit 22
case "$*" in
  *instance-life-cycle) echo spot ;;
  *instance-action) [[ -e $HOME/taken ]] || exit 22; echo '{"action": "terminate"}' ;;
  *) echo i-1 ;;
esac
"""
LEFT = "autoscaling terminate-instance-in-auto-scaling-group --instance-id i-1"


@dataclass
class WorkerInstance(Instance):
    script = "efs-ec2-worker.sh"
    settings = BACKUP
    aws = AWS + EMPTY
    idle_seconds = "1"

    def __post_init__(self) -> None:
        super().__post_init__()
        (self.root / "mnt/source").mkdir()
        (self.root / "usr/local/bin/curl").write_text(f"#!/bin/bash\n{SPOT}")

    def environment(self, fails: str = "") -> dict[str, str]:
        quick = {"IDLE_SECONDS": self.idle_seconds, "SPOT_SECONDS": "0.1"}
        return {**super().environment(fails), **quick, "AWS_EC2_METADATA_DISABLED": "true"}

    @property
    def last_call(self) -> str:
        return (self.root / "calls").read_text().splitlines()[-1]

    @property
    def left(self) -> bool:
        """Without another in its place."""
        return self.last_call == f"{LEFT} --should-decrement-desired-capacity"

    @property
    def log(self) -> str:
        return (self.root / "var/log/cloud-init-output.log").read_text()


@pytest.fixture
def worker(tmp_path: Path) -> WorkerInstance:
    return WorkerInstance(tmp_path / "root")


def test_one_that_nobody_needs_leaves(worker: WorkerInstance) -> None:
    worker.boot()
    assert "there was no list for 1 seconds" in worker.log
    assert worker.mounts == ["fs-01234567:/app data", "fs-89abcdef:/"]
    assert {Path(log).parts[0] for log in worker.logs} == {"efs-backup-log"}
    assert worker.left


def test_one_of_a_restore_mounts_what_the_restore_has(worker: WorkerInstance) -> None:
    worker.settings = RESTORE
    worker.boot()
    assert worker.mounts == ["fs-89abcdef:/", "fs-01234567:/"]
    assert all(name.startswith("efs-restore-logs/") for name in worker.logs)
    assert worker.left


@pytest.mark.parametrize("fails", ["mount", "sqs ", "s3 cp"])
def test_one_that_cannot_work_leaves(worker: WorkerInstance, fails: str) -> None:
    worker.boot(fails)
    assert worker.left


def test_a_spot_instance_that_is_taken_away_begins_no_more_and_is_replaced(
    worker: WorkerInstance,
) -> None:
    worker.idle_seconds = "600"
    process = worker.start()
    until(lambda: worker.calls_of("sqs receive-message"))
    (worker.root / "taken").touch()
    process.wait(60)
    assert "this Spot Instance is taken away" in worker.log
    assert worker.last_call == f"{LEFT} --no-should-decrement-desired-capacity"
