"""Exact solutions of flows, as maps z ↦ T_exact(t, z) of the start density's samples."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from .compact import Barenblatt
from .densities import Density, Gaussian
from .energies import InternalEnergy, PotentialEnergy, SumOfEnergies
from .gaussian_flow import GaussianFlow
from .matrices import diagonal_of
from .self_similar import BarenblattFlow
from .separable import SeparableFlow


class ExactMap(Protocol):
    """The map T_exact(t, ·) that carries samples of the start density along the exact flow."""

    def __call__(self, t: float, z: Tensor) -> Tensor:
        """T_exact(t, z) at time t after the start, (n, d) → (n, d), in float64."""
        ...


def exact_map(energy: SumOfEnergies, start: Density) -> ExactMap | None:
    """The exact map of the flow of `energy` from `start`, or None if none is known.

    It is known for Fokker–Planck equations from a Gaussian, if there is no potential, if it is a
    polynomial of degree 2, or if it is separable, β > 0 and the coordinates of the start are
    independent; and for the porous medium equation from a Barenblatt profile of the same exponent,
    if there is no potential or a parabola that is the same in all directions."""
    if isinstance(start, Barenblatt):
        return _barenblatt_flow(energy, start)
    if not (isinstance(start, Gaussian) and energy.is_fokker_planck):
        return None
    potential, beta, d = energy.potential(), energy.beta(), start.dimension
    if potential is None or potential.hessian() is not None:
        return GaussianFlow(potential, beta, start)
    independent = diagonal_of(start.covariance, d) is not None
    separable = independent and all(potential.coordinate(j) is not None for j in range(d))
    return SeparableFlow(potential, beta, start) if beta > 0 and separable else None


def _barenblatt_flow(energy: SumOfEnergies, start: Barenblatt) -> BarenblattFlow | None:
    """The flow of c/(m−1) ∫ρᵐ, and of potentials whose Hessian is k·I, from a profile with m."""
    internal = [part for part in energy.parts if isinstance(part, InternalEnergy)]
    known = all(isinstance(part, InternalEnergy | PotentialEnergy) for part in energy.parts)
    if not (internal and known and all(part.m == start.m for part in internal)):
        return None
    factor, potential = sum(part.factor for part in internal), energy.potential()
    if potential is None:
        return BarenblattFlow(start, factor)
    hessian = potential.hessian()
    diagonal = None if hessian is None else diagonal_of(hessian, start.dimension)
    if diagonal is None or bool((diagonal != diagonal[0]).any()):
        return None
    return BarenblattFlow(start, factor, potential, float(diagonal[0]))
