#!/usr/bin/env bash
# Computes the finite-volume reference solutions under data/references. All when none is named.
# Usage: bash launch/references.sh        bash launch/references.sh porous-mixture-1d
set -euo pipefail
cd "$(dirname "$0")/.."
bash launch/setup.sh
OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" .venv/bin/python -m hpc_wgf.references "$@"
