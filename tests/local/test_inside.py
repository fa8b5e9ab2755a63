"""Runs the tests of tests/local/inside/, in a few sandboxes."""

import subprocess
import sys
from pathlib import Path

import pytest

from local import sandbox

INSIDE = Path(__file__).parent / "inside"
# Files that share an account, and what else their fixtures have in common. Each other has its own.
TOGETHER = (
    ("test_events.py", "test_several_stacks.py"),
    ("test_faults_deaths.py", "test_faults_orchestration.py"),
    ("test_group.py", "test_sandbox.py"),
)


def sandboxes() -> list[tuple[str, ...]]:
    shared = [name for files in TOGETHER for name in files]
    alone = {path.name for path in INSIDE.glob("test_*.py")}.difference(shared)
    return sorted([*TOGETHER, *((name,) for name in alone)])


@pytest.mark.timeout(3600)  # its own tests have limits: some minutes each, whatever else goes on
@pytest.mark.parametrize("files", sandboxes(), ids="+".join)
def test_inside_the_sandbox(files):
    # Inside there is no network for the build.
    release = sandbox.STATE / f"test-{Path(files[0]).stem}-release"
    release.parent.mkdir(exist_ok=True)
    build = [sys.executable, "tools/build.py", "--version", "v0.0.0-test", "--dist", release]
    subprocess.run(build, cwd=sandbox.REPOSITORY, check=True)
    command = [sys.executable, "-m", "local.sandbox", "pytest", "-p", "no:cacheprovider"]
    command += ["--timeout", "1500"]  # longer than any single thing is waited for
    done = subprocess.run([*command, *(INSIDE / name for name in files)], cwd=sandbox.REPOSITORY)
    assert done.returncode == 0, "see the output above"
