"""What is deployed, and which stacks are left alone."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from admin import deploy
from admin.command import AdminError, Given
from admin.stack import Stack

OURS = ("Orchestrator", "EFSDynamoDB", "EFSAutoScalingGroup", "DstEFS")


class CloudFormation:
    """An account with one stack, or none."""

    meta = type("Meta", (), {"region_name": "eu-west-1"})

    def __init__(self, status: str | None, resources: tuple[str, ...] = OURS) -> None:
        self.status, self.resources = status, resources

    def __call__(self, service: str) -> "CloudFormation":
        return self

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        if self.status is None:
            message = f"Stack with id {StackName} does not exist"
            raise ClientError({"Error": {"Code": "ValidationError", "Message": message}}, "op")
        parameter = {"ParameterKey": "Retain", "ParameterValue": "3"}
        stack = {"StackName": StackName, "StackStatus": self.status, "Parameters": [parameter]}
        return {"Stacks": [stack]}

    def get_template(self, **_: str) -> dict[str, Any]:
        return {"TemplateBody": json.dumps({"Resources": {name: {} for name in self.resources}})}


@pytest.mark.parametrize(
    "name", ["b" * 65, "1backup", "back_up", "b\N{LATIN SMALL LETTER U WITH DIAERESIS}"]
)
def test_a_name_that_the_function_cannot_have(name: str) -> None:
    with pytest.raises(AdminError, match="at most 64 letters, digits and hyphens"):
        deploy.main(Given({"GIVEN": "STACK", "STACK": name}))


@pytest.mark.parametrize("status", [None, "REVIEW_IN_PROGRESS"])
def test_a_stack_that_is_new(status: str | None) -> None:
    assert deploy.existing(CloudFormation(status), "backup") is None


@pytest.mark.parametrize(
    "status", ["CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"]
)
def test_a_stack_that_can_be_updated(status: str) -> None:
    stack = deploy.existing(CloudFormation(status), "backup")
    assert stack is not None
    assert stack.parameters == {"Retain": "3"}


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("ROLLBACK_COMPLETE", "delete-stack --stack-name backup --region eu-west-1"),
        ("CREATE_FAILED", "delete-stack --stack-name backup --region eu-west-1"),
        ("UPDATE_ROLLBACK_FAILED", "continue-update-rollback --stack-name backup --region eu-west"),
        ("UPDATE_IN_PROGRESS", "Wait"),
        ("DELETE_IN_PROGRESS", "Wait"),
    ],
)
def test_a_stack_that_cannot_be_updated(status: str, said: str) -> None:
    with pytest.raises(AdminError, match=f"backup is {status}.*{said}"):
        deploy.existing(CloudFormation(status), "backup")


def test_a_stack_of_something_else_is_left_alone() -> None:
    with pytest.raises(AdminError, match="not made from the backup template"):
        deploy.existing(CloudFormation("CREATE_COMPLETE", OURS[1:]), "web-shop")


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "CREATE_IN_PROGRESS", "DELETE_FAILED"])
def test_an_unusable_stack_is_used_by_no_command(status: str) -> None:
    with pytest.raises(AdminError, match=f"backup cannot be used: it is {status}"):
        Stack.backup(CloudFormation(status), "backup")


def test_a_stack_that_is_not_there_may_be_in_another_region() -> None:
    with pytest.raises(AdminError, match=r"no stack backup in eu-west-1.*REGION="):
        Stack.backup(CloudFormation(None), "backup")


def event(resource: str, status: str, reason: str = "") -> dict[str, str]:
    return {
        "LogicalResourceId": resource,
        "ResourceStatus": status,
        **({"ResourceStatusReason": reason} if reason else {}),
    }


def test_only_the_failures_of_the_last_update_are_told() -> None:
    newest_first = [
        event("backup", "UPDATE_ROLLBACK_COMPLETE"),
        event("EFSDynamoDB", "UPDATE_FAILED", "cancelled"),
        event("AMIInfo", "UPDATE_FAILED", "no image"),
        event("backup", "UPDATE_IN_PROGRESS"),
        event("AMIInfo", "CREATE_FAILED", "of an earlier attempt"),
    ]
    pages = [{"StackEvents": newest_first[:2]}, {"StackEvents": newest_first[2:]}]
    paginator = SimpleNamespace(paginate=lambda **_: pages)
    client = SimpleNamespace(get_paginator=lambda operation: paginator)
    stack = Stack("backup", "eu-west-1", "UPDATE_ROLLBACK_COMPLETE", {}, {}, client)
    assert list(stack.failures()) == ["AMIInfo: no image", "EFSDynamoDB: cancelled"]
