import os
from collections.abc import Iterator
from unittest import mock

import pytest
from moto import mock_aws

from tests.metrics_endpoint import endpoint
from tests.orchestrator.cloud import Cloud

__all__ = ["endpoint"]


@pytest.fixture(autouse=True)
def clean_environment() -> Iterator[None]:
    """No test sees this machine's settings, credentials or endpoints."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with mock.patch.dict(os.environ, kept, clear=True):
        yield


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"  # they take most of the time
    with mock_aws():
        yield Cloud()
