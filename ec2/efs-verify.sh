#!/usr/bin/env bash
# Re-checks a snapshot against the digests that were noted when it was made.
# --help explains the arguments. The engine is Python: see lib/engine/verify.py.
set -Eeuo pipefail

lib=$(cd -- "$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")/lib" && pwd)
# Names are UTF-8, or bytes that are kept; whatever the locale says of the terminal.
PYTHONUTF8=1 PYTHONPATH=$lib exec python3 -B -m engine engine.verify "$@"
