#!/usr/bin/env bash
# Pins every requirements.in, with hashes, in the requirements.txt beside it.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv=$(mktemp -d)
trap 'rm -rf "$venv"' EXIT
python3 -m venv "$venv"
"$venv/bin/pip" install --quiet pip-tools==7.6.2

export CUSTOM_COMPILE_COMMAND='make lock'
for input in requirements.in requirements-dev.in requirements-bench.in src/*/requirements.in; do
  echo "pinning $input"
  "$venv/bin/pip-compile" --quiet --upgrade --strip-extras --generate-hashes \
    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
    --output-file "${input%.in}.txt" "$input"
done
