"""The blob method: particles that feel the density of all others through a Gaussian kernel.

With ρ_ε = φ_ε∗ρ, the energy ∫ F(ρ_ε) dρ in place of ∫ F(ρ) dρ has a flow of weighted particles,

    x_i' = −∇V(x_i) + (1/2ε²) Σ_j m_j φ_ε(x_i − x_j) [F'(s_i) + F'(s_j)] (x_i − x_j),   s = ρ_ε(x),

F = β log s for entropy and c s^{m−1}/(m−1) for internal energies, φ_ε the density of N(0, 2ε²I)
(J. A. Carrillo, K. Craig, F. S. Patacchini, Calc. Var. 58 (2019) 53); interactions add the force of
all masses. The particles begin on a lattice of spacing h with ε = h, and an error of order h² is
seen in ρ_ε.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy  # Its parts are imported at first use, which keeps the start of every rank short.
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from ...errors import RunError
from ...interactions import Kernel
from ...problems import Entropy, InternalEnergy, Problem, SumOfEnergies
from .answer import Answer, LogDensity, Rival, start_points
from .law import Law, points_of
from .paths import too_stiff

Array = np.ndarray
_ACROSS = 16  # particles along an axis, of the first level; twice as many in every further one
_REACH = 7.0  # ε, beyond which the kernel is left out: e^{−12} of its peak
_NEGLIGIBLE = 1e-7  # of the largest mass: particles that are left out
_TOLERANCE = 1e-4
_TOGETHER = 2**22  # pairs of points and particles whose kernel is summed together
_SPANNED = 2**12  # samples that tell how far the start density goes


@dataclass(frozen=True)
class Blobs:
    """An energy whose density is seen through φ_ε."""

    energy: SumOfEnergies
    """Its entropies and internal energies are regularised."""
    masses: Array
    """m_i, (n,), of sum 1."""
    width: float
    """ε."""

    def slope(self, s: Array) -> Array:
        """F'(s), (n,)."""
        total = np.zeros_like(s)
        for part in self.energy.of_density:
            if isinstance(part, Entropy):
                total += part.beta / s
            elif isinstance(part, InternalEnergy):
                total += part.factor * s ** (part.m - 2)
        return total

    def kernel(self, x: Array) -> scipy.sparse.csr_matrix:
        """φ_ε(x_i − x_j) of all pairs within reach, (n, n). Errors: `RunError` for particles that
        are not finite."""
        if not np.isfinite(x).all():
            raise RunError("the places of the blobs are not finite")
        n, d = x.shape
        pairs = cKDTree(x).query_pairs(_REACH * self.width, output_type="ndarray")
        square = np.square(x[pairs[:, 0]] - x[pairs[:, 1]]).sum(1)
        values = np.exp(-square / (4 * self.width**2))
        half = scipy.sparse.coo_matrix((values, (pairs[:, 0], pairs[:, 1])), (n, n)).tocsr()
        whole = half + half.T + scipy.sparse.identity(n, format="csr")
        return whole * (4 * np.pi * self.width**2) ** (-d / 2)

    def velocity(self, x: Array) -> Array:
        """x', (n, d)."""
        kernel, m = self.kernel(x), self.masses[:, None]
        s = kernel @ self.masses
        slope = self.slope(s)[:, None]
        own = slope * (s[:, None] * x - kernel @ (m * x))
        others = x * (kernel @ (m * slope)) - kernel @ (m * slope * x)
        velocity = (own + others) / (2 * self.width**2)
        if (potential := self.energy.potential()) is not None:
            velocity -= potential.gradient(torch.from_numpy(x)).numpy()
        return np.asarray(velocity - self._attraction(x))

    def _attraction(self, x: Array) -> Array:
        """c Σ_j m_j ∇J(x_i − x_j) of radial kernels over all pairs, (n, d), a few rows of them at a
        time."""
        total, at, masses = np.zeros_like(x), torch.from_numpy(x), torch.from_numpy(self.masses)
        for part in self.energy.interactions:
            assert isinstance(part.kernel, Kernel)
            pieces = []
            for rows in at.split(max(1, _TOGETHER // len(x))):
                square = (rows[:, None] - at).square().sum(2)
                weight = part.kernel.weight(square) * masses
                pieces.append(weight.sum(1, keepdim=True) * rows - weight @ at)
            total += part.factor * torch.cat(pieces).numpy()
        return total

    def moved(self, x: Array, span: float) -> tuple[Array, int]:
        """The particles a time `span` later, and how often velocities were computed. Errors:
        `RunError` where they leave what numbers can hold."""
        path = scipy.integrate.solve_ivp(
            lambda _, y: self.velocity(y.reshape(x.shape)).ravel(), (0.0, span), x.ravel(),
            method="RK23", rtol=_TOLERANCE, atol=_TOLERANCE * self.width, t_eval=(span,),
        )  # fmt: skip
        if not path.success:
            raise RunError(f"the blobs' equation was not solved to its end: {path.message}")
        return path.y[:, -1].reshape(x.shape), int(path.nfev)

    def log_density(self, x: Array) -> LogDensity:
        """log ρ_ε of particles at x."""
        at, masses = torch.from_numpy(x), torch.from_numpy(self.masses)

        def evaluated(points: Tensor) -> Tensor:
            pieces = points.split(max(1, _TOGETHER // len(x)))
            scale = 4 * self.width**2
            sums = [(-torch.cdist(piece, at).square() / scale).exp() @ masses for piece in pieces]
            return torch.cat(sums).log() - 0.5 * x.shape[1] * np.log(np.pi * scale)

        return evaluated


def lattice(
    low: Array, high: Array, across: int, log_density: Callable[[Tensor], Tensor]
) -> tuple[Array, Array, float]:
    """Points x_i of a square lattice, (n, d), with `across` points along the longest side of the
    box, masses m_i ~ λ(x_i), (n,), and the spacing h. Points of negligible mass are left out."""
    h = float((high - low).max()) / across
    counts = np.maximum(1, np.ceil((high - low) / h - 1e-9)).astype(int)
    middle = 0.5 * (low + high)
    axes = [m + h * (np.arange(n) - 0.5 * (n - 1)) for m, n in zip(middle, counts, strict=True)]
    x = points_of(axes)
    masses = log_density(torch.from_numpy(x)).exp().numpy()
    kept = masses > _NEGLIGIBLE * masses.max()
    return x[kept], masses[kept] / masses[kept].sum(), h


def _refusal(problem: Problem) -> str:
    if not problem.is_plain:
        return "the flow has a mobility, a drift or a moving potential"
    energy = problem.energy
    known = all(isinstance(part, Entropy | InternalEnergy) for part in energy.of_density)
    if not energy.needs_density or not known or not energy.has_potentials_alone:
        return "there is neither entropy nor an internal energy: blobs are plain particles"
    if any(not isinstance(p.kernel, Kernel) or p.kernel.singular for p in energy.interactions):
        return "blobs know radial kernels that are finite at 0"
    if problem.dimension > 2:
        return f"a lattice of blobs in {problem.dimension} dimensions has too many of them"
    return too_stiff(problem)


def _answer(problem: Problem, level: int, seed: int) -> Answer:
    z = start_points(problem, _SPANNED, seed, 2).numpy()
    low, high = z.min(0), z.max(0)
    x, masses, h = lattice(low, high, _ACROSS * 2**level, problem.start.log_density)
    blobs = Blobs(problem.energy, masses, width=h)
    x, evaluations = blobs.moved(x, problem.until - problem.start_time)
    return Answer(lambda: Law(x, masses), len(x), blobs.log_density(x), steps=evaluations)


BLOB = Rival("particles", _refusal, _answer, levels=4)
