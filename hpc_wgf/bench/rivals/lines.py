"""One grid on the line for every coordinate: separable potentials from independent coordinates.

The solver is that of the exact maps, `CoordinateFlow`, with fewer cells and longer steps.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...analysis.divergence_to_exact import no_reversible_flow
from ...problems import Problem, UserPotential, is_separable
from ...problems.products import independent_coordinates
from ...problems.quantile import CoordinateFlow
from .answer import POINTS, Answer, LogDensity, Rival, start_points
from .law import Law

_CELLS = 100  # on a line, of the first level; twice as many in every further one
_STEP, _GROWTH = 2.0, 48.0  # the longest step and its growth, over the number of cells


def _refusal(problem: Problem) -> str:
    if why := no_reversible_flow(problem):
        return why
    if problem.periods is not None or independent_coordinates(problem.start) is None:
        return "the coordinates of the start are not independent mixtures of Gaussians on lines"
    if not is_separable(problem.energy.potential(), problem.dimension):
        return "the potential is no sum of functions of one coordinate each"
    return ""


def coordinate_flows(problem: Problem, cells: int) -> list[CoordinateFlow]:
    """The flow of every coordinate on so many cells; those that are the same are one."""
    potential = problem.energy.potential() or UserPotential(lambda x: 0.0 * x.sum(1), "0")
    laws, beta = independent_coordinates(problem.start), problem.energy.beta()
    assert laws is not None
    step, growth = _STEP / cells, _GROWTH / cells
    known: dict[str, CoordinateFlow] = {}
    flows = []
    for j, law in enumerate(laws):
        v = potential.coordinate(j) or torch.zeros_like
        flow = CoordinateFlow(v, beta, law, cells=cells, step=step, growth=growth)
        flows.append(known.setdefault(flow.digest, flow))
    return flows


def _answer(problem: Problem, level: int, seed: int) -> Answer:
    cells = _CELLS * 2**level
    span = problem.until - problem.start_time
    flows = coordinate_flows(problem, cells)
    for flow in flows:
        flow.density(span)

    def tell() -> Law:
        z = start_points(problem, POINTS, seed, 2)
        return Law(torch.stack([flow(span, z[:, j]) for j, flow in enumerate(flows)], 1).numpy())

    return Answer(tell, cells, log_density_of(flows, span))


def log_density_of(flows: list[CoordinateFlow], span: float) -> LogDensity:
    """Σ_j log ρ_j, each ρ_j linear between the centres of its cells."""

    def at(x: Tensor) -> Tensor:
        total = torch.zeros_like(x[:, 0])
        for flow, column in zip(flows, x.unbind(1), strict=True):
            centres = 0.5 * (flow.faces[1:] + flow.faces[:-1])
            values = np.interp(column.numpy(), centres, flow.density(span), left=0.0, right=0.0)
            total += torch.from_numpy(values).clamp(min=0.0).log()
        return total

    return at


LINES = Rival("cells", _refusal, _answer, levels=5)
