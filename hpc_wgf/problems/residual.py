"""Whether the mean square of the force, and with it the projection error, is finite."""

from __future__ import annotations

from .densities import is_known, jump_of
from .problem import Problem


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
