"""The engine on the fpart that a release brings to the instance, built as there.

All the other tests run on the distribution's version, which may be older and behaves differently.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tools.build import ROOT, Fpart, fpart_source

from .conftest import EC2

# The same promises again: pytest collects what is imported.
from .test_backup import (
    test_counts_are_those_of_the_tree,
    test_first_snapshot_equals_the_source_in_everything,
    test_many_files_go_through_many_jobs,
    test_second_snapshot_of_a_hostile_tree_links_everything,
)
from .test_interruptions import (
    slow,
    test_a_crawl_that_fails_is_no_success,
    test_a_file_that_vanishes_is_a_warning,
    test_a_second_signal_ends_the_jobs,
    test_a_stopped_run_drains_and_the_next_one_finishes,
)
from .test_restore import restore, test_a_backup_leaves_safety_directories_out_and_says_so

__all__ = [
    "restore",
    "slow",
    "test_a_backup_leaves_safety_directories_out_and_says_so",
    "test_a_crawl_that_fails_is_no_success",
    "test_a_file_that_vanishes_is_a_warning",
    "test_a_second_signal_ends_the_jobs",
    "test_a_stopped_run_drains_and_the_next_one_finishes",
    "test_counts_are_those_of_the_tree",
    "test_first_snapshot_equals_the_source_in_everything",
    "test_many_files_go_through_many_jobs",
    "test_second_snapshot_of_a_hostile_tree_links_everything",
]


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


@pytest.fixture(autouse=True)
def on_the_path(bundled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{bundled / 'bin'}:{os.environ['PATH']}")


def test_it_is_the_pinned_version(bundled: Path) -> None:
    process = subprocess.run(["fpart", "-V"], capture_output=True, text=True, check=False)
    assert f"v{Fpart.pinned(ROOT).version}" in process.stdout + process.stderr
