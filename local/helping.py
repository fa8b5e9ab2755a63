"""A backup of the demo in which other machines help, one of which is killed at it."""

import shutil
import sys
import time

from local import sandbox
from local.deployment import Deployment, DeploymentError

SECONDS = 120
MANY = "many-files"
FILES = 3000
# A machine is worth its start at once, and a lost one is missed soon.
SETTINGS = {"WORKERS_WORTH": "1", "LEASE_SECONDS": "10"}
LISTS = "/opt/efs-backup/ec2/lib/engine/copying/lists.py"
# Lists are short, so that there are many, and each takes its time, as over a network: most of all
# on the run's own machine, so that others get to some.
SHORT = f"sed -i 's/^FILES_PER_JOB = .*/FILES_PER_JOB = 100/' {LISTS}"
SLOW = "if [[ -e /var/log/efs-worker ]]; then sleep 2; else sleep 6; fi"
COMMANDS = {
    "python3": f"[[ $* != *engine.backup* ]] || {SHORT}",
    "rsync": f"[[ $* != *--files-from=* ]] || {SLOW}",
}


class Helpers:
    """The workers of a deployment."""

    def __init__(self, deployment: Deployment, count: int) -> None:
        self._deployment, self._count = deployment, count

    def prepare(self) -> None:
        """Makes copying take so long that they are worth it."""
        directory = self._deployment.source / MANY
        directory.mkdir()
        for number in range(FILES):
            (directory / f"{number}").write_text(f"file {number}\n")
        image = self._deployment.account.image
        commands = image / "opt/aws/bin"
        commands.mkdir(parents=True)
        for name, first in COMMANDS.items():
            own = sys.executable if name == "python3" else None
            real = own or shutil.which(name, path=sandbox.SYSTEM_PATH)
            (commands / name).write_text(f'#!/bin/bash\n{first}\nexec {real} "$@"\n')
            (commands / name).chmod(0o755)
        (image / "etc").mkdir()
        text = "".join(f"{name}={value}\n" for name, value in SETTINGS.items())
        (image / "etc/environment").write_text(text)

    def hurry(self) -> None:
        shutil.rmtree(self._deployment.account.image)

    def kill_one(self) -> str:
        """As when the power fails, once all of them copy. Returns which."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            begun = list(self._deployment.snapshots.glob(".daily.work.*/*.[0-9]"))
            if len(workers := self._deployment.workers()) == self._count and begun:
                ec2 = self._deployment.account.client("ec2")
                ec2.terminate_instances(InstanceIds=[workers[0]])
                return workers[0]
            time.sleep(0.1)
        raise DeploymentError(f"expected {self._count} workers that copy within {SECONDS} s")
