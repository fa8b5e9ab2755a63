"""CloudFormation's side of a custom resource, for the tests of the Lambdas that crhelper drives."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

STACK_ID = "arn:aws:cloudformation:eu-west-1:123456789012:stack/backup/5a0c8f60-0000-11ef-9d2a-0a"


class CloudFormation:
    """Sends requests to a handler and takes the answers that crhelper PUTs over HTTPS."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, handler: Callable[[Any, Any], Any]) -> None:
        self.handler = handler
        self.answers: list[dict[str, Any]] = []
        cloudformation = self

        class Connection:
            def __init__(self, host: str, **_: Any) -> None:
                assert host == "cloudformation.test"

            def request(self, method: str, url: str, body: str, headers: dict[str, str]) -> None:
                assert (method, url) == ("PUT", "/answer?signature=1")
                cloudformation.answers.append(json.loads(body))

            def getresponse(self) -> SimpleNamespace:
                return SimpleNamespace(reason="OK")

        monkeypatch.setattr("crhelper.utils.HTTPSConnection", Connection)

    def request(
        self,
        request_type: str,
        resource_type: str,
        properties: dict[str, str] | None = None,
        *,
        physical_id: str | None = None,
        logical_id: str = "Resource",
        stack_id: str = STACK_ID,
    ) -> dict[str, Any]:
        """Send one request; the one answer to it."""
        event = {
            "RequestType": request_type,
            "ResponseURL": "https://cloudformation.test/answer?signature=1",
            "StackId": stack_id,
            "RequestId": "8c8a7a2e-request",
            "ResourceType": resource_type,
            "LogicalResourceId": logical_id,
            "ResourceProperties": {"ServiceToken": "arn:aws:lambda:…", **(properties or {})},
        }
        if physical_id is not None:
            event["PhysicalResourceId"] = physical_id
        context = SimpleNamespace(
            aws_request_id="1", function_name="f", get_remaining_time_in_millis=lambda: 60_000
        )
        self.answers.clear()
        self.handler(event, context)
        (answer,) = self.answers
        assert answer["StackId"] == stack_id
        assert answer["RequestId"] == event["RequestId"]
        assert answer["LogicalResourceId"] == logical_id
        if physical_id is not None:
            assert answer["PhysicalResourceId"] == physical_id  # or it would be replaced
        assert answer["PhysicalResourceId"] not in ("", "None")
        return answer


def aws_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Lambda sets for a function; nothing of the user's own AWS set-up."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
