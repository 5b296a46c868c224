"""Ĝη = −∇F at one θ on one sample [PWGF (3.17), (3.18), (3.21)].

Ĝ = JᵀJ/n,  ∇F = Jᵀf/n,  J = ∂_θT at the samples, f = ∇ δF/δρ at their images.

Samples with importance weights enter all sums with these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...choices import Form
from ...ensemble import Ensemble, energy_gradient, unusable
from ...maps import Linearization, PushForward
from ...metric import GramOperator
from ...parallel import TreeSum
from ...problems import ChunkForce, SumOfEnergies


@dataclass(frozen=True)
class NormalEquations:
    """The system of a state: its operator, its right-hand side, and what they were made from."""

    ensemble: Ensemble
    """The samples, as the active map sees them."""
    gram: GramOperator
    """Ĝ."""
    b: Tensor
    """−∇F, (p,)."""
    images: Sequence[Tensor]
    """x of every chunk of this rank, (n_chunk, d)."""
    forces: Sequence[Tensor]
    """f of every chunk of this rank, (n_chunk, d)."""
    force_square: float
    """E|f|²."""

    @property
    def total(self) -> int:
        """n, the samples of all ranks."""
        return self.ensemble.total

    @property
    def points(self) -> list[Tensor]:
        """Samples of every chunk of this rank, (n_chunk, d)."""
        return self.ensemble.points

    @property
    def rows(self) -> Tensor:
        """−(W/n)^½ f, (n_local, d), W the weights: what (W/n)^½ Jη is to be."""
        parts = [self.ensemble.rooted(k, force) for k, force in enumerate(self.forces)]
        return torch.cat(parts).div_(-(self.total**0.5))

    @property
    def operations(self) -> float:
        """Floating-point operations of a product with Ĝ, about: 8 a sample and parameter."""
        return 8.0 * self.total * self.b.numel()


@dataclass(frozen=True)
class _Chunk:
    """What one chunk of the samples has at θ."""

    jacobian: Linearization
    force: Tensor
    failed: Tensor
    """See `unusable`."""


def assemble(
    map: PushForward, ensemble: Ensemble, energy: SumOfEnergies, *, form: Form,
    budget: int | None = None,
) -> NormalEquations:  # fmt: skip
    """The system at the map's present parameters; collective. `budget`: bytes that linearisations
    may keep (see `Linearizer.linearize`).

    Errors: `StepFailed` where the map folds or a value is not finite.
    """
    pushed = ensemble.push(map, density=False, score=energy.needs_density)
    forces = ensemble.forces(energy, pushed)
    linearizer, own, chunks = map.linearizer(), TreeSum(), []
    for k, (cloud, force) in enumerate(zip(pushed, forces, strict=True)):
        jacobian = linearizer.linearize(ensemble.chunks[k].x, budget=budget)
        failed = unusable(cloud, force.total, folded_count=energy.needs_density)
        chunks.append(_Chunk(jacobian, force.total, failed))
        own.add(_contribution(map, ensemble, k, jacobian, force, energy, form))
    sums = ensemble.sum_or_fail([own.total()], [chunk.failed for chunk in chunks], pushed)
    return NormalEquations(
        ensemble=ensemble,
        gram=GramOperator([chunk.jacobian for chunk in chunks], ensemble),
        b=ensemble.averaged(sums[:-1].to(chunks[0].force.dtype)),
        images=[cloud.x for cloud in pushed],
        forces=[chunk.force for chunk in chunks],
        force_square=float(ensemble.averaged(sums[-1])),
    )


def _contribution(
    map: PushForward, ensemble: Ensemble, k: int, jacobian: Linearization, force: ChunkForce,
    energy: SumOfEnergies, form: Form,
) -> Tensor:  # fmt: skip
    """Sums over chunk k, (p + 1,) in float64: the descent direction −∇F, and |f|²."""
    total = force.total
    if form is Form.FORCE or force.density is None:
        descent = jacobian.vjp(ensemble.weighted(k, total.neg()))[0]
    else:
        descent = jacobian.vjp(ensemble.weighted(k, force.position.neg()))[0]
        descent.sub_(energy_gradient(map, energy, ensemble.chunks[k]))
    return torch.cat([descent.double(), ensemble.square(k, total)[None]])
