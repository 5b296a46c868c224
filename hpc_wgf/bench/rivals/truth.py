"""What the answers are held against: the law and the density of the flow at its end.

From the exact map where one is known, and else in one or two dimensions from a grid that is finer
than those of the rival.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy  # Its parts are imported at first use, which keeps the start of every rank short.
import torch
from torch import Tensor

from ...analysis.divergence_to_exact import no_reversible_flow
from ...errors import InputError, RunError
from ...problems import Problem, inverse_transform
from .answer import POINTS, Answer, start_points
from .grid import grid_refusal, on_grid
from .law import Law, apart, quantile_table

Array = np.ndarray
_DENSE = 2**12  # of them those at which densities are compared
_FEW = 2**8  # Sobol points at which is seen, before any work, whether a flow moves
_STILL = 1e-9  # of the spread of the start density: a way that is none
_MOST = 10  # dimensions in which the exact map is differentiated
_WIDTH = 1e-5  # of a difference, over the spread of the start density
_ACROSS, _ACROSS_EXPLICIT = 512, 256  # cells of the grid along an axis


@dataclass(frozen=True)
class Truth:
    """The end of a flow, and how an answer is judged."""

    quantiles: Array
    """Of the law, as `quantile_table` has them."""
    way: float
    """How far the flow goes: `apart` of its start and its end."""
    floor: float
    """How far another computation of the truth is from it, over the way: smaller errors say
    nothing."""
    source: str
    """Where it is from."""
    points: Tensor | None = None
    """Samples of ρ at which densities are compared, (n, d)."""
    log_density: Tensor | None = None
    """log ρ there, (n,)."""
    cells: int | None = None
    """How many the grid has, where it is from one."""

    def error(self, answer: Answer) -> float:
        """(Σ_e W₂²/k)^½ of answer and truth along k directions e, over the way: 1 is the error of
        the start density. Errors: `RunError` where samples, particles or cells are not finite."""
        if not answer.law.is_finite:
            raise RunError("the points or masses of the answer are not finite")
        return apart(quantile_table(answer.law), self.quantiles) / self.way

    def density_error(self, answer: Answer) -> float | None:
        """∫|ρ_answer − ρ|, from 0 to 2: E|1 − r| + 1 − E r over samples of ρ, r = ρ_answer/ρ, where
        E r is less than 1 as far as the answer has mass where ρ has none. A density that is not a
        number counts as 0. None where either has no density. Errors: `RunError` where it is not
        finite, as for a density without bound."""
        if answer.log_density is None or self.points is None or self.log_density is None:
            return None
        ratio = (answer.log_density(self.points) - self.log_density).exp()
        ratio = ratio.nan_to_num(0.0, posinf=math.inf)
        outside = max(0.0, 1.0 - float(ratio.mean()))
        total = float((1 - ratio).abs().mean()) + outside
        if not math.isfinite(total):
            raise RunError("the densities of the answer are not finite")
        return total


def truth_of(problem: Problem) -> Truth:
    """That of a problem. Errors: as for `check_known`; `InputError` for a flow that goes no further
    than its truth is off by; `RunError` where its grid does not come to the end."""
    check_known(problem)
    return _of_grid(problem) if problem.exact is None else _of_map(problem)


def check_known(problem: Problem) -> None:
    """Errors: `InputError` where no truth is known, for coordinates that go round circles, and for
    a start density without an inverse transform."""
    inverse_transform(problem.start)
    if problem.periods is not None:
        raise InputError(
            f"the coordinates of {problem.name} go round circles, and rivals are compared on ℝᵈ: "
            "give a problem without periods"
        )
    if problem.exact is None and (why := grid_refusal(problem)):
        raise InputError(
            f"nothing says which answer to {problem.name} is nearer: its exact map is not known, "
            f"and {why}"
        )
    if problem.exact is not None:
        z = start_points(problem, _FEW, 0, 0)
        moved = _at_end(problem, z) - z
        if float(moved.square().mean()) ** 0.5 <= _STILL * float(z.std(0).max()):
            raise InputError(_still(problem, "its start is its end"))


def _still(problem: Problem, why: str) -> str:
    return (
        f"the flow of {problem.name} does not move up to t = {problem.until}: {why}, and errors "
        "are given over the way that it goes; give another start or a later end"
    )


def _at_end(problem: Problem, z: Tensor) -> Tensor:
    """The exact map at the end, (n, d). Errors: `InputError` where it is not finite."""
    assert problem.exact is not None
    x = problem.exact(problem.until - problem.start_time, z)
    if not bool(x.isfinite().all()):
        raise InputError(f"the exact map of {problem.name} is not resolved at its end")
    return x


def _floor(problem: Problem, off: float, way: float) -> float:
    """off/way. Errors: `InputError` where it is 1 or more, as for a law at rest."""
    if off >= way:
        raise InputError(_still(problem, f"it goes {way:.2g}, and its truth is off by {off:.2g}"))
    return off / way


def _of_map(problem: Problem) -> Truth:
    z, other = (start_points(problem, POINTS, 0, scrambling) for scrambling in (0, 1))
    x = _at_end(problem, z)
    quantiles = quantile_table(Law(x.numpy()))
    way = apart(quantile_table(Law(z.numpy())), quantiles)
    off = apart(quantile_table(Law(_at_end(problem, other).numpy())), quantiles)
    floor = _floor(problem, off, way)
    points, log_density = None, None
    if problem.dimension <= _MOST:
        points, log_density = x[:_DENSE], _pushed(problem, z[:_DENSE])
    return Truth(quantiles, way, floor, "exact map", points, log_density)


def _pushed(problem: Problem, z: Tensor) -> Tensor:
    """log λ(z) − log|det ∇T(z)| of the exact map T by central differences, (n,)."""
    d = problem.dimension
    width = _WIDTH * float(z.std(0).min())
    columns = []
    for j in range(d):
        step = torch.zeros(d, dtype=torch.float64)
        step[j] = width
        columns.append((_at_end(problem, z + step) - _at_end(problem, z - step)) / (2 * width))
    _, log_volume = torch.linalg.slogdet(torch.stack(columns, 2))
    return problem.start.log_density(z).double() - log_volume


def _of_grid(problem: Problem) -> Truth:
    """That of a fine grid. A third of the difference to one of half the cells along an axis is what
    it is off by, as methods of order two are."""
    across = _ACROSS_EXPLICIT if no_reversible_flow(problem) else _ACROSS
    fine, coarse = (on_grid(problem, cells) for cells in (across, across // 2))
    quantiles = quantile_table(fine.law)
    way = apart(quantile_table(Law(start_points(problem, POINTS, 0, 0).numpy())), quantiles)
    floor = _floor(problem, apart(quantile_table(coarse.law), quantiles) / 3, way)
    assert fine.log_density is not None
    points = _drawn(fine.law)
    source = f"grid of {fine.size} cells"
    return Truth(quantiles, way, floor, source, points, fine.log_density(points), fine.size)


def _drawn(law: Law) -> Tensor:
    """Points of a law, each as often as its mass says, (n, d)."""
    assert law.weights is not None
    levels = scipy.stats.qmc.Halton(1, rng=0).random(_DENSE)[:, 0] * law.weights.sum()
    chosen = np.searchsorted(np.cumsum(law.weights), levels).clip(max=len(law.points) - 1)
    return torch.from_numpy(law.points[chosen])
