"""These tests need an account: tests/local/test_inside.py runs them, in the sandbox."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local import account, deployment, sandbox

RELEASE = sandbox.STATE / "test-release"
VERSION = "v0.0.0-test"

if not sandbox.inside():
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def local_account() -> Iterator[account.Account]:
    with account.running(sandbox.STATE / "test") as running:
        yield running


@pytest.fixture(scope="session")
def release_url(local_account):
    return deployment.upload(local_account, RELEASE, VERSION)


@pytest.fixture(scope="session")
def stack(local_account, release_url):
    network = deployment.create_network(local_account)
    source_id = deployment.create_file_system(local_account, network)
    return deployment.Deployment.create(local_account, network, source_id, release_url)


@pytest.fixture(scope="session")
def inbox(stack):
    return deployment.Inbox.subscribe(stack)


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., Any]:
    """wait_until(condition, seconds): its first true value; fails when none comes in time."""

    def wait(condition: Callable[[], Any], seconds: float = 20) -> Any:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if value := condition():
                return value
            time.sleep(0.1)
        return pytest.fail(f"did not become true within {seconds} s")

    return wait
