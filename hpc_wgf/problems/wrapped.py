"""Start densities on circles and between walls: the images of a density on ℝᵈ, added up."""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from torch import Tensor

from ..domain import Domain
from ..errors import InputError
from ..parallel import samples_to_check
from .compact import Box, Paraboloid
from .densities import Density, Gaussian, components_of, jump_of, moments_of
from .inverse_transform import InverseTransform, inverse_transform
from .matrices import diagonal_of

_REACH = 9.0  # standard deviations from the mean within which images count
_MOST_IMAGES = 4096
_TRIED = 4096  # samples of the start
_BEYOND = 1e-3  # share of them that may lie beyond walls
_SAME = 1e-6  # of log λ

_Image = tuple[float, float]
"""(s, c) of the image s x + c of a coordinate, s = ±1."""


def wrapped(density: Density, domain: Domain) -> Density:
    """The density of the domain's points that samples of `density` stand for. Gaussians, boxes,
    paraboloids, Barenblatt profiles and mixtures of them are wrapped round circles and reflected at
    walls; another density has to be one of the domain itself.

    Errors: `InputError` if more than a thousandth of the samples lies beyond walls, if a density of
    one's own has not the periods, and if there are too many images to be added up."""
    z = samples_to_check(density.sample, _TRIED)
    _check_walls(density, domain, z)
    if all(isinstance(part, Gaussian | Box | Paraboloid) for part in components_of(density)):
        return Wrapped(density, domain, z)
    few = z[:64]
    for j in domain.circles:
        after = density.log_density(few + domain.shift(j, few))
        if float((after - density.log_density(few)).abs().max()) > _SAME:
            raise InputError(
                f"the start density {density} has not the period {domain.periods[j]:g} of "
                f"coordinate {j}: give λ(z + L e) = λ(z), or a Gaussian or box, which is wrapped"
            )
    return density


def _check_walls(density: Density, domain: Domain, z: Tensor) -> None:
    for j, a, b in domain.intervals:
        beyond = float(((z[:, j] < a) | (z[:, j] > b)).double().mean())
        if beyond > _BEYOND:
            raise InputError(
                f"the start density {density} leaves its box: {beyond:.2%} of its samples lie "
                f"beyond the walls {a:g} and {b:g} of coordinate {j}: move the walls or the start"
            )


class Wrapped:
    """λ(z) = Σ_g λ₀(g z), g the translations by periods and the reflections at walls: the density
    of samples of λ₀ that are taken back into the domain. Images more than nine standard deviations
    away do not count."""

    def __init__(self, density: Density, domain: Domain, z: Tensor) -> None:
        """`density`: λ₀. `z`: samples of it, which tell mean and deviations where it does not."""
        self.density, self.domain, self.dimension = density, domain, density.dimension
        known = moments_of(density)
        mean, covariance = (z.mean(0), z.var(0)) if known is None else known
        variance = diagonal_of(covariance, self.dimension)
        if variance is None:
            variance = covariance.diagonal()
        reach = _REACH * variance.expand_as(mean).sqrt()
        each = [
            _images(domain, j, float(mean[j] - reach[j]), float(mean[j] + reach[j]))
            for j in range(self.dimension)
        ]
        self._factors = _factors(density)
        if self._factors is None:
            count = int(np.prod([len(images) for images in each]))
            if count > _MOST_IMAGES:
                raise InputError(
                    f"the start density {density} meets {count} images of itself, more than can be "
                    "added up: take one with independent coordinates, or a narrower one"
                )
            self._images = [list(together) for together in product(*each)]
        else:
            self._images = each

    def __repr__(self) -> str:
        return f"Wrapped({self.density}, {self.domain})"

    def sample(self, random: np.random.Generator, count: int) -> Tensor:
        return self.domain.folded(self.density.sample(random, count))

    def inverse_transform(self) -> InverseTransform:
        """That of λ₀, whose samples are taken back into the domain."""
        inner = inverse_transform(self.density)
        return InverseTransform(inner.uniforms, lambda u: self.domain.folded(inner.samples(u)))

    def log_density(self, z: Tensor) -> Tensor:
        return self._summed(z)[0]

    def score(self, z: Tensor) -> Tensor:
        return self._summed(z)[1]

    def _summed(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """log λ, (n,), and ∇ log λ, (n, d)."""
        if self._factors is None:
            return _sum_of_images(self.density, self._images, z)
        parts = [
            _sum_of_images(factor, [[image] for image in images], column[:, None])
            for factor, images, column in zip(self._factors, self._images, z.unbind(1), strict=True)
        ]
        return torch.stack([log for log, _ in parts]).sum(0), torch.cat([s for _, s in parts], 1)

    def jump(self) -> str | None:
        """That of λ₀, unless all its faces are walls, or a whole number of periods apart."""
        jump = jump_of(self.density)
        if jump is None or not isinstance(self.density, Box):
            return jump
        faces = zip(self.density.low.tolist(), self.density.high.tolist(), strict=True)
        return None if all(self._covers(j, *face) for j, face in enumerate(faces)) else jump

    def _covers(self, j: int, low: float, high: float) -> bool:
        length = self.domain.periods[j]
        turns = (high - low) / length if length else 0.5
        return (low, high) == self.domain.walls[j] or abs(turns - round(turns)) < 1e-12

    def moments(self) -> None:
        """Those of samples, which are folded."""
        return


def _images(domain: Domain, j: int, low: float, high: float) -> list[_Image]:
    """The images s x + c of points x of the domain that meet [low, high]."""
    if domain.periods[j]:
        length = domain.periods[j]
        turns = range(int(np.floor(low / length)), int(np.floor(high / length)) + 1)
        return [(1.0, k * length) for k in turns]
    pair = domain.walls[j]
    if pair is None:
        return [(1.0, 0.0)]
    a, b = pair
    side = 2 * (b - a)
    turns = range(int(np.floor((low - b) / side)), int(np.ceil((high - a) / side)) + 1)
    candidates = [(s, c + k * side) for k in turns for s, c in ((1.0, 0.0), (-1.0, 2 * a))]
    met = [
        (s, c)
        for s, c in candidates
        if max(s * a, s * b) + c > low and min(s * a, s * b) + c < high
    ]
    return met or [(1.0, 0.0)]


def _factors(density: Density) -> list[Density] | None:
    """The densities of independent coordinates; None where they depend on each other."""
    d = density.dimension
    if isinstance(density, Box):
        ends = zip(density.low.tolist(), density.high.tolist(), strict=True)
        return [Box(1, low, high, density.ramp) for low, high in ends]
    if not isinstance(density, Gaussian):
        return None
    variances = diagonal_of(density.covariance, d)
    if variances is None:
        return None
    laws = zip(density.mean.tolist(), variances.tolist(), strict=True)
    return [Gaussian(1, mean, variance) for mean, variance in laws]


def _sum_of_images(
    density: Density, images: list[list[_Image]], z: Tensor
) -> tuple[Tensor, Tensor]:
    """log Σ_g λ₀(g z) and its gradient."""
    logs, scores = [], []
    for image in images:
        signs, offsets = (z.new_tensor(part) for part in zip(*image, strict=True))
        there = signs * z + offsets
        logs.append(density.log_density(there))
        scores.append(signs * density.score(there))
    joint = torch.stack(logs)
    # Where all images are 0 the shares are 0/0; the score is 0 there.
    shares = torch.softmax(joint, 0).nan_to_num()
    return joint.logsumexp(0), (shares[..., None] * torch.stack(scores)).sum(0)
