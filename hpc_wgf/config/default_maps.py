"""The map of a run file that names none, from what is known of its problem."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import InputError
from .linear_maps import (
    AffineTable,
    PeriodicTable,
    RadialTable,
    ScalingTable,
    SoftmaxTable,
    SplineTable,
)
from .maps import MapTable, build_map
from .tanh_maps import BlockTable

if TYPE_CHECKING:
    from ..maps import PushForward
    from ..problems import Gaussian, Problem

_KNOTS = 20  # of a radial layer, and of splines
_BEYOND = 4.0  # deviations of the core beyond its mean radius, where a radial layer ends
_WIDTHS = (32, 128)  # features of a block, sixteen for a dimension
_MOST_LEFT = 0.3  # of the force at the start, that gates may leave over


def default_map(problem: Problem) -> PushForward:
    """The map that a run file without `[[map]]` gets for this problem, see `default_tables`."""
    return build_map(default_tables(problem), problem)


def default_tables(problem: Problem) -> list[MapTable]:
    """The tables of `[[map]]` for a problem:

    - on circles a periodic map, with tanh features where coordinates meet;
    - an affine map where the exact flow is affine, of each coordinate alone if the flow is;
    - splines where the coordinates do not talk to each other, and on the line;
    - for an internal energy from Gaussians that do not meet, or a mixture of such and others, one
      radial layer about each, and splines for the others;
    - softmax gates where the potential has several modes, and the gates hold the force at the
      start;
    - else an affine map and a block of tanh features.

    Errors: `InputError` where potential or start density cannot be evaluated.
    """
    if problem.periods is not None:
        width = 0 if _separates(problem) else 4 * _WIDTHS[0]
        return [PeriodicTable(kind="periodic", width=width)]
    if (affine := _affine(problem)) is not None:
        return [affine]
    if _separates(problem):
        return [SplineTable(kind="spline", knots=_KNOTS)]
    if layers := _radial(problem):
        return layers
    gates: list[MapTable] = [SoftmaxTable(kind="softmax")]
    if _may_have_modes(problem) and _left_over(gates, problem) < _MOST_LEFT:
        return gates
    width = min(max(_WIDTHS[0], 16 * problem.dimension), _WIDTHS[1])
    return [AffineTable(kind="affine"), BlockTable(kind="block", width=width)]


def _affine(problem: Problem) -> MapTable | None:
    from ..problems import BarenblattFlow, GaussianFlow, KalmanFlow, LinearFlow
    from ..problems.matrices import diagonal_of

    exact, d = problem.exact, problem.dimension
    if isinstance(exact, BarenblattFlow):
        return ScalingTable(kind="scaling")
    if isinstance(exact, LinearFlow | KalmanFlow):
        return AffineTable(kind="affine")
    if not isinstance(exact, GaussianFlow):
        return None
    potential = problem.energy.potential()
    hessian = None if potential is None else potential.hessian()
    matrices = [exact.start.covariance, *([] if hessian is None else [hessian])]
    if all(diagonal_of(matrix, d) is not None for matrix in matrices):
        return ScalingTable(kind="scaling")
    return AffineTable(kind="affine")


def _separates(problem: Problem) -> bool:
    """Whether every coordinate has a flow of its own."""
    from ..problems import Box, Gaussian, Wrapped, is_separable
    from ..problems.matrices import diagonal_of

    d, start, energy = problem.dimension, problem.start, problem.energy
    start = start.density if isinstance(start, Wrapped) else start
    if d == 1:
        return True
    independent = isinstance(start, Box) or (
        isinstance(start, Gaussian) and diagonal_of(start.covariance, d) is not None
    )
    alone = energy.is_fokker_planck and is_separable(energy.potential(), d)
    return independent and alone and problem.is_plain


def _radial(problem: Problem) -> list[MapTable]:
    """A layer about every Gaussian, out to where its core ends: |f|² ~ ρ^{2m−1} lies in N(c, C/m)
    and narrower. None where another energy moves the samples too."""
    from ..maps.radial import overlapping
    from ..problems import Gaussian, InternalEnergy, components_of

    energy, start = problem.energy, problem.start
    internal = [part for part in energy.parts if isinstance(part, InternalEnergy)]
    if not internal or len(internal) < len(energy.parts) or not problem.is_plain:
        return []
    parts = components_of(start)
    gaussians = [part for part in parts if isinstance(part, Gaussian)]
    if not gaussians:
        return []
    steepness = max(part.m for part in internal) - 1
    layers: list[MapTable] = [_about(part, steepness) for part in gaussians]
    if overlapping([layer.build(problem) for layer in layers]) is not None:
        return []  # The components meet.
    others = [part for part in parts if not isinstance(part, Gaussian)]
    return [*layers, SplineTable(kind="spline", knots=2 * _KNOTS)] if others else layers


def _about(part: Gaussian, steepness: float) -> RadialTable:
    return RadialTable(
        kind="radial",
        knots=_KNOTS,
        centre=part.mean.tolist(),
        covariance=part.covariance.tolist(),
        radius=(math.sqrt(part.dimension) + _BEYOND) / math.sqrt(steepness),
    )


def _may_have_modes(problem: Problem) -> bool:
    energy = problem.energy
    known = energy.is_fokker_planck and energy.potential() is not None and energy.beta() > 0
    return known and problem.is_plain


def _left_over(tables: Sequence[MapTable], problem: Problem) -> float:
    """The share of the force at the start that a map does not hold; infinite for one that cannot be
    built, as where the potential has one mode only or too many."""
    from ..checks import force_left_over
    from ..methods.base import laid_out, layout_samples

    try:
        map = laid_out(build_map(tables, problem), problem.start)
        share = force_left_over(problem, map, layout_samples(problem.start))
    except InputError:
        return math.inf
    return math.inf if share is None else share
