"""Who may do what with the backup file system once Protect Snapshots is Yes.

Ministack evaluates the policy, as it does for all other services, and knows nothing of ours.
"""

import json
import re
from typing import Any

import pytest

from local.mount_targets import MOUNT, RIGHTS, ROOT, WRITE, NotEnforced, granted
from tests.templates.reading import BACKUP, Tree, load, of_type, wrongly_judged
from tests.templates.reading import ROOT as ROOT_FOLDER

BACKUP_ROLE = "arn:aws:iam::111122223333:role/efs-backup-EC2Role-1A2B3C"
RESTORE_ROLE = "arn:aws:iam::111122223333:role/restore-EC2Role-4D5E6F"
ADMINISTRATOR = "arn:aws:iam::111122223333:role/administrator"
OTHER_ROLE = "arn:aws:iam::111122223333:role/web-server"
ANONYMOUS = None

READ_AS_ROOT = {MOUNT, ROOT}


@pytest.fixture(scope="module")
def file_system() -> Tree:
    return of_type(load(BACKUP), "AWS::EFS::FileSystem")


def value_if(choice: Tree, condition: str) -> Any:
    """The value under a condition; without it, there must be none."""
    name, value, otherwise = choice["Fn::If"]
    assert (name, otherwise) == (condition, {"Ref": "AWS::NoValue"})
    return value


CLIENTS: dict[str, tuple[tuple[set[str], str | None, bool], set[str]]] = {
    "backup": ((set(RIGHTS), BACKUP_ROLE, True), set(RIGHTS)),
    "restore": ((READ_AS_ROOT, RESTORE_ROLE, True), READ_AS_ROOT),
    "role without rights": ((set(), OTHER_ROLE, True), READ_AS_ROOT),
    # What docs/security.md says of them: nothing in the policy keeps these from writing.
    "administrator": ((set(RIGHTS), ADMINISTRATOR, True), set(RIGHTS)),
    "anonymous": ((set(), ANONYMOUS, True), READ_AS_ROOT),
    "backup without TLS": ((set(RIGHTS), BACKUP_ROLE, False), set()),
    "anonymous without TLS": ((set(), ANONYMOUS, False), set()),
}


def wrongly_granted(policy: Tree | None) -> list[str]:
    return [name for name, (client, due) in CLIENTS.items() if granted(policy, *client) != due]


def test_who_has_no_right_of_its_own_only_reads_and_all_use_tls(file_system: Tree) -> None:
    assert wrongly_granted(value_if(file_system["FileSystemPolicy"], "Protect")) == []


def test_without_a_policy_everybody_writes() -> None:
    assert granted(None, (), ANONYMOUS, tls=False) == RIGHTS


@pytest.mark.parametrize(
    ("missing", "wrong"),
    [("EverybodyReads", "anonymous"), ("OnlyWithTLS", "backup without TLS")],
)
def test_each_statement_is_needed(file_system: Tree, missing: str, wrong: str) -> None:
    policy = value_if(file_system["FileSystemPolicy"], "Protect")
    rest = [s for s in policy["Statement"] if s["Sid"] != missing]
    assert wrong in wrongly_granted({"Statement": rest})


def test_a_condition_that_efs_does_not_enforce_is_no_protection(file_system: Tree) -> None:
    denied = {
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Action": WRITE,
        "Condition": {"ArnNotEquals": {"aws:PrincipalArn": BACKUP_ROLE}},
    }
    policy = value_if(file_system["FileSystemPolicy"], "Protect")
    with pytest.raises(NotEnforced, match="aws:PrincipalArn"):
        granted({"Statement": [*policy["Statement"], denied]}, RIGHTS, BACKUP_ROLE)


def documented(heading: str) -> list[Tree]:
    """The policies of JSON in a section of docs/security.md."""
    section = (ROOT_FOLDER / "docs/security.md").read_text().split(f"## {heading}\n")[1]
    blocks = re.findall(r"```json\n(.+?)\n```", section.split("\n## ")[0], re.DOTALL)
    return [json.loads(block) for block in blocks]


def test_the_policy_for_the_source_keeps_the_backup_from_writing_and_nobody_else() -> None:
    (policy,) = documented("The source")
    role = policy["Statement"][1]["Principal"]["AWS"]
    assert granted(policy, RIGHTS, role) == READ_AS_ROOT
    assert granted(policy, (), ANONYMOUS, tls=False) == RIGHTS
    assert granted(policy, (), OTHER_ROLE) == RIGHTS


def test_whoever_deploys_can_take_the_protection_away_again(file_system: Tree) -> None:
    """EFS refuses a policy that locks out its author, and a rollback has to remove it."""
    assert "BypassPolicyLockoutSafetyCheck" not in file_system
    policy = value_if(file_system["FileSystemPolicy"], "Protect")
    found = {action for s in policy["Statement"] for action in _listed(s["Action"])}
    assert found <= RIGHTS


def _listed(action: str | list[str]) -> list[str]:
    return [action] if isinstance(action, str) else action


def test_a_replica_is_made_only_where_a_region_is_named(file_system: Tree) -> None:
    configuration = value_if(file_system["ReplicationConfiguration"], "Replica")
    assert configuration == {"Destinations": [{"Region": {"Ref": "ReplicaRegion"}}]}


def test_a_replica_region_is_a_region() -> None:
    parameter = load(BACKUP)["Parameters"]["ReplicaRegion"]
    good = ["", "eu-west-1", "us-gov-east-1", "eusc-de-east-1", "cn-northwest-1"]
    bad = [" ", "eu-west-1a", "eu_west_1", "Ireland", "EU-WEST-1"]
    assert wrongly_judged(parameter, good, bad) == []


@pytest.mark.parametrize(
    ("condition", "parameter", "expression"),
    [
        ("Protect", "ProtectSnapshots", {"Fn::Equals": [{"Ref": "ProtectSnapshots"}, "Yes"]}),
        ("Replica", "ReplicaRegion", {"Fn::Not": [{"Fn::Equals": [{"Ref": "ReplicaRegion"}, ""]}]}),
    ],
)
def test_a_stack_gets_neither_unasked(condition: str, parameter: str, expression: Tree) -> None:
    template = load(BACKUP)
    assert template["Conditions"][condition] == expression
    assert template["Parameters"][parameter]["Default"] in ("No", "")
