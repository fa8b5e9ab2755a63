"""An AWS account on this machine, for as long as it is needed.

    python -m local.account [COMMAND ...]

starts one in a sandbox and runs a command there, a shell by default, set up for the `aws` command.
"""

import fcntl
import json
import os
import shutil
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

from local import api, emulator, fleet, instance, metrics, sandbox

REGION = "us-east-1"
START_SECONDS = 300
STOP_SECONDS = 5


class AccountError(Exception):
    """The account did not start; the message says why, or where to look."""


class Running(AccountError):
    """There is one already, whose logs are none of this one's."""


@dataclass(frozen=True)
class Account:
    """A running account, with all its files below `home`.

    `efs/<file system id>` has the contents of a file system, `instances/<id>` the disk of an
    instance, `image/` files that lie over the disk of each new one, `emulator.log` what the APIs
    and the Lambda functions say, `authorizations.jsonl` which role was allowed or denied what,
    `metrics.jsonl` the anonymous metrics. While there is a `no-capacity`, nothing is launched.
    """

    home: Path
    region: str
    _control: IO[str]

    @property
    def environment(self) -> dict[str, str]:
        """What the `aws` command and the SDKs need to use this account as its root user."""
        return {
            "AWS_ACCESS_KEY_ID": api.ROOT_USER.access_key,
            "AWS_SECRET_ACCESS_KEY": api.ROOT_USER.secret_key,
            "AWS_CA_BUNDLE": str(api.certificate(self.home)),
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ENDPOINT_URL": api.ENDPOINT,
        }

    def client(self, service: str) -> Any:
        """A boto3 client of the root user."""
        return api.client(service, self.region, api.certificate(self.home))

    def file_system(self, file_system_id: str) -> Path:
        """The directory with the contents of an EFS file system."""
        return self.home / "efs" / file_system_id

    @property
    def image(self) -> Path:
        """A directory, if it is made, of files that new instances have in place of their own."""
        return self.home / fleet.IMAGE

    @property
    def no_capacity(self) -> Path:
        """A file, if it is made, that keeps instances from being launched."""
        return self.home / fleet.NO_CAPACITY

    def instance_log(self, instance_id: str) -> Path:
        """What the user data of an instance has printed so far, if it has begun."""
        return self.home / "instances" / instance_id / instance.LOG

    def take_away(self, instance_id: str) -> None:
        """Has a Spot Instance be told that EC2 takes it away."""
        (self.home / fleet.TAKEN).mkdir(exist_ok=True)
        (self.home / fleet.TAKEN / instance_id).touch()

    def metrics(self) -> list[api.Record]:
        """The anonymous metrics that have been sent, of deployments and of runs."""
        journal = self.home / metrics.JOURNAL
        lines = journal.read_text().splitlines() if journal.exists() else []
        return [json.loads(line) for line in lines]

    def boot_finished(self, instance_id: str) -> bool:
        """Whether the user data of an instance has ended, with or without success."""
        return (self.home / "instances" / instance_id / instance.BOOT_FINISHED).exists()

    def fire(self, rule: str) -> None:
        """Makes an EventBridge schedule rule due now, which AWS has no API for."""
        self.client("events").describe_rule(Name=rule)
        self._control.write(f"fire {rule}\n")
        self._control.flush()


@contextmanager
def running(home: Path, region: str = REGION) -> Iterator[Account]:
    """An account that ends with the `with` block, and every function and instance with it.

    Empties `home` first. Raises AccountError when there can be none.
    """
    if not sandbox.inside():
        raise AccountError("A local account can only run in the sandbox: see local/sandbox.py")
    with _locked(home):
        if home.exists():
            shutil.rmtree(home)
        (home / "efs").mkdir(parents=True)
        with TemporaryDirectory() as temporary, (home / "emulator.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "local.emulator", str(home)],
                env={**os.environ, **emulator.ENVIRONMENT, "TMPDIR": temporary},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,
            )
            assert process.stdin
            try:
                _wait_until_ready(process, home)
                yield Account(home, region, process.stdin)
            finally:
                process.stdin.close()
                _wait_for_end(process)


def check_free(home: Path) -> None:
    """Raises Running when another one has begun there, and needs no right to write."""
    with suppress(FileNotFoundError), _lock(home).open() as lock:
        _hold(lock, home)


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    with _lock(home).open("w") as lock:
        _hold(lock, home)
        yield


def _lock(home: Path) -> Path:
    return home.with_suffix(".lock")


def _hold(lock: IO[str], home: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Running(
            f"Another one is running here, in {home}. End it in its terminal, or wait for its end."
        ) from None


def _wait_until_ready(process: "subprocess.Popen[str]", home: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _ready(api.certificate(home)):
        if process.poll() is not None:
            raise AccountError(f"The emulator ended at once: see {home}/emulator.log")
        if time.monotonic() > deadline:
            raise AccountError(f"No answer within {START_SECONDS} s: see {home}/emulator.log")
        time.sleep(0.1)


def _ready(certificate: Path) -> bool:
    if not certificate.exists():
        return False
    try:
        context = ssl.create_default_context(cafile=str(certificate))
        with urllib.request.urlopen(f"{api.ENDPOINT}/_ministack/ready", context=context) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _wait_for_end(process: "subprocess.Popen[str]") -> None:
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main(command: Sequence[str]) -> int:
    with running(sandbox.STATE / "account") as account:
        return subprocess.run(command, env={**os.environ, **account.environment}).returncode


if __name__ == "__main__":
    if not sandbox.inside():
        sandbox.main(["local.account", *sys.argv[1:]])
    try:
        sys.exit(main(sys.argv[1:] or ["bash"]))
    except AccountError as error:
        sys.exit(str(error))
