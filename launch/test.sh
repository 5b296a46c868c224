#!/usr/bin/env bash
# Sets up the environment, then checks and tests everything. Arguments go to pytest.
# Usage: bash launch/test.sh        bash launch/test.sh tests/unit -k minres
set -euo pipefail
cd "$(dirname "$0")/.."
bash launch/setup.sh

# The Slurm that tests bring up: root on Debian gets it here; elsewhere those tests are skipped and
# say what to install.
if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null && ! command -v slurmctld > /dev/null; then
  install=(apt-get install --yes --quiet --no-install-recommends slurm-wlm munge)
  { "${install[@]}" || { apt-get update --quiet && "${install[@]}"; }; } > /dev/null 2>&1 ||
    echo "slurm-wlm and munge could not be installed: tests of slurm/ will be skipped" >&2
fi

export OMP_NUM_THREADS=1
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
.venv/bin/python -m pytest -n "${WORKERS:-2}" --dist worksteal "$@"
