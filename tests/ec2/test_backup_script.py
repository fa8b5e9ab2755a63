"""The backup instance's own script, from its start to the end of its instance, without AWS."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .conftest import until
from .test_restore_script import AWS, Instance

SETTINGS = """\
REGION=eu-west-1
SOURCE_EFS=fs-01234567
BACKUP_EFS=fs-89abcdef
BACKUP_PREFIX=/
INTERVAL_TAG=daily
RETAIN=7
FOLDER_LABEL=efs-backup
MAX_FAILED_PERCENT=1
VERIFY_PERCENT=0
RESTORE_TEST_PERCENT=0
EXCLUDE_CACHES=No
RETAIN_WEEKLY=0
RETAIN_MONTHLY=0
HOLD_ON_CHANGE_PERCENT=50
EXCLUDE_PATTERNS=
TABLE_NAME=table
WORKERS=0
WORKERS_GROUP=
WORKERS_QUEUE=
LOG_BUCKET=logs
TOPIC_ARN=arn:aws:sns:eu-west-1:123456789012:topic
"""
# The lock names run-a, and the record says what is in `recorded`. Requests are kept under their
# files' names.
LOCK_AND_REQUESTS = """
case "$*" in
  *'[Item.BackupStatus.S, Item.InstanceId.S]'*) cat "$HOME/recorded" ;;
  *'"requests"'*) cat "$HOME/asked" 2>/dev/null || echo null ;;
  'dynamodb get-item '*)
    [[ -e $HOME/no-lock ]] && echo None || echo run-a
    [[ ! -e $HOME/next-lock ]] || mv "$HOME/next-lock" "$HOME/no-lock" ;;
  *' --cli-input-json '*)
    last=${*: -1}
    cp -- "${last#file://}" "$HOME/requests/.new"
    mv -- "$HOME/requests/.new" "$HOME/requests/${last##*/}"
    ;;
esac
"""
# rsync jobs say that they run, and wait for the file `go`.
SLOW_RSYNC = """
if [[ $* == *--files-from=* ]]; then
  touch "$HOME/running"
  until [[ -e $HOME/go ]]; do sleep 0.05; done
fi
exec {rsync} "$@"
"""


@dataclass
class BackupInstance(Instance):
    script = "efs-ec2-backup.sh"
    settings = SETTINGS
    aws = AWS + LOCK_AND_REQUESTS

    def __post_init__(self) -> None:
        super().__post_init__()
        for folder in ("requests", "mnt/source", "tmp"):
            (self.root / folder).mkdir()
        shutil.rmtree(self.root / "mnt/backup/efs-backup")
        (self.root / "mnt/source/file").write_text("content")
        (self.root / "recorded").write_text("Running\ti-1\n")

    def environment(self, fails: str = "") -> dict[str, str]:
        quick = {"PROGRESS_SECONDS": "0.1", "TMPDIR": str(self.root / "tmp")}
        return {**super().environment(fails), **quick}

    def slow_down(self) -> None:
        rsync = self.root / "usr/local/bin/rsync"
        rsync.write_text("#!/bin/bash\n" + SLOW_RSYNC.format(rsync=shutil.which("rsync")))
        rsync.chmod(0o755)

    def request(self, name: str) -> dict[str, Any]:
        """The attributes that an UpdateItem request sets, without type tags but for maps."""
        request = json.loads((self.root / "requests" / name).read_text())
        assert request["Key"] == {"BackupId": {"S": "run-a"}}
        assert "BackupStatus = :running" in request["ConditionExpression"]
        assert request["ExpressionAttributeValues"][":instance"] == {"S": "i-1"}
        names, values = request["ExpressionAttributeNames"], request["ExpressionAttributeValues"]
        return {name: next(iter(values[f":v{key[2:]}"].values())) for key, name in names.items()}

    @property
    def record(self) -> dict[str, Any]:
        return self.request("update.json")

    @property
    def result(self) -> Path:
        return self.root / "run/efs-backup/result.json"

    @property
    def published(self) -> bool:
        return (self.root / "mnt/backup/efs-backup/daily.0/file").exists()


@pytest.fixture
def instance(tmp_path: Path) -> BackupInstance:
    return BackupInstance(tmp_path / "root")


def test_a_backup(instance: BackupInstance) -> None:
    instance.boot()
    assert instance.published
    record = instance.record
    assert (record["BackupStatus"], record["NumberOfFiles"]) == ("Success", "1")
    assert instance.logs[0] == "ec2-logs/cloud-init-output.log"
    assert "efs-backup-log/rsync.log" in instance.logs
    assert "efs-backup-log/progress.log" not in instance.logs
    (claim,) = instance.calls("dynamodb update-item --table-name")
    assert '":image": {"S": "ami-1"}' in claim
    assert f'":logs": {{"S": "{record["EC2Logs"]}"}}' in claim
    assert (instance.root / "bucket" / record["EC2Logs"].replace("//", "/")).is_dir()
    assert instance.subjects == []
    assert instance.links_without_asking
    assert instance.ended


def test_the_bucket_gets_the_catalogs_and_loses_those_of_snapshots_that_are_gone(
    instance: BackupInstance,
) -> None:
    instance.boot(FOLDER_LABEL="a $(label)")
    (sync,) = instance.calls("s3 sync")
    assert "--delete" in sync
    assert sync.endswith("/run/efs-backup/catalog/ s3://logs/catalog/a $(label)/")
    links = [*(instance.root / "run/efs-backup/catalog").rglob("*.gz")]
    assert len(links) == 2
    assert all(link.read_bytes() for link in links)


def test_catalogs_that_cannot_be_uploaded_are_a_warning(instance: BackupInstance) -> None:
    instance.boot("s3 sync")
    assert instance.record["BackupStatus"] == "Success"
    assert "the catalogs could not be uploaded" in json.dumps(instance.record["Warnings"])
    assert instance.ended


def test_a_backup_that_publishes_nothing_leaves_the_catalogs_of_the_bucket_alone(
    instance: BackupInstance,
) -> None:
    instance.boot(RETAIN="1.5")
    assert not instance.calls_of("s3 sync")


def test_caches_are_left_out_and_restores_tested_as_the_parameters_say(
    instance: BackupInstance,
) -> None:
    cache = instance.root / "mnt/source/cache"
    cache.mkdir()
    (cache / "CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55")
    (cache / "made anew").write_text("content")
    instance.boot(EXCLUDE_CACHES="Yes", RESTORE_TEST_PERCENT="100")
    record = instance.record
    assert (record["BackupStatus"], record["NumberOfFilesExcluded"]) == ("Success", "1")
    assert (record["NumberOfFilesTestRestored"], record["RestoreTestAge"]) == ("2", "0")
    assert "efs-backup-log/restore-test.log" in instance.logs


def test_a_mass_change_is_said_until_it_is_in_the_record_or_was_sent(
    instance: BackupInstance,
) -> None:
    untold = instance.root / "mnt/backup/efs-backup/.daily.untold"

    def boot(text: str, fails: str = "") -> None:
        for number in range(1000 if text else 0):
            (instance.root / f"mnt/source/{number}").write_text(text)
        shutil.rmtree(instance.root / "run/efs-backup", ignore_errors=True)
        instance.boot(fails)

    boot("first")
    assert not untold.exists()
    boot("another", fails="update-item --cli-input-json|sns publish")
    assert untold.exists()
    boot("")
    said = json.dumps(instance.record["MassChange"])
    assert "an earlier backup could not tell: 1000 of 1001 files" in said
    assert not untold.exists()
    boot("a third", fails="update-item --cli-input-json")
    assert "MassChange" in (instance.root / "run/efs-backup/message.json").read_text()
    assert not untold.exists()


def test_a_kernel_that_cannot_be_set_changes_nothing(instance: BackupInstance) -> None:
    (instance.root / "proc/sys/fs/protected_hardlinks").mkdir()
    instance.boot()
    assert instance.published
    assert instance.record["BackupStatus"] == "Success"


@pytest.mark.parametrize(
    ("fails", "settings", "status", "says"),
    [
        ("mount", {}, "Unsuccessful", "mount EFS: the source file system fs-01234567:/"),
        ("", {"FOLDER_LABEL": "a/b"}, "Unsuccessful", "'a/b' contains '/'"),
        ("", {"RETAIN": "1.5"}, "Unsuccessful", "not '1.5'"),
        ("", {"VERIFY_PERCENT": "1.5"}, "Unsuccessful", "not '1.5'"),
        ("", {"RESTORE_TEST_PERCENT": "2.5"}, "Unsuccessful", "not '2.5'"),
        ("", {"MAX_FAILED_PERCENT": "2.5"}, "Unsuccessful", "not '2.5'"),
    ],
)
def test_the_logs_of_a_failure_are_kept(
    instance: BackupInstance, fails: str, settings: dict[str, str], status: str, says: str
) -> None:
    instance.boot(fails, **settings)
    assert instance.record["BackupStatus"] == status
    assert says in instance.record["Message"]
    assert says.rpartition(": ")[2] in (
        (instance.root / "bucket" / instance.record["EC2Logs"].replace("//", "/"))
        .joinpath("cloud-init-output.log")
        .read_text()
    )
    assert not instance.published
    assert instance.ended


def test_a_file_that_cannot_be_copied_is_in_the_logs(instance: BackupInstance) -> None:
    rsync = instance.root / "usr/local/bin/rsync"
    rsync.write_text('#!/bin/bash\necho "no such luck" >&2\nexit 23\n')
    rsync.chmod(0o755)
    instance.boot()
    assert instance.record["BackupStatus"] == "Unsuccessful"
    assert "ec2-logs/cloud-init-output.log" in instance.logs
    assert "efs-backup-log/rsync.log" in instance.logs
    (log,) = (instance.root / "bucket/s3:/logs/efs-backup-log").glob("*/rsync.log")
    assert "no such luck" in log.read_text()
    assert instance.ended


def test_the_logs_of_an_engine_that_is_killed_are_kept(instance: BackupInstance) -> None:
    instance.slow_down()
    script = instance.start()
    until((instance.root / "running").exists)
    os.kill(int((instance.root / "run/efs-backup/engine.pid").read_text()), signal.SIGKILL)
    script.wait()
    (instance.root / "go").touch()
    until(lambda: not processes(str(instance.root / "tmp/efs-backup.")))
    assert instance.record["BackupStatus"] == "Unsuccessful"
    assert "exit status 137 and without a result" in instance.record["Message"]
    assert "ran out of memory" in instance.record["WhatToDo"]
    assert instance.logs == [
        "ec2-logs/cloud-init-output.log",
        "efs-backup-log/engine.log",
        "efs-backup-log/rsync.log",
    ]
    assert instance.ended


def stop(instance: BackupInstance) -> subprocess.Popen[str]:
    command = ["--hook", "h", "--group", "my-group", "--instance", "i-1", "--token", "t"]
    return subprocess.Popen(
        [str(instance.root / "ec2/ssm.sh"), *command],
        env=instance.environment(),
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_run_that_is_stopped_keeps_its_logs_and_says_how_far_it_came(
    instance: BackupInstance,
) -> None:
    for number in range(2000):  # more than can be at work at once, or be done without
        (instance.root / "mnt/source" / str(number)).touch()
    instance.slow_down()
    script = instance.start()
    until((instance.root / "running").exists)
    end = stop(instance)
    assert end.stderr
    assert any("told the engine" in line for line in end.stderr)
    time.sleep(1)  # for it to be noticed before the jobs end
    (instance.root / "go").touch()
    assert end.wait() == 0
    script.wait()
    assert instance.record["BackupStatus"] == "Incomplete"
    assert "ec2-logs/cloud-init-output.log" in instance.logs
    assert "efs-backup-log/rsync.log" in instance.logs
    assert not instance.published
    assert instance.calls(
        "autoscaling complete-lifecycle-action --lifecycle-action-result CONTINUE"
    )


def test_progress_reaches_the_record_while_the_run_works(instance: BackupInstance) -> None:
    instance.slow_down()
    script = instance.start()

    def counted() -> bool:
        path = instance.root / "requests/progress-update.json"
        return path.exists() and '"copy"' in path.read_text()

    until(counted)
    progress = instance.request("progress-update.json")["Progress"]
    assert progress["Phase"] == {"S": "copy"}
    assert progress["Done"] == {"N": "0"}
    assert progress["Unit"]["S"] in ("files", "parts")
    assert "Updated" in progress
    (instance.root / "go").touch()
    script.wait()
    assert instance.record["BackupStatus"] == "Success"
    assert instance.ended, "nothing is written after the end"


def test_a_record_that_takes_no_progress_changes_nothing(instance: BackupInstance) -> None:
    instance.slow_down()
    script = instance.start(fails="progress-update")
    until(lambda: instance.calls_of("progress-update"))
    (instance.root / "go").touch()
    script.wait()
    assert instance.record["BackupStatus"] == "Success"
    assert "Warnings" not in instance.record
    (log,) = (instance.root / "bucket/s3:/logs/efs-backup-log").glob("*/progress.log")
    assert "denied: dynamodb update-item" in log.read_text()


def test_nobody_watches_a_script_that_was_killed(instance: BackupInstance) -> None:
    instance.slow_down()
    script = instance.start()
    until(lambda: instance.calls_of("progress-update"))
    script.kill()
    script.wait()
    path = str(instance.root / "ec2/efs-ec2-backup.sh")
    until(lambda: not processes(path))
    (instance.root / "go").touch()
    until(lambda: not processes(str(instance.root / "mnt/source")))


def processes(words: str) -> str:
    return subprocess.run(
        ["pgrep", "--full", "--", words], capture_output=True, text=True, check=False
    ).stdout


@pytest.mark.parametrize("fails", ["dynamodb", "dynamodb update-item"])
def test_a_record_that_cannot_be_updated_is_notified(instance: BackupInstance, fails: str) -> None:
    instance.boot(fails)
    assert instance.subjects == ["EFS backup: the DynamoDB record could not be updated"]
    assert list(instance.message)[:5] == ["BackupStatus", "Message", "WhatToDo", "Logs", "Note"]
    assert instance.message["BackupStatus"] == "Unsuccessful"
    assert not instance.published
    assert instance.ended


def test_a_result_that_cannot_be_recorded_is_notified(instance: BackupInstance) -> None:
    instance.boot("/update.json")
    assert instance.subjects == ["EFS backup: the DynamoDB record could not be updated"]
    message = instance.message
    assert message["BackupStatus"] == "Success"
    assert message["BackupId"] == "run-a"
    assert message["Logs"].startswith("https://eu-west-1.console.aws.amazon.com/s3/buckets/logs?")
    assert message["Logs"].endswith(message["EC2Logs"].removeprefix("s3://logs/"))
    assert instance.published
    assert instance.ended


@pytest.mark.parametrize(
    ("recorded", "ended"),
    [
        ("Running\ti-2\n", False),  # the group would end i-2
        ("Success\ti-2\n", False),
        ("Unknown\ti-1\n", True),
        ("Success\ti-1\n", True),  # written, but the answer was lost
    ],
)
def test_a_run_that_is_not_its_own_any_more_is_left_alone(
    instance: BackupInstance, recorded: str, ended: bool
) -> None:
    (instance.root / "recorded").write_text(recorded)
    instance.boot("/update.json")
    assert instance.subjects == []
    assert instance.ended == ended


def test_logs_that_cannot_be_kept_fail_no_backup(instance: BackupInstance) -> None:
    for name in ("rsync.log", "changes.txt.gz"):
        (instance.root / "var/log/efs-backup" / name / "in the way").mkdir(parents=True)
    instance.boot()
    assert instance.published
    assert instance.record["BackupStatus"] == "Success"
    warnings = [warning["S"] for warning in instance.record["Warnings"]]
    assert any("changes.txt.gz could not be kept: [Errno 21]" in warning for warning in warnings)


def test_an_engine_that_ends_without_a_result_is_reported_with_what_became_of_its_logs(
    instance: BackupInstance,
) -> None:
    left = instance.root / "tmp/efs-backup.x"
    left.mkdir()
    (left / "rsync.log").write_text("what rsync said")
    (instance.root / "var/log/efs-backup").mkdir()
    (instance.root / "var/log/efs-backup/rsync.log").symlink_to("/dev/full")
    engine = instance.root / "ec2/efs-backup.sh"
    engine.write_text(f'#!/bin/bash\necho \'{{"outcome": "publ\' >{instance.result}\nexit 1\n')
    instance.boot()
    assert instance.record["BackupStatus"] == "Unsuccessful"
    assert "exit status 1 and without a result" in instance.record["Message"]
    assert "memory" not in instance.record["WhatToDo"]
    (warning,) = (warning["S"] for warning in instance.record["Warnings"])
    assert "the log rsync.log could not be kept: " in warning
    assert "No space left on device" in warning
    assert instance.ended


def test_a_backup_without_some_files_says_so(instance: BackupInstance) -> None:
    result = {
        "outcome": "partial",
        "snapshot": "daily.0",
        "number_of_files_failed": 1,
        "errors": ["'a.log': No data available"],
    }
    engine = instance.root / "ec2/efs-backup.sh"
    engine.write_text(f"#!/bin/bash\ncat >{instance.result} <<'END'\n{json.dumps(result)}\nEND\n")
    instance.boot()
    assert instance.record["BackupStatus"] == "Partial"
    assert instance.record["Errors"] == [{"S": "'a.log': No data available"}]
    assert instance.subjects == []
    assert instance.ended


@pytest.mark.parametrize("place", ["tmp", "var/log/efs-backup"])
def test_a_place_to_work_that_cannot_be_had_is_named(instance: BackupInstance, place: str) -> None:
    shutil.rmtree(instance.root / place, ignore_errors=True)
    (instance.root / place).touch()
    instance.boot()
    assert instance.record["BackupStatus"] == "Unsuccessful"
    assert str(instance.root / place) in instance.record["Message"]
    assert instance.ended


def test_an_instance_that_nobody_asked_for_says_so(instance: BackupInstance) -> None:
    (instance.root / "no-lock").touch()
    instance.boot()
    assert "was the group's capacity changed by hand?" in instance.message["Message"]
    assert instance.logs == ["ec2-logs/cloud-init-output.log"]
    assert not instance.published
    assert instance.ended


def test_the_capacity_is_left_to_the_run_that_holds_the_lock(instance: BackupInstance) -> None:
    """Its own run is over, as when it drains beyond its window: the function has scaled in."""
    (instance.root / "next-lock").touch()
    instance.boot()
    assert instance.record["BackupStatus"] == "Success"
    assert not instance.calls("autoscaling set-desired-capacity")


def test_an_instance_that_does_not_know_itself_says_so(instance: BackupInstance) -> None:
    instance.boot("curl")
    assert "EFS backup: the DynamoDB record could not be updated" in instance.subjects
    assert "ec2-logs/cloud-init-output.log" in instance.logs


ASKED = {
    "BackupId": {"S": "requests"},
    "a": {"M": {"Action": {"S": "remove"}, "Snapshot": {"S": "2001-01-01"}}},
    "b": {"S": "nonsense"},
}


def test_what_was_asked_of_snapshots_is_answered_and_forgotten(instance: BackupInstance) -> None:
    (instance.root / "asked").write_text(json.dumps(ASKED))
    instance.boot()
    answers = [value["S"] for value in instance.record["Requests"]]
    assert [answer.partition(":")[0] for answer in answers] == ["not obeyed"] * 2
    assert instance.published
    removal = json.loads((instance.root / "requests/answered.json").read_text())
    assert removal["Key"] == {"BackupId": {"S": "requests"}}
    assert sorted(removal["ExpressionAttributeNames"].values()) == ["a", "b"]
    assert removal["UpdateExpression"] == "REMOVE #a0, #a1"
    assert instance.record["Snapshots"][0]["S"].startswith("daily.0 20")


def test_where_nothing_was_asked_nothing_is_removed(instance: BackupInstance) -> None:
    instance.boot()
    assert not (instance.root / "requests/answered.json").exists()
    assert "Requests" not in instance.record


WORKERS = {
    "WORKERS": "2",
    "WORKERS_GROUP": "stack-WorkerGroup-1x2y",
    "WORKERS_QUEUE": "https://sqs.eu-west-1.amazonaws.com/111122223333/queue",
}
END_WORKERS = "autoscaling set-desired-capacity --auto-scaling-group-name stack-WorkerGroup-1x2y"


def test_the_engine_is_told_of_the_workers_and_they_end_with_the_run(
    instance: BackupInstance,
) -> None:
    """Whose queue cannot be spoken to: the run does without it."""
    instance.boot("sqs ", **WORKERS)
    assert instance.published
    assert instance.record["BackupStatus"] == "Success"
    (end,) = instance.calls(END_WORKERS)
    assert end.endswith("--desired-capacity 0")
    assert instance.ended


def test_the_engine_looks_at_what_it_is_told_of_workers(instance: BackupInstance) -> None:
    instance.boot(**{**WORKERS, "WORKERS_QUEUE": "nonsense"})
    assert "is not the URL of an SQS queue" in instance.record["Message"]


def test_workers_end_when_the_run_never_began(instance: BackupInstance) -> None:
    instance.boot("mount", **WORKERS)
    assert instance.calls(END_WORKERS)
    assert instance.ended


def test_that_workers_cannot_be_ended_keeps_no_instance_alive(instance: BackupInstance) -> None:
    instance.boot("WorkerGroup", **WORKERS)
    assert instance.record["BackupStatus"] == "Success"
    assert instance.ended


def test_workers_of_the_next_run_are_not_ended(instance: BackupInstance) -> None:
    (instance.root / "next-lock").touch()
    instance.boot(**WORKERS)
    assert instance.calls(END_WORKERS) == []
