"""A release: complete, the same bytes every time, or an error and the old dist/ as it was."""

import gzip
import hashlib
import io
import os
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tools import build


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_wheel(tmp_path_factory.mktemp("wheels"))


def ask_nobody(patch: pytest.MonkeyPatch, wheel: Path) -> None:
    """All that pip knows of is the wheel."""
    patch.setenv("PIP_NO_INDEX", "1")
    patch.setenv("PIP_FIND_LINKS", str(wheel.parent))


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """By pip once, which takes longer than all else that a build does."""
    with pytest.MonkeyPatch.context() as patch:
        ask_nobody(patch, wheel)
        return build.installed(requirements_of(wheel.parent, wheel), wheel.parent)


@pytest.fixture
def make_project(
    tmp_path: Path, wheel: Path, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Path]:
    """Projects that are as small as can be, and have been built before."""
    ask_nobody(monkeypatch, wheel)

    def make(name: str) -> Path:
        root = tmp_path / name
        for package in build.LAMBDAS:
            write(root / f"src/{package}/__init__.py", f'"""{package}"""\n')
            write(root / f"src/{package}/handler.py", "def lambda_handler(): ...\n")
        requirements_of(root / "src/ami_info", wheel)
        shutil.copytree(installed, root / ".cache" / installed.name)
        write(root / "ec2/efs-ec2-backup.sh", "#!/bin/bash\n")
        (root / "ec2/efs-ec2-backup.sh").chmod(0o755)
        write(root / "ec2/lib/common.sh", "say() { echo; }\n")
        write(root / "ec2/lib/common/limits.py", "LINES = 20\n")
        write(root / "templates/efs-to-efs-backup.template", "Bucket: %%BUCKET_NAME%%\n")
        return root

    return make


@pytest.fixture
def project(make_project: Callable[[str], Path]) -> Path:
    return make_project("project")


@pytest.fixture
def dist(project: Path) -> Path:
    return project / "dist"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def requirements_of(directory: Path, wheel: Path) -> Path:
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    write(directory / "requirements.txt", f"tiny==1.0 --hash=sha256:{digest}\n")
    return directory / "requirements.txt"


def make_wheel(directory: Path) -> Path:
    wheel = directory / "tiny-1.0-py3-none-any.whl"
    info = "tiny-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny/__init__.py", "SIZE = 'tiny'\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr(f"{info}/LICENSE", "free\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "tiny/__init__.py,,\n")
    return wheel


def make(project: Path) -> None:
    build.build("v2.0.0", "efs-backup-solution", project / "dist", project)


def contents(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


class TestRelease:
    def test_has_the_two_levels(self, project: Path, dist: Path) -> None:
        make(project)
        assert set(contents(dist)) == {
            "global-s3-assets/efs-to-efs-backup.template",
            "regional-s3-assets/orchestrator.zip",
            "regional-s3-assets/solution_helper.zip",
            "regional-s3-assets/ami_info.zip",
            "regional-s3-assets/restore_watch.zip",
            "regional-s3-assets/console_page.zip",
            "regional-s3-assets/ec2.tar.gz",
        }
        assert dist.stat().st_mode & stat.S_IRWXO == project.stat().st_mode & stat.S_IRWXO

    def test_fills_the_template(self, project: Path, dist: Path) -> None:
        write(
            project / "templates/efs-to-efs-backup.template",
            "%%BUCKET_NAME%% %%SOLUTION_NAME%%/%%VERSION%% %%BUNDLE_SHA256%% 100%",
        )
        make(project)
        bundle = (dist / "regional-s3-assets/ec2.tar.gz").read_bytes()
        digest = hashlib.sha256(bundle).hexdigest()
        assert (dist / "global-s3-assets/efs-to-efs-backup.template").read_text() == (
            f"efs-backup-solution efs-to-efs-backup/v2.0.0 {digest} 100%"
        )

    def test_zips_a_lambda_with_what_it_requires(self, project: Path, dist: Path) -> None:
        write(project / "src/ami_info/__pycache__/handler.cpython-313.pyc", "compiled")
        make(project)
        with zipfile.ZipFile(dist / "regional-s3-assets/ami_info.zip") as archive:
            assert archive.namelist() == [
                "ami_info/__init__.py",
                "ami_info/handler.py",
                "common/limits.py",
                "tiny-1.0.dist-info/LICENSE",
                "tiny-1.0.dist-info/METADATA",
                "tiny-1.0.dist-info/WHEEL",
                "tiny/__init__.py",
            ]
            assert archive.read("tiny/__init__.py") == b"SIZE = 'tiny'\n"
        with zipfile.ZipFile(dist / "regional-s3-assets/orchestrator.zip") as archive:
            assert archive.namelist() == [
                "common/limits.py",
                "orchestrator/__init__.py",
                "orchestrator/handler.py",
            ]

    def test_bundles_ec2(self, project: Path, dist: Path) -> None:
        make(project)
        with tarfile.open(dist / "regional-s3-assets/ec2.tar.gz") as archive:
            members = {member.name: member for member in archive}
        assert {name: oct(member.mode) for name, member in members.items()} == {
            "ec2/efs-ec2-backup.sh": "0o755",
            "ec2/lib/common.sh": "0o644",
            "ec2/lib/common/limits.py": "0o644",
        }

    def test_another_build_at_the_same_time(
        self, project: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Both find the cache without the packages, and the other one is faster."""
        run = build.subprocess.run
        raced: list[bool] = []

        def slower(*arguments: Any, **options: Any) -> Any:
            done = run(*arguments, **options)
            if not raced:
                raced.append(True)
                make(project)
            return done

        monkeypatch.setattr(build.subprocess, "run", slower)
        shutil.rmtree(project / ".cache")
        make(project)
        assert raced

    def test_replaces_the_one_before(self, project: Path, dist: Path) -> None:
        write(dist / "regional-s3-assets/old.zip", "old")
        make(project)
        assert "regional-s3-assets/old.zip" not in contents(dist)
        assert [path.name for path in project.glob(".dist-*")] == []


class TestSameBytes:
    def test_twice(self, project: Path, dist: Path) -> None:
        make(project)
        first = contents(dist)
        for path in project.rglob("*"):
            os.utime(path, (1, 1))
        make(project)
        assert contents(dist) == first

    def test_elsewhere_under_another_umask(
        self, make_project: Callable[[str], Path], project: Path
    ) -> None:
        make(project)
        before = os.umask(0o077)
        try:
            other = make_project("other")
            make(other)
        finally:
            os.umask(before)
        assert contents(other / "dist") == contents(project / "dist")

    def test_nothing_of_the_builder_is_inside(self, project: Path, dist: Path) -> None:
        make(project)
        bundle = (dist / "regional-s3-assets/ec2.tar.gz").read_bytes()
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(bundle))) as archive:
            assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in archive} == {
                (0, 0, 0, "", "")
            }
        assert bundle[4:8] == bytes(4)  # gzip's own time

    def test_of_the_project_itself(self, tmp_path: Path) -> None:
        for name in ("a", "b"):
            build.build("v2.0.0", "efs-backup-solution", tmp_path / name / "dist")
        assert contents(tmp_path / "a") == contents(tmp_path / "b")


class TestSourceVersion:
    def test_is_a_version(self, project: Path) -> None:
        assert build.version(build.source_version(project))

    def test_follows_the_sources_and_nothing_else(
        self, make_project: Callable[[str], Path], project: Path
    ) -> None:
        before = build.source_version(project)
        make(project)
        write(project / "README.md", "other")
        assert build.source_version(project) == build.source_version(make_project("b")) == before
        (project / "ec2/lib/common.sh").chmod(0o755)
        executable = build.source_version(project)
        write(project / "templates/efs-to-efs-backup.template", "other")
        assert len({before, executable, build.source_version(project)}) == 3


class TestRefusals:
    @pytest.fixture(autouse=True)
    def old_dist(self, dist: Path) -> Iterator[None]:
        write(dist / "old", "old")
        yield
        assert contents(dist) == {"old": b"old"}
        assert [path.name for path in dist.parent.glob(".dist-*")] == []

    @pytest.mark.parametrize("placeholder", ["%%BUKET_NAME%%", "%%version%%", "%%%%"])
    def test_placeholder_that_nothing_fills(self, project: Path, placeholder: str) -> None:
        write(project / "templates/other.template", f"a: {placeholder}\n")
        with pytest.raises(build.BuildError, match=f"other.template.*{placeholder}"):
            make(project)

    def test_no_templates(self, project: Path) -> None:
        (project / "templates/efs-to-efs-backup.template").unlink()
        with pytest.raises(build.BuildError, match=r"no .*template in .*/templates"):
            make(project)

    def test_package_with_another_hash(self, project: Path) -> None:
        requirements = project / "src/ami_info/requirements.txt"
        requirements.write_text("tiny==1.0 --hash=sha256:" + "0" * 64)
        with pytest.raises(build.BuildError, match=r"could not install .*ami_info/requirements"):
            make(project)


class TestCommandLine:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "VERSION is missing. Give it like this: VERSION=v2.0.0"),
            (["--version", ""], "VERSION is missing"),
            (["--version", "2.0.0"], "VERSION '2.0.0'"),
            (["--version", "v2.0"], "VERSION 'v2.0'"),
            (["--version", "v2.0.0/.."], "VERSION 'v2.0.0/..'"),
            (["--version", "v2.0.0\n"], "VERSION 'v2.0.0\\n'"),
            (["--version", "v٢.0.0"], "VERSION 'v٢.0.0'"),
            (["--version", "v2.0.0", "--bucket", ""], "BUCKET ''"),
            (["--version", "v2.0.0", "--bucket", "ab"], "BUCKET 'ab'"),
            (["--version", "v2.0.0", "--bucket", "My-Bucket"], "BUCKET 'My-Bucket'"),
            (["--version", "v2.0.0", "--bucket", "s3://bucket"], "BUCKET 's3://bucket'"),
            (["--version", "v2.0.0", "--bucket", "bucket-"], "BUCKET 'bucket-'"),
            (["--version", "v2.0.0", "--bucket", "b" * 49], "48"),  # + "-ap-northeast-1" = 64
        ],
    )
    def test_refuses(
        self, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert build.main(arguments) == 1
        error = capsys.readouterr().err
        assert message in error
        assert "usage" not in error

    @pytest.mark.parametrize("version", ["v2.0.0", "v2.10.0-rc.1"])
    def test_builds(
        self,
        project: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        version: str,
    ) -> None:
        monkeypatch.setattr(build, "ROOT", project)
        dist = project / "dist"
        arguments = ["--version", version, "--bucket", "my-backups", "--dist", str(dist)]
        assert build.main(arguments) == 0
        assert "my-backups" in (dist / "global-s3-assets/efs-to-efs-backup.template").read_text()
        output = capsys.readouterr().out
        assert f"The release {version} is in " in output
        assert f"  make publish BUCKET=my-backups REGIONS=eu-west-1 VERSION={version}\n" in output
