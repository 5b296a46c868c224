"""The metric G of [PFPE], in which only what moves the density counts, beside the pullback metric.

    G_ε = JᵀW[Π + ε(I − Π)]J/n,   Π the projection onto gradients (see `GradientProjection`):

ε = 1 is Ĝ, ε → 0 the metric of [PFPE (18)]. εĜ ⪯ G_ε ⪯ Ĝ, so that a preconditioner of Ĝ leaves a
condition number of 1/ε at most.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..accounts import Part, counted
from ..ensemble import Ensemble
from ..gradients import GradientProjection
from ..krylov import Iteration
from ..maps import PushForward
from ..parallel import TreeSum, tree_sum
from .feature_gram import FeatureGram, features_of
from .gram import GramOperator
from .preconditioner import Preconditioner


@dataclass(frozen=True, kw_only=True)
class GradientGram(GramOperator):
    """G_ε as an operator: a product has one all-reduce of q numbers more than one with Ĝ."""

    projection: GradientProjection
    """Π at the images of the samples."""
    epsilon: float
    """ε."""

    @counted(Part.PRODUCTS)
    def matvec(self, v: Tensor) -> Tensor:
        """G_ε v, (p,) → (p,); collective."""
        kept = self.projection.blended([J.jvp(v) for J in self.chunks], self.epsilon)
        total = TreeSum()
        for k, (J, moved) in enumerate(zip(self.chunks, kept, strict=True)):
            total.add(J.vjp(self.ensemble.weighted(k, moved))[0])
        return self.ensemble.mean(total.total())

    def iteration(self, b: Tensor, preconditioner: Preconditioner | None) -> Iteration | None:
        """None: the projection's products are not recorded."""
        return None

    def square_norm(self, v: Tensor) -> float:
        """vᵀG_ε v. Collective, two all-reduces."""
        moved = [J.jvp(v) for J in self.chunks]
        projected = self.projection.square(self.projection.moments(moved))
        return (1.0 - self.epsilon) * projected + self.epsilon * self.square_motion(v)


def gradient_features(
    map: PushForward, ensemble: Ensemble, projection: GradientProjection, epsilon: float
) -> FeatureGram:
    """G_ε = εĜ + (1 − ε)CᵀK⁻¹C, C = BᵀWJ/n, of a map that is linear in θ, as one block of all
    parameters. Collective, two all-reduces."""
    whole, W = FeatureGram.of(map, ensemble).coupled(), projection.basis.directions
    sums = []
    for k, z in enumerate(ensemble.points):
        features = features_of(map, z)
        blocks, q, m = features.index.shape
        slopes = ensemble.weighted(k, projection.slopes(k))
        along = (slopes.T @ features.value.double().reshape(blocks * q, -1).T).view(-1, blocks, q)
        sums.append(along[..., None] * W.view(-1, blocks, 1, m))
    C = ensemble.mean(tree_sum(sums)).flatten(1)
    projected = C.T @ projection.coefficients(C)
    matrix = epsilon * whole.matrices[0] + (1.0 - epsilon) * projected
    return FeatureGram(0.5 * (matrix + matrix.T)[None], whole.index, whole.roughness, whole.damping)
