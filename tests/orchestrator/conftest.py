import os
from collections.abc import Iterator
from unittest import mock

import pytest


@pytest.fixture(autouse=True)
def clean_environment() -> Iterator[None]:
    """No test sees this machine's settings, credentials or endpoints."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with mock.patch.dict(os.environ, kept, clear=True):
        yield
