"""What fails on real NFS: the server, the network to it, and a machine that still has the lock."""

from __future__ import annotations

import json

import pytest

from tests.nfs.conftest import BACKUP, Machine, Tree

RUN = f"{BACKUP} --source /mnt/source --backup /mnt/backup --retain 7 --result result.json"

# The processes look at the server's own directories, as those of the mounts would hang.
HELPERS = r"""
mount -t nfsd nfsd /proc/fs/nfsd # the one of the machine is hidden by the script's own /proc
wait_for() { # COMMAND…
  local n
  for ((n = 0; n < 1200; n++)); do
    ! "$@" || return 0
    sleep 0.05
  done
  echo "waited in vain for $*" >&2
  return 1
}
scanning() { compgen -G '/srv/backup/files/.daily.stage/*' >scanning; }
copying() { [[ -e copying ]]; }
# Each job says when it begins, and waits until it may.
mkdir bin
cat >bin/rsync <<END
#!/bin/bash
touch "$PWD/copying"
while [[ ! -e "$PWD/go" ]]; do sleep 0.05; done
exec /usr/bin/rsync "\$@"
END
chmod +x bin/rsync
export PATH=$PWD/bin:$PATH
network_down() { tc qdisc replace dev lo root netem loss 100%; }
network_up() { tc qdisc del dev lo root; }
server_down() { rpc.nfsd 0; }
server_up() { rpc.nfsd --no-nfs-version 3 --tcp 16; }
"""


@pytest.fixture
def history(rig: Machine) -> Tree:
    """One snapshot of a source that has changed since; the network is so slow that a run lasts."""
    rig.python("many.py", "make", "/srv/source", 500)
    rig.backup()
    first = rig.snapshot(0)
    rig.python("many.py", "change", "/srv/source", 10, 1)
    rig.run("date --set '1 day'")
    rig.remount()
    rig.delay(50)
    return first


# A server that comes back has a time of grace, and its client waits for a minute.
@pytest.mark.parametrize(
    ("what", "when"), [("network", "scanning"), ("network", "copying"), ("server", "copying")]
)
def test_a_run_goes_on_when_nfs_is_back(rig: Machine, history: Tree, what: str, when: str) -> None:
    rig.run(
        f"{HELPERS}\n"
        f"{RUN} & engine=$!\n"
        f"wait_for {when}\n"
        f"{what}_down\n"
        "touch go\n"
        "sleep 3\n"
        "kill -0 $engine\n"
        "test ! -e result.json -a ! -e /srv/backup/files/daily.1\n"
        f"{what}_up\n"
        "wait $engine",
        timeout=240,
    )
    result = json.loads((rig.files() / "result.json").read_text())
    assert (result["outcome"], result["warnings"]) == ("published", [])
    assert rig.snapshot(0) == rig.tree("/srv/source")
    assert rig.snapshot(1) == history


def test_a_run_whose_nfs_does_not_come_back_is_killed_and_made_up_for(
    rig: Machine, history: Tree
) -> None:
    """The end of the window: SIGTERM, once more, and then the instance is gone."""
    rig.run(
        f"{HELPERS}\n"
        f"{RUN} & engine=$!\n"
        "wait_for copying\n"
        "network_down\n"
        "touch go\n"
        "sleep 1; kill -TERM $engine\n"
        "sleep 1; kill -TERM $engine 2>/dev/null || true\n"
        "sleep 5; kill -KILL -1\n"
        "network_up\n"  # what is about to exit waits for it, and hears nothing any more
        "wait || true",
        timeout=120,
    )
    result = rig.files() / "result.json"
    if result.exists():
        assert json.loads(result.read_text())["outcome"] in ("stopped", "failed")
    assert rig.snapshot(0) == history
    rig.run("test ! -e /srv/backup/files/daily.1")
    rig.backup()
    assert rig.snapshot(0) == rig.tree("/srv/source")
    assert rig.snapshot(1) == history


def test_the_lock_of_another_client_is_waited_for(rig: Machine) -> None:
    """To this one, a lock on the server's own file is like that of a machine that was killed."""
    rig.run("echo content >/srv/source/file")
    rig.backup()
    rig.run(
        f"{HELPERS}\n"
        "cat >hold.py <<'END'\n"
        "import fcntl, time\n"
        "lock = open('/srv/backup/files/.lock', 'r+')\n"
        "fcntl.lockf(lock, fcntl.LOCK_EX)\n"
        "open('held', 'w')\n"
        "time.sleep(1000)\n"
        "END\n"
        "touch go\n"
        "python3 hold.py & holder=$!\n"
        "wait_for test -e held\n"
        f"code=0; {RUN} || code=$?\n"
        "test $code = 2\n"
        f"{RUN} --lock-wait 100 2>log & engine=$!\n"
        "wait_for grep -q 'waiting for its lock' log\n"
        "test ! -e /srv/backup/files/daily.1\n"
        "kill $holder\n"
        "wait $engine",
        timeout=120,
    )
    assert rig.snapshot(0) == rig.snapshot(1) == rig.tree("/srv/source")
