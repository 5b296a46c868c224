"""The error of a computed flow along its particles, to first order.

With the residual r = Jθ' + f of a path θ(t), the error e(t) of its particles obeys, in the flow of
∫Vρ + β∫ρ log ρ + c/(m−1) ∫ρᵐ,

    e' = r − ∇²V e + (what diffusion does to it).

Its part that is a gradient, e = Σ_k a_k ∇φ_k, follows the moments m_j = ∫φ_j d(ρ_θ − ρ) = (M a)_j
of a basis φ (Galerkin),

    m' = −(A + D) M⁻¹ m + E[r·∇φ],   M = E[∇φ_i·∇φ_j],   D_ij = E[(∇²φ_i f)·∇φ_j],
    A_ij = E[∇φ_iᵀ∇²V∇φ_j] + βE[∇²φ_i:∇²φ_j] + cE[ρ^{m−1}((m−1) Δφ_i Δφ_j + ∇²φ_i:∇²φ_j)],

and the rest follows every particle for itself, e' = r − ∇²V e.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..cloud import Cloud
from ..gradients import RidgeBasis
from ..problems import Potential, SumOfEnergies, is_separable, pressures, with_hessian

_REGULAR = 1e-7  # of ‖M‖, added to it


@dataclass(frozen=True)
class Seen:
    """What a path does to the samples at one time, all in float64."""

    cloud: Cloud
    """The images, with their density."""
    force: Tensor
    """f, (n, d)."""
    residual: Tensor
    """r = Jθ' + f, (n, d); 0 where the map has folded."""
    weights: Tensor
    """w/n, (n,), with which sums are expectations."""

    @property
    def norm(self) -> float:
        """(E|r|²)^½ where the map has not folded."""
        square = (self.weights * self.residual.square().sum(1)).sum()
        return float(square / (self.weights > 0).double().mean()) ** 0.5


class Hessians:
    """∇²V at n images, or at one where it is the same everywhere."""

    def __init__(self, potential: Potential | None, x: Tensor) -> None:
        """x: (n, d) in float64."""
        d = x.shape[1]
        constant = x.new_zeros(d) if potential is None else potential.hessian()
        self.diagonal: Tensor | None = None
        """(n, d), or None where ∇²V is not diagonal."""
        self.full: Tensor | None = None
        """(n, d, d), or None where it is."""
        if constant is not None and constant.ndim == 2:
            self.full = constant.to(x)[None]
        elif constant is not None:
            self.diagonal = constant.to(x).expand(1, d)
        elif potential is not None:
            _, product = with_hessian(potential, x)
            if is_separable(potential, d):
                self.diagonal = product(torch.ones_like(x[0]))
            else:
                axes = torch.eye(d, dtype=x.dtype, device=x.device)
                self.full = torch.stack([product(axis) for axis in axes], 1)

    @property
    def least(self) -> float:
        """The least eigenvalue at any image."""
        if self.full is None:
            assert self.diagonal is not None
            return float(self.diagonal.min())
        return float(torch.linalg.eigvalsh(self.full).min())

    def decayed(self, e: Tensor, time: float) -> Tensor:
        """exp(−t ∇²V) e for every row of e, (n, d)."""
        if self.full is None:
            assert self.diagonal is not None
            return torch.exp(-time * self.diagonal) * e
        values, vectors = torch.linalg.eigh(self.full)
        turned = torch.exp(-time * values) * (vectors.mT @ e[:, :, None])[:, :, 0]
        return (vectors @ turned[:, :, None])[:, :, 0]

    def form(self, weighted: Tensor, first: Tensor, slopes: Tensor, directions: Tensor) -> Tensor:
        """E[ψ_i'ψ_j' w_iᵀ∇²V w_j], (q, q), for ψ' and its product with the weights, (n, q), and
        E[ψ_i'ψ_j'], (q, q)."""
        along = directions.T
        if self.full is None:
            assert self.diagonal is not None
            bent = self.diagonal[:, :, None] * along
        else:
            bent = self.full @ along  # (n, d, q)
        if len(bent) == 1:
            return slopes * (directions @ bent[0])
        q = first.shape[1]
        left = (weighted[:, None] * along).reshape(-1, q)
        return left.T @ (first[:, None] * bent).reshape(-1, q)


def roughness(seen: Seen, field: Tensor, energy: SumOfEnergies) -> float:
    """Σ_j E[D (∂_j a_j)²] / E|a|² of a field whose a_j depends on x_j alone, (n, d), with the
    coefficient of diffusion D = β + c m ρ^{m−1}: how fast it is damped. By differences of
    neighbours."""
    x, diffusion = seen.cloud.x.double(), torch.zeros_like(seen.weights)
    for m, pressure in pressures(energy, seen.cloud.log_density.double()):
        diffusion = diffusion + m * pressure
    order = x.argsort(0)
    step = x.gather(0, order).diff(dim=0).clamp(min=1e-300)
    change = field.gather(0, order).diff(dim=0)
    weights = (seen.weights * diffusion.nan_to_num(0.0))[order[1:]]
    square = (seen.weights[:, None] * field.square()).sum()
    return float((weights * (change / step).square()).sum() / square.clamp(min=1e-300))


class Galerkin:
    """The moments of a basis at one time."""

    def __init__(self, basis: RidgeBasis, seen: Seen) -> None:
        self.basis, self.seen = basis, seen
        self.first = basis.first(seen.cloud.x.double())
        self._weighted = seen.weights[:, None] * self.first
        W = basis.directions
        self._products = W @ W.T
        self._slopes = self._weighted.T @ self.first
        gram = self._slopes * self._products
        shift = _REGULAR * gram.norm()
        self._factor = torch.linalg.cholesky(gram + shift * torch.eye(len(gram)).to(gram))

    @cached_property
    def second(self) -> Tensor:
        """ψ'' at the images, (n, q)."""
        return self.basis.second(self.first)

    def rate(self, diffusion: Tensor) -> float:
        """E|∇²φ|²/E|∇φ|² in the diffusion's norm, the mean over the ridges: how fast diffusion
        damps what is as fine as these, and finer things faster."""
        ridges = slice(self.basis.linear + self.basis.squares, None)
        gram = (self._weighted * self.first).sum(0)[ridges] * self._products.diagonal()[ridges]
        return float(diffusion.diagonal()[ridges].sum() / gram.sum().clamp(min=1e-300))

    def moments(self, field: Tensor) -> Tensor:
        """E[a·∇φ] of a vector field a at the images, (n, d) → (q,)."""
        return (self._weighted * (field @ self.basis.directions.T)).sum(0)

    def solved(self, moments: Tensor) -> Tensor:
        """M⁻¹m, for moments (q,) or (q, k)."""
        columns = moments[:, None] if moments.ndim == 1 else moments
        return torch.cholesky_solve(columns, self._factor).view_as(moments)

    def field(self, moments: Tensor) -> Tensor:
        """Σ_k ∇φ_k (M⁻¹m)_k at the images, (n, d)."""
        return (self.first * self.solved(moments)) @ self.basis.directions

    def diffusion(self, energy: SumOfEnergies) -> Tensor:
        """The part of A that comes of entropy and internal energies, (q, q)."""
        W, weights, second = self.basis.directions, self.seen.weights, self.second
        squares, lengths = self._products.square(), W.square().sum(1)
        A = torch.zeros_like(squares)
        for m, pressure in pressures(energy, self.seen.cloud.log_density.double()):
            bent = ((weights * pressure)[:, None] * second).T @ second
            A = A + bent * ((m - 1) * torch.outer(lengths, lengths) + squares)
        return A

    def generator(self, hessians: Hessians, diffusion: Tensor) -> Tensor:
        """−(A + D) M⁻¹, (q, q). `diffusion`: the part of A of that name."""
        W, second = self.basis.directions, self.second
        A = diffusion + hessians.form(self._weighted, self.first, self._slopes, W)
        D = ((second * (self.seen.force @ W.T)).T @ self._weighted) * self._products
        # From the right: (A + D) M⁻¹ = (M⁻¹(A + D)ᵀ)ᵀ.
        return -self.solved((A + D).T.contiguous()).T
