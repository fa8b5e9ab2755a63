#!/usr/bin/env bash
# Brings a snapshot, or one directory of it, back; works on any two directories.
# --help explains the arguments. The engine is Python: see lib/engine/restore.py.
set -Eeuo pipefail

lib=$(cd -- "$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")/lib" && pwd)
PYTHONPATH=$lib exec python3 -B -m engine.restore "$@"
