#!/usr/bin/env bash
# The main job: sets up the environment, solves ou-10d on two ranks, reports its errors.
# Usage: bash launch/run.sh                                  (ou-10d)
#        RANKS=4 bash launch/run.sh gmm-8d --set method.samples=8000
set -euo pipefail
problem="${1:-ou-10d}"
[ $# -gt 0 ] && shift
[ ! -f "$problem" ] || problem=$(realpath "$problem")
cd "$(dirname "$0")/.."
bash launch/setup.sh
store="runs/$(basename "$problem" .toml)-$(date +%Y%m%d-%H%M%S).zarr"

source launch/signals.sh
set -m                                           # else what runs beside a script ignores Ctrl-C
bash launch/torchrun.sh run "$problem" --out "$store" "$@" > /dev/null &
run=$!
hand_on "$run" USR1 TERM INT HUP
await "$run"
.venv/bin/hpc-wgf report "$store"
echo "stored in $store"
