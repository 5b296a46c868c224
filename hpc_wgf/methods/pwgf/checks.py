"""What PWGF wants to be tried before a run: its first samples, the units of x, the force."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from ...checks import check_cloud, check_virial
from ...choices import Form, Preconditioning
from ...errors import InputError

if TYPE_CHECKING:
    from .pwgf import PWGF

_LEAST = {torch.float64: 1e-14, torch.float32: 1e-10}  # where preconditioned solves still hold
_OF_RTOL = 0.01  # where plain ones do, whose tolerance is all that they resolve


def checks(method: PWGF) -> Sequence[Callable[[], None]]:
    """In the order in which they are best made."""
    found: list[Callable[[], None]] = [
        lambda: check_first_samples(method),
        lambda: check_units(method),
    ]
    if method.options.form is Form.FORCE:
        found.append(lambda: check_virial(method.problem, method.options.samples))
    return found


def check_first_samples(method: PWGF) -> None:
    """The energy, and the map's being the identity, at every sample that the first step sees."""
    problem = method.problem
    for part in problem.energy.interactions:
        part.check_particles(method.options.samples)
    state = method.start()
    for cloud in method.samples(state.map, 0).chunks:
        check_cloud(problem, state.map.map, cloud)


def check_units(method: PWGF) -> None:
    """Whether solves resolve an affine motion of the start density. A shift that is given in the
    options is taken as meant.

    Errors: `InputError` where units and origin of x are so far from the start density that they
    cannot."""
    options, found = method.options, method.reciprocal_condition
    if options.shift is not None:
        return
    plain = method.preconditioner is Preconditioning.NONE
    least = _OF_RTOL * options.rtol if plain else _LEAST[options.torch_dtype]
    if found >= least:
        return
    otherwise = f"take method.rtol = {100 * found:.1g} or another preconditioner, " if plain else ""
    raise InputError(
        f"from here the start density {method.problem.start} looks like a point or a plane: its "
        f"mean and spread leave eigenvalues of 1 and {found:.1e} to the metric of an affine map, "
        f"and solves of {'rtol' if plain else 'this precision'} resolve {least:.1e}. Move the "
        f"origin to its mean and take its spread for the unit of length, {otherwise}or set "
        "method.shift to run nevertheless"
    )
