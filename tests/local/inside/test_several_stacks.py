"""Two stacks on one file system, which the guide advises for a large one, with unusual names."""

import json
import os

import pytest

from local import deployment
from local.tree import read_tree
from tests.local.inside.faults import LAST, Backups
from tests.local.inside.window import reach_stop_time

# One stack's name begins with the other's, and so does its prefix.
NAMES = ("files", "files-2")
PREFIXES = ("/My Äpp data", """/My Äpp data 2/100% $HOME 'x' "y" `id` $(id) ; #""")
LABELS = ("漢字 label", """it's a "label" $HOME 100% \\n {x} & <y> | *?""")
SUBDIRECTORY = "/ünter wegs/it's $HOME & 100%/"


class Stack(deployment.Deployment):
    """A deployment with a prefix and a label of its own."""

    number = 0

    @classmethod
    def deploy(cls, account, network, source, url, number):
        values = {
            "SrcEFS": source,
            "VpcId": network.vpc,
            "Subnets": ",".join(network.subnets),
            "Email": deployment.EMAIL,
            "BackupPrefix": PREFIXES[number],
            "FolderLabel": LABELS[number],
        }
        template = f"{url}/{deployment.BACKUP_TEMPLATE}"
        resources = deployment.create_stack(
            account, NAMES[number], template, values, lambda text: None
        )
        stack = cls(account, network, source, resources)
        object.__setattr__(stack, "number", number)
        return stack

    @property
    def prefix(self):
        return self.source / PREFIXES[self.number][1:]

    @property
    def snapshots(self):
        return self.account.file_system(self.resources["DstEFS"]) / LABELS[self.number]

    def statuses(self):
        items = self.account.client("dynamodb").scan(TableName=self.resources["EFSDynamoDB"])
        found = (item.get("BackupStatus") for item in items["Items"])
        return sorted(status["S"] for status in found if status)


@pytest.fixture(scope="module")
def stacks(local_account, release_url):
    network = deployment.create_network(local_account)
    source = deployment.create_file_system(local_account, network)
    found = [Stack.deploy(local_account, network, source, release_url, n) for n in (0, 1)]
    for stack in found:
        inner = stack.prefix / SUBDIRECTORY.strip("/")
        inner.mkdir(parents=True)
        (inner / "file").write_text(f"of {NAMES[stack.number]}")
        (stack.prefix / "beside").write_text("beside")
    return found


def test_nothing_is_shared_but_the_source(stacks):
    first, second = (stack.resources for stack in stacks)
    shared = {name for name in first if first[name] == second[name]}
    assert shared <= {"AMIInfo"}
    for own, other in ((first, second), (second, first)):
        iam = stacks[0].account.client("iam")
        policies = [
            iam.get_role_policy(RoleName=own[role], PolicyName=policy)["PolicyDocument"]
            for role in ("EC2Role", "OrchestratorRole", "SchedulerRole")
            for policy in iam.list_role_policies(RoleName=own[role])["PolicyNames"]
        ]
        assert len(policies) == 3
        resources = json.dumps(
            [s["Resource"] for policy in policies for s in policy["Statement"]]
        ).split('"')
        kinds = ("DstEFS", "EFSAutoScalingGroup", "EFSDynamoDB", "EFSLogBucket", "ScheduleGroup")
        for physical in (other[kind] for kind in kinds):
            mine = [r for r in resources if physical in r.replace(":", "/").split("/")]
            assert mine == []


def test_both_run_at_once_and_each_backs_up_its_own(stacks):
    runs = [stack.start() for stack in stacks]
    for stack, run in zip(stacks, runs, strict=True):
        stack.wait_until_idle()
        record = stack.item(run)
        assert record["BackupStatus"] == "Success", record
        assert record["BackupPrefix"] == PREFIXES[stack.number]
        assert record["FolderLabel"] == LABELS[stack.number]
        newest = stack.snapshots / "daily.0"
        assert read_tree(newest) == read_tree(stack.prefix)
        assert stack.statuses() == ["Success"]
        others = set(os.listdir(stack.account.file_system(stack.resources["DstEFS"])))
        assert others == {LABELS[stack.number]}


@pytest.mark.parametrize("number", [0, 1])
def test_a_directory_comes_back_to_where_it_was(stacks, release_url, number):
    stack = stacks[number]
    file = stack.prefix / SUBDIRECTORY.strip("/") / "file"
    file.write_text("overwritten")
    (stack.prefix / "beside").write_text("overwritten too")
    restoration = deployment.Restoration.create(
        stack,
        f"restore-{number}",
        release_url,
        FolderLabel=LABELS[number],
        RestorePrefix=PREFIXES[number],
        RestoreSubDir=SUBDIRECTORY,
    )
    message = restoration.wait()
    assert message["Status"] == "Success", message
    assert file.read_text() == f"of {NAMES[number]}"
    assert (stack.prefix / "beside").read_text() == "overwritten too"
    other = stacks[1 - number]
    assert (other.prefix / SUBDIRECTORY.strip("/") / "file").read_text() == (
        f"of {NAMES[1 - number]}"
    )


def test_the_end_of_one_window_does_not_touch_the_other_run(stacks, wait_until):
    for stack in stacks:
        for name in ("first", *LAST):
            (stack.prefix / name).write_text("content")
    faults = Backups(stacks[0], deployment.Inbox.subscribe(stacks[0]))
    faults.hold_copies()
    runs = [stack.start() for stack in stacks]
    wait_until(lambda: all([*stack.snapshots.rglob("first")] for stack in stacks))
    reach_stop_time(stacks[0], runs[0])
    stacks[0].wait_until_idle()
    faults.mark(".go").touch()
    stacks[1].wait_until_idle()
    found = [s.item(run)["BackupStatus"] for s, run in zip(stacks, runs, strict=True)]
    assert found == ["Incomplete", "Success"]
    assert (stacks[1].snapshots / "daily.0" / LAST[0]).exists()
    assert not (stacks[0].snapshots / "daily.0" / "first").exists()
