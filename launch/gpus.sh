# shellcheck shell=bash
# Read by scripts that start ranks: how many GPUs they see, and how a rank is kept near its own.

# The number of GPUs that a process started here sees.
gpus() {
  local listed
  if [ -n "${CUDA_VISIBLE_DEVICES+set}" ]; then
    listed=$(tr ',' '\n' <<< "$CUDA_VISIBLE_DEVICES" | grep -cE '^([0-9]+|GPU-.+|MIG-.+)$' || true)
  else
    listed=$(nvidia-smi -L 2> /dev/null | grep -c '^GPU' || true)
  fi
  echo "$listed"
}

# The number of ranks of a node where none is asked for: one a GPU, or without GPUs two.
default_ranks() {
  local number
  number=$(gpus)
  echo "$((number > 0 ? number : 2))"
}

# Options for the torchrun $1 that keep each rank on the cores beside its GPU, where that is
# possible: since torch 2.9, with numactl. NUMA_BINDING: another way of torchrun's, or none.
numa_binding() {
  local wanted="${NUMA_BINDING:-node}"
  [ "$wanted" != none ] && [ "$(gpus)" != 0 ] && command -v numactl > /dev/null || return 0
  "$1" --help 2> /dev/null | grep -q -- --numa-binding || return 0
  # torchrun would end where a rank cannot be bound, as in a container or beside fewer GPUs.
  "${1%/*}/python" - "${RANKS:-$(default_ranks)}" "$wanted" 2> /dev/null <<< '
import sys
from torch.numa import binding
options = binding.NumaOptions(affinity_mode=binding.AffinityMode(sys.argv[2]))
for gpu in range(int(sys.argv[1])):
    binding._get_validated_logical_cpus_to_bind_to(gpu_index=gpu, numa_options=options)
' || return 0
  echo "--numa-binding=$wanted"
}
