"""What the Makefile promises about the directory it is in."""

import json
import re
import shutil
import subprocess
import sys
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
    command = ["make", "--no-print-directory", "-C", str(project), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_help_is_the_default_and_explains_every_target(project: Path) -> None:
    targets = re.findall(r"^(?:ADMIN :=|\.PHONY:) (.*)$", MAKEFILE.read_text(), re.MULTILINE)
    output = make(project)
    for target in set(" ".join(targets).split()) - {"$(ADMIN)"}:
        assert f"make {target} " in output
    assert max(map(len, output.splitlines())) <= 80


@pytest.mark.parametrize(
    "value",
    [
        """it's "daily" $(shell echo x) $HOME $$ ${CURDIR} `echo x` ünï, [a] # 100% \\""",
        "two\nlines",
        "",
        "file://a; echo b = c",
    ],
)
def test_values_reach_the_programs_as_they_were_typed(project: Path, value: str) -> None:
    program = project / ".venv/bin/python"
    program.parent.mkdir(parents=True)
    program.write_text(
        f"#!{sys.executable}\n"
        "import json, os, sys\n"
        f"sys.path.insert(0, {str(MAKEFILE.parent)!r})\n"
        "from admin.program import of_make\n"
        "print(json.dumps(dict(of_make(os.environ))))\n"
    )
    (project / "tools").mkdir()
    (project / "tools/setup.sh").write_text("#!/bin/sh\n")
    for script in (program, project / "tools/setup.sh"):
        script.chmod(0o755)
    output = make(project, "deploy", f"FolderLabel={value}", "STACK=efs-backup")
    assert json.loads(output) == {"FolderLabel": value, "STACK": "efs-backup"}


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


def test_it_is_told_how_long_the_tests_take_as_soon_as_it_is_known(project: Path) -> None:
    for script in (project / ".venv/bin/python", project / "tools/setup.sh"):
        script.parent.mkdir(parents=True)
        script.write_text("#!/bin/sh\nsleep 1\n")
        script.chmod(0o755)
    (project / ".cache").mkdir()
    said = make(project, "test")
    assert re.match(r"All tests take about \d+ minutes on the \d+ processors here\.\n", said)
    assert max(map(len, said.splitlines())) <= 80
    assert make(project, "test").startswith("All tests took 1 minutes here the last time.\n")
