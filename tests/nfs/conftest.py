"""One machine for all tests of a session; see rig.py."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.tree import Tree, parse
from tests.nfs.rig import Rig

GUEST = "/project/tests/nfs/guest"
BACKUP = "/project/ec2/efs-backup.sh --folder files --interval daily"
RESTORE = "/project/ec2/efs-restore.sh --folder files --interval daily"
READ_TREES = "python3 -IB /project/local/tree.py"
SNAPSHOTS = "/srv/backup/files/daily.?"


class Machine(Rig):
    """The rig, and what the tests do on it."""

    def python(self, program: str, *arguments: object) -> str:
        return self.run(f"python3 -B {GUEST}/{program} {' '.join(map(str, arguments))}").stdout

    def tree(self, path: str) -> Tree:
        """All that is at ``path``, which is the server's own directory rather than a mount."""
        return parse(self.run(f"{READ_TREES} {path}").stdout)

    def snapshots(self) -> list[Tree]:
        """All of them, of ten at most, newest first."""
        trees = self.run(f"shopt -s nullglob; {READ_TREES} {SNAPSHOTS}").stdout
        return [parse(line) for line in trees.splitlines()]

    def snapshot(self, number: int) -> Tree:
        return self.tree(f"/srv/backup/files/daily.{number}")

    def backup(self, retain: int = 7, over: str = "/mnt") -> dict[str, Any]:
        """One run as on the next day, on a new instance; ``over="/srv"`` does without NFS."""
        self.remount()
        where = f"--source {over}/source --backup {over}/backup --retain {retain}"
        self.run(f"date --set '1 day'; {BACKUP} {where} --result result.json", timeout=250)
        result: dict[str, Any] = json.loads((self.files() / "result.json").read_text())
        return result

    def restore(self, number: int) -> None:
        self.run(
            f"mkdir /mnt/target && mount -t efs -o tls,iam fs-source:/ /mnt/target\n"
            f"{RESTORE} --backup /mnt/backup --number {number} --target /mnt/target",
            timeout=120,
        )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test of all waits for the machine's root file system to be made."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(900))


def is_debian() -> bool:
    return "\nID=debian\n" in "\n" + Path("/etc/os-release").read_text()


@pytest.fixture(scope="session")
def booted() -> Iterator[Machine]:
    if platform.machine() != "x86_64" or not is_debian():
        pytest.skip("user-mode-linux is a package of Debian for x86_64 only")
    with Machine(gigabytes=2) as machine:
        yield machine


@pytest.fixture
def rig(booted: Machine) -> Machine:
    booted.fresh()
    return booted
