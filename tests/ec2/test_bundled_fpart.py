"""The fpart that a release brings to the instance can be built there; the engine does without."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tools.build import ROOT, Fpart, fpart_source

from .conftest import EC2


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prefix that `install.sh` would have built fpart into."""
    folder = tmp_path_factory.mktemp("fpart")
    tarball = folder / "fpart.tar.gz"
    override = os.environ.get("FPART_TARBALL")
    tarball.write_bytes(fpart_source(Fpart.pinned(ROOT), ROOT / ".cache", override))
    script = (
        f'set -Eeuo pipefail; . "{EC2}/lib/common.sh"; . "{EC2}/lib/packages.sh"; build_fpart "$@"'
    )
    words = ["bash", "-c", script, "bash", str(tarball), str(folder / "prefix")]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return folder / "prefix"


def test_it_is_the_pinned_version(bundled: Path) -> None:
    process = subprocess.run(
        [bundled / "bin" / "fpart", "-V"], capture_output=True, text=True, check=False
    )
    assert f"v{Fpart.pinned(ROOT).version}" in process.stdout + process.stderr
