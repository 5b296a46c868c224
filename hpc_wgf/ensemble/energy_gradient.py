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
    """∇_θ Σᵢ wᵢ φ(T_θ(zᵢ), log λ(zᵢ) − log|det ∇T_θ(zᵢ)|) over the samples zᵢ of a chunk, wᵢ their
    weights, (p,).

    φ(x, log ρ(x)) is the integrand of those parts of the energy that depend on the density. θ is
    the present parameter vector of `map`, and λ is the density of the samples in `chunk`."""
    total = chunk.x.new_zeros(map.parameter_count())
    for begin in range(0, len(chunk.x), GRADIENT_CHUNK):
        part = chunk.at(slice(begin, begin + GRADIENT_CHUNK))
        with torch.enable_grad():
            x, log_det = map.forward_and_logdet(part.x)
            values = energy.density_integrand(x, part.log_density - log_det)
            if (weights := part.weight) is not None:
                values = weights * values
            grads = torch.autograd.grad(
                values.sum(), list(map.parameters()), materialize_grads=True
            )
        total += flatten(*grads)
    return total
