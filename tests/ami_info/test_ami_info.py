"""The image for an instance type: Amazon Linux 2023, newest, of the right architecture."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from tests.cloudformation import CloudFormation, aws_environment

TYPE = "Custom::AMIInfo"
PARAMETER = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{}"
PHYSICAL_ID = "2024/02/29/[$LATEST]0f5a6f0b1f6d4c0f8f6f5f2c8e0d9a1b"


@pytest.fixture
def cloudformation(monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudFormation]:
    aws_environment(monkeypatch)
    with mock_aws():
        from ami_info.handler import lambda_handler

        yield CloudFormation(monkeypatch, lambda_handler)


def newest(architecture: str) -> str:
    name = PARAMETER.format(architecture)
    return str(boto3.client("ssm").get_parameter(Name=name)["Parameter"]["Value"])


@pytest.mark.parametrize(
    ("instance_type", "arch", "architecture"),
    [
        ("c5.xlarge", "HVM64", "x86_64"),
        ("g4dn.xlarge", "HVMG2", "x86_64"),
        ("c7g.xlarge", "ARM64", "arm64"),
        ("c7g.xlarge", "arm64", "arm64"),
        # not said: EC2 knows
        ("c5.xlarge", None, "x86_64"),
        ("c6g.xlarge", None, "arm64"),
        ("c6g.xlarge", "", "arm64"),
        ("t2.micro", "", "x86_64"),  # also i386
    ],
)
def test_answers_with_the_image(
    cloudformation: CloudFormation,
    instance_type: str,
    arch: str | None,
    architecture: str,
) -> None:
    properties = {"Region": "eu-west-1", "InstanceType": instance_type}
    if arch is not None:
        properties["Arch"] = arch
    answer = cloudformation.request("Create", TYPE, properties)
    assert answer["Status"] == "SUCCESS", answer["Reason"]
    assert answer["Data"] == {
        "Parameter": PARAMETER.format(architecture),
        "Id": newest(architecture),
        "InstanceType": instance_type,
    }


def test_update_answers_with_the_image_of_the_new_type(cloudformation: CloudFormation) -> None:
    properties = {"InstanceType": "c7g.xlarge", "Arch": "ARM64"}
    answer = cloudformation.request("Update", TYPE, properties, physical_id=PHYSICAL_ID)
    assert (answer["Status"], answer["Data"]) == (
        "SUCCESS",
        {
            "Parameter": PARAMETER.format("arm64"),
            "Id": newest("arm64"),
            "InstanceType": "c7g.xlarge",
        },
    )


def test_the_architectures_have_different_images(cloudformation: CloudFormation) -> None:
    assert newest("x86_64") != newest("arm64")


@pytest.mark.parametrize(
    ("properties", "named"),
    [
        ({"InstanceType": "c9.huge", "Arch": "HVM64"}, ["'c9.huge'", "in this region"]),
        ({"InstanceType": "mac1.metal"}, ["'mac1.metal'"]),
        ({"InstanceType": "", "Arch": "HVM64"}, ["InstanceType is missing"]),
        ({}, ["InstanceType is missing"]),
    ],
)
def test_what_has_no_image_fails_and_says_what_to_edit(
    cloudformation: CloudFormation,
    properties: dict[str, str],
    named: list[str],
) -> None:
    answer = cloudformation.request("Create", TYPE, properties)
    assert answer["Status"] == "FAILED"
    for text in [*named, "InstanceSize", "Arch", "Mappings"]:
        assert text in answer["Reason"]
    assert not answer["Reason"].startswith("ERROR: (truncated)")


@pytest.mark.parametrize(
    ("instance_type", "arch", "line"),
    [
        ("c6g.xlarge", "HVM64", "c6g.xlarge: {Arch: ARM64}"),
        ("c5.xlarge", "ARM64", "c5.xlarge: {Arch: HVM64}"),
        ("c5.xlarge", "RISCV", "c5.xlarge: {Arch: HVM64}"),
    ],
)
def test_a_wrong_line_in_the_mappings_is_refused(
    cloudformation: CloudFormation, instance_type: str, arch: str, line: str
) -> None:
    properties = {"InstanceType": instance_type, "Arch": arch}
    answer = cloudformation.request("Create", TYPE, properties)
    assert answer["Status"] == "FAILED"
    assert repr(arch) in answer["Reason"]
    assert answer["Reason"].endswith(f"Make its line {line}")


def test_a_failed_update_keeps_the_resource(cloudformation: CloudFormation) -> None:
    answer = cloudformation.request(
        "Update", TYPE, {"InstanceType": "c9.huge"}, physical_id=PHYSICAL_ID
    )
    assert answer["Status"] == "FAILED"


def test_delete_succeeds_whatever_was_asked_for(cloudformation: CloudFormation) -> None:
    answer = cloudformation.request(
        "Delete", TYPE, {"InstanceType": "c9.huge"}, physical_id=PHYSICAL_ID
    )
    assert answer["Status"] == "SUCCESS"


def graviton() -> dict[str, Any]:
    processor = {"SupportedArchitectures": ["arm64"]}
    return {"InstanceTypes": [{"InstanceType": "c7g.xlarge", "ProcessorInfo": processor}]}


class TestYoungRole:
    """IAM is eventually consistent: the rights of a new role come a little later than it."""

    @pytest.fixture
    def naps(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        from common import patience

        naps: list[float] = []
        clock = SimpleNamespace(monotonic=lambda: sum(naps), sleep=naps.append)
        monkeypatch.setattr(patience, "time", clock)
        return naps

    def answer(self, monkeypatch: pytest.MonkeyPatch, *codes: str) -> dict[str, Any]:
        """What CloudFormation gets after these refusals by EC2, and then the answer."""
        aws_environment(monkeypatch)
        with mock_aws():
            from ami_info.handler import lambda_handler

            ec2, ssm, make = boto3.client("ec2"), boto3.client("ssm"), boto3.client
            monkeypatch.setattr(
                boto3, "client", lambda name: {"ec2": ec2, "ssm": ssm}.get(name) or make(name)
            )
            cloudformation = CloudFormation(monkeypatch, lambda_handler)
            with Stubber(ec2) as stubber:
                for code in codes:
                    stubber.add_client_error("describe_instance_types", code)
                stubber.add_response("describe_instance_types", graviton())
                return cloudformation.request("Create", TYPE, {"InstanceType": "c7g.xlarge"})

    def test_is_given_a_while(self, monkeypatch: pytest.MonkeyPatch, naps: list[float]) -> None:
        answer = self.answer(monkeypatch, "UnauthorizedOperation", "AccessDenied")
        assert answer["Status"] == "SUCCESS", answer["Reason"]
        assert len(naps) == 2

    def test_but_no_longer_than_a_minute(
        self, monkeypatch: pytest.MonkeyPatch, naps: list[float]
    ) -> None:
        answer = self.answer(monkeypatch, *["UnauthorizedOperation"] * 30)
        assert answer["Status"] == "FAILED"
        assert "UnauthorizedOperation" in answer["Reason"]
        assert 60 <= sum(naps) <= 70

    def test_what_is_no_refusal_is_not_tried_again(
        self, monkeypatch: pytest.MonkeyPatch, naps: list[float]
    ) -> None:
        assert self.answer(monkeypatch, "InvalidInstanceType")["Status"] == "FAILED"
        assert naps == []


class TestRefusals:
    """What moto does not say as AWS does."""

    @pytest.fixture
    def clients(self, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
        aws_environment(monkeypatch)
        return boto3.client("ec2"), boto3.client("ssm")

    def test_ec2_does_not_know_the_type(self, clients: tuple[Any, Any]) -> None:
        from ami_info.image import UnknownInstanceType, newest_image

        ec2, ssm = clients
        with Stubber(ec2) as stubber:
            stubber.add_client_error("describe_instance_types", "InvalidInstanceType")
            with pytest.raises(UnknownInstanceType, match="no such instance type"):
                newest_image(ec2, ssm, "c9.huge", "")

    def test_the_region_has_no_such_image(self, clients: tuple[Any, Any]) -> None:
        from ami_info.image import UnknownInstanceType, newest_image

        ec2, ssm = clients
        with Stubber(ec2) as ec2_stubber, Stubber(ssm) as stubber:
            ec2_stubber.add_response("describe_instance_types", graviton())
            stubber.add_client_error("get_parameter", "ParameterNotFound")
            with pytest.raises(UnknownInstanceType, match="kernel-default-arm64"):
                newest_image(ec2, ssm, "c7g.xlarge", "ARM64")

    @pytest.mark.parametrize("denied", ["DescribeInstanceTypes", "GetParameter"])
    def test_what_is_not_allowed_is_not_called_unknown(
        self, clients: tuple[Any, Any], denied: str
    ) -> None:
        from botocore.exceptions import ClientError

        from ami_info.image import newest_image

        ec2, ssm = clients
        with Stubber(ec2) as ec2_stubber, Stubber(ssm) as ssm_stubber:
            if denied == "GetParameter":
                ec2_stubber.add_response("describe_instance_types", graviton())
            else:
                ec2_stubber.add_client_error("describe_instance_types", "UnauthorizedOperation")
            ssm_stubber.add_client_error("get_parameter", "AccessDeniedException")
            with pytest.raises(ClientError, match=denied):
                newest_image(ec2, ssm, "c7g.xlarge", "ARM64")
