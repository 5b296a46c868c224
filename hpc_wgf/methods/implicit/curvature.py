"""The curvature of a stage's objective along θ' = v, all from the field u = J v:

    vᵀHv = E[uᵀ M u] + E[φ' tr((∇u)²) + φ'' (∇·u)²],    M = P⁻¹/τ + (∇²V)₊ + (∇²(J∗ρ))₊,

φ(log ρ) the integrand of the parts that depend on the density: for entropy and internal energies
the second variation of F along u, for potentials that of positive curvature. Second derivatives of
T are left out (Gauss–Newton), and of interactions what the motion of the other particles adds.

tr((∇u)²) is negative along rotations. Its *positive* form has the square of the symmetric part of
∇u in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...cloud import Cloud
from ...interactions import InteractionEnergy
from ...maps import PushForward
from ...matrix_field import MatrixField
from ...metric import GramOperator
from ...parallel import Communicator, tree_sum
from ...problems import Flow, Motion, Potential, SumOfEnergies, with_hessian
from ...problems.matrices import dense
from ..pwgf.curvature import density_derivatives
from .deformation import Deformation

_NEAR = 1e-4  # of |r|², for a difference
_PARTNERS = 128  # particles by which the curvature of interactions is told


class OfPosition(Potential):
    """The sum of the integrands of all parts that depend on x alone."""

    def __init__(self, energy: SumOfEnergies) -> None:
        self._energy = energy

    def __call__(self, x: Tensor) -> Tensor:
        values = [part.integrand(x, x[:, 0]) for part in self._energy.of_position]
        return torch.stack(values).sum(0)

    def hessians(self, x: Tensor) -> Tensor:
        """∇²V at x, (n, d, d)."""
        _, product = with_hessian(self, x)
        axes = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
        rows = torch.stack([product(axis) for axis in axes], 1)
        return 0.5 * (rows + rows.mT)


def stiffness_roots(
    flow: Flow, clouds: Sequence[Cloud], motions: Sequence[Motion], tau: float,
    communicator: Communicator,
) -> list[MatrixField]:  # fmt: skip
    """R with M = RᵀR at the samples of every chunk of this rank. Collective where there are
    interactions."""
    partners = _partners(clouds, communicator) if flow.energy.interactions else None
    roots = []
    for cloud, motion in zip(clouds, motions, strict=True):
        M = _inverse_mobility(cloud.x, motion) / tau + position_curvature(flow.energy, cloud.x)
        if partners is not None:
            for part in flow.energy.interactions:
                M = M + _of_pairs(part, cloud.x, partners)
        roots.append(MatrixField(torch.linalg.cholesky_ex(M).L.mT))
    return roots


def _inverse_mobility(x: Tensor, motion: Motion) -> Tensor:
    """P⁻¹ at x, (n, d, d), or (1, d, d) where it is I."""
    n, d = x.shape
    if motion.inverse is None:
        return torch.eye(d, dtype=x.dtype, device=x.device)[None]
    return motion.inverse.dense(n, d)


def position_curvature(energy: SumOfEnergies, x: Tensor) -> Tensor:
    """(∇²V)₊ at x, (n, d, d), or (1, d, d) where it is the same everywhere; V the sum of all that
    depends on x alone."""
    d = x.shape[1]
    if not energy.of_position:
        return x.new_zeros(1, d, d)
    potential = energy.present_potential() if energy.has_potentials_alone else None
    constant = None if potential is None else potential.hessian()
    if constant is None:
        hessians = OfPosition(energy).hessians(x)
    else:
        hessians = dense(constant, d)[None].to(x)
    values, vectors = torch.linalg.eigh(hessians)
    return (vectors * values.clamp(min=0)[:, None, :]) @ vectors.mT


def _partners(clouds: Sequence[Cloud], communicator: Communicator) -> Tensor:
    """Some particles of the first rank, (m, d), on all ranks."""
    x = clouds[0].x
    shared = x.new_zeros(_PARTNERS, x.shape[1] + 1, dtype=torch.float64)
    if communicator.rank == 0:
        some = x[:_PARTNERS]
        shared[: len(some), :-1] = some
        shared[: len(some), -1] = 1.0
    shared = communicator.sum(shared)
    return shared[shared[:, -1] > 0, :-1].to(x)


def _of_pairs(part: InteractionEnergy, x: Tensor, partners: Tensor) -> Tensor:
    """(c E'[∇²J(x − x')])₊ term by term, (n, d, d): ∇²J = w I + 2 w' r rᵀ for radial kernels,
    w(|r|²) = 2j'. 0 for other kernels."""
    n, d = x.shape
    weight = getattr(part.kernel, "weight", None)
    if weight is None:
        return x.new_zeros(n, d, d)
    r = x[:, None] - partners
    square = r.square().sum(2)
    apart = square > 0
    s = torch.where(apart, square, 1.0)
    # User kernels need not allow second derivatives.
    w, above, below = (weight(at.clone()) for at in (s, (1 + _NEAR) * s, (1 - _NEAR) * s))
    steep = (above - below) / _NEAR  # 2 s w'
    keep = apart / apart.sum(1, keepdim=True).clamp(min=1)
    across = (part.factor * w).clamp(min=0) * keep
    along = (part.factor * (w + steep)).clamp(min=0) * keep
    eye = torch.eye(d, dtype=x.dtype, device=x.device)
    unit = r * s.rsqrt()[:, :, None]
    turned = torch.einsum("nm,nmi,nmj->nij", along - across, unit, unit)
    return across.sum(1)[:, None, None] * eye + turned


@dataclass(frozen=True)
class DensityCurvature:
    """What the parts that depend on the density add to H, at the samples of a chunk."""

    deformation: Deformation
    inverse: Tensor
    """(∇T)⁻¹, (n, d, d)."""
    first: Tensor
    """w φ', (n,), w the importance weights."""
    second: Tensor
    """w φ'', (n,)."""

    @classmethod
    def at(
        cls, map: PushForward, theta: Tensor, chunk: Cloud, image: Cloud, energy: SumOfEnergies,
        *, keep: bool = True,
    ) -> DensityCurvature:  # fmt: skip
        """`chunk`, `image`: samples and their images under the map at θ. `keep`: see
        `Deformation`."""
        deformation = Deformation(map, theta, chunk.x, keep)
        inverse = torch.linalg.inv_ex(deformation.gradient()).inverse
        weight = 1.0 if chunk.weight is None else chunk.weight
        first, second = density_derivatives(energy, image)
        return cls(deformation, inverse, weight * first, weight * second)

    def product(self, v: Tensor, *, positive: bool) -> Tensor:
        """Σᵢ of what the samples add to H v, (p,)."""
        slope = self.deformation.rate(v) @ self.inverse
        turned = 0.5 * (slope + slope.mT) if positive else slope.mT
        divergence = slope.diagonal(dim1=1, dim2=2).sum(1)
        pull = self.first[:, None, None] * turned
        pull.diagonal(dim1=1, dim2=2).add_((self.second * divergence)[:, None])
        return self.deformation.pulled(pull @ self.inverse.mT)

    def rows(self) -> Tensor:
        """A, (p, n (d² + 1)), with AAᵀ what the samples add to H in the positive form."""
        p = len(self.deformation.theta)
        axes = torch.eye(p, dtype=self.inverse.dtype, device=self.inverse.device)
        slope = self.deformation.rates(axes) @ self.inverse
        divergence = slope.diagonal(dim1=2, dim2=3).sum(2)
        symmetric = 0.5 * (slope + slope.mT) * self.first.sqrt()[:, None, None]
        return torch.cat([symmetric.reshape(p, -1), divergence * self.second.sqrt()], 1)


@dataclass(frozen=True)
class Curvature:
    """H as an operator, without its matrix."""

    gram: GramOperator
    """E[JᵀMJ]."""
    density: Sequence[DensityCurvature]
    """Of every chunk of this rank; empty where nothing depends on the density."""
    positive: bool = False
    """Whether it is the positive form."""

    def matvec(self, v: Tensor) -> Tensor:
        """H v, (p,) → (p,). Collective."""
        product = self.gram.matvec(v)
        if not self.density:
            return product
        parts = [each.product(v, positive=self.positive) for each in self.density]
        return product + self.gram.ensemble.mean(tree_sum(parts))
