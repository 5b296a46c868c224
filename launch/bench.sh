#!/usr/bin/env bash
# Runs the benchmarks one after another and records them as data/benchmarks/NAME.json: about an
# hour on a machine that does nothing else. All of them when none is named; on a GPU what needs the
# CPU or two ranks is left out.
# Usage: bash launch/bench.sh product solve        DEVICE=cuda bash launch/bench.sh product
set -euo pipefail
cd "$(dirname "$0")/.."
bash launch/setup.sh

export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
device="${DEVICE:-cpu}"
suffix=""
[ "$device" = cpu ] || suffix="-$device"
mkdir -p data/benchmarks

bench() { # NAME SUBCOMMAND [OPTION…]: one record
  echo "$1" >&2
  .venv/bin/hpc-wgf bench "${@:2}" --device "$device" --out "data/benchmarks/$1$suffix.json"
}
cpu_alone() { # NAME WHY: whether this is for the CPU
  [ "$device" = cpu ] || { echo "$1 is left out with DEVICE=$device: $2" >&2; false; }
}
on_cpu() { # NAME SUBCOMMAND [OPTION…]: one record of what runs on the CPU alone
  cpu_alone "$1" "it runs on the CPU alone, and its record is of one" || return 0
  echo "$1" >&2
  .venv/bin/hpc-wgf bench "${@:2}" --out "data/benchmarks/$1.json"
}
product() {
  bench product product --rounds 15
  bench product-float32 product --rounds 15 --dtype float32
}
solve() { bench solve solve; }
step() {
  bench step-schemes step --compare schemes
  bench step-sampling step --compare sampling
  bench step-preconditioner step --compare preconditioner
  bench step-planar step --compare planar
  bench step-bilevel step --compare bilevel --problem ou-2d --set problem.until=0.005
}
methods() {
  bench methods methods --picture "data/pictures/methods$suffix.png"
}
rivals() { on_cpu rivals rivals; }
jko() { bench jko jko; }
run() {
  cpu_alone run "it wants a device for each of its two ranks" || return 0
  bench run-porous-5d run porous-5d --ranks 2 --set method.samples=100000 --rounds 5
  bench run-styblinski-tang-30d run styblinski-tang-30d --ranks 2 --set problem.until=0.3 --rounds 3
}
draws() { on_cpu draws draws; }
ring() {
  bench ring ring
  [ "$device" = cpu ] || return 0
  .venv/bin/torchrun --standalone --nproc-per-node 2 \
    -m hpc_wgf bench ring --device cpu --out data/benchmarks/ring-2-ranks.json
}
store() { bench store store --samples 10000 --samples 100000 --samples 1000000; }
scaling() {
  bench scaling-samples scaling --over samples --value 10000 --value 100000 --value 1000000
  bench scaling-dimension scaling --over dimension
  bench scaling-problem scaling --over dimension --problem ou-scaling \
    --value 32 --value 128 --value 512
  bench scaling-1000 scaling --over dimension --problem ou-scaling --value 1000 --width 16 \
    --samples 2000 --rounds 1
  [ "$device" = cpu ] || return 0
  bench scaling-ranks scaling --over ranks --rounds 5
}
recipe() {
  bench recipe recipe
  bench recipe-float32 recipe --set-paper method.dtype=float32
}

[ $# -gt 0 ] || set -- product solve step methods rivals jko draws ring store scaling recipe run
for name in "$@"; do
  case "$name" in
    product | solve | step | methods | rivals | jko | draws | ring | store | scaling | recipe | run) "$name" ;;
    *)
      echo "error: no benchmark $name: product solve step methods rivals jko draws ring store scaling recipe run" >&2
      exit 2
      ;;
  esac
done
