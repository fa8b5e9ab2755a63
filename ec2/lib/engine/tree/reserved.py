"""The names that are a restore's, in the directory that it brings back."""

from __future__ import annotations

import os

from engine.tree.entries import File

# All that a restore leaves in the target begins with this; no other restore or backup touches it.
SAFETY_PREFIX = ".efs-restore-"


def is_reserved(name: str, entry: File) -> bool:
    """Whether an entry of a restored directory is a restore's. A user's of such a name is not."""
    return name.startswith(SAFETY_PREFIX) and entry.uid == os.geteuid()
