#!/usr/bin/env bash
# Writes requirements.lock: exact versions with hashes for every platform, and no
# download address. Needs uv. Arguments go to uv, such as --upgrade.
set -euo pipefail
cd "$(dirname "$0")/.."

uv pip compile pyproject.toml --extra test --universal --python-version 3.11 \
    --generate-hashes --no-annotate --no-header --quiet \
    --output-file requirements.lock "$@"
if grep -nE '://|^-|@ ' requirements.lock; then
    echo "requirements.lock holds an address: the lines above" >&2
    exit 1
fi
