# shellcheck shell=bash
# Read by every batch script of this folder: what a job finds around it, and how it gives way.
# Lines marked SITE are those that a cluster may want otherwise.

# A batch script runs from a copy of itself: the project is where it was submitted from.
root="${HPC_WGF:-${SLURM_SUBMIT_DIR:?this script is for sbatch}}"
cd "$root"
source launch/signals.sh
# SITE: module load python/3.11 cuda
# SITE: export NCCL_SOCKET_IFNAME=ib0          the network between nodes
# SITE: export NCCL_NVLS_ENABLE=0              the same bits after a restart on H100 and H200
bash launch/setup.sh                           # SITE: once, by hand, where nodes see no network

export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
# One rank a GPU; without GPUs one rank a core. Ranks that would share a GPU are refused.
export RANKS="${RANKS:-${SLURM_GPUS_ON_NODE:-${SLURM_CPUS_ON_NODE:-1}}}"
# What srun no longer takes over from sbatch by itself.
[ -z "${SLURM_CPUS_PER_TASK:-}" ] || export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"
# Being queued again takes the place of torchrun's restarts, which would hide that a run was stopped.
export RESTARTS=0
stores="${STORES:-runs}"                       # SITE: a folder of the parallel file system
mkdir -p "$stores"

# Runs a job step. When SIGUSR1 asks for room (--signal, or scancel --batch --signal=USR1 JOB), the
# ranks end their present step and leave a checkpoint, and the job is queued again. A job that is
# cancelled is not; one that Slurm preempts is queued again by Slurm.
preemptible() {
  local asked=0 status=0 step
  srun --kill-on-bad-exit=1 "$@" &
  step=$!
  trap 'asked=1; kill -USR1 "$step"' USR1
  trap : TERM                                  # its ranks have got it too: let them end
  await "$step" || status=$?
  if [ "$asked" = 1 ] && [ "$status" != 0 ]; then
    echo "job $SLURM_JOB_ID has made room and is queued again"
    scontrol requeue "$SLURM_JOB_ID"
    sleep 60                                   # until Slurm ends this script
  fi
  return "$status"
}
