"""Builds a release into dist/: the templates, one zip per Lambda, one bundle of ec2/.

The same sources give the same bytes, wherever and whenever they are built.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOLUTION_NAME = "efs-to-efs-backup"
LAMBDAS = ("orchestrator", "solution_helper", "ami_info", "restore_watch", "console_page")
# What a Lambda has beside it of what the instance runs: all have the former.
COMMON, MORE = "common/", {"console_page": ("engine/",)}
DASHBOARD = re.compile(r"( DashboardBody: !Sub \|\n {8})(.*\n(?: {8}.*\n)*)")
VERSION = re.compile(r"v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?", re.ASCII)
BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,46}[a-z0-9]")

Files = Mapping[str, tuple[bytes, int]]
"""What goes into an archive: name -> content, mode (0o644 or 0o755)."""


class BuildError(Exception):
    """The release cannot be built; the message says what to do."""


def build(version: str, bucket: str, dist: Path, root: Path = ROOT) -> None:
    """Replace `dist` by the release `version`, whose assets will be uploaded to `bucket`-<region>.

    Raises BuildError and leaves `dist` as it was when the release cannot be built.
    """
    cache = root / ".cache"
    for directory in (cache, dist.parent):
        directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=dist.parent, prefix=".dist-") as scratch:
        new = Path(scratch, "dist")
        regional = new / "regional-s3-assets"
        regional.mkdir(parents=True)
        for name in LAMBDAS:
            (regional / f"{name}.zip").write_bytes(zipped(lambda_files(root / "src" / name, cache)))
        bundle = tar_gz(files_of(root / "ec2", "ec2/"))
        (regional / "ec2.tar.gz").write_bytes(bundle)
        placeholders = {
            "BUCKET_NAME": bucket,
            "SOLUTION_NAME": SOLUTION_NAME,
            "VERSION": version,
            "BUNDLE_SHA256": hashlib.sha256(bundle).hexdigest(),
        }
        write_templates(root / "templates", new / "global-s3-assets", placeholders)
        if dist.exists():
            dist.rename(Path(scratch, "old"))
        new.rename(dist)


def source_version(root: Path = ROOT) -> str:
    """A version for what has none: other sources, other version."""
    digest = hashlib.sha256()
    for folder in ("ec2", "src", "templates"):
        for name, (content, mode) in sorted(files_of(root / folder, f"{folder}/").items()):
            digest.update(f"{name} {mode} {len(content)}\n".encode() + content)
    return f"v0.0.0-source.{digest.hexdigest()[:12]}"


def write_templates(source: Path, target: Path, placeholders: Mapping[str, str]) -> None:
    templates = sorted(source.glob("*.template"))
    if not templates:
        raise BuildError(f"no *.template in {source}")
    target.mkdir()
    for template in templates:
        try:
            text = filled(released(template.read_text()), placeholders)
            target.joinpath(template.name).write_text(text)
        except KeyError as error:
            raise BuildError(
                f"{template}: nothing fills the placeholder %%{error.args[0]}%%"
            ) from None


def released(template: str) -> str:
    """Without the comments that are for who changes the template, blank lines, what indents lines
    more than YAML needs, line breaks before an ARN, and blanks in a dashboard: one of more than
    51,200 bytes cannot be given to CloudFormation without a bucket. The Mappings stay as they are,
    which users edit.

    >>> released("# Why.\\nMappings:\\n  # What.\\n  a: 1\\nResources:\\n  # How.\\n  b: 2\\n")
    'Mappings:\\n  # What.\\n  a: 1\\nResources:\\n b: 2\\n'
    """
    sections = re.split(r"(?m)^(?=\w+:)", template)
    return "".join(s if s.startswith("Mappings:") else shorter(s) for s in sections)


def shorter(section: str) -> str:
    text = DASHBOARD.sub(compact, re.sub(r"(?m)^( *# .*)?\n", "", section))
    text = re.sub(r" >-\n +(arn:\S+)$", r" \1", text, flags=re.MULTILINE)
    return "".join(narrower(text.splitlines(keepends=True)))


def narrower(lines: Iterable[str]) -> Iterator[str]:
    """Indented by one blank a level, and lists not at all. Within a block of text, only what is
    before the whole block.

    >>> [*narrower(["a: |\\n", "    b\\n", "      c\\n", "d:\\n", "  - e: f\\n", "    g: h\\n"])]
    ['a: |\\n', ' b\\n', '   c\\n', 'd:\\n', '- e: f\\n', '  g: h\\n']
    """
    levels = [(0, 0)]  # how far lines are indented, and how far they shall be
    after = 0  # how far the last one is now
    block, begins = 0, False  # how far the text is that goes on, if there is one
    for line in lines:
        indent = len(line) - len(line.lstrip(" "))
        is_item = line.startswith("- ", indent)
        if begins:
            block, begins = indent, False
            levels.append((block, after + 1))
        elif not block or indent < block:
            block = 0
            while levels[-1][0] > indent:
                levels.pop()
            if levels[-1][0] < indent:
                levels.append((indent, levels[-1][1] + (not is_item)))
        before, after = levels[-1]
        yield " " * after + line[before:]
        if not block:
            begins = bool(re.search(r" [|>][-+]?$", line.rstrip("\n")))
            if is_item:
                levels.append((indent + 2, after + 2))


def compact(body: re.Match[str]) -> str:
    return f"{body[1]}{json.dumps(json.loads(body[2]), separators=(',', ':'))}\n"


def filled(text: str, placeholders: Mapping[str, str]) -> str:
    """The text with every %%NAME%% replaced; KeyError with the name of one that is unknown."""
    return re.sub(r"%%([^%\s]*)%%", lambda match: placeholders[match[1]], text)


def lambda_files(package: Path, cache: Path) -> Files:
    """The package under its own name, and what its requirements.txt asks for beside it."""
    requirements = package / "requirements.txt"
    dependencies = files_of(installed(requirements, cache)) if requirements.exists() else {}
    own = files_of(package, f"{package.name}/")
    shared = files_of(package.parents[1] / "ec2/lib")
    wanted = (COMMON, *MORE.get(package.name, ()))
    return {
        **dependencies,
        **{name: shared[name] for name in shared if name.startswith(wanted)},
        **{name: own[name] for name in own if "/requirements." not in name},
    }


def installed(requirements: Path, cache: Path) -> Path:
    """A directory with the required packages, kept for the next build of the same requirements."""
    target = cache / f"packages-{hashlib.sha256(requirements.read_bytes()).hexdigest()[:16]}"
    if target.exists():
        return target
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        # Platform "any" admits pure Python only, which runs on each Lambda architecture.
        pip = [sys.executable, "-I", "-m", "pip", "install", "--quiet", "--no-input"]
        pip += ["--disable-pip-version-check", "--target", f"{scratch}/packages", "--no-compile"]
        pip += ["--only-binary", ":all:", "--platform", "any", "--require-hashes"]
        if subprocess.run([*pip, "--requirement", str(requirements)], check=False).returncode:
            raise BuildError(f"pip could not install {requirements}")
        try:
            Path(scratch, "packages").rename(target)
        except OSError:
            if not target.exists():  # else another build was faster
                raise
    return target


def files_of(directory: Path, prefix: str = "") -> Files:
    """All files below a directory, without what differs from one installation to the next."""
    return {
        prefix + path.relative_to(directory).as_posix(): (
            path.read_bytes(),
            0o755 if path.stat().st_mode & 0o100 else 0o644,
        )
        for path in walk(directory)
    }


def walk(directory: Path) -> Iterator[Path]:
    for path in directory.iterdir():
        if path.name == "__pycache__" or path.name.startswith("."):
            continue
        if path.is_dir():
            yield from walk(path)
        elif not (
            directory.suffix == ".dist-info" and path.name in {"RECORD", "INSTALLER", "REQUESTED"}
        ):
            yield path


def zipped(files: Files) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, (content, mode) in sorted(files.items()):
            info = zipfile.ZipInfo(name)  # dated 1980-01-01
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return buffer.getvalue()


def tar_gz(files: Files) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, (content, mode) in sorted(files.items()):
            info = tarfile.TarInfo(name)  # dated 1970-01-01, owned by 0:0
            info.mode = mode
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), mtime=0)


def version(text: str) -> str:
    if not VERSION.fullmatch(text):
        raise argparse.ArgumentTypeError(f"VERSION {text!r} is not of the form v2.0.0")
    return text


def bucket(text: str) -> str:
    if not BUCKET.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"BUCKET {text!r} is not a bucket name that a region can be appended to:"
            " 3 to 48 lower-case letters, digits and hyphens, the first and last not a hyphen"
        )
    return text


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="build", description="Write a release into dist/.")
    parser.add_argument("--version", default="", help="v2.0.0")
    parser.add_argument("--bucket", default="efs-backup-solution")
    parser.add_argument("--dist", type=Path, default=ROOT / "dist")
    options = parser.parse_args(arguments)
    try:
        if not options.version:
            raise BuildError("VERSION is missing. Give it like this: VERSION=v2.0.0")
        build(version(options.version), bucket(options.bucket), options.dist, ROOT)
    except (argparse.ArgumentTypeError, BuildError, OSError) as error:
        print(f"build: {error}", file=sys.stderr)
        return 1
    print(f"The release {options.version} is in {os.path.relpath(options.dist)}/. To publish it:")
    print(f"  make publish BUCKET={options.bucket} REGIONS=eu-west-1 VERSION={options.version}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
