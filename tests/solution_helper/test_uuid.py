"""A deployment keeps its UUID for as long as its stack exists."""

from uuid import UUID

import pytest

from tests.cloudformation import CloudFormation, aws_environment

V1_PHYSICAL_ID = "2024/02/29/[$LATEST]0f5a6f0b1f6d4c0f8f6f5f2c8e0d9a1b"  # a log stream's name
TYPES = ["Custom::LoadLambda", "Custom::CreateUniqueID"]


@pytest.fixture
def cloudformation(monkeypatch: pytest.MonkeyPatch) -> CloudFormation:
    aws_environment(monkeypatch)
    from solution_helper.handler import lambda_handler

    return CloudFormation(monkeypatch, lambda_handler)


@pytest.mark.parametrize("resource_type", TYPES)
def test_create_answers_with_a_random_uuid(
    cloudformation: CloudFormation, resource_type: str
) -> None:
    first, second = (cloudformation.request("Create", resource_type) for _ in range(2))
    assert first["Status"] == second["Status"] == "SUCCESS"
    assert UUID(first["Data"]["UUID"]).version == 4
    assert first["Data"]["UUID"] != second["Data"]["UUID"]


@pytest.mark.parametrize("resource_type", TYPES)
def test_update_answers_with_the_uuid_of_create(
    cloudformation: CloudFormation, resource_type: str
) -> None:
    created = cloudformation.request("Create", resource_type)
    for _ in range(2):
        physical_id = created["PhysicalResourceId"]
        updated = cloudformation.request("Update", resource_type, physical_id=physical_id)
        assert updated["Status"] == "SUCCESS"
        assert updated["Data"] == created["Data"]


@pytest.mark.parametrize("physical_id", [V1_PHYSICAL_ID, "backup_CreateUniqueID_AB12CD34", "x"])
def test_update_of_a_version_1_stack_always_gives_one_uuid(
    cloudformation: CloudFormation, physical_id: str
) -> None:
    def update(stack_id: str) -> str:
        answer = cloudformation.request(
            "Update", "Custom::LoadLambda", physical_id=physical_id, stack_id=stack_id
        )
        assert answer["Status"] == "SUCCESS"
        return str(UUID(answer["Data"]["UUID"]))

    assert update("arn:stack/a/1") == update("arn:stack/a/1")
    assert update("arn:stack/a/1") != update("arn:stack/a/2")


def test_the_uuid_of_version_1_stacks_never_changes() -> None:
    from solution_helper.deployment import uuid_of

    # Released: another algorithm would give every updated stack a new UUID.
    assert (
        uuid_of(V1_PHYSICAL_ID, "arn:stack/a/1", "CreateUniqueID")
        == "82d629f0-ecc8-5064-bd34-7a2f8f3d65b5"
    )


@pytest.mark.parametrize("physical_id", [V1_PHYSICAL_ID, "8b5cf5b0-9d0c-4a57-8f43-3c1c1c8f5a11"])
def test_delete_succeeds(cloudformation: CloudFormation, physical_id: str) -> None:
    answer = cloudformation.request("Delete", "Custom::LoadLambda", physical_id=physical_id)
    assert answer["Status"] == "SUCCESS"


def test_a_failure_is_answered_with_its_reason(
    cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> UUID:
        raise RuntimeError("no randomness")

    monkeypatch.setattr("solution_helper.handler.uuid4", broken)
    answer = cloudformation.request("Create", "Custom::LoadLambda")
    assert (answer["Status"], answer["Reason"]) == ("FAILED", "no randomness")
    rolled_back = cloudformation.request(
        "Delete", "Custom::LoadLambda", physical_id=answer["PhysicalResourceId"]
    )
    assert rolled_back["Status"] == "SUCCESS"
