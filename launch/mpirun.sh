#!/usr/bin/env bash
# Runs hpc-wgf by mpirun, with ranks that talk by MPI; arguments go to hpc-wgf.
# Usage: bash launch/mpirun.sh run ou-10d                         (a rank a GPU here, else two)
#        RANKS=8 HOSTFILE=hosts bash launch/mpirun.sh run ou-10d  (RANKS: of all nodes together)
# MPIRUN: the mpirun of the MPI library for which mpi4py is built [that of .venv, else of PATH];
# MPIRUN_FLAGS: more options for it.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
bash "$root/launch/setup.sh"

export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"   # one thread a rank: ranks are the parallelism
source "$root/launch/gpus.sh"
ranks="${RANKS:-$(default_ranks)}"
mpirun="${MPIRUN:-$root/.venv/bin/mpirun}"
[ -x "$mpirun" ] || mpirun=$(command -v mpirun) || {
  echo "error: no mpirun in .venv or PATH: set MPIRUN" >&2; exit 2; }
flags=()
if "$mpirun" --version | grep -q "Open MPI"; then
  flags+=(-x OMP_NUM_THREADS)                    # other nodes do not inherit it
  [ "$(id -u)" != 0 ] || flags+=(--allow-run-as-root)
  # Binding two jobs of one node, each to its first cores, would put both on the same ones.
  [ -n "${HOSTFILE:-}" ] || flags+=(--bind-to none)
  [ -n "${HOSTFILE:-}" ] || [ "$ranks" -le "$(nproc)" ] || flags+=(--oversubscribe)
fi
[ -z "${HOSTFILE:-}" ] || flags+=(--hostfile "$HOSTFILE")
source "$root/launch/signals.sh"
set -m                                           # else what runs beside a script ignores Ctrl-C
# shellcheck disable=SC2086  # MPIRUN_FLAGS are several words
"$mpirun" -n "$ranks" "${flags[@]}" ${MPIRUN_FLAGS:-} "$root/.venv/bin/python" -m hpc_wgf "$@" &
mpirun=$!
# mpirun hands SIGUSR1 on to its ranks, but answers SIGTERM by killing them within half a second.
trap 'kill -USR1 "$mpirun" 2> /dev/null || true' USR1 TERM
hand_on "$mpirun" INT HUP
await "$mpirun"
