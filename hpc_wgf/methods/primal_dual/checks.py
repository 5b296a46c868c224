"""What the primal–dual method refuses before a run."""

from __future__ import annotations

from ...errors import InputError
from ...problems import (
    Entropy,
    InternalEnergy,
    PotentialEnergy,
    Problem,
    SampleTarget,
    SumOfEnergies,
)
from ...problems.sample_rows import SampleRows


def check_problem(problem: Problem) -> None:
    """Errors: `InputError` for a flow of which the method cannot carry a part; it says which one
    can."""
    if problem.mobility is not None or problem.drift is not None:
        what = "a mobility" if problem.mobility is not None else "a drift"
        raise InputError(
            f"the primal-dual method is for gradient flows in the plain distance, and there is "
            f'{what}: use method.kind = "implicit" or "pwgf"'
        )
    if problem.periods is not None:
        raise InputError(
            "the primal-dual method compares with densities on the whole space, and coordinates go "
            'round circles: use method.kind = "implicit" or "pwgf"'
        )
    kinds = {type(part) for part in problem.energy.of_density}
    if not kinds:
        raise InputError(
            "the primal-dual method needs an entropy or an internal energy, of which h is the dual "
            'variable, and the energy has none: use method.kind = "implicit" or "pwgf"'
        )
    if unknown := kinds - {Entropy, InternalEnergy}:
        raise InputError(
            f"the primal-dual method knows the dual of entropy and internal energies, not of "
            f'{unknown.pop().__name__}: use method.kind = "pwgf"'
        )
    if len(problem.energy.of_density) > 1 and kinds != {Entropy}:
        raise InputError(
            "the primal-dual method has one dual variable, and the energy has "
            f"{len(problem.energy.of_density)} parts that depend on the density: use "
            'method.kind = "implicit" or "pwgf"'
        )


def target_rows(energy: SumOfEnergies) -> SampleRows | None:
    """The samples of Q where the energy is ∫ρ log(ρ/Q) with Q known by samples alone; else
    None."""
    position = energy.of_position
    if len(position) != 1 or energy.beta() != 1.0 or len(energy.of_density) != 1:
        return None
    only = position[0]
    if isinstance(only, PotentialEnergy) and isinstance(only.potential, SampleTarget):
        return only.potential.rows
    return None
