#!/usr/bin/env bash
# Creates the virtual environment, or repairs an incomplete one; does nothing if the lock files have not changed.
set -euo pipefail
python=$1 venv=$2 stamp="$2/.locked"

fail() { echo "setup: $*" >&2; exit 1; }
fingerprint() {
    { cat requirements-setup.lock requirements-dev.lock pyproject.toml; "$python" -c 'import sys; print(sys.version, sys.executable)'; pwd; } | cksum
}

command -v "$python" >/dev/null || fail "'$python' was not found; install Python 3.11 or later, or choose one: make setup PYTHON=python3.12"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "Python 3.11 or later is needed, '$python' is $("$python" -V 2>&1)"

now=$(fingerprint)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$now" ] && "$venv/bin/stafett" --version >/dev/null 2>&1; then
    exit 0
fi

rm -f "$stamp"
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1 || ! "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "setup: creating $venv"
    rm -rf "$venv"
    "$python" -m venv "$venv" || fail "'$python -m venv' failed; on Debian and Ubuntu install python3-venv"
fi
echo "setup: installing the locked packages"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-setup.lock
# A network's own certificate authority is in the system's store.
export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-1}"
# `sync` would remove pip and uv, without which the environment cannot be repaired.
"$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --compile-bytecode --require-hashes --reinstall-package stafett -r requirements-dev.lock
"$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --no-deps --no-build-isolation --editable .
"$venv/bin/stafett" --version >/dev/null
echo "$now" > "$stamp"
