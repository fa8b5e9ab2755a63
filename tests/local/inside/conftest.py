"""These tests need an account: tests/local/test_inside.py runs them, in the sandbox."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local import account, deployment, sandbox
from local.deployment import WAIT_SECONDS
from tests.local.inside.faults import Backups

VERSION = "v0.0.0-test"
# What an administrator's commands need of the project; docs/local-account.md copies it, too.
COPIED = (
    "Makefile",
    "README.md",
    "efs2efs",
    "requirements*.txt",
    *("admin", "ec2", "src", "templates", "tools"),
)

if not sandbox.inside():
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def home(request: pytest.FixtureRequest) -> Path:
    """Each sandbox has its own, so that several can be run at the same time."""
    return sandbox.STATE / f"test-{request.session.items[0].path.stem}"


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout that commands may write into."""
    project = tmp_path_factory.mktemp("project")
    for path in (path for name in COPIED for path in sandbox.REPOSITORY.glob(name)):
        (shutil.copytree if path.is_dir() else shutil.copy)(path, project / path.name)
    (project / ".venv").symlink_to(sandbox.REPOSITORY / ".venv")
    (project / ".cache").mkdir()
    for made in (sandbox.REPOSITORY / ".cache").glob("packages-*"):
        (project / ".cache" / made.name).symlink_to(made)
    return project


@pytest.fixture(scope="session")
def release(home: Path) -> Path:
    return home.with_name(f"{home.name}-release")


@pytest.fixture(scope="session")
def local_account(home: Path) -> Iterator[account.Account]:
    with account.running(home) as running:
        yield running


@pytest.fixture(scope="session")
def release_url(local_account, release):
    return deployment.upload(local_account, release, VERSION)


@pytest.fixture(scope="session")
def stack(local_account, release_url):
    network = deployment.create_network(local_account)
    source_id = deployment.create_file_system(local_account, network)
    return deployment.Deployment.create(local_account, network, source_id, release_url)


@pytest.fixture(scope="session")
def inbox(stack):
    return deployment.Inbox.subscribe(stack)


@pytest.fixture(scope="session")
def backups(local_account, release_url):
    """Runs with faults, of a source with a few files, that keep all snapshots."""
    network = deployment.create_network(local_account)
    source_id = deployment.create_file_system(local_account, network)
    stack = deployment.Deployment.create(
        local_account, network, source_id, release_url, Retain="1000"
    )
    for name in ("a", "b/c", "b/d e"):
        (stack.source / name).parent.mkdir(exist_ok=True)
        (stack.source / name).write_text(f"content of {name}")
    made = Backups(stack, deployment.Inbox.subscribe(stack))
    made.expect_the_next_run_to_work()
    return made


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., Any]:
    """wait_until(condition): its first true value; fails when none comes in time."""

    def wait(condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            if value := condition():
                return value
            time.sleep(0.2)
        return pytest.fail(f"did not become true within {WAIT_SECONDS} s")

    return wait
