#!/usr/bin/env python3
"""Print when the snapshot of a number was made, as --date of the restore takes it.

Exit status 2 if there is no such snapshot, of which the restore says what there is; or if others
were made in the same second, as those of version 1.5 may seem to be: then the number has to do.
Python 3.9, standard library only: this runs on Amazon Linux 2023's own python3.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from engine.command import arguments
from engine.command.outcome import Refused
from engine.snapshots.choice import find_snapshot
from engine.snapshots.folder import SnapshotFolder


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="the directory of the snapshots")
    parser.add_argument("--interval", required=True)
    parser.add_argument("--number", type=arguments.number, required=True)
    options = parser.parse_args(words)
    try:
        folder = SnapshotFolder(options.folder, options.interval)
        date = find_snapshot(folder, options.number).date
        find_snapshot(folder, arguments.moment(date))
        print(date)
    except Refused as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
