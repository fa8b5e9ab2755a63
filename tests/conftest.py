"""What all tests share."""

import gc
import os
import re
import signal
import subprocess
import sys
import tempfile
import venv
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import JSONFileLoader, Loader
from xdist.scheduler import LoadScopeScheduling

from local import sandbox
from local.tree import Entry, differences

REPOSITORY = Path(__file__).resolve().parents[1]

# What tests leave stays in this folder, where `make clean` finds it.
if "TMPDIR" not in os.environ:
    _temporary = REPOSITORY / ".cache/tmp"
    _temporary.mkdir(parents=True, exist_ok=True)
    os.environ["TMPDIR"] = str(_temporary)
    tempfile.tempdir = None  # pytest has asked for the default already
# What moto and pytest hold is much to look through, all the time.
gc.set_threshold(200_000, 20, 100)
os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"  # they take most of the time in each region
os.environ.setdefault("STATE_DIR", f"{tempfile.gettempdir()}/ministack-state")

# Who is started in the background by a script ignores it, and so does all that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The python3 that is started some thousand times has its own library alone, as that of an instance.
# One that a version manager has installed is a script that looks for it, or loads more each time.
_python = REPOSITORY / ".cache/python"
_is_made = (_python / "bin/python3").resolve() == Path(sys.executable).resolve()
if not _is_made and "PYTEST_XDIST_WORKER" not in os.environ:
    venv.create(_python, clear=True, symlinks=True)
os.environ["PATH"] = f"{_python}/bin:{os.environ['PATH']}"


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compiles once what tests start again and again and what writes no bytecode itself."""
    if not hasattr(session.config, "workerinput") and not sandbox.inside():
        folders = [REPOSITORY / name for name in ("ec2/lib", "src", "local", "admin", "tools")]
        subprocess.run(["python3", "-m", "compileall", "-q", *folders], check=True)


_load_file = JSONFileLoader.load_file


@cache
def _load_once(path: str) -> Any:
    return _load_file(JSONFileLoader(), path)


_list_services = Loader.list_available_services
_services: dict[tuple[str, ...], Any] = {}


def _list_services_once(loader: Loader, type_name: str) -> Any:
    key = (*loader.search_paths, type_name)
    if key not in _services:
        _services[key] = _list_services(loader, type_name)
    return _services[key]


# moto gives each test a session of its own, which would parse the models of all services anew, and
# look into the directories of all for each client.
JSONFileLoader.load_file = lambda _, path: _load_once(path)
Loader.list_available_services = _list_services_once


# Tests that share something of which there is one: the demo, a browser, a build, a machine with
# NFS. There are three of these: all that they do, one after the other, takes longer than the rest.
ONE_AT_A_TIME = (
    "tests/console_page/test_browser.py",
    "tests/local/test_demo.py",
    "tests/nfs/test_history.py",
    "tests/nfs/test_(faults|machines|restore_history).py",
    "tests/nfs/",
    "tests/tools/",
)
# Minutes each, of which a processor has a quarter to do.
LONG = "tests/local/test_inside.py"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Spreads them over the first half of the others: so there is always something to do while they
    wait, and at the end no process is left with one."""
    long = [item for item in items if item.nodeid.startswith(LONG)]
    others = [item for item in items if item not in long]
    if hasattr(config, "workerinput") and long:
        apart = len(others) // 2 // len(long)
        for number, item in enumerate(long):
            others.insert(number * (apart + 1), item)
        items[:] = others


def pytest_collection_finish(session: pytest.Session) -> None:
    """What is there by now stays; pytest looks through all that is not frozen at its end, too."""
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """More than processors: tests with instances or with NFS wait for most of their time."""
    return 3 * len(os.sched_getaffinity(0))


class Scheduling(LoadScopeScheduling):
    """One process for all tests of a group; any other test goes wherever there is time for it."""

    def _split_scope(self, nodeid: str) -> str:
        return next((group for group in ONE_AT_A_TIME if re.match(group, nodeid)), nodeid)


# Not by marks with --dist loadgroup: xdist 3.8 ignores these, silently, with pytest 9.2.
@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling:
    return Scheduling(config, log)


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Trees are too large to be shown; how the left one differs from the right one is not."""
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        pairs = [*zip(left, right, strict=True)]
    else:
        pairs = [(left, right)]
    if op != "==" or not pairs or not all(is_tree(tree) for pair in pairs for tree in pair):
        return None
    lines = (line for found, expected in pairs for line in differences(expected, found))
    return ["equal trees", *islice(lines, 50)]


def is_tree(value: object) -> bool:
    return isinstance(value, dict) and isinstance(next(iter(value.values()), None), Entry)
