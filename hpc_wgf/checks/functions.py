"""Checks of functions of a user: they must run, and leave their samples as they are."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import InputError
from ..parallel import samples_to_check
from ..problems import Density, Problem, UserPotential, Walls, potentials_of
from ..user_code import CHANGES_ITS_SAMPLES, called, said
from .differences import refuse_other_derivative

_FEW = 16  # samples at which a density is tried
_MOST_BEYOND = 1e-3  # share of the start samples that may lie beyond walls


def check_potentials(problem: Problem, z: Tensor) -> None:
    """Errors: `InputError` if a potential that is a function of a user fails at the samples z,
    (n, d), or changes them."""
    for potential in _functions(problem):
        given, what = z.clone(), f"the potential {potential.name}"
        try:
            called(what, potential.function, given)
        except Exception as error:
            raise _cannot_be_evaluated(potential, z, error) from error
        if not torch.equal(given, z):
            raise InputError(f"{what} {CHANGES_ITS_SAMPLES}")


@torch.no_grad()
def check_gradients(problem: Problem, z: Tensor) -> None:
    """Errors: `InputError` if torch finds another gradient of a function of a user than its values
    tell: ∇V·w in a random direction w of the size of the samples. The first 16 of z are used."""
    z = z[:_FEW]
    w = torch.randn(z.shape, generator=torch.Generator().manual_seed(0)).to(z) * z.abs().mean()
    for potential in _functions(problem):

        def moved(h: float, potential: UserPotential = potential) -> Tensor:
            return potential(z + h * w)[:, None]

        work = (potential.gradient(z) * w).sum(1, keepdim=True)
        refuse_other_derivative(f"the gradient of the potential {potential.name}", work, moved)


def check_walls(problem: Problem, z: Tensor) -> None:
    """Errors: `InputError` if more than 1 in 1000 of the start samples z, (n, d), lies beyond the
    walls of a box: their first motion would be that of the walls alone."""
    for walls in potentials_of(problem.energy):
        if not isinstance(walls, Walls):
            continue
        beyond = walls.beyond(z)
        share = float(beyond.any(1).double().mean())
        if share > _MOST_BEYOND:
            j = int(beyond.double().mean(0).argmax())
            raise InputError(
                f"the start density {problem.start} leaves the box: {share:.2%} of {len(z)} "
                f"samples lie beyond its walls, most those at {float(walls.low[j]):g} and "
                f"{float(walls.high[j]):g} of coordinate {j}: move the walls or the start"
            )


def _functions(problem: Problem) -> list[UserPotential]:
    """The potentials of the problem that are functions of a user, also as terms of a sum."""
    terms = potentials_of(problem.energy)
    return [term for term in terms if isinstance(term, UserPotential)]


def _cannot_be_evaluated(potential: UserPotential, z: Tensor, error: Exception) -> InputError:
    return InputError(
        f"the potential {potential.name} cannot be evaluated at start samples of shape "
        f"{tuple(z.shape)}: {said(error)}. It must take one tensor (n, d) and return one (n,)"
    )


def check_density(start: Density) -> None:
    """Errors: `InputError` if the start density cannot be sampled, or evaluated at its samples, or
    if it changes them."""
    try:
        z = samples_to_check(start.sample, _FEW)
        given = z.clone()
        for name in ("log_density", "score"):
            called(f"{name} of the start density {start}", getattr(start, name), given)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"the start density {start} cannot be sampled and evaluated: {said(error)}. Its "
            "sample(random, count) gets numpy's random numbers, its log_density and score z, (n, d)"
        ) from error
    if not torch.equal(given, z):
        raise InputError(f"the start density {start} {CHANGES_ITS_SAMPLES}")
