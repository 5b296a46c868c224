#!/usr/bin/env bash
# Solves named problems on two ranks and records their reports under data/runs, with a picture
# under data/pictures. All named problems when none is given.
# Usage: bash launch/record.sh ou-10d gmm-8d        RANKS=1 bash launch/record.sh
set -euo pipefail
cd "$(dirname "$0")/.."
bash launch/setup.sh

export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
mkdir -p data/runs data/pictures
[ $# -gt 0 ] || set -- $(cd hpc_wgf/problems/catalogue && ls -- *.toml | sed 's/\.toml$//')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for name in "$@"; do
  .venv/bin/torchrun --standalone --nproc-per-node "${RANKS:-2}" \
    -m hpc_wgf run "$name" --out "$work/$name" > /dev/null
  .venv/bin/hpc-wgf report "$work/$name" --json --picture "data/pictures/$name.png" \
    | .venv/bin/python -m json.tool > "data/runs/$name.json"
  .venv/bin/hpc-wgf report "$work/$name"
done
