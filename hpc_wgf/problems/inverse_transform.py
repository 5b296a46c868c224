"""Start densities as images of the uniform density of a cube, for numbered samples: quasi-random
points, and those of a counter-based stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, singledispatch

import scipy
import torch
from torch import Tensor

from ..constants import beside
from ..errors import InputError
from .beta_quantile import BetaQuantile
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
    on_devices: bool = False
    """Whether u may lie on a GPU, where the samples then lie too. Nothing is read back there."""


@singledispatch
def inverse_transform(density: Density) -> InverseTransform:
    """That of a density: its own where it has a method of this name, or that of a Gaussian, box,
    paraboloid or Barenblatt profile, or of a mixture or product of these.

    Errors: `InputError` for other densities."""
    own = getattr(density, "inverse_transform", None)
    if own is None:
        raise InputError(
            "Sobol points and the philox stream need the inverse transform of the start density, "
            f"and {density} has none: give it a method inverse_transform(), or use "
            'method.sampling = "random" with method.stream = "numpy"'
        )
    found: InverseTransform = own()
    return found


@inverse_transform.register
def _(density: Gaussian) -> InverseTransform:
    return InverseTransform(
        density.dimension, lambda u: density.from_normal(_normal(u)), on_devices=True
    )


@inverse_transform.register
def _(density: Mixture) -> InverseTransform:
    """The first coordinate chooses the component: their shares are exact to 1/n."""
    parts = [inverse_transform(part) for part in density.components]
    edges = density.weights.cumsum(0)[:-1]

    def samples(u: Tensor) -> Tensor:
        chosen = torch.bucketize(u[:, 0].contiguous(), beside(edges, u), right=True)
        z = u.new_empty(len(u), density.dimension)
        for k, part in enumerate(parts):
            of_part = u[:, 1 : 1 + part.uniforms]
            if u.device.type == "cpu":
                z[chosen == k] = part.samples(of_part[chosen == k])
            else:  # How many there are of a component, only the host could tell.
                z = torch.where((chosen == k)[:, None], part.samples(of_part), z)
        return z

    uniforms = 1 + max(part.uniforms for part in parts)
    return InverseTransform(uniforms, samples, all(part.on_devices for part in parts))


@inverse_transform.register
def _(density: Paraboloid) -> InverseTransform:
    """Direction and radius: |z − z₀|²/R² ~ Beta(d/2, q + 1)."""
    d, centre = density.dimension, density.centre
    d_normals = d if d > 2 else 0
    a, b = d / 2, density.exponent + 1
    on_devices = cache(lambda: BetaQuantile(a, b))

    def square(u: Tensor) -> Tensor:
        if u.device.type == "cpu":
            return torch.from_numpy(scipy.special.betaincinv(a, b, u.numpy()))
        return on_devices()(u)

    def samples(u: Tensor) -> Tensor:
        radius = density.radius * square(u[:, -1:]).sqrt()
        if d_normals:
            normal = _normal(u[:, :d])
            direction = normal / normal.norm(dim=1, keepdim=True)
        elif d == 2:
            angle = 2 * torch.pi * u[:, :1]
            direction = torch.cat([angle.cos(), angle.sin()], 1)
        else:
            direction = (u[:, :1] - 0.5).sign()
        return beside(centre, u) + radius * direction

    return InverseTransform(max(d_normals, 1) + 1, samples, on_devices=True)


@inverse_transform.register
def _(density: Box) -> InverseTransform:
    """The quantile function of each coordinate, that of a trapezoid."""
    sides = density.high - density.low
    middles = 0.5 * (density.low + density.high)

    def samples(u: Tensor) -> Tensor:
        side, middle = beside(sides, u), beside(middles, u)
        tail = torch.minimum(u, 1 - u)  # the distribution is symmetric about the middle
        edge = density.ramp / (2 * side)  # mass of a ramp
        distance = torch.where(
            tail < edge, (2 * tail * side * density.ramp).sqrt(), side * tail + density.ramp / 2
        )
        outer = (side + density.ramp) / 2 - distance
        return middle + torch.where(u < 0.5, -outer, outer)

    return InverseTransform(density.dimension, samples, on_devices=True)


@inverse_transform.register
def _(density: Product) -> InverseTransform:
    """Those of the parts, side by side."""
    parts = [inverse_transform(part) for part in density.parts]
    sizes = [part.uniforms for part in parts]

    def samples(u: Tensor) -> Tensor:
        pairs = zip(parts, u.split(sizes, 1), strict=True)
        return torch.cat([part.samples(of_part) for part, of_part in pairs], 1)

    return InverseTransform(sum(sizes), samples, all(part.on_devices for part in parts))


def _normal(u: Tensor) -> Tensor:
    """Φ⁻¹(u)."""
    return torch.special.ndtri(u)
