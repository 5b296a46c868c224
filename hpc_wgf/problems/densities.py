"""Start densities λ on ℝᵈ: exact samples, log λ, and the score ∇ log λ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..constants import beside, like
from ..errors import InputError
from ..kinds import check_kind, shown
from .blockwise import (
    BlockDraw,
    Evaluated,
    SampledDensity,
    block_draw,
    evaluated,
    one_block,
)
from .descriptions import written
from .matrices import (
    MatrixLike,
    VectorLike,
    centred,
    cholesky,
    cholesky_inverse,
    dense,
    diagonal_of,
    spd_matrix,
    times,
    vector,
)

_AFFORDABLE = 1000  # dimension up to which d × d matrices are formed that nobody has given

Moments = tuple[Tensor, Tensor]
"""A mean and a covariance."""


class Density(SampledDensity, Protocol):
    """A probability density on ℝᵈ that can be sampled exactly."""

    def jump(self) -> str | None:
        """Where the density jumps, as a sentence without full stop for error messages; None for a
        continuous density. A density of one's own may lack this method if it is continuous."""
        ...

    def moments(self) -> Moments | None:
        """The mean, (d,), and the covariance: a number c for c·I, (d,) for a diagonal, or (d, d);
        None where they are not known. A density of one's own may lack this method: they are then
        estimated from samples."""
        ...


def moments_of(density: Density) -> Moments | None:
    """`Density.moments()` of `density`, or None if it does not know them."""
    own = getattr(density, "moments", None)
    return None if own is None else own()


def jump_of(density: Density) -> str | None:
    """`Density.jump()` of `density`, or None if it lacks this method."""
    declared = getattr(density, "jump", None)
    return None if declared is None else declared()


def is_known(density: Density) -> bool:
    """Whether log λ and ∇ log λ can be evaluated: not of samples alone (`SampleStart`), for which 0
    stands in their place. A density of one's own says otherwise by `density_is_known`."""
    return bool(getattr(density, "density_is_known", True))


def check_part(part: object, of: str) -> None:
    """Errors: `InputError` where something is no density that can be part of another, `of` which
    kind. Samples cannot: their order and what is held out of them would be lost."""
    needs = ("dimension", "sample", "log_density", "score")
    check_kind(part, f"density of a {of}", needs, "give Gaussian(…), Box(…) or another density")
    if not is_known(part) or hasattr(part, "ordered"):  # type: ignore[arg-type]
        raise InputError(
            f"{shown(part)} is known by samples and cannot be part of a {of}: put all samples into "
            "one file, and start from that"
        )


def components_of(density: Density) -> Sequence[Density]:
    """Those of a mixture, or the one density itself."""
    return density.components if isinstance(density, Mixture) else [density]


def _without_zeros(m: Tensor) -> Tensor:
    """A matrix as its diagonal, (d,), where it is nothing else."""
    diagonal = diagonal_of(m, len(m)) if m.ndim == 2 else None
    return m if diagonal is None else diagonal.clone()


class Gaussian:
    """N(m, C): log λ(z) = −½ (z−m)ᵀ C⁻¹ (z−m) − ½ log det(2πC)."""

    def __init__(self, dimension: int, mean: VectorLike = 0.0, covariance: MatrixLike = 1.0):
        """`mean` m: a number for all coordinates, or (d,). `covariance` C: a number c for c·I, (d,)
        for a diagonal, or (d, d); it is kept in that form.

        Errors: `InputError` for wrong shapes, or if C is not symmetric positive definite."""
        self.dimension = dimension
        self.mean = vector(mean, dimension, "the mean of the Gaussian")
        self.covariance = spd_matrix(covariance, dimension, "the covariance of the Gaussian")
        # Small matrices are written out: samples and scores are then the same bits for all forms.
        small = dimension <= _AFFORDABLE
        factor = cholesky(dense(self.covariance, dimension) if small else self.covariance)
        scales = factor.diagonal() if factor.ndim == 2 else factor
        log_det = 2 * float(scales.log().expand(dimension).contiguous().sum())
        self._log_norm = -0.5 * (dimension * math.log(2 * math.pi) + log_det)
        # Products with a diagonal are the same bits without its zeros; sums of products may not be.
        self._factor = factor if bool(self.mean.any()) else _without_zeros(factor)
        self._precision = _without_zeros(cholesky_inverse(factor))

    def __repr__(self) -> str:
        return f"Gaussian(mean={written(self.mean)}, covariance={written(self.covariance)})"

    def sample(self, random: np.random.Generator, count: int) -> Tensor:
        return one_block(self, random, count)

    def block_draw(self, out: Tensor) -> BlockDraw:
        normal = out.numpy()

        def finish() -> None:
            # Block by block, as the bits of a product may depend on the number of its rows.
            parts = out if self._factor.ndim == 2 else [out]
            for part in parts:
                if (drawn := self.from_normal(part)) is not part:
                    part.copy_(drawn)

        return BlockDraw(lambda random, k: random.standard_normal(out=normal[k]), finish)

    def from_normal(self, normal: Tensor) -> Tensor:
        """m + L y with C = LLᵀ for standard normal y, (n, d) → (n, d), which is overwritten; on
        any device."""
        mean, factor = beside(self.mean, normal), beside(self._factor, normal)
        if factor.ndim == 2:
            return torch.addmm(mean, normal, factor.T)
        return normal.mul_(factor).add_(mean)

    def evaluated(self, z: Tensor) -> Evaluated:
        arm = centred(z, self.mean).neg_()
        score = times(arm, self._precision)
        return arm.mul_(score).sum(1).mul_(-0.5).add_(self._log_norm), score

    def log_density(self, z: Tensor) -> Tensor:
        arm = centred(z, self.mean)
        return self._log_norm - 0.5 * (times(arm, self._precision) * arm).sum(1)

    def score(self, z: Tensor) -> Tensor:
        return times(-centred(z, self.mean), self._precision)

    def moments(self) -> Moments:
        return self.mean, self.covariance

    def jump(self) -> str | None:
        return None


class Mixture:
    """λ = Σ_k π_k λ_k with weights π_k > 0, Σ_k π_k = 1."""

    def __init__(self, components: Sequence[Density], weights: Sequence[float] | None = None):
        """`components`: the densities λ_k, of one dimension. `weights`: positive numbers, which are
        divided by their sum; equal by default.

        Errors: `InputError` for no components, samples among them, differing dimensions, or unfit
        weights."""
        if not isinstance(components, Sequence):
            raise InputError(f"{shown(components)} is no list of densities: write Mixture([…])")
        if not components:
            raise InputError("a mixture needs at least one component")
        for each in components:
            check_part(each, "mixture")
        dimensions = {component.dimension for component in components}
        if len(dimensions) > 1:
            raise InputError(f"the components of a mixture differ in dimension: {dimensions}")
        self.dimension = components[0].dimension
        self.components = list(components)
        given = [1.0] * len(components) if weights is None else list(weights)
        if len(given) != len(components) or not all(w > 0 and math.isfinite(w) for w in given):
            raise InputError(
                f"a mixture of {len(components)} components needs as many finite "
                f"positive weights, got {given}"
            )
        self.weights = torch.tensor(given, dtype=torch.float64) / sum(given)
        self._log_weights = self.weights.log()

    def __repr__(self) -> str:
        return f"Mixture({self.components}, weights={self.weights.tolist()})"

    def sample(self, random: np.random.Generator, count: int) -> Tensor:
        return one_block(self, random, count)

    def block_draw(self, out: Tensor) -> BlockDraw:
        uniform = np.empty(out.shape[:2])
        drawn = torch.empty(len(self.components), *out.shape, dtype=torch.float64)
        draws = [block_draw(*each) for each in zip(self.components, drawn, strict=True)]
        edges = self.weights.cumsum(0).numpy()  # as `Generator.choice` has them
        edges /= edges[-1]

        def take(random: np.random.Generator, block: int) -> None:
            random.random(out=uniform[block])
            for each in draws:
                each.take(random, block)

        def finish() -> None:
            for each in draws:
                each.finish()
            chosen = torch.from_numpy(edges.searchsorted(uniform, side="right"))
            index = chosen[None, ..., None].expand(1, *out.shape)
            torch.gather(drawn, 0, index, out=out[None])

        return BlockDraw(take, finish)

    def _weighted(self, logs: Sequence[Tensor]) -> Tensor:
        """log(π_k λ_k(z)), (n, components)."""
        joint = torch.stack(list(logs), 1)
        return joint + like(self._log_weights, joint)

    def _joint(self, z: Tensor) -> Tensor:
        return self._weighted([part.log_density(z) for part in self.components])

    def log_density(self, z: Tensor) -> Tensor:
        return torch.logsumexp(self._joint(z), 1)

    def score(self, z: Tensor) -> Tensor:
        # Outside of every support the shares are 0/0; the score is 0 there.
        shares = torch.softmax(self._joint(z), 1).nan_to_num()
        scores = torch.stack([part.score(z) for part in self.components], 1)
        return (shares[:, :, None] * scores).sum(1)

    def evaluated(self, z: Tensor) -> Evaluated:
        logs, scores = zip(*(evaluated(part, z) for part in self.components), strict=True)
        joint = self._weighted(logs)
        shares = torch.softmax(joint, 1).nan_to_num_()
        weighted = torch.stack(scores, 1).mul_(shares[:, :, None])
        return torch.logsumexp(joint, 1), weighted.sum(1)

    def moments(self) -> Moments | None:
        """The mean and the covariance; in more than 1000 dimensions its diagonal alone."""
        known = [moments for part in self.components if (moments := moments_of(part)) is not None]
        if len(known) < len(self.components):
            return None
        means = torch.stack([mean for mean, _ in known])
        mean = self.weights @ means
        apart, full = means - mean, self.dimension <= _AFFORDABLE
        between = "k,ki,kj->ij" if full else "k,ki,ki->i"
        covariance = torch.einsum(between, self.weights, apart, apart)
        for weight, (_, inner) in zip(self.weights, known, strict=True):
            diagonal = inner.diagonal() if inner.ndim == 2 else inner.expand_as(mean)
            if not full:
                covariance += weight * diagonal
            elif inner.ndim == 2:
                covariance += weight * inner
            else:
                covariance.diagonal().add_(weight * diagonal)
        return mean, covariance

    def jump(self) -> str | None:
        jumps = [jump_of(part) for part in self.components]
        return next((jump for jump in jumps if jump is not None), None)
