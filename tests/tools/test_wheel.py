"""What pip installs of the repository: the administrators' program, and what a release needs."""

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from tools import build

PIP = [sys.executable, "-I", "-m", "pip", "--disable-pip-version-check", "--quiet"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory into which it is installed, without its requirements: this Python has them."""
    made = tmp_path_factory.mktemp("site")
    options = ["--no-deps", "--no-build-isolation", "--no-compile", "--target", str(made)]
    subprocess.run([*PIP, "install", *options, str(build.ROOT)], check=True)
    return made


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """Where the program is called: with a module there that it must not take for its own."""
    (tmp_path / "yaml.py").write_text("raise SystemExit('not mine')")
    return tmp_path


def efs2efs(site: Path, where: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site), "XDG_CACHE_HOME": str(where / "cache")}
    return subprocess.run(
        [sys.executable, "-P", str(site / "bin" / "efs2efs"), *words],
        cwd=where,
        env=environment,
        capture_output=True,
        text=True,
    )


def test_it_says_what_it_can_do_and_needs_no_clone(site: Path, elsewhere: Path) -> None:
    done = efs2efs(site, elsewhere, "cost", "--files", "1000000", "--gb", "100")
    assert (done.returncode, done.stderr) == (0, "")
    assert "1,000,000 files, 100 GB" in done.stdout
    assert not [path for path in site.iterdir() if path.name in ("admin", "tools", "src", "engine")]


def test_it_builds_the_release_that_a_clone_does(site: Path, tmp_path: Path) -> None:
    build.build("v2.0.0", "bucket", tmp_path / "clone" / "dist")
    program = f"""
import sys
sys.path.insert(0, {str(site / "efs2efs")!r})
sys.executable = "/no/pip/there"
from admin.publish import Release
print(Release.built("v2.0.0", "bucket").files["SHA256SUMS"].decode(), end="")
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=tmp_path,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=True,
    )
    clone = tmp_path / "clone" / "dist"
    sums = [f"{build.hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}" for p in files(clone)]
    assert sorted(done.stdout.splitlines()) == sorted(sums)
    assert files(tmp_path / "cache" / "efs2efs" / "dist")


def files(dist: Path) -> list[Path]:
    return [*dist.glob("*-s3-assets/*")]


def test_it_wants_the_versions_that_are_tested(site: Path) -> None:
    (found,) = metadata.distributions(name="efs2efs", path=[str(site)])
    pins = build.ROOT.joinpath("requirements.txt").read_text()
    assert found.requires
    assert "boto3" in " ".join(found.requires)
    for each in found.requires:
        assert f"\n{each} \\\n" in f"\n{pins}"
    assert len(found.requires) == pins.count("==")


def test_it_is_built_by_the_version_that_is_locked() -> None:
    wanted = tomllib.loads(build.ROOT.joinpath("pyproject.toml").read_text())["build-system"]
    assert wanted["requires"] == [f"hatchling=={metadata.version('hatchling')}"]
