"""Change of volume and score under a map from its ∇T, by automatic differentiation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .base import Transported, signed_volume
from .factors import Factors

# z ↦ (T(z), ∇T(z)): (n, d) → (n, d), (n, d, d)
WithGradient = Callable[[Tensor], tuple[Tensor, Tensor]]


def transport_by_gradient(
    with_gradient: WithGradient, z: Tensor, score: Tensor | None, *, chunk: int
) -> Transported:
    """`PushForward.transport` of a map that can evaluate ∇T.

    `with_gradient`: z ↦ (T(z), ∇T(z)), (n, d) → (n, d), (n, d, d), differentiable in z. `chunk`:
    samples whose scores are computed together; to differentiate log|det ∇T|, (chunk, d, width)
    numbers are kept for every layer.
    """
    if score is None:
        x, gradient = with_gradient(z)
        return Transported(x, *signed_volume(gradient), None)
    pieces = [
        _with_score(with_gradient, part, part_score)
        for part, part_score in zip(z.split(chunk), score.split(chunk), strict=True)
    ]
    return Transported(*(torch.cat(parts) for parts in zip(*pieces, strict=True)))


def _with_score(
    with_gradient: WithGradient, z: Tensor, score: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """s = ∇T^{-T} [s₀ − ∇_z log|det ∇T|]."""
    with torch.enable_grad():
        point = z.detach().requires_grad_()
        x, gradient = with_gradient(point)
        fixed = gradient.detach()
        if z.is_cuda:
            factors = Factors.of(fixed)
            log_det, positive = factors.log_abs, factors.positive
            bent = (factors.inverse().mT * gradient).sum()  # has the slope of log|det ∇T|
        else:
            log_det, positive = signed_volume(gradient)
            bent = log_det.sum()
        # Where T is linear, log|det ∇T| does not depend on z, and its gradient is made to be 0.
        (slope,) = torch.autograd.grad(bent, point, materialize_grads=True)
    inner = (score - slope)[:, :, None]
    if z.is_cuda:
        carried = factors.solve_transposed(inner)[:, :, 0]
    else:
        carried = torch.linalg.solve_ex(fixed.mT, inner).result[:, :, 0]
    return x.detach(), log_det.detach(), positive, carried
