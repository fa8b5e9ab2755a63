"""What all tests share."""

from pathlib import Path

import pytest

# Tests in these folders share something of which there is one: the local account, a machine.
ONE_AT_A_TIME = ("local", "nfs", "tools")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of such a folder in one process, when there are several."""
    for item in items:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        if folder in ONE_AT_A_TIME:
            item.add_marker(pytest.mark.xdist_group(folder))
