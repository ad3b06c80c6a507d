#!/usr/bin/env bash
# The one check: format, lint, import floors, types; with the tools of the active
# environment (extra "test").
set -euo pipefail
cd "$(dirname "$0")/.."

ruff format --check
ruff check
lint-imports --no-logo
pyrefly check --python-interpreter-path "$(command -v python)"
