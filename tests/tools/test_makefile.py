"""What the Makefile promises about the directory it is in."""

import shutil
import subprocess
from pathlib import Path

import pytest

MAKEFILE = Path("Makefile").resolve()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    project = tmp_path / "project"
    project.mkdir()
    shutil.copy(MAKEFILE, project)
    return project


def make(project: Path, *arguments: str) -> str:
    command = ["make", "-C", str(project), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_help_is_the_default_and_explains_every_target(project: Path) -> None:
    phony = next(line for line in MAKEFILE.read_text().splitlines() if line.startswith(".PHONY:"))
    output = make(project)
    for target in phony.split()[1:]:
        assert f"make {target} " in output


def test_clean_removes_what_was_made_and_nothing_else(project: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").touch()
    for directory in (".venv/lib", ".local/snapshots", ".cache", ".mypy_cache", "src/__pycache__"):
        (project / directory).mkdir(parents=True)
    (project / ".local/link").symlink_to(outside)
    (project / "dist").symlink_to(outside)
    (project / "src/handler.py").touch()
    make(project, "clean")
    assert sorted(path.name for path in project.rglob("*")) == ["Makefile", "handler.py", "src"]
    assert (outside / "file").exists()
    make(project, "clean")
