"""Whether the mean square of the force, and with it the projection error, is finite."""

from __future__ import annotations

from .densities import is_known, jump_of
from .problem import Problem


def no_error_bound(problem: Problem) -> str:
    """Why there is neither bound nor estimate of the error along a run; "" where there may be: both
    rest on the contraction of the gradient flow of one energy in W₂, and on E|Jη + f|²."""
    if problem.mobility is not None:
        return "they are known for the mobility P = I alone"
    if problem.drift is not None:
        return "a drift moves the particles, whose contraction the energy does not tell"
    if problem.energy.moves:
        return "a potential depends on time"
    if not residual_is_defined(problem):
        return "the mean square of the force is infinite, or cannot be had from samples"
    return ""


def residual_is_defined(problem: Problem) -> bool:
    """Whether E|f|², and thereby E|Jη + f|², is finite and can be estimated from samples.

    It cannot if the energy depends on the density and the start density is not known, or jumps, as
    part of the force is then concentrated at the jump; nor if a kernel is so singular that the
    force between two particles has infinite variance."""
    start = problem.start
    without_force = jump_of(start) is not None or not is_known(start)
    return not (without_force and problem.energy.needs_density) and all(
        part.kernel.force_has_variance(problem.dimension) for part in problem.energy.interactions
    )
