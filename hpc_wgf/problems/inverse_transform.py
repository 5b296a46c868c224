"""Start densities as images of the uniform density of a cube, for quasi-random samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import singledispatch

import scipy
import torch
from torch import Tensor

from ..errors import InputError
from .compact import Box, Paraboloid
from .densities import Density, Gaussian, Mixture
from .product import Product


@dataclass(frozen=True)
class InverseTransform:
    """A map of the open unit cube that carries its uniform density to a density λ."""

    uniforms: int
    """k, the dimension of the cube."""
    samples: Callable[[Tensor], Tensor]
    """u, (n, k) in float64, to samples of λ, (n, d)."""


@singledispatch
def inverse_transform(density: Density) -> InverseTransform:
    """That of a density: its own where it has a method of this name, or that of a Gaussian, box,
    paraboloid or Barenblatt profile, or of a mixture or product of these.

    Errors: `InputError` for other densities."""
    own = getattr(density, "inverse_transform", None)
    if own is None:
        raise InputError(
            f"Sobol points need the inverse transform of the start density, and {density} has "
            'none: give it a method inverse_transform(), or use method.sampling = "random"'
        )
    found: InverseTransform = own()
    return found


@inverse_transform.register
def _(density: Gaussian) -> InverseTransform:
    return InverseTransform(density.dimension, lambda u: density.from_normal(_normal(u)))


@inverse_transform.register
def _(density: Mixture) -> InverseTransform:
    """The first coordinate chooses the component: their shares are exact to 1/n."""
    parts = [inverse_transform(part) for part in density.components]
    edges = density.weights.cumsum(0)[:-1]

    def samples(u: Tensor) -> Tensor:
        chosen = torch.bucketize(u[:, 0].contiguous(), edges, right=True)
        z = u.new_empty(len(u), density.dimension)
        for k, part in enumerate(parts):
            z[chosen == k] = part.samples(u[chosen == k, 1 : 1 + part.uniforms])
        return z

    return InverseTransform(1 + max(part.uniforms for part in parts), samples)


@inverse_transform.register
def _(density: Paraboloid) -> InverseTransform:
    """Direction and radius: |z − z₀|²/R² ~ Beta(d/2, q + 1)."""
    d = density.dimension
    d_normals = d if d > 2 else 0

    def samples(u: Tensor) -> Tensor:
        square = scipy.special.betaincinv(d / 2, density.exponent + 1, u[:, -1:].numpy())
        radius = density.radius * torch.from_numpy(square).sqrt()
        if d_normals:
            normal = _normal(u[:, :d])
            direction = normal / normal.norm(dim=1, keepdim=True)
        elif d == 2:
            angle = 2 * torch.pi * u[:, :1]
            direction = torch.cat([angle.cos(), angle.sin()], 1)
        else:
            direction = (u[:, :1] - 0.5).sign()
        return density.centre + radius * direction

    return InverseTransform(max(d_normals, 1) + 1, samples)


@inverse_transform.register
def _(density: Box) -> InverseTransform:
    """The quantile function of each coordinate, that of a trapezoid."""

    def samples(u: Tensor) -> Tensor:
        side, middle = density.high - density.low, 0.5 * (density.low + density.high)
        tail = torch.minimum(u, 1 - u)  # the distribution is symmetric about the middle
        edge = density.ramp / (2 * side)  # mass of a ramp
        distance = torch.where(
            tail < edge, (2 * tail * side * density.ramp).sqrt(), side * tail + density.ramp / 2
        )
        outer = (side + density.ramp) / 2 - distance
        return middle + torch.where(u < 0.5, -outer, outer)

    return InverseTransform(density.dimension, samples)


@inverse_transform.register
def _(density: Product) -> InverseTransform:
    """Those of the parts, side by side."""
    parts = [inverse_transform(part) for part in density.parts]
    sizes = [part.uniforms for part in parts]

    def samples(u: Tensor) -> Tensor:
        pairs = zip(parts, u.split(sizes, 1), strict=True)
        return torch.cat([part.samples(of_part) for part, of_part in pairs], 1)

    return InverseTransform(sum(sizes), samples)


def _normal(u: Tensor) -> Tensor:
    """Φ⁻¹(u)."""
    return torch.special.ndtri(u)
