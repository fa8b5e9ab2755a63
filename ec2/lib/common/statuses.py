"""How a run can stand or have ended, and the sentences that go with it wherever it is said."""

from __future__ import annotations

from common.words import plural

RUNNING = "Running"
SUCCESS = "Success"
PARTIAL = "Partial"
INCOMPLETE = "Incomplete"
UNSUCCESSFUL = "Unsuccessful"
FPSYNC_FAILED = "fpsync failed"
UNKNOWN = "Unknown"
REFUSED = "Refused"
# Of restores alone.
PLANNED = "Planned"
UNDONE = "Undone"

PUBLISHED = (SUCCESS, PARTIAL)
"""Those after which there is a new snapshot."""

# Version 1.5's own words, for programs that look for them.
MOUNT = "The EC2 instance was unable to find the mount IP OR mount EFS"
SAID = {
    SUCCESS: "The EFS was backed up successfully",
    INCOMPLETE: "The EFS backup was incomplete. Either backup window expired before full backup "
    "or fpsync process was not completed.",
    FPSYNC_FAILED: "fpsync process in backup script failed or did not start",
    UNSUCCESSFUL: "The EFS backup was unsuccessful.",
}


def not_copied(failed: int, directories: int, what: str = "file") -> str:
    """failed: with each directory that could not be read as one, as nobody knows what is in it."""
    found = []
    if directories:
        which, there = ("directory", "it") if directories == 1 else ("directories", "them")
        unknown = f"with an unknown number of files in {there}"
        found.append(f"{directories:,} {which}, {unknown}, could not be read")
    if files := failed - directories:
        found.append(f"{plural(files, what)} could not be copied")
    return ", and ".join(found)


UNTOUCHED = "The snapshots that exist were not touched."
LONGER = "If it happens again, use a longer backup window or a larger instance."
NAMED = (
    "See Errors: they name what could not be copied{}, and whether the snapshot has it as the one "
    "before had it."
)
WHAT_TO_DO = {
    SUCCESS: "Nothing.",
    PARTIAL: NAMED.format("") + " Put right what they name; the next backup tries again.",
    INCOMPLETE: "Nothing if there was much to copy: the next backup continues with what is left. "
    + LONGER,
}
