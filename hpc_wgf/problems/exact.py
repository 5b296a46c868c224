"""Exact solutions of flows, as maps z ↦ T_exact(t, z) of the start density's samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..interactions import InteractionEnergy
from .attraction import pair_powers
from .box_flow import BoxPorousFlow
from .characteristics import CharacteristicFlow
from .compact import Barenblatt
from .densities import Density, Gaussian, Mixture, components_of
from .energies import Entropy, InternalEnergy, PotentialEnergy, SumOfEnergies
from .gaussian_flow import GaussianFlow
from .lattices import Cosine
from .matrices import diagonal_of, multiple_of_identity, times
from .mixture_flow import MixtureFlow
from .potentials import Potential, SumOfPotentials, is_separable
from .products import gaussian_factors
from .radial_flow import RadialPorousFlow
from .ring_flow import RingFlow
from .self_similar import BarenblattFlow
from .separable import SeparableFlow
from .turned import TurnedFlow
from .wrapped import Wrapped

_SAME = 1e-6  # largest relative difference of two forms of one potential


class ExactMap(Protocol):
    """The map T_exact(t, ·) that carries samples of the start density along the exact flow."""

    def __call__(self, t: float, z: Tensor) -> Tensor:
        """T_exact(t, z) at time t after the start, (n, d) → (n, d), in float64."""
        ...


def exact_map(energy: SumOfEnergies, start: Density) -> ExactMap | None:
    """The exact map of the flow of `energy` from `start`, or None if none is known.

    It is known for Fokker–Planck equations

    - from a Gaussian, if there is no potential or it is a polynomial of degree 2;
    - from mixtures of Gaussians with independent coordinates, as on the line, if there is no
      potential or such a one with a diagonal Hessian;
    - from both with independent coordinates, if the potential is separable and β > 0, also in
      coordinates turned to the axes of a `GaussianMixture`;
    - on circles from a wrapped Gaussian with independent coordinates, if the potential is separable
      and β > 0;
    - from any density for β = 0, if the potential is separable or a polynomial of degree 2;

    and for the porous medium equation from a Barenblatt profile of the same exponent, if there is
    no potential or a parabola that is the same in all directions, and without potential from
    isotropic Gaussians, one or a mixture of them while they do not meet, and on the line from a
    box. Particles of an isotropic Gaussian may also attract and repel each other by
    ¼p|x − y|⁴ + ½k|x − y|², without diffusion and with no potential but a parabola about their
    centre. Gaussians and mixtures in
    such polynomials, and Barenblatt profiles, may attract or repel each other by ½k|x − y|²."""
    powers = pair_powers(energy.interactions)
    if powers is None or powers[1] != 0:
        return RingFlow.known(energy, start)
    attraction = powers[0]
    others = [part for part in energy.parts if not isinstance(part, InteractionEnergy)]
    alone = SumOfEnergies(others or [Entropy(0.0)])
    if isinstance(start, Barenblatt) and not alone.is_fokker_planck:
        return _barenblatt_flow(alone, start, attraction)
    if not alone.is_fokker_planck:
        return None if attraction else _porous_flow(alone, start)
    return _fokker_planck_flow(alone.potential(), alone.beta(), start, attraction)


def _circle_flow(potential: Potential | None, beta: float, start: Wrapped) -> ExactMap | None:
    """The flow on circles, coordinate by coordinate."""
    law, d = start.density, start.dimension
    if not isinstance(law, Gaussian) or diagonal_of(law.covariance, d) is None or beta == 0:
        return None
    potential = Cosine(d, 0.0) if potential is None else potential
    if not is_separable(potential, d):
        return None
    _check_declared(potential, law)
    return SeparableFlow(potential, beta, law, start.periods)


def _fokker_planck_flow(
    potential: Potential | None, beta: float, start: Density, attraction: float
) -> ExactMap | None:
    if isinstance(start, Wrapped):
        return None if attraction else _circle_flow(potential, beta, start)
    d = start.dimension
    constant = torch.zeros(()) if potential is None else potential.hessian()
    if constant is not None:
        if isinstance(start, Gaussian):
            _check_declared(potential, start)
            return GaussianFlow(potential, beta, start, attraction)
        diagonal = diagonal_of(constant, d) is not None
        if isinstance(start, Mixture) and diagonal and gaussian_factors(start) is not None:
            _check_declared(potential, start)
            return MixtureFlow(potential, beta, start, attraction)
    if attraction or potential is None:
        return None
    separable = is_separable(potential, d)
    if beta == 0:
        return CharacteristicFlow(potential) if separable or constant is not None else None
    if separable and gaussian_factors(start) is not None:
        _check_declared(potential, start)
        return SeparableFlow(potential, beta, start)
    return TurnedFlow.known(potential, beta, start)


def _check_declared(potential: Potential | None, start: Density) -> None:
    """Check the terms of V where each of the Gaussians of `start` has mass. The values of single
    terms do not cancel."""
    for term in _terms(potential):
        for part in components_of(start):
            if isinstance(part, Gaussian):
                _check_term(term, part)


def _terms(potential: Potential | None) -> list[Potential]:
    """The potentials of a sum, or the one potential, if there is one."""
    if potential is None:
        return []
    if isinstance(potential, SumOfPotentials):
        return [term for _, term in potential.terms]
    return [potential]


def _check_term(potential: Potential, start: Gaussian) -> None:
    """Errors: `InputError` if V is not the polynomial that its `hessian` says, or not the sum of
    the terms that its `coordinate` gives."""
    z, mean, hessian = _few(start), start.mean[None], potential.hessian()
    if hessian is not None:
        step = z - mean
        pieces = [0.5 * (times(step, hessian) * step).sum(1), step @ potential.gradient(mean)[0]]
        _refuse_another(potential, potential(z), pieces, "hessian")
    else:
        terms = [potential.coordinate(j) for j in range(start.dimension)]
        pieces = [v(x) for v, x in zip(terms, z.unbind(1), strict=True) if v is not None]
        _refuse_another(potential, potential(z), pieces, "coordinate")


def _few(start: Gaussian) -> Tensor:
    """Points where the start has mass, (8, d)."""
    C = start.covariance
    deviations = (C.diagonal() if C.ndim == 2 else C).sqrt()
    normal = torch.from_numpy(np.random.default_rng(0).standard_normal((8, start.dimension)))
    return start.mean + deviations * normal


def _refuse_another(
    potential: Potential, values: Tensor, pieces: Sequence[Tensor], method: str
) -> None:
    """Errors: `InputError` if V is not the sum of `pieces` and a constant, beyond rounding. That
    happens where a class of one's own takes the `method` from another potential."""
    apart = values - torch.stack(list(pieces)).sum(0)
    scale = float(values.abs().max()) + sum(float(piece.abs().max()) for piece in pieces)
    if float(apart.max() - apart.min()) > _SAME * scale:  # not-a-number is refused elsewhere
        raise InputError(
            f"the potential {potential} is not the one that its method {method} describes (off by "
            f"{float(apart.max() - apart.min()):.3g} at samples of the start), on which the exact "
            f"map rests: override {method} too, or let it return None"
        )


def _barenblatt_flow(
    energy: SumOfEnergies, start: Barenblatt, attraction: float
) -> BarenblattFlow | None:
    """The flow of c/(m−1) ∫ρᵐ, and of potentials whose Hessian is k·I, from a profile with m."""
    internal = _internal(energy)
    if internal is None or internal.m != start.m:
        return None
    factor, potential = internal.factor, energy.potential()
    if potential is None:
        return BarenblattFlow(start, factor, attraction=attraction)
    hessian = potential.hessian()
    stiffness = None if hessian is None else multiple_of_identity(hessian, start.dimension)
    if stiffness is None:
        return None
    return BarenblattFlow(start, factor, potential, stiffness, attraction)


def _porous_flow(energy: SumOfEnergies, start: Density) -> RadialPorousFlow | BoxPorousFlow | None:
    """The flow of c/(m−1) ∫ρᵐ from isotropic Gaussians, or from a box on the line."""
    internal = _internal(energy)
    if internal is None or energy.potential() is not None:
        return None
    radial = RadialPorousFlow.known(internal.m, internal.factor, start)
    return radial or BoxPorousFlow.known(internal.m, internal.factor, start)


def _internal(energy: SumOfEnergies) -> InternalEnergy | None:
    """The sum of the internal energies, if they have one exponent and there are none but these and
    potentials."""
    parts = [part for part in energy.parts if not isinstance(part, PotentialEnergy)]
    internal = [part for part in parts if isinstance(part, InternalEnergy)]
    if len(internal) < len(parts) or len({part.m for part in internal}) != 1:
        return None
    return InternalEnergy(internal[0].m, sum(part.factor for part in internal))
