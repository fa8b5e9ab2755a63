"""No update exchanges the backup file system for an empty one."""

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from common import patience

from solution_helper.file_system import Refused, check_name, check_not_replaced
from tests.cloudformation import STACK_ID, CloudFormation, aws_environment

KIND = "Custom::FileSystemCheck"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
KEY_OF_AWS = "arn:aws:kms:eu-west-1:123456789012:key/00000000-12ab-34cd-56ef-1234567890ab"
WANTED = {"EFSMode": "generalPurpose", "EFSEncryption": "Yes", "KmsKeyId": ""}
FOUND = {
    "FileSystemId": "fs-0123456789abcdef0",
    "PerformanceMode": "generalPurpose",
    "Encrypted": True,
    "KmsKeyId": KEY_OF_AWS,
}


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": code}}, "op")


class Account:
    """A stack, and its backup file system if it has one."""

    def __init__(self, found: dict[str, Any] | None) -> None:
        self.found = found
        self.errors: list[ClientError] = []

    def describe_stack_resource(self, **request: str) -> dict[str, Any]:
        assert request == {"StackName": STACK_ID, "LogicalResourceId": "DstEFS"}
        if self.errors:
            raise self.errors.pop(0)
        if self.found is None:
            raise refusal("ValidationError")
        return {"StackResourceDetail": {"PhysicalResourceId": self.found.get("FileSystemId", "")}}

    def describe_file_systems(self, FileSystemId: str) -> dict[str, Any]:
        assert self.found is not None
        if FileSystemId == "fs-gone":
            raise refusal("FileSystemNotFound")
        return {"FileSystems": [self.found]}


@pytest.fixture
def account() -> Account:
    return Account(dict(FOUND))


@pytest.fixture
def cloudformation(monkeypatch: pytest.MonkeyPatch, account: Account) -> CloudFormation:
    aws_environment(monkeypatch)
    monkeypatch.setattr("solution_helper.handler.boto3.client", lambda service: account)
    clock = SimpleNamespace(monotonic=lambda: 0, sleep=lambda seconds: None)
    monkeypatch.setattr(patience, "time", clock)
    from solution_helper.handler import lambda_handler

    return CloudFormation(monkeypatch, lambda_handler)


def said(cloudformation: CloudFormation, **wanted: str) -> str:
    """Why a stack is refused that has no such check yet, like one of version 1.5; empty if not."""
    answer = cloudformation.request("Create", KIND, {**WANTED, **wanted})
    assert (answer["Status"] == "SUCCESS") == ("Reason" not in answer or not answer["Reason"])
    return str(answer.get("Reason", ""))


@pytest.mark.parametrize("found", [None, {}, {**FOUND, "FileSystemId": "fs-gone"}])
def test_a_new_file_system_is_what_its_parameters_say(
    cloudformation: CloudFormation, account: Account, found: dict[str, Any] | None
) -> None:
    account.found = found
    assert said(cloudformation, EFSMode="maxIO", KmsKeyId=KEY) == ""


def test_an_update_that_changes_nothing_of_it(cloudformation: CloudFormation) -> None:
    assert said(cloudformation) == ""


@pytest.mark.parametrize(
    ("name", "value"), [("EFSMode", "maxIO"), ("EFSEncryption", "No"), ("KmsKeyId", KEY)]
)
def test_what_would_replace_it_is_refused(
    cloudformation: CloudFormation, name: str, value: str
) -> None:
    """A message is cut to its last 240 characters."""
    message = said(cloudformation, **{name: value})
    assert f"{name} would replace the backup file system fs-0123456789abcdef0" in message
    assert len(message) < 240


def test_a_key_that_is_taken_away_is_refused() -> None:
    own, with_key = {**FOUND, "KmsKeyId": KEY}, {**WANTED, "KmsKeyId": KEY}
    with pytest.raises(Refused, match="KmsKeyId would replace"):
        check_not_replaced(own, WANTED, with_key)
    check_not_replaced(own, with_key, WANTED)  # the rollback of it


def test_the_rollback_of_a_key_that_was_refused_is_not() -> None:
    check_not_replaced(FOUND, WANTED, {**WANTED, "KmsKeyId": KEY})


def test_rights_that_are_not_there_yet_are_waited_for(
    cloudformation: CloudFormation, account: Account
) -> None:
    account.errors = [refusal("AccessDenied")] * 3
    assert said(cloudformation) == ""
    account.errors = [refusal("Throttling")]
    assert "Throttling" in said(cloudformation)


def test_a_name_that_the_function_cannot_have(cloudformation: CloudFormation) -> None:
    arn = "arn:aws:cloudformation:eu-west-1:123456789012:stack/{}/5a0c8f60"
    check_name(arn.format("x" * 64))
    with pytest.raises(Refused, match=r"65 characters.*can have 64"):
        check_name(arn.format("x" * 65))
    answer = cloudformation.request("Create", KIND, WANTED, stack_id=arn.format("x" * 65))
    assert "Give the stack a shorter name" in answer["Reason"]


def test_nothing_is_in_the_way_of_removing_the_stack(cloudformation: CloudFormation) -> None:
    answer = cloudformation.request("Delete", KIND, WANTED, physical_id="backup_FileSystemCheck_1")
    assert answer["Status"] == "SUCCESS"
