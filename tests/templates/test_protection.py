"""Who may do what with the backup file system once Protect Snapshots is Yes."""

from typing import Any

import pytest

from tests.templates.reading import BACKUP, Tree, load, of_type, wrongly_judged

BACKUP_ROLE = "arn:aws:iam::111122223333:role/efs-backup-EC2Role-1A2B3C"
RESTORE_ROLE = "arn:aws:iam::111122223333:role/restore-EC2Role-4D5E6F"
ADMINISTRATOR = "arn:aws:iam::111122223333:role/administrator"
ANONYMOUS = None

MOUNT, ROOT, WRITE = (
    f"elasticfilesystem:Client{name}" for name in ("Mount", "RootAccess", "Write")
)
READ_AS_ROOT = {MOUNT, ROOT}
EVERYTHING = {MOUNT, ROOT, WRITE}


@pytest.fixture(scope="module")
def file_system() -> Tree:
    return of_type(load(BACKUP), "AWS::EFS::FileSystem")


def value_if(choice: Tree, condition: str) -> Any:
    """The value under a condition; without it, there must be none."""
    name, value, otherwise = choice["Fn::If"]
    assert (name, otherwise) == (condition, {"Ref": "AWS::NoValue"})
    return value


def holds(operator: str, key: str, expected: Any, request: Tree) -> bool:
    """As IAM compares: a key that the request lacks does not match, and so differs."""
    if expected == {"Fn::GetAtt": ["EC2Role", "Arn"]}:
        expected = BACKUP_ROLE
    same = request.get(key) == expected
    return {"Bool": same, "ArnNotEquals": not same}[operator]


def granted(
    policy: Tree, own_rights: set[str], principal: str | None, tls: bool = True
) -> set[str]:
    """What a client may do through a mount target, by its own rights and the policy."""
    request = {
        "elasticfilesystem:AccessedViaMountTarget": "true",
        "aws:SecureTransport": "true" if tls else "false",
    }
    if principal is not None:
        request["aws:PrincipalArn"] = principal
    said: dict[str, set[str]] = {"Allow": set(own_rights), "Deny": set()}
    for statement in policy["Statement"]:
        assert statement["Principal"] == {"AWS": "*"}
        tests = [
            holds(operator, key, expected, request)
            for operator, keys in statement.get("Condition", {}).items()
            for key, expected in keys.items()
        ]
        if all(tests):
            found = statement["Action"]
            said[statement["Effect"]] |= {found} if isinstance(found, str) else set(found)
    return said["Allow"] - said["Deny"]


CLIENTS = {
    "backup": ((EVERYTHING, BACKUP_ROLE), EVERYTHING),
    "restore": ((READ_AS_ROOT, RESTORE_ROLE), READ_AS_ROOT),
    "administrator": ((EVERYTHING, ADMINISTRATOR), READ_AS_ROOT),
    "anonymous": ((set(), ANONYMOUS), READ_AS_ROOT),
    "backup without TLS": ((EVERYTHING, BACKUP_ROLE, False), set()),
    "anonymous without TLS": ((set(), ANONYMOUS, False), set()),
}


def wrongly_granted(policy: Tree) -> list[str]:
    return [name for name, (client, due) in CLIENTS.items() if granted(policy, *client) != due]


def test_only_the_backup_role_writes_and_all_read_over_tls(file_system: Tree) -> None:
    assert wrongly_granted(value_if(file_system["FileSystemPolicy"], "Protect")) == []


@pytest.mark.parametrize(
    ("missing", "wrong"),
    [
        ("EverybodyReads", "anonymous"),
        ("OnlyBackupsWrite", "administrator"),
        ("OnlyWithTLS", "backup without TLS"),
    ],
)
def test_each_statement_is_needed(file_system: Tree, missing: str, wrong: str) -> None:
    policy = value_if(file_system["FileSystemPolicy"], "Protect")
    rest = [s for s in policy["Statement"] if s["Sid"] != missing]
    assert wrong in wrongly_granted({"Statement": rest})


def test_whoever_deploys_can_take_the_protection_away_again(file_system: Tree) -> None:
    """EFS refuses a policy that locks out its author, and a rollback has to remove it."""
    assert "BypassPolicyLockoutSafetyCheck" not in file_system
    policy = value_if(file_system["FileSystemPolicy"], "Protect")
    found = {action for s in policy["Statement"] for action in _listed(s["Action"])}
    assert found <= EVERYTHING


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
