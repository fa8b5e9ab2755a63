"""Restore stacks in the account, where the demo does not lead."""

import json

import pytest

from local.deployment import Inbox, Restoration
from tests.local.inside.faults import Backups
from tests.local.inside.window import reach_stop_time


@pytest.fixture(scope="session")
def backed_up(stack, inbox):
    (stack.source / "docs").mkdir()
    (stack.source / "docs" / "file").write_text("as backed up")
    stack.start()
    stack.wait_until_idle()
    assert inbox.wait().message["BackupStatus"] == "Success"
    return stack


@pytest.fixture
def damaged(backed_up):
    (backed_up.source / "docs" / "file").write_text("overwritten since")
    return backed_up


def restore(stack, release_url, name, **parameters):
    return Restoration.create(stack, name, release_url, **parameters)


def safety_directories(stack):
    return sorted(path.name for path in stack.source.glob(".efs-restore-*"))


def test_a_dry_run_tells_and_changes_nothing(damaged, release_url):
    message = restore(damaged, release_url, "dry", DryRun="Yes").wait()
    assert message["Status"] == "Planned"
    assert message["Examples"]["replace"] == ["docs/file"]
    assert (damaged.source / "docs" / "file").read_text() == "overwritten since"
    assert safety_directories(damaged) == []


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"BackupNum": "9"}, ["daily.9", "daily.0 (made 20"]),
        ({"BackupDate": "2001-01-01"}, ["2001-01-01", "daily.0 (made 20"]),
        ({"RestoreSubDir": "/nowhere/"}, ["/nowhere", "does not exist"]),
        ({"FolderLabel": "another"}, ["another", "efs-backup"]),
    ],
)
def test_what_is_not_there_is_named_and_nothing_is_changed(damaged, release_url, parameters, words):
    name = f"refused-{next(iter(parameters)).lower()}"
    message = restore(damaged, release_url, name, **parameters).wait()
    assert message["Status"] == "Unsuccessful"
    assert [word for word in words if word not in message["Message"]] == []
    assert (damaged.source / "docs" / "file").read_text() == "overwritten since"
    assert safety_directories(damaged) == []


def test_logs_that_cannot_be_kept_do_not_keep_a_restore_from_its_work(damaged, release_url):
    name = "no-such-bucket-anywhere"
    restoration = restore(damaged, release_url, "unlogged", RestoreLogBucket=name)
    restoration.wait_until_gone()
    assert (damaged.source / "docs" / "file").read_text() == "as backed up"
    disks = damaged.account.home / "instances"
    sent = [json.loads(p.read_text()) for p in disks.glob("*/run/efs-backup/message.json")]
    (message,) = [m for m in sent if any(name in line for line in m.get("Warnings", []))]
    assert message["Status"] == "Success"


def test_one_file_by_the_date_of_its_snapshot_and_back_again(damaged, release_url):
    planned = restore(damaged, release_url, "known", DryRun="Yes").wait()
    name, _, date = planned["Snapshot"].partition(", made ")
    assert name == "daily.0"
    other = damaged.source / "docs" / "other"
    other.write_text("not asked for")
    message = restore(
        damaged, release_url, "one", RestoreSubDir="/docs/file", BackupDate=date, BackupNum="9"
    ).wait()
    assert message["Status"] == "Success"
    assert message["Snapshot"] == planned["Snapshot"]
    assert (damaged.source / "docs" / "file").read_text() == "as backed up"
    assert other.read_text() == "not asked for"

    restore_id = message["SafetyDirectory"].partition(".efs-restore-")[2]
    assert restore(damaged, release_url, "undo", UndoId=restore_id).wait()["Status"] == "Undone"
    assert (damaged.source / "docs" / "file").read_text() == "overwritten since"
    other.unlink()


def test_a_restore_that_never_reports_is_ended_and_told_of(damaged, release_url, inbox, wait_until):
    faults = Backups(damaged, inbox)
    faults.break_instances({"python3": {"*engine.restore*": "exec sleep infinity"}})
    hanging = restore(damaged, release_url, "hanging")
    told = Inbox.subscribe(hanging)
    hanging.wait_for_instance()
    reach_stop_time(hanging, "restore")
    hanging.wait_until_gone()
    subject, message = told.wait()
    assert subject == "EFS restore: Unknown"
    assert "has not ended within its Restore Window of 4320 minutes" in message["Message"]
    assert message["StartCommand"].endswith("--desired-capacity 1")

    hanging.scale(1)
    hanging.wait_for_instance()
    hanging.scale(0)
    hanging.wait_until_gone()
    assert "has not said how the restore ended" in told.wait().message["Message"]

    faults.mend()
    hanging.scale(1)
    hanging.wait_for_instance()
    assert hanging.wait()["Status"] == "Success"
    assert told.wait().subject == "EFS restore: Success"
    assert (damaged.source / "docs" / "file").read_text() == "as backed up"


def test_a_new_directory_leaves_everything_else_alone(damaged, release_url):
    message = restore(damaged, release_url, "new", RestoreMode="NewDirectory").wait()
    assert message["Status"] == "Success"
    (new,) = damaged.source.glob("efs-restore_*")
    assert (new / "docs" / "file").read_text() == "as backed up"
    assert (damaged.source / "docs" / "file").read_text() == "overwritten since"
