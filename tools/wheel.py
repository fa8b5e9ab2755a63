"""What pip and pipx make of the repository: the administrators' program alone.

The package `efs2efs` is a copy of what a clone has of it, in the same folders: so the program finds
the sources of a release where it does in a clone, and builds the same bytes. The packages that the
Lambda functions need come along, since there may be no pip where it is installed.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

PINNED = re.compile(r"(?m)^([\w.-]+==[^\s\\]+)")


class Pins(MetadataHookInterface):
    """The program runs with the versions that it is tested with."""

    def update(self, metadata: dict[str, Any]) -> None:
        metadata["dependencies"] = PINNED.findall(Path(self.root, "requirements.txt").read_text())


class Wheel(BuildHookInterface[Any]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        sys.path.insert(0, self.root)
        from tools import build

        self.cache = tempfile.TemporaryDirectory()
        for name in build.LAMBDAS:
            requirements = root / "src" / name / "requirements.txt"
            if requirements.exists():
                build.installed(requirements, Path(self.cache.name))
        build_data["force_include"] = {
            str(root / "tools" / "installed.py"): "__init__.py",
            self.cache.name: ".cache",
        }

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        self.cache.cleanup()
