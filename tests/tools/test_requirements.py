"""The pinned packages agree with each other and come from wherever the user's pip looks."""

import re
import subprocess
from pathlib import Path

import pytest

FILES = sorted([*Path().glob("requirements*.txt"), *Path("src").glob("*/requirements.txt")])
PINS = re.compile(r"^(\S+)==(\S+) \\$", re.MULTILINE)


def pins(file: Path) -> dict[str, str]:
    return dict(PINS.findall(file.read_text()))


@pytest.mark.parametrize("file", FILES, ids=str)
def test_all_is_pinned_with_hashes(file: Path) -> None:
    requirements = [line for line in file.read_text().splitlines() if re.match(r"[^\s#]", line)]
    assert len(requirements) == len(pins(file)) > 0
    assert file.read_text().count("--hash=sha256:") >= len(requirements)


@pytest.mark.parametrize("file", FILES, ids=str)
def test_no_registry_is_named(file: Path) -> None:
    text = file.read_text() + file.with_suffix(".in").read_text()
    assert "://" not in text
    assert "index-url" not in text


# What runs in an environment of its own, or in none of a release's.
APART = {f"requirements-{name}.txt" for name in ("bench", "page", "scan", "lock")}


@pytest.mark.parametrize("file", [file for file in FILES if file.name not in APART], ids=str)
def test_what_is_tested_is_what_is_released(file: Path) -> None:
    assert pins(file).items() <= pins(Path("requirements-dev.txt")).items()


def test_nothing_is_installed_but_from_a_lock() -> None:
    """Wherever pip installs, for the project or into a Lambda's zip, it wants a hash of each."""
    programs = [
        "Makefile",
        *subprocess.check_output(["git", "ls-files", "tools"], text=True).split(),
    ]
    installs = [p for p in map(Path, programs) if re.search(r"pip\b.*\binstall\b", p.read_text())]
    assert {p.name for p in installs} == {"setup.sh", "build.py"}
    assert all("--require-hashes" in p.read_text() for p in installs)
    assert "requirements-lock.txt" in {file.name for file in FILES}
