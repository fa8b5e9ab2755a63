"""What all tests share."""

from pathlib import Path

import pytest

# Tests that share something of which there is one: the demo, a machine with NFS, a build.
ONE_AT_A_TIME = ("local/test_demo.py", "nfs", "tools")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep them in one process each, when tests run in several."""
    tests = Path(__file__).parent
    for item in items:
        path = item.path.relative_to(tests)
        for group in ONE_AT_A_TIME:
            if path.is_relative_to(group):
                item.add_marker(pytest.mark.xdist_group(group))
