"""The presigned URL at which a custom resource answers is a right of its own: it is not logged."""

import pytest

from tests.cloudformation import CloudFormation, aws_environment


def test_a_custom_resource_keeps_its_url_to_itself(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    aws_environment(monkeypatch)
    from ami_info.handler import lambda_handler as image
    from solution_helper.handler import lambda_handler as helper

    CloudFormation(monkeypatch, helper).request("Create", "Custom::LoadLambda")
    failed = CloudFormation(monkeypatch, image).request("Create", "Custom::AMIInfo")
    assert failed["Status"] == "FAILED"
    assert "CloudFormation returned status code" in caplog.text
    assert "signature" not in caplog.text
    assert "cloudformation.test" not in caplog.text
