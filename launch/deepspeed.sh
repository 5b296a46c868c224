#!/usr/bin/env bash
# Runs hpc-wgf by the DeepSpeed launcher; arguments go to hpc-wgf, which talks by torch.distributed.
# Usage: bash launch/deepspeed.sh run ou-10d        (a rank a GPU here, else two)
#        RANKS=4 HOSTFILE=hosts bash launch/deepspeed.sh run ou-10d
# RANKS: ranks on each node; HOSTFILE: lines "NODE slots=RANKS", reached by ssh without a password;
# PORT [29500]: free on the first node.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
bash "$root/launch/setup.sh"

export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"   # one thread a rank: ranks are the parallelism
export PATH="$root/.venv/bin:$PATH"              # the launcher starts its own parts by name
source "$root/launch/gpus.sh"
# Without GPUs too, one rank each.
flags=(--num_gpus "${RANKS:-$(default_ranks)}" --master_port "${PORT:-29500}")
[ -z "${HOSTFILE:-}" ] || flags+=(--hostfile "$HOSTFILE")
exec deepspeed "${flags[@]}" --module hpc_wgf "$@"
