"""Start densities that a map has carried from elsewhere: their samples are drawn there, and carried
with all that is known of them, which takes no inverse of the map."""

from __future__ import annotations

from typing import Protocol, cast

from torch import Tensor

from ..cloud import Cloud
from .blockwise import evaluated
from .densities import Density


class CarriedDensity(Density, Protocol):
    """The density of the images of samples of another one."""

    origin: Density
    """That one."""

    def carry(self, cloud: Cloud) -> Cloud:
        """The images of samples of `origin` in float64, with their density and score."""
        ...


def as_carried(density: Density) -> CarriedDensity | None:
    """A density as one that a map has carried; None for another."""
    is_carried = hasattr(density, "origin") and hasattr(density, "carry")
    return cast(CarriedDensity, density) if is_carried else None


def origin_of(density: Density) -> Density:
    """The density whose samples are drawn: that from which one has been carried, else itself."""
    carried = as_carried(density)
    return density if carried is None else carried.origin


def cloud_of(density: Density, z: Tensor) -> Cloud:
    """Samples of a density with its logarithm and score, made of samples z of `origin_of` it,
    (n, d)."""
    origin, carried = origin_of(density), as_carried(density)
    cloud = Cloud(z, *evaluated(origin, z))
    return cloud if carried is None else carried.carry(cloud)
