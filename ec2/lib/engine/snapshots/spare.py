"""Whether to make the stage of the spare, or an empty one."""

from __future__ import annotations

from collections.abc import Sequence

from engine.snapshots.about import Note

# To make a spare that differs in more than this share of its files into the stage takes more calls
# than to link all files into an empty one. Measured on NFS, see docs/adr/0007.
SPARE_LIMIT = 0.7


def is_spare_cheaper(runs: Sequence[Note]) -> bool:
    """Whether a stage made of the spare takes fewer calls than an empty one.

    ``runs`` made the snapshots that there are, newest first. The spare was the one before them, or
    an older one that left a longer interval: it differs by no more than what all runs since have
    changed. If that were the same files each time it differs by far less, so what was found when
    one was last used has a say, too.
    """
    newest = runs[0]
    limit = SPARE_LIMIT * newest.files
    apart = newest.apart or len(runs)
    changed = sum(run.changes for run in runs) * max(1, apart / len(runs))
    differed = newest.differed * max(1, apart / (newest.differed_over or apart))
    return changed <= limit or differed <= limit
