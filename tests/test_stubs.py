"""A stand-in that takes what AWS would refuse hides a fault."""

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ParamValidationError

from tests.stubs import Checked

PAGES = SimpleNamespace(paginate=lambda **_: [{"Items": []}])
STUB = SimpleNamespace(
    meta="meta",
    describe_stacks=lambda **parameters: parameters,
    get_paginator=lambda operation: PAGES,
)


def test_what_is_right_reaches_the_stand_in() -> None:
    client = Checked(STUB, "dynamodb", "cloudformation")
    assert client.describe_stacks(StackName="a") == {"StackName": "a"}
    assert list(client.get_paginator("scan").paginate(TableName="table")) == [{"Items": []}]
    assert client.meta == "meta"
    assert client("cloudformation").describe_stacks(StackName="a")


@pytest.mark.parametrize(
    "wrong", [{"Stackname": "a"}, {"StackName": 1}, {"StackName": "a", "More": "b"}]
)
def test_what_botocore_refuses_does_not(wrong: dict[str, Any]) -> None:
    with pytest.raises(ParamValidationError):
        Checked(STUB, "cloudformation").describe_stacks(**wrong)


def test_pages_are_checked_too() -> None:
    with pytest.raises(ParamValidationError):
        Checked(STUB, "dynamodb").get_paginator("scan").paginate(Table="table")
    with pytest.raises(AssertionError, match="has scans"):
        Checked(STUB, "dynamodb").get_paginator("scans")
