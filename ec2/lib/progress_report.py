#!/usr/bin/env python3
"""Turn what the engine says of its progress into one update of the run's record.

Python 3.9, standard library only: this runs on Amazon Linux 2023's own python3.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from notification import read
from report import update_request


def attribute(progress: dict[str, Any]) -> dict[str, Any]:
    """The names of the table are written like Done or FilesLinked."""
    return {"".join(map(str.capitalize, name.split("_"))): progress[name] for name in progress}


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--progress", type=Path, required=True, help="what the engine wrote")
    parser.add_argument("--table", required=True)
    parser.add_argument("--backup-id", required=True)
    parser.add_argument("--instance", required=True, help="id of this instance")
    parser.add_argument("--request", type=Path, required=True, help="UpdateItem input to write")
    options = parser.parse_args(words)
    written = read(options.progress)
    if not isinstance(written, dict):
        return 0  # there is nothing to say
    progress = attribute(written)
    request = update_request(
        options.table, options.backup_id, options.instance, {"Progress": progress}
    )
    options.request.write_text(json.dumps(request), encoding="ascii")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
