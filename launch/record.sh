#!/usr/bin/env bash
# Solves named problems on two ranks and records their reports under data/runs. All named problems
# when none is given. Their pictures are drawn by launch/gallery.sh.
# Usage: bash launch/record.sh ou-10d gmm-8d        RANKS=1 bash launch/record.sh
#        bash launch/record.sh ou-scaling:problem.dimension=32    (recorded as ou-scaling-32)
set -euo pipefail
cd "$(dirname "$0")/.."
bash launch/setup.sh

export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
source launch/gpus.sh
mkdir -p data/runs
[ $# -gt 0 ] || set -- $(cd hpc_wgf/problems/catalogue && ls -- *.toml |
  sed 's/\.toml$//; s/^ou-scaling$/&:problem.dimension=2 &:problem.dimension=32/')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for job in "$@"; do
  name=${job%%:*}
  setting=${job#"$name"}
  record=$name${setting:+-${setting##*=}}
  .venv/bin/torchrun --standalone --nproc-per-node "${RANKS:-$(default_ranks)}" \
    -m hpc_wgf run "$name" ${setting:+--set "${setting#:}"} --out "$work/$record" > /dev/null
  .venv/bin/hpc-wgf report "$work/$record" --json \
    | .venv/bin/python -m json.tool > "$work/$record.json"
  mv "$work/$record.json" "data/runs/$record.json"
  .venv/bin/hpc-wgf report "$work/$record"
done
