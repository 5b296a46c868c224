"""How strongly particles are drawn to the centre of a start density."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..interactions import InteractionEnergy
from .energies import Energy, PotentialEnergy
from .matrices import multiple_of_identity

_SAME = 1e-9  # of a length: distance of two centres that are the same


def pair_powers(interactions: Sequence[InteractionEnergy]) -> tuple[float, float] | None:
    """(k, p), where all interactions together are ½k|x − y|² + ¼p|x − y|⁴; else None."""
    k = p = 0.0
    for part in interactions:
        powers = part.kernel.even_powers()
        if powers is None:
            return None
        k += 2 * part.factor * powers.get(2, 0.0)
        p += 4 * part.factor * powers.get(4, 0.0)
    return k, p


def attraction(parts: Sequence[Energy], centre: Tensor, length: float) -> float | None:
    """k, if the force of these parts of an energy is k(x − c) about the `centre` c, (d,), of a
    density that is even about it: of parabolas there, and of interactions |x|². None of others.
    `length`: the size of the density."""
    rates = [_of_part(part, centre, length) for part in parts]
    known = [rate for rate in rates if rate is not None]
    return sum(known) if len(known) == len(rates) else None


def _of_part(part: Energy, centre: Tensor, length: float) -> float | None:
    if isinstance(part, InteractionEnergy):
        powers = part.kernel.even_powers()
        return 2 * part.factor * powers[2] if powers is not None and set(powers) == {2} else None
    if not isinstance(part, PotentialEnergy):
        return None
    hessian = part.potential.hessian()
    stiffness = None if hessian is None else multiple_of_identity(hessian, len(centre))
    if stiffness is None:
        return None
    off = float(part.potential.gradient(centre[None]).norm())
    return stiffness if off <= _SAME * length * abs(stiffness) else None
