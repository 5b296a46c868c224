"""Units and origin of x, where they are so far from the start density that solves cannot tell."""

from __future__ import annotations

import torch

from ..choices import Preconditioning
from ..errors import InputError
from ..methods import PWGF

_LEAST = {torch.float64: 1e-14, torch.float32: 1e-10}  # where preconditioned solves still hold
_OF_RTOL = 0.01  # where plain ones do, whose tolerance is all that they resolve


def check_units(runner: PWGF) -> None:
    """Whether solves resolve an affine motion of the start density. A shift that is given in the
    options is taken as meant."""
    options, found = runner.options, runner.reciprocal_condition
    if options.shift is not None:
        return
    plain = runner.preconditioner is Preconditioning.NONE
    least = _OF_RTOL * options.rtol if plain else _LEAST[options.torch_dtype]
    if found >= least:
        return
    otherwise = f"take method.rtol = {100 * found:.1g} or another preconditioner, " if plain else ""
    raise InputError(
        f"from here the start density {runner.problem.start} looks like a point or a plane: its "
        f"mean and spread leave eigenvalues of 1 and {found:.1e} to the metric of an affine map, "
        f"and solves of {'rtol' if plain else 'this precision'} resolve {least:.1e}. Move the "
        f"origin to its mean and take its spread for the unit of length, {otherwise}or set "
        "method.shift to run nevertheless"
    )
