"""Whether the mean square of the force, and of what a map leaves of it, exists."""

from __future__ import annotations

from .densities import jump_of
from .problem import Problem


def residual_is_defined(problem: Problem) -> bool:
    """Whether E|f|² is finite and seen by samples: not where the force of a density-dependent
    energy is concentrated at a jump of the start density, nor where a kernel is so singular that
    the force between two particles has no variance."""
    at_a_jump = jump_of(problem.start) is not None and problem.energy.needs_density
    return not at_a_jump and all(
        part.kernel.force_has_variance(problem.dimension) for part in problem.energy.interactions
    )
