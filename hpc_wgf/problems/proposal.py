"""Densities from which samples are drawn in place of the start density, where few of its own
samples carry the force.

An internal energy ∫ρᵐ has the force m ρ^{m−1}∇ log ρ, so that E|f|² lies where λ^{2m−1} does: of
N(c, C) in N(c, C/(2m − 1)), which in ten dimensions hardly a sample of λ meets. With samples z of

    q = .4 N(c, C) + .3 N(c, C/m) + .3 N(c, C/(2m − 1))

and weights w = λ/q ≤ 2.5, E[a] ≈ (1/n) Σᵢ wᵢ aᵢ has no bias. Of a mixture every component has a
q of its own, and half of the samples are dealt out by the components' shares of E|f|²; w ≤ 5 then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..cloud import Cloud
from ..parallel import samples_to_check
from .compact import Box
from .densities import Density, Gaussian, Mixture, components_of
from .energies import InternalEnergy
from .problem import Problem
from .product import Product
from .wrapped import Wrapped

_Part = tuple[float, Density]
"""A component of a mixture, with its weight."""
_SHARES = (0.4, 0.3, 0.3)
_MOST_CIRCLES = 16  # Their costs grow like the square.
_SAMPLES = 4096  # from which shares are estimated
_FEW = 0.1  # of the samples of λ carry E|f|² where a proposal is worth its weights


def proposal_of(problem: Problem, samples: Callable[[], Tensor]) -> Density | None:
    """The density q for a problem: where an internal energy meets Gaussians, or a mixture of them
    and others, so peaked that E|f|² of the parts that depend on the density lies in under a tenth
    of `samples` of the start density, (n, d) in float64; else None.

    None also where there are interactions: their sums over pairs take all particles alike.
    """
    if problem.energy.interactions or not (parts := _components(problem.start)):
        return None
    exponents = [part.m for part in problem.energy.parts if isinstance(part, InternalEnergy)]
    if not exponents or contributing(problem, samples()) >= _FEW:
        return None
    drawn = [_narrowed(part, max(exponents)) for _, part in parts]
    weights = torch.tensor([weight for weight, _ in parts], dtype=torch.float64)
    if len(parts) > 1:
        weights = 0.5 * (weights + _shares(problem, Mixture(drawn, weights.tolist()), parts))
    return Mixture(drawn, weights.tolist())


def round_circles(problem: Problem) -> Density | None:
    """q = ½λ + (1/2J) Σ_j λ with a uniform density on circle j of J in place of its own, for the
    energy form of the gradient: where the energy depends on the density, and the start is a wrapped
    Gaussian with independent coordinates, of which up to 16 are circles; else None. Weights are
    λ/q ≤ 2.

    Opposite a narrow start λ and with it ∂T = λ/ρ(T) are tiny, and the energy form has means of
    ∂φ/∂T: of samples of λ the few that come to lie there have all of the sum.
    """
    start = problem.start
    if not isinstance(start, Wrapped) or not isinstance(start.density, Gaussian):
        return None  # λ of a box may be 0, and its logarithm no number.
    if problem.energy.interactions or not problem.energy.needs_density:
        return None
    circles, own = start.periods.circles, start.factors()
    if own is None or len(circles) > _MOST_CIRCLES:
        return None
    wide = [
        Product([*own[:j], Box(1, 0.0, start.periods.lengths[j]), *own[j + 1 :]]) for j in circles
    ]
    return Mixture([start, *wide], [1.0, *[1.0 / len(wide)] * len(wide)])


def _shares(problem: Problem, proposal: Mixture, parts: Sequence[_Part]) -> Tensor:
    """E[γ_k |f|²]/E|f|², γ_k the probability that a sample is of component k, (K,)."""
    z = samples_to_check(proposal.sample, _SAMPLES)
    joint = torch.stack([part.log_density(z) + math.log(weight) for weight, part in parts], 1)
    square = (joint.logsumexp(1) - proposal.log_density(z)).exp() * _force_square(problem, z)
    shares = (square[:, None] * joint.softmax(1)).sum(0) / square.sum()
    return shares.nan_to_num(1 / len(parts))


def contributing(problem: Problem, z: Tensor) -> float:
    """(E g)²/E g², g = |f|² of the parts of the energy that depend on the density: the share of
    samples z, (n, d), that carry E|f|². 0 where it is not finite."""
    square = _force_square(problem, z)
    share = float(square.mean().square() / square.square().mean())
    return share if share == share else 0.0


def _force_square(problem: Problem, z: Tensor) -> Tensor:
    start = problem.start
    force = problem.energy.density_force(Cloud(z, start.log_density(z), start.score(z)))
    return force.double().square().sum(1)


def _components(start: Density) -> list[_Part]:
    """Weights and components of a mixture, or a density itself; none where no one is Gaussian."""
    weights = start.weights.tolist() if isinstance(start, Mixture) else [1.0]
    parts = list(zip(weights, components_of(start), strict=True))
    return parts if any(isinstance(part, Gaussian) for _, part in parts) else []


def _narrowed(part: Density, m: float) -> Density:
    """.4 N(c, C) + .3 N(c, C/m) + .3 N(c, C/(2m − 1)), or another density as it is."""
    if not isinstance(part, Gaussian):
        return part
    narrower = [
        Gaussian(part.dimension, part.mean, part.covariance / factor)
        for factor in (1.0, m, 2 * m - 1)
    ]
    return Mixture(narrower, _SHARES)
