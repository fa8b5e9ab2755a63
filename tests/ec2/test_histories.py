"""A few of the histories; ``python -m tests.ec2.histories`` plays as many as one likes."""

from __future__ import annotations

from .histories import play
from .test_history import new_seed


def test_whatever_is_done_to_source_and_backup_the_model_says_what_there_is() -> None:
    for _ in range(2):
        assert play(new_seed()) > 6
