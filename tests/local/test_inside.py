"""Runs the tests of tests/local/inside/, each file in a sandbox of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from local import sandbox

INSIDE = Path(__file__).parent / "inside"


@pytest.mark.timeout(3600)  # its own tests have limits: some minutes each, whatever else goes on
@pytest.mark.parametrize("file", sorted(path.name for path in INSIDE.glob("test_*.py")))
def test_inside_the_sandbox(file):
    # Inside there is no network for the build.
    release = sandbox.STATE / f"test-{Path(file).stem}-release"
    release.parent.mkdir(exist_ok=True)
    build = [sys.executable, "tools/build.py", "--version", "v0.0.0-test", "--dist", release]
    subprocess.run(build, cwd=sandbox.REPOSITORY, check=True)
    command = [sys.executable, "-m", "local.sandbox", "pytest", "-p", "no:cacheprovider"]
    command += ["--timeout", "1500"]  # longer than any single thing is waited for
    done = subprocess.run([*command, INSIDE / file], cwd=sandbox.REPOSITORY)
    assert done.returncode == 0, "see the output above"
