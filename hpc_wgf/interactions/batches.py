"""Random batches: each particle interacts only with the few others of its batch.

The field is estimated without bias and without communication, in O(n · batch) operations (S. Jin,
L. Li, J.-G. Liu, J. Comput. Phys. 400 (2020) 108877). The particles of a step are independent
samples that are not sorted; groups of consecutive ones are therefore random batches already.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .tiles import SummedKernel, pair_sums

# Numbers of pairs that are summed together: so many stay in cache, or keep a GPU busy.
_CPU_GROUP, _GPU_GROUP = 1 << 17, 1 << 23


def batch_means(kernel: SummedKernel, x: Tensor, batch: int, *, potential: bool) -> Tensor:
    """(1/(b−1)) Σ_{y≠x} ∇J(x−y) over the b members y of the batch of each particle x: (n, d).

    `x`, (n, d), is a chunk of particles, which is cut into batches of `batch` or a few more members
    (of fewer if the chunk is smaller). With `potential` the mean of J(x−y) is appended as a last
    column, (n, d + 1). The means of a particle that is alone in its chunk are 0."""
    if len(x) == 1:
        return x.new_zeros(1, x.shape[1] + potential)
    batches = max(1, len(x) // batch)
    length, longer = divmod(len(x), batches)
    cut = longer * (length + 1)
    # Of a singular kernel the differences of all coordinates are held at once.
    parts, pairs = [], _GPU_GROUP // x.shape[1] if x.is_cuda else _CPU_GROUP
    for piece, size in ((x[:cut], length + 1), (x[cut:], length)):
        for group in piece.split(max(1, pairs // size**2) * size):
            y = group.view(-1, size, x.shape[1])
            sums = pair_sums(kernel, y, y, same=True, potential=potential)
            parts.append(sums.flatten(0, 1) / (size - 1))
    return torch.cat(parts)
