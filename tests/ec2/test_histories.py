"""A few of the histories; ``python -m tests.ec2.histories`` plays as many as one likes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.changes import Changes

from .conftest import inside
from .histories import play


@pytest.mark.parametrize("seed", [7000, 7001])
def test_whatever_is_done_to_source_and_backup_the_model_says_what_there_is(seed: int) -> None:
    assert play(seed) > 6


def test_a_stage_with_long_paths_can_be_meddled_with(tmp_path: Path) -> None:
    with inside(tmp_path, *["d" * 250] * 20):
        Path("deep").touch()
    changes = Changes(tmp_path, 1)
    changes.make(50)
    assert any(len(str(path)) > 2000 for path in changes.paths())
