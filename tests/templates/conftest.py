from typing import Any

import pytest


@pytest.fixture(scope="module")
def resources(template: dict[str, Any]) -> dict[str, Any]:
    """The resources of the template that the test module is about."""
    found: dict[str, Any] = template["Resources"]
    return found
