"""Restore stacks in the account, where the demo does not lead."""

import json

import pytest

from local.deployment import Restoration


@pytest.fixture(scope="session")
def backed_up(stack, inbox):
    (stack.source / "docs").mkdir()
    (stack.source / "docs" / "file").write_text("as backed up")
    stack.start()
    stack.wait_until_idle(60)
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
        ({"RestoreSubDir": "/nowhere/"}, ["/nowhere/", "does not exist"]),
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


def test_a_new_directory_leaves_everything_else_alone(damaged, release_url):
    message = restore(damaged, release_url, "new", RestoreMode="NewDirectory").wait()
    assert message["Status"] == "Success"
    (new,) = damaged.source.glob("efs-restore_*")
    assert (new / "docs" / "file").read_text() == "as backed up"
    assert (damaged.source / "docs" / "file").read_text() == "overwritten since"
