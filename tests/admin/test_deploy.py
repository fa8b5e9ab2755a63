"""What is deployed, and which stacks are left alone."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from botocore.exceptions import ClientError
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from admin import deploy
from admin.command import AdminError, Given
from admin.stack import Stack
from admin.template import Template
from tests.stubs import Checked
from tests.templates.reading import BACKUP, load

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
        deploy.main(Given({"STACK": name}))


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
    with pytest.raises(AdminError, match=f"backup is {status}(?s:.*){said}"):
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
    stack = Stack(
        "backup", "eu-west-1", "UPDATE_ROLLBACK_COMPLETE", {}, {}, Checked(client, "cloudformation")
    )
    assert list(stack.failures()) == ["AMIInfo: no image", "EFSDynamoDB: cancelled"]


RELEASED = Template.parse(Path("templates/efs-to-efs-backup.template").read_text())


def deployed(parameters: dict[str, str], size: str = "c5.xlarge", send: str = "Yes") -> Stack:
    """A stack whose template has these Mappings, beside those of another region."""
    mappings = {
        "send-data": {"SendAnonymousData": send},
        "eu-west-1": {"InstanceSize": size},
        "us-east-1": {"InstanceSize": "m5.large"},
    }
    body = {"TemplateBody": {"Mappings": {"Map": mappings}}}
    client = SimpleNamespace(get_template=lambda **_: body)
    return Stack(
        "backup", "eu-west-1", "CREATE_COMPLETE", parameters, {}, Checked(client, "cloudformation")
    )


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the user will type."""
    answers: list[str] = []
    monkeypatch.setattr("builtins.input", lambda question: answers.pop(0))
    return answers


class TestEditsOfTheMappings:
    EDITED = ("c7g.xlarge", "No")
    KEPT: ClassVar = {"InstanceType": "c7g.xlarge", "SendAnonymousData": "No"}

    def test_a_template_as_it_was_released_asks_nothing(self) -> None:
        assert deploy.kept_edits(deployed({}), RELEASED, {}, can_ask=False) == {}

    def test_nobody_can_be_asked(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(AdminError) as error:
            deploy.kept_edits(deployed({}, *self.EDITED), RELEASED, {}, can_ask=False)
        assert "keep that: InstanceType=c7g.xlarge SendAnonymousData=No." in str(error.value)
        assert str(error.value).endswith("InstanceType= SendAnonymousData=")
        assert "InstanceType is c7g.xlarge; the release has c5.xlarge" in capsys.readouterr().out

    @pytest.mark.parametrize(
        "given",
        [
            {"InstanceType": "", "SendAnonymousData": ""},
            {"InstanceType": "c6g.large", "SendAnonymousData": "No"},
        ],
    )
    def test_who_has_said_what_to_do_is_not_asked(self, given: dict[str, str]) -> None:
        stack = deployed({}, *self.EDITED)
        assert deploy.kept_edits(stack, RELEASED, given, can_ask=True) == {}

    def test_what_a_parameter_of_the_stack_says_does_not_change(self) -> None:
        stack = deployed(self.KEPT, *self.EDITED)
        assert deploy.kept_edits(stack, RELEASED, {}, can_ask=False) == {}

    def test_who_wants_to_keep_them_gets_parameters(self, typed: list[str]) -> None:
        typed += [" Yes"]
        stack = deployed({"Retain": "3"}, *self.EDITED)
        assert deploy.kept_edits(stack, RELEASED, {}, can_ask=True) == self.KEPT

    def test_who_does_not_want_them_gets_the_release(self, typed: list[str]) -> None:
        typed += ["no"]
        stack = deployed({}, send="No")
        assert deploy.kept_edits(stack, RELEASED, {}, can_ask=True) == {}

    def test_anything_else_does_nothing(self, typed: list[str]) -> None:
        typed += [""]
        with pytest.raises(AdminError, match="Nothing was done"):
            deploy.kept_edits(deployed({}, send="No"), RELEASED, {}, can_ask=True)


class TestFileSystem:
    KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd"
    V15: ClassVar = {"EFSMode": "maxIO", "EFSEncryption": "No"}

    @pytest.mark.parametrize(
        ("parameters", "given"),
        [
            (V15, {"EFSMode": "generalPurpose"}),
            (V15, {"EFSEncryption": "Yes"}),
            (V15, {"KmsKeyId": KEY}),
            ({**V15, "KmsKeyId": KEY}, {"KmsKeyId": ""}),
        ],
    )
    def test_what_would_replace_it_is_refused(
        self, parameters: dict[str, str], given: dict[str, str]
    ) -> None:
        (name,) = given
        with pytest.raises(AdminError, match=f"^{name} of the stack backup is .*empty one"):
            deploy.check_file_system(deployed(parameters), RELEASED, given)

    @pytest.mark.parametrize("given", [{}, V15, {"KmsKeyId": ""}, {"Retain": "3"}])
    def test_what_stays_as_it_is_may_be_given(self, given: dict[str, str]) -> None:
        deploy.check_file_system(deployed(self.V15), RELEASED, given)

    def test_these_are_all_that_replace_it(self) -> None:
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", "AWS::EFS::FileSystem")
        fixed = {path.rpartition("/")[2] for path in schema.schema["createOnlyProperties"]}
        given = load(BACKUP)["Resources"]["DstEFS"]["Properties"]
        assert fixed & set(given) == {"PerformanceMode", "Encrypted", "KmsKeyId"}
        assert len(deploy.FILE_SYSTEM) == 3
