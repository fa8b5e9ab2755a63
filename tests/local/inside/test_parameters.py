"""What the parameters of the guide make of a stack: with their defaults, and with other values."""

import pytest

from local import deployment

CHANGED = {
    "IntervalTag": "weekly",
    "Retain": "2",
    "FolderLabel": "mine",
    "BackupWindow": "60",
    "BackupSchedule": "cron(30 3 ? * SUN *)",
    "BackupPrefix": "/appdata",
    "EFSMode": "maxIO",
    "EFSEncryption": "No",
    "Email": "other@example.com",
    "SuccessNotification": "No",
    "Dashboard": "No",
    "VerifyPercent": "100",
    "RestoreTestPercent": "100",
    "ExcludeCaches": "Yes",
    "RetainWeekly": "0",
    "RetainMonthly": "12",
    "HoldOnChangePercent": "0",
    "ExcludePatterns": "*.tmp | /it's $(one)/",
}


class Look:
    """What can be seen of a stack through the APIs."""

    def __init__(self, stack, name):
        self.stack = stack
        self.name = name
        self.client = stack.account.client
        efs, file_system = self.client("efs"), stack.resources["DstEFS"]
        (self.backup,) = efs.describe_file_systems(FileSystemId=file_system)["FileSystems"]
        found = efs.describe_mount_targets(FileSystemId=file_system)["MountTargets"]
        self.mounted_in = {target["SubnetId"] for target in found}

    def schedule(self):
        rule = self.stack.resources["EFSBackupStartEvent"]
        return self.client("events").describe_rule(Name=rule)["ScheduleExpression"]

    def addresses(self):
        found = self.client("sns").list_subscriptions_by_topic(
            TopicArn=self.stack.resources["SNSTopic"]
        )["Subscriptions"]
        return [(one["Protocol"], one["Endpoint"]) for one in found]

    def outputs(self):
        (state,) = self.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"]
        return {o["OutputKey"]: o["OutputValue"] for o in state["Outputs"]}


def test_defaults(stack):
    look = Look(stack, deployment.STACK)
    assert (look.backup["Encrypted"], look.backup["PerformanceMode"]) == (True, "generalPurpose")
    assert look.mounted_in == set(stack.network.subnets)
    assert look.schedule() == "cron(0 2 * * ? *)"
    assert ("email", deployment.EMAIL) in look.addresses()
    outputs = look.outputs()
    assert outputs["DashboardView"] == f"{deployment.STACK}-{stack.account.region}"
    assert outputs["SourceEFS"] == stack.source_id
    assert outputs["BackupEFS"] == stack.resources["DstEFS"]
    assert outputs["LogBucket"] == stack.resources["EFSLogBucket"]
    assert outputs["EFSSecurityGroup"] == stack.resources["EFSSecurityGroup"]
    assert stack.resources["SNSTopic"].endswith(f":{outputs['SNSTopic']}")
    assert outputs["AmiId"].startswith("ami-")
    assert outputs["UUID"]


def test_they_are_named_like_the_stack(stack):
    for logical_id in ("Orchestrator", "EFSDynamoDB"):
        assert stack.resources[logical_id] == deployment.STACK


@pytest.fixture(scope="module")
def changed(stack, release_url):
    values = {
        "SrcEFS": stack.source_id,
        "VpcId": stack.network.vpc,
        "Subnets": ",".join(stack.network.subnets),
        **CHANGED,
    }
    url = f"{release_url}/{deployment.BACKUP_TEMPLATE}"
    account, name = stack.account, "changed"
    resources = deployment.create_stack(account, name, url, values, lambda text: None)
    return deployment.Deployment(account, stack.network, stack.source_id, resources)


def test_other_values(changed):
    look = Look(changed, "changed")
    assert (look.backup["Encrypted"], look.backup["PerformanceMode"]) == (False, "maxIO")
    assert look.schedule() == CHANGED["BackupSchedule"]
    assert look.addresses() == [("email", CHANGED["Email"])]
    assert "CWDashboard" not in changed.resources
    assert "DashboardView" not in look.outputs()


def test_a_backup_with_other_values(changed):
    """Only the prefix, as weekly.0, weekly.1 and monthly.0; no mail for a success."""
    inbox = deployment.Inbox.subscribe(changed)
    source = changed.source / "appdata"
    (source / "it's $(one)").mkdir(parents=True)
    (source / "x.tmp").write_text("is excluded, as that directory is")
    (source / "cache").mkdir()
    (source / "cache" / "CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55")
    (source / "cache" / "made anew").write_text("is excluded, too")
    for number in range(3):
        (source / "file").write_text(f"content {number}")
        (changed.source / "beside").write_text("is not backed up")
        record = changed.item(run := changed.start())
        changed.wait_until_idle()
        assert (record["BackupWindow"], record["RetainPeriod"]) == (60, 2)
        ended = changed.item(run)
        assert (ended["BackupStatus"], ended["NumberOfFilesVerified"]) == ("Success", 2)
        assert (ended["NumberOfFilesExcluded"], ended["ExcludedFileSize"]) == (3, 49)
        assert ended["NumberOfFilesTestRestored"] == 2 + number  # all versions
        assert ended["RestoreTestAge"] == 0
        assert "Warnings" not in ended
    assert inbox.messages() == []
    folder = changed.account.file_system(changed.resources["DstEFS"]) / "mine"
    found = {path.name: path for path in folder.glob("[!.]*")}
    assert found.keys() == {"weekly.0", "weekly.1", "monthly.0"}
    for name, text in (("weekly.0", "content 2"), ("weekly.1", "content 1")):
        assert {path.name for path in found[name].iterdir()} == {"cache", "file"}
        assert (found[name] / "file").read_text() == text
        assert [path.name for path in (found[name] / "cache").iterdir()] == ["CACHEDIR.TAG"]
