"""Making a snapshot: the stage becomes a complete copy of the source.

The stage's files may share their inodes with published snapshots. So a file in it is only ever
unlinked, linked or made anew; nothing is written to it, and no attribute of it is set. Directories
belong to one snapshot alone.

All is done relative to descriptors of directories, and no symbolic link is followed. What is on
disk is the truth: no task relies on what another run, or a person, may have left.
"""
