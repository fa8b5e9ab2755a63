"""The restore instance's own script, from its start to the end of its instance, without AWS."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .conftest import EC2

SETTINGS = """\
REGION=eu-west-1
TARGET_EFS=fs-01234567
BACKUP_EFS=fs-89abcdef
INTERVAL_TAG=daily
BACKUP_NUM=0
BACKUP_DATE=
FOLDER_LABEL=efs-backup
RESTORE_PREFIX=/
RESTORE_SUBDIR=/
RESTORE_MODE=Mirror
DRY_RUN=No
UNDO_ID=
RESTORE_WINDOW=4320
WORKERS=0
WORKERS_GROUP=
WORKERS_QUEUE=
LOG_BUCKET=logs
TOPIC_ARN=arn:aws-cn:sns:cn-north-1:123456789012:topic
"""
# Notes each call, and fails those that FAILS matches. The bucket is a directory.
AWS = """
printf '%s\\n' "$*" >>"$HOME/calls"
[[ -z $FAILS || ! "$*" =~ $FAILS ]] || { echo "denied: $1 $2" >&2; exit 254; }
case "$1 $2" in
  'autoscaling describe-auto-scaling-instances') [[ -n $4 ]] && echo my-group ;;
  'autoscaling set-desired-capacity') [[ -n $4 ]] ;;
  's3 cp')
    from=${*: -2:1} to=$HOME/bucket/${*: -1}
    [[ ${*: -1} != - ]] || { cat -- "$HOME/bucket/$from"; exit; }
    mkdir -p "$(dirname "$to")"
    if [[ $from == - ]]; then cat >"$to"; else cp -r -T "$from" "$to"; fi ;;
esac
"""
# Notes each file system.
MOUNT = """
echo "${*: -2:1}" >>"$HOME/mounts"
[[ $FAILS != mount ]] || { echo 'Connection timed out'; exit 32; }
"""
# Places that the script and its libraries use, and where they are here.
PLACES = (
    *("/etc/efs-backup.conf", "/run/efs-backup", "/var/log/", "/mnt/", "/usr/local/bin"),
    "/proc/sys/fs/",
)


@dataclass
class Instance:
    """A copy of the scripts that finds everything below ``root``, and stand-ins for AWS."""

    root: Path
    script = "efs-ec2-restore.sh"
    settings = SETTINGS
    aws = AWS
    progress_seconds = "60"

    def __post_init__(self) -> None:
        shutil.copytree(EC2, self.root / "ec2")
        for path in (self.root / "ec2").rglob("*"):
            if path.suffix in (".sh", ".py"):
                text = path.read_text()
                for place in PLACES:
                    text = text.replace(place, f"{self.root}{place}")
                path.write_text(text)
        for folder in ("etc", "run", "var/log", "mnt/target", "usr/local/bin", "proc/sys/fs"):
            (self.root / folder).mkdir(parents=True)
        for name, body in {
            "aws": self.aws,
            "curl": "[[ $FAILS != curl ]] && { [[ $* == *ami-id ]] && echo ami-1 || echo i-1; }",
            "mount": MOUNT,
            "mountpoint": "",
            "findmnt": "echo ro,relatime",
            "mount.efs": "",
        }.items():
            command = self.root / "usr/local/bin" / name
            command.write_text(f"#!/bin/bash\n{body}\n")
            command.chmod(0o755)
        snapshot = self.root / "mnt/backup/efs-backup/daily.0"
        snapshot.mkdir(parents=True)
        (snapshot / "file").write_text("as backed up")
        (self.root / "mnt/target/file").write_text("overwritten since")

    def start(self, fails: str = "", **settings: str) -> subprocess.Popen[bytes]:
        """Start the script. ``fails``: curl, mount, or an expression for calls of ``aws``."""
        changed = "".join(f"{name}={value}\n" for name, value in settings.items())
        (self.root / "etc/efs-backup.conf").write_text(self.settings + changed)
        output = (self.root / "var/log/cloud-init-output.log").open("wb")
        return subprocess.Popen(
            [str(self.root / "ec2" / self.script)],
            env=self.environment(fails),
            stdout=output,
            stderr=output,
        )

    def environment(self, fails: str = "") -> dict[str, str]:
        mounting = {"MOUNT_SECONDS": "1", "MOUNT_PAUSE": "0.3"}
        progress = {"PROGRESS_SECONDS": self.progress_seconds}
        path = f"{self.root}/usr/local/bin:{os.environ['PATH']}"
        return {**mounting, **progress, "HOME": str(self.root), "PATH": path, "FAILS": fails}

    def boot(self, fails: str = "", **settings: str) -> None:
        self.start(fails, **settings).wait()

    @property
    def logs(self) -> list[str]:
        """What the bucket has of a run, without the run's label."""
        top = self.root / "bucket/s3:/logs"
        found = (p.relative_to(top) for p in top.rglob("*") if p.is_file() and p.name != "daily.0")
        return sorted(str(Path(path.parts[0], *path.parts[2:])) for path in found)

    @property
    def mounts(self) -> list[str]:
        return (self.root / "mounts").read_text().splitlines()

    def calls(self, beginning: str) -> list[str]:
        lines = (self.root / "calls").read_text().splitlines()
        return [line for line in lines if line.startswith(beginning)]

    def calls_of(self, word: str) -> bool:
        calls = self.root / "calls"
        return calls.exists() and word in calls.read_text()

    @property
    def links_without_asking(self) -> bool:
        return (self.root / "proc/sys/fs/protected_hardlinks").read_text() == "0\n"

    @property
    def subjects(self) -> list[str]:
        published = self.calls("sns publish")
        return [line.split(" --subject ")[1].split(" --message ")[0] for line in published]

    @property
    def message(self) -> dict[str, Any]:
        """The last notification."""
        found: dict[str, Any] = json.loads((self.root / "run/efs-backup/message.json").read_text())
        return found

    @property
    def ended(self) -> bool:
        last = (self.root / "calls").read_text().splitlines()[-1]
        return last == (
            "autoscaling set-desired-capacity --auto-scaling-group-name my-group"
            " --desired-capacity 0"
        )


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    return Instance(tmp_path / "root")


def test_a_restore(instance: Instance) -> None:
    instance.boot()
    assert (instance.root / "mnt/target/file").read_text() == "as backed up"
    assert instance.subjects == ["EFS restore: Success"]
    assert instance.message["NumberOfFilesReplaced"] == 1
    assert instance.message["SafetyDirectory"].startswith("fs-01234567:/.efs-restore-")
    words = [word for line in instance.calls("s3 cp") for word in line.split()]
    keys = [word for word in words if word.startswith("s3://")]
    assert all(key.startswith("s3://logs/efs-restore-logs/") for key in keys)
    assert keys[-1] == instance.message["EC2Logs"] + "notification.json"
    prefix = instance.message["EC2Logs"].removeprefix("s3://logs/")
    assert instance.message["Logs"] == (
        f"https://cn-north-1.console.amazonaws.cn/s3/buckets/logs?region=cn-north-1&prefix={prefix}"
    )
    assert instance.logs == [
        "efs-restore-logs/cloud-init-output.log",
        "efs-restore-logs/engine.log",
        "efs-restore-logs/notification.json",
        "efs-restore-logs/replace.txt",
        "efs-restore-logs/restore.log",
        "efs-restore-logs/rsync.log",
    ]
    assert instance.ended


def test_a_dry_run(instance: Instance) -> None:
    instance.boot(DRY_RUN="Yes")
    assert (instance.root / "mnt/target/file").read_text() == "overwritten since"
    assert instance.subjects == ["EFS restore: Planned"]
    assert instance.message["Examples"]["replace"] == ["file"]
    assert instance.ended


@pytest.mark.parametrize(
    ("fails", "settings", "says", "what_to_do"),
    [
        ("mount", {}, "The EC2 instance was unable to find the mount IP OR mount EFS", "Check mo"),
        ("", {"BACKUP_NUM": "7"}, "there is no snapshot daily.7", "Choose one that exists"),
        ("", {"BACKUP_NUM": "-1"}, "not '-1'", "Change"),
        ("", {"BACKUP_NUM": "1.5"}, "not '1.5'", "Change"),
        ("", {"BACKUP_DATE": "2001-01-01"}, "was made from 2001-01-01T00:00:00Z", "Choose one"),
        ("", {"RESTORE_SUBDIR": "/x"}, "'/x' does not exist", "Change"),
        ("", {"UNDO_ID": "nine"}, "The undoing of the restore nine was refused", "Change"),
        ("", {"FOLDER_LABEL": "other"}, "no folder 'other'; it has: efs-backup", "Choose one"),
        ("", {"RESTORE_PREFIX": "/file"}, "file' in the target is not a directory", "Move away"),
    ],
)
def test_a_restore_that_cannot_begin(
    instance: Instance, fails: str, settings: dict[str, str], says: str, what_to_do: str
) -> None:
    instance.boot(fails, **settings)
    assert instance.subjects == ["EFS restore: Unsuccessful"]
    assert says in instance.message["Message"]
    assert "othing was changed" in instance.message["Message"]
    assert instance.message["WhatToDo"].startswith(what_to_do)
    assert (instance.root / "mnt/target/file").read_text() == "overwritten since"
    assert "efs-restore-logs/cloud-init-output.log" in instance.logs
    assert "efs-restore-logs/notification.json" in instance.logs
    assert instance.ended


def test_a_snapshot_by_its_date_and_one_file_of_it(instance: Instance) -> None:
    old = instance.root / "mnt/backup/efs-backup/daily.1"
    old.mkdir()
    for name in ("file", "other"):
        (old / name).write_text("older")
    os.utime(old, (0, 0))
    (instance.root / "mnt/target/other").write_text("not asked for")
    instance.boot(BACKUP_DATE="1970-01-01T00:00", RESTORE_SUBDIR="/file")
    assert instance.message["Status"] == "Success"
    assert instance.message["Snapshot"] == "daily.1, made 1970-01-01T00:00:00Z"
    assert (instance.root / "mnt/target/file").read_text() == "older"
    assert (instance.root / "mnt/target/other").read_text() == "not asked for"


NOTE = "bucket/s3:/logs/efs-restore-logs/snapshots/my-group/efs-backup/daily.0"


def test_an_instance_that_takes_the_place_of_another_restores_the_same_snapshot(
    instance: Instance,
) -> None:
    engine = instance.root / "ec2/efs-restore.sh"
    whole = engine.read_text()
    engine.write_text(
        "#!/bin/bash\nkill -9 $(ps -o ppid= -p $PPID)\n"
    )  # the instance dies at its work
    instance.boot()
    engine.write_text(whole)
    snapshots = instance.root / "mnt/backup/efs-backup"
    made = (instance.root / NOTE).read_text()
    (snapshots / "daily.0").rename(snapshots / "daily.1")  # a backup publishes
    (snapshots / "daily.0").mkdir()
    os.utime(snapshots / "daily.0", (2e9, 2e9))
    instance.boot()
    assert instance.message["Snapshot"] == f"daily.1, made {made}"
    assert (instance.root / "mnt/target/file").read_text() == "as backed up"
    assert (instance.root / NOTE).read_text() == "", "what is started next takes the number anew"
    instance.boot(RESTORE_MODE="Merge")
    assert instance.message["Snapshot"] == "daily.0, made 2033-05-18T03:33:20Z"


def test_a_snapshot_that_cannot_be_noted_is_restored(instance: Instance) -> None:
    instance.boot("snapshots/")
    assert instance.message["Status"] == "Success"
    assert (instance.root / "mnt/target/file").read_text() == "as backed up"


def test_an_undo(instance: Instance) -> None:
    instance.boot()
    restore_id = instance.message["SafetyDirectory"].partition(".efs-restore-")[2]
    (instance.root / "run/efs-backup/result.json").unlink()  # it is another instance that undoes it
    instance.boot(UNDO_ID=restore_id, DRY_RUN="Yes")
    assert instance.subjects[-1] == "EFS restore: Planned"
    assert (instance.root / "mnt/target/file").read_text() == "as backed up"
    mounted = len(instance.mounts)
    instance.boot(UNDO_ID=restore_id)
    assert instance.subjects[-1] == "EFS restore: Undone"
    assert instance.message["NumberOfEntriesPutBack"] == 1
    assert (instance.root / "mnt/target/file").read_text() == "overwritten since"
    assert instance.mounts[mounted:] == ["fs-01234567:/"], "an undo needs no snapshot"
    assert instance.ended


# An engine that says how far it is, and then goes on for ever, whatever happens to it.
HANGING = """#!/bin/bash
while (($# > 1)); do [[ $1 != --progress ]] || progress=$2; shift; done
echo '{"phase": "fetch", "done": 5}' >"$progress"
exec sleep 60
"""


def test_progress_goes_beside_the_logs_and_the_window_ends_the_engine(instance: Instance) -> None:
    engine = instance.root / "ec2/efs-restore.sh"
    engine.write_text(HANGING)
    instance.progress_seconds = "1"
    script = instance.root / "ec2/efs-ec2-restore.sh"
    script.write_text(script.read_text().replace("* 60)", "* 8)"))  # for minutes that are shorter
    instance.boot(RESTORE_WINDOW="16")
    told = instance.calls("s3 cp --no-progress --only-show-errors --cli-connect-timeout")
    keys = {line.split()[-1] for line in told}
    assert keys == {instance.message["EC2Logs"] + "progress.json"}
    assert len(told) == 1, "only what is new is told"
    assert instance.message["Status"] == "Unsuccessful"
    assert "ended with exit status 143" in instance.message["Message"]
    assert "efs-restore-logs/progress.log" not in instance.logs
    assert instance.ended


def test_progress_that_cannot_be_kept_disturbs_nothing(instance: Instance) -> None:
    engine = instance.root / "ec2/efs-restore.sh"
    engine.write_text(engine.read_text().replace("PYTHONPATH", "sleep 2; PYTHONPATH"))
    (instance.root / "run/efs-backup").mkdir()
    (instance.root / "run/efs-backup/progress.json").write_text("{}")
    instance.progress_seconds = "1"
    instance.boot("progress.json")
    assert (instance.root / "mnt/target/file").read_text() == "as backed up"
    assert instance.message["Status"] == "Success"
    assert "efs-restore-logs/progress.log" in instance.logs


def test_logs_that_cannot_be_kept_are_a_warning(instance: Instance) -> None:
    instance.boot("^s3")
    assert (instance.root / "mnt/target/file").read_text() == "as backed up"
    assert instance.subjects == ["EFS restore: Success"]
    assert all("s3://logs/" in warning for warning in instance.message["Warnings"])
    assert all("denied: s3 cp" in warning for warning in instance.message["Warnings"])
    assert instance.ended


def test_an_instance_ends_when_nobody_can_be_notified(instance: Instance) -> None:
    instance.boot("^sns")
    assert instance.ended


def test_a_restore_whose_report_fails_is_notified(instance: Instance) -> None:
    (instance.root / "ec2/lib/report/restore.py").write_text("raise SystemExit(1)")
    instance.boot()
    assert instance.subjects == ["EFS restore: Unknown"]
    assert instance.message == {
        "Status": "Unknown",
        "Message": "The EFS restore has ended, but its report could not be written.",
        "WhatToDo": "See the logs in EC2Logs: restore.log says how the restore ended.",
        "EC2Logs": instance.message["EC2Logs"],
    }
    assert instance.message["EC2Logs"].startswith("s3://logs/efs-restore-logs/")
    assert instance.ended


@pytest.mark.parametrize("fails", ["set-desired-capacity", "describe-auto-scaling", "curl"])
def test_an_instance_that_cannot_end_says_so(instance: Instance, fails: str) -> None:
    instance.boot(fails)
    assert instance.subjects[0].startswith("EFS restore: ")
    assert instance.subjects[-1] == "EFS restore: the instance is still running"
    assert "could not end itself" in instance.message["Message"]
    assert instance.message["WhatToDo"].startswith("Delete its stack")
