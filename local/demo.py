"""Three backups of a directory tree in a local account, an accident, and the restores after it.

    python -m local.demo [--source DIRECTORY] [--workers N]

Nothing but `.local/` is changed; the snapshots stay there. Exit code 0: everything was as it must
be; 1: something was not, and the message says what; 2: it could not begin.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

from common.statuses import RUNNING, SUCCESS
from engine.command.process import interruptible
from engine.command.screen import Screen

from admin import logs
from local import account, page, relay, sandbox, source
from local.account import Account, AccountError
from local.api import Record
from local.console import Console
from local.dashboard import Dashboard
from local.deployment import (
    Deployment,
    DeploymentError,
    Inbox,
    Notification,
    Restoration,
    create_file_system,
    create_network,
    upload,
)
from local.helping import Helpers
from local.rescue import Rescue
from local.verify import Backups

VERSION = "v0.0.0-demo"
RELEASE = sandbox.STATE / "release"
HOME = sandbox.STATE / "demo"
RUNS = 3
RUN_SECONDS = 3600

console = Console()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="demo", description=__doc__.partition("\n")[0])
    parser.add_argument("--source", help="the directory to back up; a copy of it is used")
    parser.add_argument("--page", default="", help="where the page will be, or no")
    parser.add_argument("--workers", type=int, default=0, help="machines that help; one is killed")
    options = parser.parse_args(arguments)
    try:
        with interruptible():
            if not sandbox.inside():
                _prepare(options)
            run(Path(options.source) if options.source else None, options.page, options.workers)
    except account.Running as error:
        Screen(sys.stderr, os.environ).line(f"demo: {error}")
        return 2
    except (AccountError, DeploymentError) as error:
        console.failure(str(error), HOME)
        return 1
    except KeyboardInterrupt:
        console.line("Interrupted. Everything that was started has ended.")
        return 130
    return 0


def _prepare(options: argparse.Namespace) -> NoReturn:
    """What needs the user's own rights and the network. All else happens in the sandbox."""
    try:
        arguments = ["--workers", str(options.workers)]
        if options.source is not None:
            arguments += ["--source", str(source.checked(options.source))]
        account.check_free(HOME)
        _build()
        if options.page != "no" and sys.stdin.isatty() and sys.stdout.isatty():
            arguments += ["--page", relay.start()]
        sandbox.enter("local.demo", arguments)
    except (source.SourceError, sandbox.SandboxError) as error:
        Screen(sys.stderr, os.environ).line(f"demo: {error}")
        sys.exit(2)


def _build() -> None:
    sandbox.STATE.mkdir(exist_ok=True)
    command = [sys.executable, "tools/build.py", "--version", VERSION, "--dist", str(RELEASE)]
    with console.step("Building the release, as make build does"):
        done = subprocess.run(command, cwd=sandbox.REPOSITORY, capture_output=True, text=True)
    if done.returncode:
        raise DeploymentError(f"expected the release to be built, found\n{done.stderr}")


def run(directory: Path | None, page_url: str = "", workers: int = 0) -> None:
    """The demo proper, which ends when the user has seen the page, if that has a URL.

    Raises DeploymentError for anything that is not as it must be.
    """
    started = time.monotonic()
    with ExitStack() as stack:
        with console.step("Starting an AWS account on this machine"):
            local_account = stack.enter_context(account.running(HOME))
        deployment, release_url = _deploy(local_account, directory, workers)
        helpers = Helpers(deployment, workers) if workers else None
        inbox = Inbox.subscribe(deployment)
        backups = Backups(deployment.source, deployment.snapshots)
        changes = source.Changes(deployment.source)
        for number in range(1, RUNS + 1):
            console.heading(f"Backup {number} of {RUNS}")
            for change in changes.make(number):
                console.detail(change)
            record, notification = _back_up(deployment, inbox, helpers)
            helpers = None
            with console.step("Checking the snapshots, the record and the logs"):
                backups.verify()
                _verify_run(deployment, record, notification)
        restored = _rescue(deployment, release_url)
        console.heading("What is there now")
        snapshots = [deployment.snapshots / f"daily.{number}" for number in range(RUNS)]
        console.snapshots(snapshots)
        console.versions(snapshots, changes.NOTES)
        console.record(record)
        console.notification("The last notification of a backup", *notification)
        console.notification("The notification of the restore", "EFS restore", restored)
        console.logs(deployment.logs(""))
        shown = page.dashboard(deployment)
        page.write(shown, HOME / "page.html")
        console.line(f"\nThe page on the dashboard, as it is now:  {HOME / 'page.html'}")
        if page_url.startswith("http"):
            _serve(shown, page_url)
    console.line(f"\nThe snapshots stay here:  {deployment.snapshots}")
    console.line(f"All is as it must be, after {time.monotonic() - started:.0f} s.")


def _serve(shown: Dashboard, url: str) -> None:
    with page.served(shown):
        console.line(f"and to use, search and buttons included:  {url}{shown.path}")
        console.line("Press Enter to end the demo.")
        sys.stdin.readline()


def _deploy(local_account: Account, directory: Path | None, workers: int) -> tuple[Deployment, str]:
    """The deployment, and the URL of the release that it was made from."""
    network = create_network(local_account)
    source_id = create_file_system(local_account, network)
    with console.step(f"Copying {directory or source.DEFAULT} to the file system {source_id}"):
        source.copy(directory, local_account.file_system(source_id))
    with console.step("Publishing the release in S3, as make publish does") as progress:
        url = upload(local_account, RELEASE, VERSION, progress)
    with console.step("Creating the CloudFormation stack") as progress:
        more = {"Workers": str(workers)} if workers else {}
        return Deployment.create(local_account, network, source_id, url, progress, **more), url


def _back_up(
    deployment: Deployment, inbox: Inbox, helpers: Helpers | None
) -> tuple[Record, Notification]:
    """One run, from the schedule rule to the end of the instance."""
    if helpers:
        helpers.prepare()
    with console.step("Firing the schedule rule; the orchestrator starts a run"):
        backup_id = deployment.start()
    with console.step("Waiting for the Auto Scaling group to launch an instance"):
        instance_id = deployment.wait_for_instance()
    if helpers:
        with console.step("Waiting until it has asked for workers, and all copy; killing one"):
            console.detail(f"killed {helpers.kill_one()}")
            helpers.hurry()
    with console.step(f"Instance {instance_id} executes its user data"):
        for line in _followed(deployment, backup_id, instance_id):
            console.detail(line)
    with console.step("Waiting for the termination of the instance, and the notification"):
        deployment.wait_until_idle()
        notification = inbox.wait()
    for line in notification.message.get("Workers", []):
        console.detail(f"copied by {line}")
    return deployment.item(backup_id), notification


def _rescue(deployment: Deployment, release_url: str) -> Record:
    """Files are lost; one directory is restored, then all, and then both restores are undone."""
    rescue = Rescue(deployment.source, deployment.snapshots / "daily.0")
    console.heading("Restore")
    for line in rescue.accident():
        console.detail(line)
    subdirectory = f"/{rescue.directory}/"
    with console.step(f"Restoring {subdirectory} alone, with a stack of the restore template"):
        first = Restoration.create(
            deployment, "restore-directory", release_url, RestoreSubDir=subdirectory
        )
        _expect("Status of the restore", SUCCESS, first.wait()["Status"])
        rescue.verify_directory()
    console.detail(f"{subdirectory} is as in daily.0; nothing else was touched")
    with console.step("Restoring everything"):
        message = Restoration.create(deployment, "restore-all", release_url).wait()
        _expect("Status of the restore", SUCCESS, message["Status"])
        kept = rescue.verify_all()
    console.detail(f"all is as in {message['Snapshot']}; what was newer is still there:")
    for name in kept:
        console.detail(f"  {name}")
    with console.step("Undoing both restores"):
        rescue.undo()
    console.detail("all is as it was after the accident, to the last attribute")
    return message


def _followed(deployment: Deployment, backup_id: str, instance_id: str) -> Iterator[str]:
    """The lines that the instance logs, until the record of the run is final."""
    log = deployment.account.instance_log(instance_id)
    deadline = time.monotonic() + RUN_SECONDS
    seen = 0
    status = RUNNING
    while status == RUNNING:
        if time.monotonic() > deadline:
            raise DeploymentError(f"expected the run to end within {RUN_SECONDS} s")
        time.sleep(0.3)
        ended = deployment.account.boot_finished(instance_id)
        status = deployment.item(backup_id)["BackupStatus"]
        complete = log.read_text(errors="replace").rpartition("\n")[0].splitlines()
        yield from complete[seen:]
        seen = len(complete)
        if ended and status == RUNNING:
            raise DeploymentError("expected the instance to report, found its user data ended")


def _verify_run(deployment: Deployment, record: Record, notification: Notification) -> None:
    message = notification.message
    _expect("BackupStatus in the record", SUCCESS, record.get("BackupStatus"))
    _expect("BackupStatus in the notification", SUCCESS, message.get("BackupStatus"))
    _expect("BackupId in the notification", record["BackupId"], message.get("BackupId"))
    for prefix in logs.FOLDERS:
        found = [log["Key"] for log in deployment.logs(prefix) if record["BackupId"] in log["Key"]]
        _expect(f"logs of the run below {prefix}", "some", "some" if found else "none")


def _expect(what: str, expected: object, found: object) -> None:
    if found != expected:
        raise DeploymentError(f"{what}: expected {expected}, found {found}")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until it can be told what has ended
    sys.exit(main())
