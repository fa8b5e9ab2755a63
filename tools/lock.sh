#!/usr/bin/env bash
# Pins every requirements.in, with hashes, in the requirements.txt beside it.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tools/setup.sh lock

export CUSTOM_COMPILE_COMMAND='make lock'
# In this order: each but the first takes up what was pinned before it.
for input in requirements{,-demo,-dev,-page,-bench,-scan,-lock}.in src/*/requirements.in; do
  echo "pinning $input"
  .cache/lock/bin/pip-compile --quiet --upgrade --allow-unsafe --strip-extras --generate-hashes \
    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
    --output-file "${input%.in}.txt" "$input"
done
