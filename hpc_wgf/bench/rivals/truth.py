"""What the answers are held against: the law and the density of the flow at its end.

From the exact map where one is known. For other Fokker–Planck equations in one or two dimensions on
a grid of 512 cells along an axis, and for what `data/references` holds from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy  # Its parts are imported at first use, which keeps the start of every rank short.
import torch
from torch import Tensor

from ...analysis.divergence_to_exact import no_reversible_flow
from ...errors import InputError
from ...problems import Problem
from ...references import Grid
from .answer import POINTS, Answer, LogDensity, start_points
from .grid import box, fokker_planck_on, grid_over, of_cells
from .law import Law, apart, cells_as_points, points_of, quantile_table

Array = np.ndarray
_DENSE = 2**12  # of them those at which densities are compared
_MOST = 10  # dimensions in which the exact map is differentiated
_WIDTH = 1e-5  # of a difference, over the spread of the start density
_ACROSS = 512  # cells of the grid
_FINER = 8  # points along a side of a stored cell
_REFERENCES = Path(__file__).resolve().parents[3] / "data" / "references"


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

    def error(self, answer: Answer) -> float:
        """(Σ_e W₂²/k)^½ of answer and truth along k directions e, over the way: 1 is the error of
        the start density."""
        return apart(quantile_table(answer.law), self.quantiles) / self.way

    def density_error(self, answer: Answer) -> float | None:
        """∫|ρ_answer − ρ|, from 0 to 2: E|1 − r| + 1 − E r over samples of ρ, r = ρ_answer/ρ, where
        E r is less than 1 as far as the answer has mass where ρ has none. A density that is not a
        number counts as 0. None where either has no density."""
        if answer.log_density is None or self.points is None or self.log_density is None:
            return None
        ratio = (answer.log_density(self.points) - self.log_density).exp().nan_to_num(0.0)
        outside = max(0.0, 1.0 - float(ratio.mean()))
        return float((1 - ratio).abs().mean()) + outside


def truth_of(problem: Problem) -> Truth:
    """That of a problem. Errors: `InputError` where none is known."""
    if problem.exact is not None:
        return _of_map(problem)
    if problem.dimension <= 2 and not no_reversible_flow(problem):
        return _of_grid(problem)
    stored = _REFERENCES / f"{problem.name}.npz"
    if stored.is_file():
        return _stored(problem, stored)
    raise InputError(
        f"nothing says which answer to {problem.name} is nearer: neither an exact map is known nor "
        "a grid in up to two dimensions for it, and data/references holds none"
    )


def _of_map(problem: Problem) -> Truth:
    span, exact = problem.until - problem.start_time, problem.exact
    assert exact is not None
    z, other = (start_points(problem, POINTS, 0, scrambling) for scrambling in (0, 1))
    x = exact(span, z)
    if not bool(x.isfinite().all()):
        raise InputError(f"the exact map of {problem.name} is not resolved at its end")
    quantiles = quantile_table(Law(x.numpy()))
    way = apart(quantile_table(Law(z.numpy())), quantiles)
    floor = apart(quantile_table(Law(exact(span, other).numpy())), quantiles) / way
    few = z[:_DENSE]
    points, log_density = None, None
    if problem.dimension <= _MOST:
        points, log_density = x[:_DENSE], _pushed(problem, few, span)
    return Truth(quantiles, way, floor, "exact map", points, log_density)


def _pushed(problem: Problem, z: Tensor, span: float) -> Tensor:
    """log λ(z) − log|det ∇T(z)| of the exact map T by central differences, (n,)."""
    exact, d = problem.exact, problem.dimension
    assert exact is not None
    width = _WIDTH * float(z.std(0).min())
    columns = []
    for j in range(d):
        step = torch.zeros(d, dtype=torch.float64)
        step[j] = width
        columns.append((exact(span, z + step) - exact(span, z - step)) / (2 * width))
    _, log_volume = torch.linalg.slogdet(torch.stack(columns, 2))
    return problem.start.log_density(z).double() - log_volume


def _of_grid(problem: Problem) -> Truth:
    corners = box(problem)
    fine, coarse = (
        of_cells(grid, fokker_planck_on(problem, grid, across), across)
        for across in (_ACROSS, _ACROSS // 2)
        for grid in (grid_over(corners, across),)
    )
    assert fine.log_density is not None
    return _of_answer(problem, fine, coarse.law, f"grid of {fine.size} cells")


def _stored(problem: Problem, path: Path) -> Truth:
    """Of a stored reference, whose cells are filled by linear interpolation between them."""
    with np.load(path) as found:
        times, density = found["times"], found["density"].astype(float)
        low, high = found["low"], found["high"]
    row = int(np.abs(times - problem.until).argmin())
    if abs(times[row] - problem.until) > 1e-9 * abs(problem.until):
        raise InputError(
            f"{path} holds {problem.name} up to t = {times[-1]:g}, not at {problem.until:g}: leave "
            "problem.until as it is"
        )
    rho = density[row]
    stored = of_cells(Grid(tuple(low.tolist()), tuple(high.tolist()), rho.shape), rho, 0)
    assert stored.log_density is not None
    centres = [
        np.linspace(a, b, n * _FINER, endpoint=False) + 0.5 * (b - a) / (n * _FINER)
        for a, b, n in zip(low, high, rho.shape, strict=True)
    ]
    places = torch.from_numpy(points_of(centres))
    masses = stored.log_density(places).exp().numpy().reshape([len(each) for each in centres])
    filled = cells_as_points(centres, masses / masses.sum())
    answer = Answer(filled, rho.size, stored.log_density)
    return _of_answer(problem, answer, stored.law, "data/references")


def _of_answer(problem: Problem, answer: Answer, other: Law, source: str) -> Truth:
    """The truth that an accurate answer is; `other` is a coarser one."""
    quantiles = quantile_table(answer.law)
    start = quantile_table(Law(start_points(problem, POINTS, 0, 0).numpy()))
    way = apart(start, quantiles)
    points, log_density = _drawn(answer.law, answer.log_density)
    floor = apart(quantile_table(other), quantiles) / way
    return Truth(quantiles, way, floor, source, points, log_density)


def _drawn(law: Law, log_density: LogDensity | None) -> tuple[Tensor, Tensor]:
    """Points of a law, each as often as its mass says, and log ρ there."""
    assert law.weights is not None
    assert log_density is not None
    levels = (scipy.stats.qmc.Halton(1, seed=0).random(_DENSE)[:, 0]) * law.weights.sum()
    chosen = np.searchsorted(np.cumsum(law.weights), levels).clip(max=len(law.points) - 1)
    points = torch.from_numpy(law.points[chosen])
    return points, log_density(points)
