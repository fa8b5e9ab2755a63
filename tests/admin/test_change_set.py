"""A stack is changed by a change set, and each of its events is told once."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from admin.change_set import ChangeSet
from admin.command import AdminError
from tests.cloudformation import STACK_ID, aws_environment

ARN = "arn:aws:cloudformation:eu-west-1:123456789012:changeSet/deploy/1"
URL = "https://my-backups-eu-west-1.s3.amazonaws.com/template"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Any:
    aws_environment(monkeypatch)
    return boto3.client("cloudformation")


@pytest.fixture
def answers(client: Any) -> Iterator[Stubber]:
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


@pytest.fixture
def change(client: Any) -> ChangeSet:
    return ChangeSet(ARN, STACK_ID, client)


@pytest.mark.parametrize(
    ("previous", "kind", "kept"),
    [
        (None, "CREATE", []),
        (
            ["Retain", "SrcEFS", "Email"],
            "UPDATE",
            [
                {"ParameterKey": "Email", "UsePreviousValue": True},
                {"ParameterKey": "SrcEFS", "UsePreviousValue": True},
            ],
        ),
    ],
)
def test_values_arrive_as_they_are_and_the_others_stay(
    client: Any, answers: Stubber, previous: list[str] | None, kind: str, kept: list[Any]
) -> None:
    label = """it's "a", b=c; $(x) ü"""
    given = {"FolderLabel": label, "Retain": "3"}
    answers.add_response(
        "create_change_set",
        {"Id": ARN, "StackId": STACK_ID},
        {
            "StackName": "backup",
            "ChangeSetName": ANY,
            "ChangeSetType": kind,
            "TemplateURL": URL,
            "Parameters": [
                {"ParameterKey": "FolderLabel", "ParameterValue": label},
                {"ParameterKey": "Retain", "ParameterValue": "3"},
                *kept,
            ],
            "Capabilities": ["CAPABILITY_IAM"],
        },
    )
    change = ChangeSet.request(client, "backup", URL, given, previous)
    assert (change.arn, change.stack_arn) == (ARN, STACK_ID)


def described(answers: Stubber, status: str, reason: str = "") -> None:
    answers.add_response("describe_change_set", {"Status": status, "StatusReason": reason})


def test_what_is_ready_has_changes(change: ChangeSet, answers: Stubber) -> None:
    described(answers, "CREATE_COMPLETE")
    assert change.has_changes()


@pytest.mark.parametrize(
    "reason",
    [
        "The submitted information didn't contain changes. Submit different information to create"
        " a change set.",
        "No updates are to be performed.",
    ],
)
def test_without_changes_it_is_deleted(change: ChangeSet, answers: Stubber, reason: str) -> None:
    described(answers, "FAILED", reason)
    answers.add_response("delete_change_set", {}, {"ChangeSetName": ARN})
    assert not change.has_changes()


def test_a_refusal_is_told_and_leaves_nothing(change: ChangeSet, answers: Stubber) -> None:
    described(answers, "FAILED", "Parameter 'Retain' must be a number")
    answers.add_response("delete_change_set", {}, {"ChangeSetName": ARN})
    with pytest.raises(AdminError, match=r"nothing was done: Parameter 'Retain' must be a number"):
        change.has_changes()


def event(number: int, resource: str, status: str, reason: str = "") -> dict[str, Any]:
    return {
        "EventId": str(number),
        "StackId": STACK_ID,
        "StackName": "backup",
        "LogicalResourceId": resource,
        "PhysicalResourceId": STACK_ID if resource == "backup" else "",
        "ResourceStatus": status,
        "ResourceStatusReason": reason,
        "Timestamp": datetime(2026, 11, 20, 2, number, tzinfo=UTC),
    }


def executed(change: ChangeSet, answers: Stubber, *polls: list[dict[str, Any]]) -> Any:
    """Whether it ended well, and what was said, when each poll finds these events, oldest first."""
    before, *after = polls
    answers.add_response("describe_stack_events", {"StackEvents": before[::-1]})
    answers.add_response("execute_change_set", {}, {"ChangeSetName": ARN})
    for events in after:
        answers.add_response("describe_stack_events", {"StackEvents": events[::-1]})
    said: list[str] = []
    pauses: list[float] = []
    ended_well = change.execute(said.append, pauses.append)
    assert len(pauses) == len(after) - 1
    return ended_well, [line.partition("  ")[2] for line in said]


def test_each_event_is_told_once_and_those_of_before_are_not(
    change: ChangeSet, answers: Stubber
) -> None:
    # The stack still says how the update before has ended.
    before = [event(1, "backup", "UPDATE_COMPLETE")]
    begun = [*before, event(2, "backup", "UPDATE_IN_PROGRESS", "User Initiated")]
    going = [*begun, event(3, "EC2Role", "UPDATE_COMPLETE", "a\x1b[2Jb")]
    cleaning = [*going, event(4, "backup", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")]
    ended = [*cleaning, event(5, "backup", "UPDATE_COMPLETE")]
    assert executed(change, answers, before, before, begun, begun, cleaning, ended) == (
        True,
        [
            "UPDATE_IN_PROGRESS  backup: User Initiated",
            "UPDATE_COMPLETE  EC2Role: a [2Jb",
            "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS  backup",
            "UPDATE_COMPLETE  backup",
        ],
    )


@pytest.mark.parametrize(
    "status", ["ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_FAILED"]
)
def test_what_was_rolled_back_did_not_end_well(
    change: ChangeSet, answers: Stubber, status: str
) -> None:
    ended_well, _ = executed(change, answers, [], [event(1, "backup", status)])
    assert not ended_well
