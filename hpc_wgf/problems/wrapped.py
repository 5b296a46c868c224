"""Start densities on circles: the images of a density on ℝᵈ, added up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np
import torch
from torch import Tensor

from ..constants import numbers
from ..errors import InputError
from ..parallel import samples_to_check
from ..periods import Periods
from .blockwise import BlockDraw, Evaluated, block_draw, evaluated, one_block
from .compact import Box, Paraboloid
from .densities import Density, Gaussian, components_of, jump_of, moments_of
from .inverse_transform import InverseTransform, inverse_transform
from .matrices import diagonal_of
from .sample_start import SampleStart

_REACH = 9.0  # standard deviations from the mean within which images count
_MOST_IMAGES = 4096
_TRIED = 64  # samples at which a density of one's own is tried
_SAME = 1e-6  # of log λ


def wrapped(density: Density, periods: Periods) -> Density:
    """The density of the points on circles that samples of `density` stand for. Gaussians, boxes,
    paraboloids, Barenblatt profiles and mixtures of them are wrapped; another density has to have
    the periods itself.

    Errors: `InputError` if the dimensions differ, if a density of one's own has not the periods,
    and if there are too many images to be added up."""
    if periods.dimension != density.dimension:
        raise InputError(
            f"{periods.dimension} periods are given, but the start density has dimension "
            f"{density.dimension}: give one for each coordinate"
        )
    if all(isinstance(part, Gaussian | Box | Paraboloid) for part in components_of(density)):
        return Wrapped(density, periods)
    z = samples_to_check(density.sample, _TRIED)
    for j in periods.circles:
        after = density.log_density(z + periods.shift(j, z))
        if not float((after - density.log_density(z)).abs().max()) <= _SAME:
            remedy = "give λ(z + L e) = λ(z), or a Gaussian or box, which is wrapped"
            if isinstance(density, SampleStart):
                remedy = 'samples on circles: leave density out, with method.form = "energy"'
            raise InputError(
                f"the start density {density} has not the period {periods.lengths[j]:g} of "
                f"coordinate {j}: {remedy}"
            )
    return density


class Wrapped:
    """λ(z) = Σ_k λ₀(z + Σ_j k_j L_j e_j), k_j ∈ ℤ: the density of samples of λ₀ on circles. Images
    more than nine standard deviations away, of a mixture those of each component, do not count."""

    def __init__(self, density: Density, periods: Periods) -> None:
        """`density`: λ₀, whose moments are known."""
        self.density, self.periods, self.dimension = density, periods, density.dimension
        # A light component far from the others lies many deviations of the whole away from them.
        met = [_met(part, periods) for part in components_of(density)]
        self._factors = _factors(density)
        self._images: list[list[tuple[float, ...]]]
        if self._factors is not None:
            (each,) = met
            self._images = [[(image,) for image in images] for images in each]
            return
        if (count := sum(math.prod(map(len, each)) for each in met)) > _MOST_IMAGES:
            raise InputError(
                f"the start density {density} meets {count} images of itself, more than can be "
                "added up: take one with independent coordinates, or a narrower one"
            )
        self._images = [sorted({image for each in met for image in product(*each)})]

    def __repr__(self) -> str:
        return f"Wrapped({self.density}, {self.periods})"

    def sample(self, random: np.random.Generator, count: int) -> Tensor:
        return one_block(self, random, count)

    def block_draw(self, out: Tensor) -> BlockDraw:
        inner = block_draw(self.density, out)

        def finish() -> None:
            inner.finish()
            flat = out.view(-1, self.dimension)
            flat.copy_(self.periods.folded(flat))

        return BlockDraw(inner.take, finish)

    def inverse_transform(self) -> InverseTransform:
        """That of λ₀, whose samples are folded."""
        inner = inverse_transform(self.density)
        return InverseTransform(
            inner.uniforms, lambda u: self.periods.folded(inner.samples(u)), inner.on_devices
        )

    def log_density(self, z: Tensor) -> Tensor:
        return self.evaluated(z)[0]

    def score(self, z: Tensor) -> Tensor:
        return self.evaluated(z)[1]

    def evaluated(self, z: Tensor) -> Evaluated:
        z = self.periods.folded(z)  # The images are those that points of the first period meet.
        if self._factors is None:
            return _sum_of_images(self.density, self._images[0], z)
        parts = [
            _sum_of_images(factor, images, column[:, None])
            for factor, images, column in zip(self._factors, self._images, z.unbind(1), strict=True)
        ]
        return torch.stack([log for log, _ in parts]).sum(0), torch.cat([s for _, s in parts], 1)

    def factors(self) -> list[Density] | None:
        """The densities λ_j of independent coordinates, wrapped; None where they depend on each
        other."""
        if self._factors is None:
            return None
        pairs = zip(self._factors, self.periods.lengths, strict=True)
        return [Wrapped(part, Periods((L,))) if L else part for part, L in pairs]

    def jump(self) -> str | None:
        """That of λ₀, unless it is a box whose faces lie whole periods apart."""
        jump = jump_of(self.density)
        if jump is None or not isinstance(self.density, Box):
            return jump
        sides = (self.density.high - self.density.low).tolist()
        turns = [side / length if length else 0.5 for side, length in
                 zip(sides, self.periods.lengths, strict=True)]  # fmt: skip
        return None if all(abs(turn - round(turn)) < 1e-12 for turn in turns) else jump

    def moments(self) -> None:
        """They are those of folded samples, and not known."""
        return


def _met(part: Density, periods: Periods) -> list[list[float]]:
    """The translations by which points of the first period meet a density, of every coordinate."""
    known = moments_of(part)
    assert known is not None
    mean, covariance = known
    variance = covariance.diagonal() if covariance.ndim == 2 else covariance
    reach = _REACH * variance.expand_as(mean).sqrt()
    ends = zip(periods.lengths, (mean - reach).tolist(), (mean + reach).tolist(), strict=True)
    return [_images(length, low, high) for length, low, high in ends]


def _images(length: float, low: float, high: float) -> list[float]:
    """The translations by which points of [0, length) come to lie in [low, high]."""
    if not length:
        return [0.0]
    return [k * length for k in range(math.floor(low / length), math.floor(high / length) + 1)]


def _factors(density: Density) -> list[Density] | None:
    """The densities of independent coordinates; None where they depend on each other."""
    d = density.dimension
    if isinstance(density, Box):
        ends = zip(density.low.tolist(), density.high.tolist(), strict=True)
        return [Box(1, low, high, density.ramp) for low, high in ends]
    variances = diagonal_of(density.covariance, d) if isinstance(density, Gaussian) else None
    if not isinstance(density, Gaussian) or variances is None:
        return None
    laws = zip(density.mean.tolist(), variances.tolist(), strict=True)
    return [Gaussian(1, mean, variance) for mean, variance in laws]


def _sum_of_images(
    density: Density, images: Sequence[Sequence[float]], z: Tensor
) -> tuple[Tensor, Tensor]:
    """log Σ λ₀(z + image) and its gradient."""
    points = [z + numbers(image, z) for image in images]
    logs, scores = zip(*(evaluated(density, there) for there in points), strict=True)
    joint = torch.stack(logs)
    # Where all images are 0 the shares are 0/0; the score is 0 there.
    shares = torch.softmax(joint, 0).nan_to_num()
    return joint.logsumexp(0), (shares[..., None] * torch.stack(scores)).sum(0)
