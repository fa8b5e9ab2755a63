#!/usr/bin/env bash
# Makes one new snapshot of a directory beside the earlier ones; works on any two directories.
# --help explains the arguments. The engine is Python: see lib/engine/backup.py.
set -Eeuo pipefail

lib=$(cd -- "$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")/lib" && pwd)
# Names are UTF-8, or bytes that are kept; whatever the locale says of the terminal.
PYTHONUTF8=1 PYTHONPATH=$lib exec python3 -B -m engine engine.backup "$@"
