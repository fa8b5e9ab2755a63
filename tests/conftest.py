"""What all tests share."""

import os
import tempfile
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

# What tests leave stays in this folder, where `make clean` finds it.
if "TMPDIR" not in os.environ:
    _temporary = Path(__file__).resolve().parents[1] / ".cache/tmp"
    _temporary.mkdir(parents=True, exist_ok=True)
    os.environ["TMPDIR"] = str(_temporary)
    tempfile.tempdir = None  # pytest has asked for the default already
os.environ.setdefault("STATE_DIR", f"{tempfile.gettempdir()}/ministack-state")

# Tests that share something of which there is one: the demo, a browser, a machine with
# NFS, a build.
ONE_AT_A_TIME = (
    "tests/console_page/test_browser.py",
    "tests/local/test_demo.py",
    "tests/nfs/",
    "tests/tools/",
)


class Scheduling(LoadScopeScheduling):
    """One process for all tests of a group; any other test goes wherever there is time for it."""

    def _split_scope(self, nodeid: str) -> str:
        return next((group for group in ONE_AT_A_TIME if nodeid.startswith(group)), nodeid)


# Not by marks with --dist loadgroup: xdist 3.8 ignores these, silently, with pytest 9.2.
@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling:
    return Scheduling(config, log)
