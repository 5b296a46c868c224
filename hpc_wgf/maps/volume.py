"""Change of volume and score under a map from its ∇T, by automatic differentiation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from . import elimination
from .base import Transported, signed_volume

# z ↦ (T(z), ∇T(z)): (n, d) → (n, d), (n, d, d)
WithGradient = Callable[[Tensor], tuple[Tensor, Tensor]]


_LEAST_ON_GPU = 16384  # samples, with which kernels are longer than their launches
_OF_GPU = 16  # The share of its memory that differentiating may take is one over that.


def transport_by_gradient(
    with_gradient: WithGradient,
    z: Tensor,
    score: Tensor | None,
    *,
    chunk: int,
    bytes_per_sample: int,
) -> Transported:
    """`PushForward.transport` of a map that can evaluate ∇T.

    `with_gradient`: z ↦ (T(z), ∇T(z)), (n, d) → (n, d), (n, d, d), differentiable in z. `chunk`:
    samples whose scores are computed together on a CPU. To differentiate log|det ∇T|,
    (chunk, d, width) numbers are kept for every layer, about `bytes_per_sample` of all layers.
    """
    if score is None:
        x, gradient = with_gradient(z)
        return Transported(x, *signed_volume(gradient), None)
    together = samples_together(z, chunk, bytes_per_sample)
    pieces = [
        _with_score(with_gradient, part, part_score)
        for part, part_score in zip(z.split(together), score.split(together), strict=True)
    ]
    return Transported(*(torch.cat(parts) for parts in zip(*pieces, strict=True)))


def samples_together(z: Tensor, chunk: int, bytes_per_sample: int) -> int:
    """Samples whose scores are computed together: `chunk` on a CPU, and on a GPU as many as a 16th
    of its memory holds, at least 16 384."""
    if not z.is_cuda:
        return chunk
    memory = torch.cuda.get_device_properties(z.device).total_memory
    return max(_LEAST_ON_GPU, memory // _OF_GPU // max(1, bytes_per_sample))


def _with_score(
    with_gradient: WithGradient, z: Tensor, score: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """s = ∇T^{-T} [s₀ − ∇_z log|det ∇T|]."""
    with torch.enable_grad():
        point = z.detach().requires_grad_()
        x, gradient = with_gradient(point)
        fixed = gradient.detach()
        if z.is_cuda:
            inverses, log_det, positive = elimination.inverse(fixed.permute(1, 2, 0))
            bent = (inverses.permute(2, 1, 0) * gradient).sum()  # has the slope of log|det ∇T|
        else:
            log_det, positive = signed_volume(gradient)
            bent = log_det.sum()
        # Where T is linear, log|det ∇T| does not depend on z, and its gradient is made to be 0.
        (slope,) = torch.autograd.grad(bent, point, materialize_grads=True)
    inner = (score - slope)[:, :, None]
    if z.is_cuda:
        carried = elimination.transposed_times(inverses, inner[:, :, 0])
    else:
        carried = torch.linalg.solve_ex(fixed.mT, inner).result[:, :, 0]
    return x.detach(), log_det.detach(), positive, carried
