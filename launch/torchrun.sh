#!/usr/bin/env bash
# Runs hpc-wgf by torchrun, on this node or on several; arguments go to hpc-wgf.
# Usage: bash launch/torchrun.sh run ou-10d                       (two ranks here)
#        RANKS=4 bash launch/torchrun.sh resume runs/ou-10d.zarr  (RANKS: ranks on each node)
# On several nodes start it once on each, with the same HEAD and its own NODE_RANK 0, 1, …:
#        NNODES=2 NODE_RANK=0 HEAD=node1 bash launch/torchrun.sh run ou-10d
# HEAD: name or address of node 0; PORT [29400]: free on HEAD.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
bash "$root/launch/setup.sh"

export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"   # one thread a rank: ranks are the parallelism
nodes="${NNODES:-1}"
if [ "$nodes" = 1 ]; then
  where=(--standalone)
else
  number="${NODE_RANK:?set NODE_RANK to the number of this node: 0 on HEAD, 1, 2, … elsewhere}"
  head="${HEAD:?set HEAD to the name or address of node 0}"
  # Ranks restarted after a failure must not read what the lost ones left in the launcher's store.
  export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
  # Node 0 is told that it is the host, as comparing names can go wrong.
  where=(--rdzv-backend c10d --rdzv-endpoint "$head:${PORT:-29400}" --rdzv-id "${JOB_ID:-hpc-wgf}"
    --rdzv-conf "is_host=$([ "$number" = 0 ] && echo 1 || echo 0)")
fi
exec "$root/.venv/bin/torchrun" --nnodes "$nodes" --nproc-per-node "${RANKS:-2}" "${where[@]}" \
  -m hpc_wgf "$@"
