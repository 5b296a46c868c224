"""The gradient in θ of the sample mean of an energy, for its parts that depend on the density."""

from __future__ import annotations

import torch
from torch import Tensor

from ..cloud import Cloud
from ..maps import PushForward, flatten
from ..problems import SumOfEnergies

GRADIENT_CHUNK = 8192
"""Number of samples that are differentiated together: it bounds the memory of the autograd graph of
log|det ∇T|."""


def energy_gradient(map: PushForward, energy: SumOfEnergies, chunk: Cloud) -> Tensor:
    """∇_θ Σᵢ φ(T_θ(zᵢ), log λ(zᵢ) − log|det ∇T_θ(zᵢ)|) over the samples zᵢ of a chunk, (p,).

    φ(x, log ρ(x)) is the integrand of those parts of the energy that depend on the density. θ is
    the present parameter vector of `map`, and λ is the density of the samples in `chunk`."""
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
