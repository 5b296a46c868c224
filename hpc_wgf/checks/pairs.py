"""All ranks sum over pairs of particles in one way."""

from __future__ import annotations

from ..errors import InputError
from ..parallel import Communicator
from ..problems import Problem


def check_same_pairs(problem: Problem, communicator: Communicator) -> None:
    """Errors: `InputError` on every rank unless all sum over pairs by the same, which a run file
    with `pairs = "automatic"` may have settled by what is installed beside each. Collective where
    there are interactions."""
    here = [part.pairs.value for part in problem.energy.interactions]
    if not here:
        return
    found = communicator.gather(" and ".join(here))
    if len(set(found)) > 1:
        other = next(rank for rank, each in enumerate(found) if each != found[0])
        raise InputError(
            f"rank 0 sums over pairs by {found[0]}, rank {other} by {found[other]}, as PyKeOps is "
            "not installed for all: install it everywhere, or say pairs = 'tiles'"
        )
