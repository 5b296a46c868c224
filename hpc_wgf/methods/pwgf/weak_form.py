"""The force of entropy and internal energies by its moments, for densities that jump.

f = ∇p/ρ with the pressure p = βρ or cρᵐ has the moments

    E[f·∇φ_k] = ∫∇p·∇φ_k = −∫p Δφ_k = −E[(p/ρ) Δφ_k],

which ask for no score, and in which a jump of the density counts, where no sample sits. The
gradient field Σ_k a_k ∇φ_k that has them takes the place of f.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ...cloud import Cloud
from ...gradients import GradientProjection
from ...parallel import tree_sum
from ...problems import ChunkForce, SumOfEnergies, pressures


def weak_forces(
    energy: SumOfEnergies, pushed: Sequence[Cloud], forces: Sequence[ChunkForce],
    projection: GradientProjection,
) -> list[ChunkForce]:  # fmt: skip
    """`forces` at the images of every chunk of this rank, with that of the parts that depend on
    ρ(x) by its moments. Collective, two all-reduces. Errors: `StepFailed`."""
    if not energy.needs_density:
        return list(forces)
    moments = projection.ensemble.mean(tree_sum([
        _moments(energy, cloud, k, projection) for k, cloud in enumerate(pushed)
    ]))  # fmt: skip
    a = projection.coefficients(moments)
    return [
        replace(force, density=projection.gradient(a, k).to(force.position))
        for k, force in enumerate(forces)
    ]


def _moments(
    energy: SumOfEnergies, cloud: Cloud, chunk: int, projection: GradientProjection
) -> Tensor:
    """−Σᵢ wᵢ (p/ρ) Δφ_k over the samples of a chunk, (q,). Where the map has folded, which is told
    elsewhere, there is no density."""
    basis, log_density = projection.basis, cloud.log_density.double()
    total = torch.stack([value for _, value in pressures(energy, log_density)]).sum(0)
    total = torch.where(cloud.unfolded, total, 0.0)
    laplacians = basis.derivatives(cloud.x.double())[1] * basis.directions.square().sum(1)
    return -(projection.ensemble.weighted(chunk, total) @ laplacians)
