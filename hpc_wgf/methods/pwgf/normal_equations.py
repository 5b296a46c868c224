"""Ĝη = −∇F at one θ on one sample [PWGF (3.17), (3.18), (3.21)].

Ĝ = JᵀJ/n,  ∇F = Jᵀf/n,  J = ∂_θT at the samples, f = ∇ δF/δρ at their images.

With a mobility P and a drift b, Ĝ = JᵀP⁻¹J/n and f − P⁻¹b is in the place of f; or in the plain
form P f − b (see `Flow`). Samples with importance weights enter all sums with these. In the metric
of gradients Jᵀ is preceded by Π + ε(I − Π) in both (see `GradientGram`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...accounts import Part, counted
from ...choices import Form
from ...ensemble import Ensemble, energy_gradient, unusable
from ...gradients import GradientProjection
from ...maps import Linearization, PushForward
from ...matrix_field import MatrixField
from ...metric import GradientGram, GramOperator, StandingGram
from ...parallel import TreeSum
from ...problems import Flow, Motion
from .gradients import Gradients
from .weak_form import weak_forces


@dataclass(frozen=True)
class NormalEquations:
    """The system of a state: its operator, its right-hand side, and what they were made from."""

    ensemble: Ensemble
    """The samples, as the active map sees them."""
    gram: GramOperator
    """Ĝ."""
    b: Tensor
    """−∇F, with a drift E[JᵀP⁻¹b] more, (p,)."""
    images: Sequence[Tensor]
    """x of every chunk of this rank, (n_chunk, d)."""
    motions: Sequence[Motion]
    """What the velocity of the particles of every chunk of this rank is to be."""
    force_square: float
    """E|P f − b|²."""
    energy_drift: float = 0.0
    """∂ₜF."""
    projection: GradientProjection | None = None
    """The projection onto gradients at the images; None where nothing asks for it."""

    @property
    def forces(self) -> list[Tensor]:
        """P f − b of every chunk of this rank, (n_chunk, d): f without mobility and drift."""
        return [motion.opposite for motion in self.motions]

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
        """−(W/n)^½ R(P f − b), (n_local, d), W the weights and P⁻¹ = RᵀR: what (W/n)^½ R Jη is to
        be."""
        parts = [
            self.ensemble.rooted(k, motion.weighed(motion.opposite))
            for k, motion in enumerate(self.motions)
        ]
        return torch.cat(parts).div_(-(self.total**0.5))

    @property
    def operations(self) -> float:
        """Floating-point operations of a product with Ĝ, about: 8 a sample and parameter."""
        return 8.0 * self.total * self.b.numel()


@dataclass(frozen=True)
class _Chunk:
    """What one chunk of the samples has at θ."""

    jacobian: Linearization
    motion: Motion
    failed: Tensor
    """See `unusable`."""


@counted(Part.LINEARISATION)
def assemble(
    map: PushForward, ensemble: Ensemble, flow: Flow, *, form: Form,
    budget: int | None = None, standing: StandingGram | None = None,
    gradients: Gradients | None = None,
) -> NormalEquations:  # fmt: skip
    """The system at the map's present parameters; collective. `budget`: bytes that linearisations
    may keep (see `Linearizer.linearize`). `standing`: where they may lie, if it is free.
    `gradients`: where the metric, the form or a figure asks for them.

    Errors: `StepFailed` where the map folds or a value is not finite.
    """
    scored = flow.energy.needs_density and form is not Form.WEAK
    pushed = ensemble.push(map, density=flow.needs_density, score=scored)
    projection, forces = None, ensemble.forces(flow.energy, pushed)
    if gradients is not None:
        images = [cloud.x for cloud in pushed]
        projection = GradientProjection.at(images, ensemble, gradients.count)
        if form is Form.WEAK:
            forces = weak_forces(flow.energy, pushed, forces, projection)
    motions = ensemble.motions(flow, pushed, forces)
    pulled = [_pulled(motion, form) for motion in motions]
    projected = None if gradients is None else gradients.epsilon
    if projection is not None and projected is not None:
        pulled = projection.blended(pulled, projected)
    if standing is not None and not standing.prepare(map, ensemble):
        standing = None
    own, chunks, found = TreeSum(), [], _linearizations(map, ensemble, budget, standing)
    for k, (cloud, motion, jacobian) in enumerate(zip(pushed, motions, found, strict=True)):
        # What is not a number in P⁻¹ is it in P⁻¹(P f − b).
        bad = unusable(cloud, motion.weighed(motion.opposite), folded_count=flow.needs_density)
        chunks.append(_Chunk(jacobian, motion, bad))
        own.add(_contribution(map, ensemble, k, jacobian, motion, pulled[k], flow, form))
    failed = [chunk.failed for chunk in chunks]
    sums, (force_square,) = ensemble.sum_or_fail([own.total()], failed, pushed, told=1)
    roots = [motion.root for motion in motions if motion.root is not None]
    gram = GramOperator([chunk.jacobian for chunk in chunks], ensemble, roots or None, standing)
    if projection is not None and projected is not None:
        gram = GradientGram(gram.chunks, ensemble, projection=projection, epsilon=projected)
    return NormalEquations(
        ensemble=ensemble,
        gram=gram,
        b=ensemble.averaged(sums[:-1].to(pushed[0].x.dtype)),
        images=[cloud.x for cloud in pushed],
        motions=[chunk.motion for chunk in chunks],
        force_square=force_square / ensemble.total,
        energy_drift=ensemble.energy_drift(flow.energy, pushed),
        projection=projection,
    )


def _linearizations(
    map: PushForward, ensemble: Ensemble, budget: int | None, standing: StandingGram | None
) -> Iterator[Linearization]:
    """J on each chunk of this rank's samples, see `assemble`; `standing` has been prepared."""
    if standing is not None:
        yield from (standing.linearize(k, z, budget) for k, z in enumerate(ensemble.points))
        return
    linearizer = map.linearizer()
    yield from (linearizer.linearize(z, budget=budget) for z in ensemble.points)


def roots_at(map: PushForward, ensemble: Ensemble, flow: Flow) -> Sequence[MatrixField] | None:
    """R with P⁻¹ = RᵀR at the images of every chunk, the same bits as those of `assemble`; None
    for I. Collective where the mobility is."""
    if flow.mobility is None:
        return None
    pushed = ensemble.push(map, density=flow.needs_density, score=flow.energy.needs_density)
    return flow.roots(pushed, ensemble)


def _by_force(motion: Motion, form: Form) -> bool:
    """Whether all of the force is pulled back, and no energy is differentiated."""
    return form is not Form.ENERGY or motion.force.density is None


def _pulled(motion: Motion, form: Form) -> Tensor:
    """What Jᵀ is applied to at the samples of a chunk, (n_chunk, d)."""
    force = motion.force
    pulled = motion.pulled(force.total if _by_force(motion, form) else force.position)
    drift = motion.pulled_drift
    return pulled if drift is None else pulled + drift


def _contribution(
    map: PushForward, ensemble: Ensemble, k: int, jacobian: Linearization, motion: Motion,
    pulled: Tensor, flow: Flow, form: Form,
) -> Tensor:  # fmt: skip
    """Sums over chunk k, (p + 1,) in float64: the right-hand side, without drift the descent
    direction −∇F; and |P f − b|²."""
    descent = jacobian.vjp(ensemble.weighted(k, pulled))[0]
    if not _by_force(motion, form):
        descent.sub_(energy_gradient(map, flow.energy, ensemble.chunks[k]))
    return torch.cat([descent.double(), ensemble.square(k, motion.opposite)[None]])
