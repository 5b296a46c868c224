"""The mobility P of a flow ∂ₜρ = ∇·(ρ P ∇ δF/δρ), whose particles move with −P f.

P is symmetric positive definite. It may depend on the place x, on the density there, or on the
whole density. Where P tends to 0 its inverse, which weighs the least squares, has no bound: what is
given as a function of ρ is therefore held from `FLOOR` times its largest value on, in the velocity
as in the weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..cloud import Cloud
from ..constants import like
from ..errors import InputError
from ..kinds import check_function, check_number
from ..matrix_field import MatrixField
from ..user_code import called, check_values
from .descriptions import written
from .matrices import MatrixLike, spd_matrix

FLOOR = 1e-3
"""The least value of a mobility M(ρ)/ρ over its largest."""


class Samples(Protocol):
    """The samples of all ranks, over which a mobility may take means."""

    def expectation(self, values: Sequence[Tensor]) -> Tensor:
        """E[a], (k,) in float64, of `values` a at every chunk of this rank, (n_chunk, k).
        Collective."""
        ...

    def largest(self, values: Sequence[Tensor]) -> float:
        """The largest of `values`, (n_chunk,) for every chunk, over all ranks. Collective."""
        ...


class Mobility(Protocol):
    """P at samples of a density."""

    needs_density: bool
    """Whether P depends on ρ(x)."""

    def at(self, clouds: Sequence[Cloud], samples: Samples) -> list[MatrixField]:
        """P at the samples of every chunk of this rank. Collective where P takes means."""
        ...

    def check(self, cloud: Cloud) -> None:
        """Errors: `InputError` where P is not symmetric positive definite at start samples."""
        ...


@dataclass(frozen=True)
class MobilityFunction:
    """P = M(ρ)/ρ I, with a torch function M of the density."""

    function: Callable[[Tensor], Tensor]
    """M, elementwise on tensors of densities ρ > 0."""
    name: str
    """What descriptions call it."""
    needs_density = True

    def __post_init__(self) -> None:
        check_function(self.function, f"the mobility {self.name}")

    def __repr__(self) -> str:
        # Values tell two functions of one name apart when a run is resumed.
        values = self._over_density(torch.tensor([0.1, 0.5], dtype=torch.float64).log()).tolist()
        return f"MobilityFunction({self.name}, M(ρ)/ρ at ρ = 0.1, 0.5: {values})"

    def _over_density(self, log_density: Tensor) -> Tensor:
        """M(ρ)/ρ, (n,)."""
        # Below, M(ρ)/ρ is what it is at the smallest density that has all its digits.
        least = math.log(torch.finfo(log_density.dtype).tiny) + 1e-4
        density = log_density.clamp(min=least).exp()
        value = called(f"the mobility {self.name}", self.function, density)
        check_values(f"the mobility {self.name}", value, density, density.shape,
                     "one value for each density")  # fmt: skip
        return value / density

    def at(self, clouds: Sequence[Cloud], samples: Samples) -> list[MatrixField]:
        values = [self._over_density(cloud.log_density) for cloud in clouds]
        most = samples.largest([torch.where(each.isfinite(), each, 0.0) for each in values])
        return [MatrixField(each.clamp(FLOOR * most, most)) for each in values]

    def check(self, cloud: Cloud) -> None:
        value = self._over_density(cloud.log_density)
        wrong = ~(value >= 0)
        if bool(wrong.any()):
            k = int(wrong.nonzero()[0])
            raise InputError(
                f"the mobility {self.name} is negative or not a number at {int(wrong.sum())} of "
                f"{len(value)} start samples: M = "
                f"{float(value[k] * cloud.log_density[k].exp()):.4g} where the density is "
                f"{float(cloud.log_density[k].exp()):.4g}. Densities have mass 1 here: give an "
                "M(ρ) ≥ 0, in that unit"
            )
        if not bool((value > 0).any()):
            raise InputError(f"the mobility {self.name} is 0 at all start samples: nothing moves")


@dataclass(frozen=True)
class Saturating:
    """P = (1 − ρ/R)₊ I: no density above R can build up. For a problem of mass μ, whose density is
    1/μ times as large here, R is the limit over μ."""

    limit: float
    """R > 0."""
    needs_density = True

    def __post_init__(self) -> None:
        check_number(self.limit, "the limit of a saturating mobility")
        if not (self.limit > 0 and math.isfinite(self.limit)):
            raise InputError(
                f"the limit of a saturating mobility is {self.limit}: give a density above 0, "
                "that of the start at least"
            )

    def at(self, clouds: Sequence[Cloud], samples: Samples) -> list[MatrixField]:
        free = [1 - cloud.log_density.exp() / self.limit for cloud in clouds]
        return [MatrixField(each.clamp(FLOOR, 1.0)) for each in free]

    def check(self, cloud: Cloud) -> None:
        most = float(cloud.log_density.max().exp())
        if not most <= self.limit * (1 + 1e-6):
            raise InputError(
                f"the limit {self.limit:g} of the saturating mobility is below the density of the "
                f"start, {most:.6g} at a sample: nothing would move there. Raise the limit (of a "
                "problem of mass μ it is 1/μ times the density's), or start more thinly"
            )


@dataclass(frozen=True)
class CovarianceMobility:
    """P = Cov(ρ), that of the Kalman–Wasserstein flow [DJKO 4.4]."""

    needs_density = False

    def at(self, clouds: Sequence[Cloud], samples: Samples) -> list[MatrixField]:
        x = [cloud.x.double() for cloud in clouds]
        mean = samples.expectation(x)
        centred = [each - mean for each in x]
        pairs = [(each[:, :, None] * each[:, None, :]).flatten(1) for each in centred]
        d = len(mean)
        # Importance weights do not add up to n exactly.
        mass = samples.expectation([torch.ones_like(each[:, :1]) for each in x])
        C = samples.expectation(pairs).view(1, d, d) / mass
        return [MatrixField((0.5 * (C + C.mT)).to(clouds[0].x))] * len(clouds)

    def check(self, cloud: Cloud) -> None:
        n, d = cloud.x.shape
        if n > d and not bool(torch.linalg.eigvalsh(cloud.x.double().T.cov().view(d, d))[0] > 0):
            raise InputError(
                "the covariance of the start samples is singular, and with it the mobility: give "
                "a start density that has volume"
            )


class MatrixMobility:
    """P a constant symmetric positive definite matrix: with entropy, an anisotropic diffusion."""

    needs_density = False

    def __init__(self, dimension: int, matrix: MatrixLike) -> None:
        """`matrix`: P, a number c for c·I, (d,) for a diagonal, or (d, d).

        Errors: `InputError` for another shape, and unless it is symmetric positive definite."""
        self.dimension = dimension
        self.matrix = spd_matrix(matrix, dimension, "the mobility matrix")

    def __repr__(self) -> str:
        return f"MatrixMobility({written(self.matrix)})"

    def at(self, clouds: Sequence[Cloud], samples: Samples) -> list[MatrixField]:
        m, d = like(self.matrix, clouds[0].x), self.dimension
        whole = m if m.ndim == 2 else torch.diag(m.expand(d))
        return [MatrixField(whole[None])] * len(clouds)

    def check(self, cloud: Cloud) -> None:
        """Nothing: its entries are looked at where it is made."""


@dataclass(frozen=True)
class UserMobility:
    """P(x), a torch function of a user."""

    function: Callable[[Tensor], Tensor]
    """(n, d) → (n, d, d), or (n, d) for diagonal matrices."""
    name: str
    """What descriptions call it."""
    needs_density = False

    def __post_init__(self) -> None:
        check_function(self.function, f"the mobility {self.name}")

    def __repr__(self) -> str:
        return f"UserMobility({self.name})"

    def at(self, clouds: Sequence[Cloud], samples: Samples) -> list[MatrixField]:
        return [MatrixField(called(f"the mobility {self.name}", self.function, cloud.x))
                for cloud in clouds]  # fmt: skip

    def check(self, cloud: Cloud) -> None:
        n, d = cloud.x.shape
        what, given = f"the mobility {self.name}", cloud.x.clone()
        value = called(what, self.function, given)
        shape = (n, d) if getattr(value, "ndim", 0) == 2 else (n, d, d)
        check_values(what, value, cloud.x, shape, "a matrix for every sample, or (n, d) diagonals")
        apart = value - value.mT if value.ndim == 3 else torch.zeros_like(value)
        scale = float(value.abs().max())
        eigenvalues = torch.linalg.eigvalsh(value) if value.ndim == 3 else value
        least = eigenvalues.min(1).values
        # A comparison with not-a-number is false.
        if not bool((least > 0).all()) or not float(apart.abs().max()) <= 1e-6 * scale:
            k = int(least.nan_to_num(-math.inf).argmin())
            raise InputError(
                f"{what} is not symmetric positive definite at {int((~(least > 0)).sum())} of {n} "
                f"start samples: at x = {[round(v, 4) for v in cloud.x[k].tolist()[:6]]} its least "
                f"eigenvalue is {float(least[k]):.4g}, and its asymmetry is up to "
                f"{float(apart.abs().max()):.3g}"
            )
