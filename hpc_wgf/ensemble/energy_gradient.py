"""∇_θ of the part of an energy that knows the density, by differentiating its sample mean."""

from __future__ import annotations

import torch
from torch import Tensor

from ..cloud import Cloud
from ..maps import PushForward, flatten
from ..problems import SumOfEnergies

GRADIENT_CHUNK = 8192  # samples whose graph of log det ∇T is held at a time


def energy_gradient(map: PushForward, energy: SumOfEnergies, chunk: Cloud) -> Tensor:
    """∇_θ Σᵢ φ(T(zᵢ), log λ(zᵢ) − log|det ∇T(zᵢ)|) over the samples of a chunk, (p,).

    φ is the integrand of the density-dependent parts, at the map's present parameters."""
    parts = [each.split(GRADIENT_CHUNK) for each in (chunk.x, chunk.log_density)]
    total = chunk.x.new_zeros(map.parameter_count())
    for z, log_density in zip(*parts, strict=True):
        with torch.enable_grad():
            x, log_det = map.forward_and_logdet(z)
            values = energy.density_integrand(x, log_density - log_det)
            grads = torch.autograd.grad(
                values.sum(), list(map.parameters()), materialize_grads=True
            )
        total += flatten(*grads)
    return total
