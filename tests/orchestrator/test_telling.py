"""What others are told of runs: each event is as docs/events.schema.json says, and one that comes
twice is known by its Id."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import fastjsonschema
import pytest
from botocore.exceptions import ClientError
from botocore.stub import ANY, Stubber

from orchestrator import bus, telling
from orchestrator.actions import Announce
from orchestrator.core import decide
from orchestrator.events import Start
from orchestrator.record import Record, Step
from tests.orchestrator.test_core import CASES, SETTINGS, at, inner, settings_of, world

is_an_event = fastjsonschema.compile(json.loads(Path("docs/events.schema.json").read_text()))


def announced(case: str, later: timedelta = timedelta()) -> list[Announce]:
    event, given, time, _ = CASES[case]
    decision = decide(event, given, settings_of(case), at(time) + later)
    done = [*(a for action in decision.actions for a in inner(action)), *decision.observations]
    return [action for action in done if isinstance(action, Announce)]


def sent(announce: Announce) -> dict[str, Any]:
    """As it stands in the request."""
    client = boto3.client("events", "eu-west-1")
    with Stubber(client) as stubber:
        stubber.add_response("put_events", {"FailedEntryCount": 0}, {"Entries": ANY})
        taken: list[Any] = []
        client.meta.events.register(
            "before-parameter-build.events.PutEvents",
            lambda params, **_: taken.append(params["Entries"]),
        )
        bus.EventBus(lambda _: client).put(announce)
    ((entry,),) = taken
    assert len(json.dumps(entry).encode()) < 262_144
    return {
        "source": entry["Source"],
        "detail-type": entry["DetailType"],
        "detail": json.loads(entry["Detail"]),
    }


TOLD = [name for name in CASES if announced(name)]


@pytest.mark.parametrize("case", TOLD)
def test_an_event_is_as_the_schema_says(case: str) -> None:
    for announce in announced(case):
        is_an_event(sent(announce))


def test_the_schema_takes_no_other() -> None:
    for wrong in ({"BackupStatus": "Fine"}, {"BackupStartTime": "yesterday"}, {"Id": ""}):
        event = sent(telling.started(Record({"BackupId": "a"}), SETTINGS))
        with pytest.raises(fastjsonschema.JsonSchemaValueException):
            is_an_event({**event, "detail": {**event["detail"], **wrong}})


def test_all_kinds_are_told() -> None:
    kinds = {announce.kind for case in TOLD for announce in announced(case)}
    assert kinds == {telling.STARTED, telling.ENDED, telling.NOT_STARTED, telling.ALARM}


def test_what_is_told_again_later_has_the_same_id() -> None:
    for case in TOLD:
        first, again = announced(case), announced(case, timedelta(seconds=30))
        ids = [a.detail["Id"] for a in again]
        assert {a.detail["Id"] for a in first} <= {*ids} or "wait" in case


def test_no_two_events_share_an_id() -> None:
    """Nor does the correction of one that said something else."""
    for case in TOLD:
        for announce in announced(case):
            assert str(announce.detail["Id"]).count("/") >= 1
    told = [telling.ended(Record({"BackupId": "a", "BackupStatus": s}), SETTINGS) for s in "xy"]
    assert told[0].detail["Id"] != told[1].detail["Id"]


def test_one_that_was_refused_waits_for_the_check() -> None:
    """What the step is for: the check tells it, whatever else is told by then."""
    case = "check when a run that is still running could not be closed"
    assert Step.EVENT in [getattr(a, "step", None) for a in decide_of(case)]


def decide_of(case: str) -> Iterator[Any]:
    event, given, time, _ = CASES[case]
    yield from decide(event, given, SETTINGS, at(time)).actions


def test_a_long_story_is_cut_and_begins_with_what_matters() -> None:
    lines = ["x" * 5_000] * 500
    told = {"BackupId": "a", "BackupStatus": "Partial", "Errors": lines, "Warnings": lines}
    event = sent(telling.ended(Record(told), SETTINGS))
    is_an_event(event)
    assert list(event["detail"])[:3] == ["Id", "StackName", "BackupStatus"]


def test_a_started_run_says_what_it_is_about() -> None:
    decision = decide(Start("a"), world(), SETTINGS, at("02:00"))
    (announce,) = (o for o in decision.observations if isinstance(o, Announce))
    detail = sent(announce)["detail"]
    assert detail["BackupWindow"] == 180
    assert (detail["SourceEfsId"], detail["BackupPrefix"]) == ("fs-source", "/")
    assert "ExpireItem" not in detail


def test_an_entry_that_is_refused_while_the_request_is_not_is_an_error() -> None:
    client = boto3.client("events", "eu-west-1")
    refused = {"ErrorCode": "InternalFailure", "ErrorMessage": "later"}
    with Stubber(client) as stubber:
        stubber.add_response("put_events", {"FailedEntryCount": 1, "Entries": [refused]})
        with pytest.raises(ClientError, match="InternalFailure"):
            bus.EventBus(lambda _: client).put(Announce("kind", {"Id": "a"}))
