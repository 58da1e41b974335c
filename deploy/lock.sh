#!/usr/bin/env bash
# Resolves pyproject.toml into hash-locked files that name no index, for every platform at once.
set -euo pipefail
uv="$1/uv"
lock() { "$uv" pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 "$@"; }
lock pyproject.toml -o requirements.lock
lock pyproject.toml --group dev -o requirements-dev.lock
echo uv | lock - -o requirements-setup.lock
