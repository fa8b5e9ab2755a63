"""What the file system policy of a protected backup lets whom do."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import pytest

from tests.templates.reading import BACKUP, load

BACKUP_ROLE = "arn:aws:iam::123456789012:role/backup-EC2Role"
RESTORE_ROLE = "arn:aws:iam::123456789012:role/restore-EC2Role"
ADMIN = "arn:aws:iam::123456789012:role/Admin"
ANONYMOUS = None  # a mount without the option "iam"


@pytest.fixture(scope="module")
def statements() -> list[dict[str, Any]]:
    choice = load(BACKUP)["Resources"]["DstEFS"]["Properties"]["FileSystemPolicy"]["Fn::If"]
    assert choice[0] == "Protected"
    assert choice[2] == {"Ref": "AWS::NoValue"}, "nothing is changed for those who do not ask"
    found: list[dict[str, Any]] = choice[1]["Statement"]
    return found


def applies(statement: dict[str, Any], who: str | None, action: str, tls: bool) -> bool:
    """As IAM evaluates it; a key that is missing, as of nobody, is not equal to anything."""
    actions = statement["Action"]
    names = [actions] if isinstance(actions, str) else actions
    if not any(fnmatchcase(f"elasticfilesystem:{action}", name) for name in names):
        return False
    for operator, keys in statement.get("Condition", {}).items():
        for key, wanted in keys.items():
            if operator == "ArnNotEquals":
                assert (key, wanted) == ("aws:PrincipalArn", {"Fn::GetAtt": ["EC2Role", "Arn"]})
                if who == BACKUP_ROLE:
                    return False
            else:
                is_so = {
                    "aws:SecureTransport": tls,
                    "elasticfilesystem:AccessedViaMountTarget": True,
                }[key]
                assert operator == "Bool"
                if is_so != (wanted == "true"):
                    return False
    return True


@pytest.mark.parametrize(
    ("who", "action", "tls", "effect"),
    [
        (BACKUP_ROLE, "ClientMount", True, "Allow"),
        (BACKUP_ROLE, "ClientWrite", True, None),  # its own policy allows it
        (BACKUP_ROLE, "ClientWrite", False, "Deny"),
        (RESTORE_ROLE, "ClientMount", True, "Allow"),
        (RESTORE_ROLE, "ClientRootAccess", True, "Allow"),
        (RESTORE_ROLE, "ClientWrite", True, "Deny"),
        (ADMIN, "ClientWrite", True, "Deny"),
        (ADMIN, "DeleteFileSystem", True, "Deny"),
        (ADMIN, "PutFileSystemPolicy", True, None),  # else nobody could ever change it
        (ADMIN, "UpdateFileSystem", True, None),
        (ANONYMOUS, "ClientMount", True, "Allow"),
        (ANONYMOUS, "ClientMount", False, "Deny"),
        (ANONYMOUS, "ClientWrite", True, "Deny"),
    ],
)
def test_who_may_do_what(
    statements: list[dict[str, Any]], who: str | None, action: str, tls: bool, effect: str | None
) -> None:
    effects = {one["Effect"] for one in statements if applies(one, who, action, tls)}
    assert ("Deny" if "Deny" in effects else next(iter(effects), None)) == effect


def test_the_backup_role_may_write_by_its_own_policy() -> None:
    policies = load(BACKUP)["Resources"]["EC2RolePolicies"]["Properties"]["PolicyDocument"]
    assert any(
        "elasticfilesystem:ClientWrite" in one["Action"]
        and one["Resource"] == {"Fn::GetAtt": ["DstEFS", "Arn"]}
        for one in policies["Statement"]
    )
