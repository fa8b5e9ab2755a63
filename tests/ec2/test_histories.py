"""A few of the histories; ``python -m tests.ec2.histories`` plays as many as one likes."""

from __future__ import annotations

import pytest

from .histories import play


@pytest.mark.parametrize("seed", [7000, 7001])
def test_whatever_is_done_to_source_and_backup_the_model_says_what_there_is(seed: int) -> None:
    assert play(seed) > 6
