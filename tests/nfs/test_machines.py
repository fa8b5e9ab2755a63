"""Several machines copy one backup, each an NFS client of its own."""

from __future__ import annotations

import json
import shlex

import pytest

from tests.nfs.conftest import GUEST, Machine

FILES = 400
# As soon as the worker is at something, its network is gone for good.
HANGS = """
until compgen -G '/srv/backup/files/.daily.work.*/[0-9]*.????????????????' >/dev/null; do
  sleep 0.1
done
ip -n m2 link set eth0 down
"""


@pytest.mark.parametrize("fault", ["", HANGS], ids=["none", "the worker hangs in NFS"])
def test_a_snapshot_by_two_machines_is_exact(rig: Machine, fault: str) -> None:
    rig.python("hostile.py", "make", "/srv/source")
    rig.python("many.py", "make", "/srv/source/many", FILES)
    settings = f"export LEASE=8 MEANWHILE={shlex.quote(fault)}"
    rig.run(f"{settings}\n{GUEST}/machines 2 500 1 files", timeout=300)
    result = json.loads((rig.files() / "result.json").read_text())
    assert result["outcome"] == "published"
    assert rig.snapshot(0) == rig.tree("/srv/source")
    if fault:
        assert any("begun by a worker, and not ended" in line for line in result["warnings"])
    else:
        assert result["warnings"] == []
        assert result["workers"]["m2"]["files"] > 0
