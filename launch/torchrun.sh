#!/usr/bin/env bash
# Runs hpc-wgf by torchrun, on this node or on several; arguments go to hpc-wgf.
# Usage: bash launch/torchrun.sh run ou-10d                       (a rank a GPU here, else two)
#        RANKS=4 bash launch/torchrun.sh resume runs/ou-10d.zarr  (RANKS: ranks on each node)
# On several nodes start it once on each, with the same HEAD and its own NODE_RANK 0, 1, …:
#        NNODES=2 NODE_RANK=0 HEAD=node1 bash launch/torchrun.sh run ou-10d
# HEAD: name or address of node 0; PORT [29400]: free on HEAD; JOB_ID [hpc-wgf]: a name that
# jobs which meet at one port do not share. Under srun NODE_RANK is known.
# RESTARTS=3 bash launch/torchrun.sh run ou-10d --resume     (start all again when a rank is lost)
# SIGUSR1 asks the run to stop after its present step; run it again with --resume.
set -euo pipefail
asked=
trap 'asked=1' USR1                              # until there is somebody to ask
root=$(cd "$(dirname "$0")/.." && pwd)
bash "$root/launch/setup.sh"

export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"   # one thread a rank: ranks are the parallelism
# Ranks restarted after a failure must not read what the lost ones left in the launcher's store.
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
nodes="${NNODES:-1}"
if [ "$nodes" = 1 ]; then
  where=(--rdzv-backend c10d --rdzv-endpoint localhost:0)
else
  number="${NODE_RANK:-${SLURM_NODEID:?set NODE_RANK to the number of this node: 0 on HEAD, 1, …}}"
  head="${HEAD:?set HEAD to the name or address of node 0}"
  # Node 0 is told that it is the host, as comparing names can go wrong.
  where=(--rdzv-backend c10d --rdzv-endpoint "$head:${PORT:-29400}" --rdzv-id "${JOB_ID:-hpc-wgf}"
    --rdzv-conf "is_host=$([ "$number" = 0 ] && echo 1 || echo 0)")
fi

source "$root/launch/gpus.sh"
mapfile -t near < <(numa_binding "$root/.venv/bin/torchrun")

# A request to stop is for the ranks, which may not get it themselves; torchrun would die of it.
source "$root/launch/signals.sh"
set -m                                           # else what runs beside a script ignores Ctrl-C
(
  trap '' USR1
  exec "$root/.venv/bin/torchrun" --nnodes "$nodes" --nproc-per-node "${RANKS:-$(default_ranks)}" \
    --max-restarts "${RESTARTS:-0}" "${near[@]}" "${where[@]}" -m hpc_wgf "$@"
) &
torchrun=$!
# Again and again: ranks that are still starting do not hear it.
ask() {
  while kill -0 "$torchrun" 2> /dev/null; do
    # shellcheck disable=SC2046  # one word a process
    kill -USR1 $(cat "/proc/$torchrun/task/$torchrun/children" 2> /dev/null) 2> /dev/null || true
    sleep 1
  done
}
trap 'ask &' USR1
[ -z "$asked" ] || ask &
hand_on "$torchrun" TERM INT HUP
await "$torchrun"
