"""Random batches: each particle meets only the few others of its batch.

The particles of a step are independent draws in no order, so that runs of consecutive ones are
random batches as they stand: an unbiased estimate of the field in O(n · batch), without
communication (S. Jin, L. Li, J.-G. Liu, J. Comput. Phys. 400 (2020) 108877).
"""

from __future__ import annotations

import torch
from torch import Tensor

from .kernels import Kernel
from .tiles import pair_sums

_GROUP = 1 << 17  # pairs summed at a time


def batch_means(kernel: Kernel, x: Tensor, batch: int, *, potential: bool) -> Tensor:
    """Means of ∇J(x−y) (and J) over the other members y of each particle's batch, for one chunk
    (n, d): (n, d) or (n, d + 1). Batches have `batch` or a few more members; a particle alone in
    its chunk meets nobody, and its means are 0."""
    if len(x) == 1:
        return x.new_zeros(1, x.shape[1] + potential)
    batches = max(1, len(x) // batch)
    length, longer = divmod(len(x), batches)
    cut = longer * (length + 1)
    parts = []
    for piece, size in ((x[:cut], length + 1), (x[cut:], length)):
        for group in piece.split(max(1, _GROUP // size**2) * size):
            y = group.view(-1, size, x.shape[1])
            sums = pair_sums(kernel, y, y, same=True, potential=potential)
            parts.append(sums.flatten(0, 1) / (size - 1))
    return torch.cat(parts)
