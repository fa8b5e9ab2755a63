"""A backup is asked for once, and the answer is told as it is."""

import io
import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import ReadTimeoutError

from admin import backup_now
from admin.command import AdminError
from tests.cloudformation import aws_environment
from tests.stubs import Checked


class Function:
    """Lambda, with an answer of the orchestrator's."""

    def __init__(self, answer: Any, **response: str) -> None:
        self.answer, self.response = answer, response

    def invoke(self, FunctionName: str, Payload: str) -> dict[str, Any]:
        assert (FunctionName, json.loads(Payload)) == (
            "function",
            {"mode": "backup", "action": "start"},
        )
        return {"Payload": io.BytesIO(json.dumps(self.answer).encode()), **self.response}


@pytest.mark.parametrize(
    ("actions", "begun"), [(["BeginRun", "Schedule", "ScaleOut"], True), (["Notify"], False)]
)
def test_the_answer_says_whether_it_has_begun(actions: list[str], begun: bool) -> None:
    answer = {"reason": "because", "actions": actions}
    assert backup_now.invoke(Checked(Function(answer), "lambda"), "function", "stack") == answer
    assert backup_now.has_begun(answer) is begun


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (Function({"errorMessage": "no group"}, FunctionError="Unhandled"), "failed: no group"),
        (Function(None), "answered None.*make status STACK=stack"),
        (Function({"statusCode": 200}), "make status STACK=stack"),
    ],
)
def test_no_answer_that_says_it(function: Function, said: str) -> None:
    with pytest.raises(AdminError, match=said):
        backup_now.invoke(Checked(function, "lambda"), "function", "stack")


def test_it_is_never_asked_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    aws_environment(monkeypatch)
    client = boto3.client("lambda", config=backup_now.ONCE)
    sent = []

    def time_out(request: Any, **_: Any) -> None:
        sent.append(request.url)
        raise ReadTimeoutError(endpoint_url=request.url)

    client.meta.events.register("before-send.lambda.Invoke", time_out)
    with pytest.raises(AdminError, match=r"did not answer .* make status STACK=stack"):
        backup_now.invoke(client, "function", "stack")
    assert len(sent) == 1
