#!/usr/bin/env bash
# Sets up the environment, then checks and tests everything. Arguments go to pytest.
# Usage: bash launch/test.sh        bash launch/test.sh tests/unit -k minres
set -euo pipefail
cd "$(dirname "$0")/.."
bash launch/setup.sh

export OMP_NUM_THREADS=1
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
.venv/bin/python -m pytest -n "${WORKERS:-2}" --dist worksteal "$@"
