"""The functions of the user's: called as told, within their time, and what comes of it noted."""

import io
import json
from functools import partial
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from orchestrator.actions import CallFunction, WorldChanged
from orchestrator.functions import SECONDS, Functions
from orchestrator.record import Hook
from orchestrator.settings import Settings
from tests.orchestrator.cloud import REGION, Cloud
from tests.stubs import Checked
from tests.templates.reading import BACKUP, load

ARNS = {"before_function": "arn:aws:lambda:us-east-1:123456789012:function:freeze",
        "after_function": "arn:aws:lambda:us-east-1:123456789012:function:thaw:live"}  # fmt: skip
BEFORE = CallFunction(Hook.BEFORE, "run-a", {"Id": "run-a/started", "BackupId": "run-a"})
AFTER = CallFunction(Hook.AFTER, "run-a", {"Id": "run-a/ended/Success", "BackupId": "run-a"})


class Lambda:
    """Answers each call with what is next, and keeps the calls."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.meanwhile = lambda: None

    def invoke(self, FunctionName: str, Payload: bytes) -> Any:
        self.calls.append((FunctionName, json.loads(Payload)))
        self.meanwhile()
        answer = self.answers.pop(0) if self.answers else {}
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def function() -> Lambda:
    return Lambda()


@pytest.fixture
def functions(cloud: Cloud, function: Lambda) -> Functions:
    cloud.instance_writes("run-a", BackupId={"S": "run-a"}, BackupStatus={"S": "Running"})
    dynamodb = boto3.client("dynamodb", REGION)
    settings = Settings.from_env({**cloud.env, **ARNS})
    return Functions(settings, dynamodb, Checked(function, "lambda"))


def said(cloud: Cloud, hook: Hook) -> str:
    return str((cloud.item("run-a") or {}).get(hook, {}).get("S"))


def failure(text: str) -> dict[str, Any]:
    return {"FunctionError": "Unhandled", "Payload": io.BytesIO(text.encode())}


def test_one_that_answers_is_noted(cloud: Cloud, functions: Functions, function: Lambda) -> None:
    functions.call(BEFORE)
    assert function.calls == [
        (ARNS["before_function"], {"Moment": "BeforeBackup", **BEFORE.detail})
    ]
    assert said(cloud, Hook.BEFORE) == "done"
    functions.call(AFTER)
    assert function.calls[1][0] == ARNS["after_function"]
    assert said(cloud, Hook.AFTER) == "done"


@pytest.mark.parametrize("call", [BEFORE, AFTER], ids=["before", "after"])
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (failure('{"errorMessage": "no\\nlock"}'), "failed: no lock"),
        (failure("[1]"), "failed: [1]"),
        (failure(""), "failed: "),
        (failure("[" * 100_000), "failed: [[["),
        (failure("\x1b[2Jno JSON"), "failed: \\x1b[2Jno JSON"),
        (ReadTimeoutError(endpoint_url="https://x"), "did not answer within"),
        (ClientError({"Error": {"Code": "AccessDenied"}}, "Invoke"), "could not be called: "),
    ],
)
def test_one_that_does_not_do_it_is_noted_and_all_is_decided_again(
    cloud: Cloud, functions: Functions, function: Lambda, call: CallFunction, answer: Any,
    expected: str,
) -> None:  # fmt: skip
    if isinstance(answer, dict):
        answer["Payload"].seek(0)
    function.answers = [answer]
    with pytest.raises(WorldChanged):
        functions.call(call)
    assert said(cloud, call.hook).startswith(expected)
    assert len(function.calls) == 1


def test_a_long_reason_is_short(cloud: Cloud, functions: Functions, function: Lambda) -> None:
    function.answers = [failure(json.dumps({"errorMessage": "é" * 100_000}))]
    with pytest.raises(WorldChanged):
        functions.call(BEFORE)
    assert len(said(cloud, Hook.BEFORE).encode()) <= 500


def test_the_one_after_is_called_again_when_the_run_was_ended_while_the_one_before_worked(
    cloud: Cloud, functions: Functions, function: Lambda
) -> None:
    function.meanwhile = partial(cloud.instance_writes, "run-a", BackupStatus={"S": "Unknown"})
    with pytest.raises(WorldChanged, match="ended"):
        functions.call(BEFORE)
    name, payload = function.calls[1]
    assert name == ARNS["after_function"]
    assert (payload["BackupStatus"], payload["Id"]) == ("Unknown", "run-a/ended/Unknown")


def test_the_one_after_a_run_is_not_called_while_the_next_run_copies(
    cloud: Cloud, functions: Functions, function: Lambda
) -> None:
    def ended_and_another_began() -> None:
        cloud.instance_writes("run-a", BackupStatus={"S": "Unknown"})
        cloud.instance_writes("lock", BackupId={"S": "lock"}, Run={"S": "run-b"}, Until={"N": "1"})

    function.meanwhile = ended_and_another_began
    with pytest.raises(WorldChanged, match="ended"):
        functions.call(BEFORE)
    assert len(function.calls) == 1


def test_a_record_that_cannot_be_written_stops_a_start_and_no_end(
    cloud: Cloud, functions: Functions
) -> None:
    boto3.client("dynamodb", REGION).delete_item(
        TableName=cloud.settings.table, Key={"BackupId": {"S": "run-a"}}
    )
    functions.call(AFTER)
    with pytest.raises(ClientError):
        functions.call(BEFORE)
    assert cloud.item("run-a") is None


def test_each_is_called_once_and_all_fit_into_the_time_of_the_orchestrator(cloud: Cloud) -> None:
    made: list[Any] = []

    def client(service: str, config: Any) -> None:
        made.append(config)

    Functions(Settings.from_env({**cloud.env, **ARNS}), None, client)
    assert [config.retries for config in made] == [{"total_max_attempts": 1}] * 2
    assert {config.read_timeout for config in made} == {*SECONDS.values()}
    timeout = load(BACKUP)["Resources"]["Orchestrator"]["Properties"]["Timeout"]
    # One before, one after the run that it ends, one after its own, and a minute for the rest.
    assert SECONDS[Hook.BEFORE] + 2 * SECONDS[Hook.AFTER] + 60 <= timeout
    assert Functions(cloud.settings, None, client)
    assert len(made) == 2
