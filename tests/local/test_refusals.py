"""What AWS refuses, is refused here."""

import pytest

from local.emulator import refusals

DAY = 86400


def made(logical_id, properties, stack):
    return "made", {}


def test_the_name_of_a_function_has_at_most_64_characters():
    assert refusals.long_name(made, "Orchestrator", {"FunctionName": "x" * 64}, "stack")
    assert refusals.long_name(made, "AMIInfoFunction", {}, "stack")
    with pytest.raises(refusals.Refused, match="less than or equal to 64"):
        refusals.long_name(made, "Orchestrator", {"FunctionName": "x" * 65}, "stack")


def test_a_bucket_with_a_policy_gets_no_second_one():
    properties = {"Bucket": "logs"}
    assert refusals.second_policy(made, {"other": "{}"}, "Policy", properties, "stack")
    with pytest.raises(refusals.Refused, match="already exists on bucket logs"):
        refusals.second_policy(made, {"logs": "{}"}, "Policy", properties, "stack")


def test_the_throughput_mode_changes_once_in_a_day():
    now = [1e9]
    file_systems = {"fs-1": {"ThroughputMode": "bursting"}, "fs-2": {}}

    def update(file_system, request):
        file_systems[file_system] |= request
        return "updated"

    def error(status, code, message):
        return status, code

    change = refusals.ThroughputChanges(update, file_systems, error, lambda: now[0])
    assert change("fs-1", {"ThroughputMode": "bursting"}) == "updated"
    assert change("fs-1", {"ThroughputMode": "elastic"}) == "updated"
    assert change("fs-2", {"ThroughputMode": "elastic"}) == "updated"
    now[0] += DAY - 1
    assert change("fs-1", {"ThroughputMode": "bursting"}) == (429, "TooManyRequests")
    assert change("fs-1", {"ThroughputMode": "elastic"}) == "updated"
    now[0] += 1
    assert change("fs-1", {"ThroughputMode": "bursting"}) == "updated"


def test_what_is_not_ascii_comes_back_as_a_question_mark():
    def describe(parameters):
        return 200, {}, "<ParameterValue>/ünter wegs/&amp;</ParameterValue>".encode()

    answer = refusals.ascii_only(describe, {})
    assert answer == (200, {}, b"<ParameterValue>/?nter wegs/&amp;</ParameterValue>")
