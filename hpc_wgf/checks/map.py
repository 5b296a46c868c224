"""Checks of the map: it must begin as the identity, act on each sample alone, and be smooth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from ..cloud import Cloud
from ..errors import InputError
from ..maps import PushForward
from ..problems import PotentialEnergy, Problem
from ..user_code import called, check_values, said
from .rounding import rounding_of

_FEW = 8  # number of samples on which the map is tested at perturbed parameters


def check_identity(map: PushForward, z: Tensor) -> None:
    """Errors: `InputError` unless T(z) = z exactly at the initial parameters, for z, (n, d)."""
    with torch.no_grad():
        x = _evaluated(map, z)
    if not torch.equal(x, z):
        raise InputError(
            "the map is not the identity at its initial parameters (it moves a start sample "
            f"by {float((x - z).abs().max()):.3g}): make its last layer zero, or use "
            "it anchored, z + N_θ(z) − N_θ₀(z). The map of a solution is none to begin with: make "
            "a fresh one, or go on with the stored run by resume=True"
        )


def _evaluated(map: PushForward, z: Tensor) -> Tensor:
    """T(z). Errors: `InputError` where the map cannot be evaluated, or returns something else."""
    try:
        x = called("the map", map, z)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"the map cannot be evaluated at samples of shape {tuple(z.shape)}: {said(error)}"
        ) from error
    check_values("the map", x, z, z.shape, "the images of the samples")
    return x


def check_differentiable(map: PushForward, cloud: Cloud) -> None:
    """Errors: `InputError` unless log|det ∇T|, the transported score, and the products Jv and Jᵀu
    with J = ∂T/∂θ can be computed at samples of `cloud`."""
    z, score = cloud.x[:4], cloud.score[:4]
    try:
        jacobian = map.linearize(z)
        jacobian.vjp(jacobian.jvp(map.get_theta()))
        map.transport(z, score)
    except Exception as error:
        raise not_differentiable(error) from error


def not_differentiable(error: Exception) -> InputError:
    """The error for a map whose derivatives raise `error`."""
    return InputError(
        "the map cannot be differentiated, forward and in reverse, as the method needs it: "
        f"{said(error)}. Take the part that is named there out of it, as weight_norm by "
        "torch.nn.utils.parametrize.remove_parametrizations"
    )


@torch.no_grad()
def check_each_alone(problem: Problem, map: PushForward, z: Tensor) -> None:
    """Errors: `InputError` if V or T at a sample depends on the other samples with which it is
    evaluated, as with batch normalisation, or is another when it is evaluated again, as with random
    numbers.

    The map is evaluated at slightly perturbed parameters, as it is the identity at its own. z:
    samples, (n, d)."""
    for part in problem.energy.parts:
        if isinstance(part, PotentialEnergy):
            _refuse_coupling(f"the potential {part.potential}", part.potential, z)
    with perturbed(map):
        _refuse_coupling("the map", map, z)


@torch.no_grad()
def check_smooth(problem: Problem, map: PushForward, z: Tensor) -> None:
    """Errors: `InputError` if the energy depends on the density and the map is piecewise linear, as
    with ReLU activations: the density then jumps where pieces meet, which the score does not show.

    The map is evaluated at slightly perturbed parameters. z: samples, (n, d), of which the first 8
    are used."""
    if not problem.energy.needs_density:
        return
    z = z[:_FEW]
    with perturbed(map):
        image = map.transport(z, torch.zeros_like(z))
    pieces = image.score is not None and not image.score.any()
    varies = bool((image.log_det - image.log_det[0]).abs().max() > _rounding(z))
    if pieces and varies:
        raise InputError(
            "the map is made of linear pieces, as with ReLU: its density jumps where they meet, "
            "and the score does not see it. Take a smooth activation (tanh, softplus, SiLU, GELU)"
        )


@contextmanager
def perturbed(map: PushForward) -> Iterator[None]:
    """The map at θ plus samples of N(0, 0.01), the same on every rank; afterwards at θ again."""
    theta = map.get_theta()
    noise = 0.1 * torch.randn(theta.shape, generator=torch.Generator().manual_seed(0)).to(theta)
    try:
        map.at(theta + noise)
        yield
    finally:
        map.at(theta)


def _rounding(z: Tensor) -> float:
    """Relative difference that rounding alone may cause: √ε of the precision of `z`."""
    return float(torch.finfo(z.dtype).eps ** 0.5)


def _refuse_coupling(what: str, function: Callable[[Tensor], Tensor], z: Tensor) -> None:
    """Errors: `InputError` if the values of `function` at samples z differ between two calls, or if
    those of the first 8 differ from those of each of them alone."""
    together = function(z)
    _refuse_difference(what, function(z), together, "when it is evaluated again", "random numbers")
    few = z[:_FEW]
    alone = torch.cat([function(each) for each in few.split(1)])
    _refuse_difference(what, alone, function(few), "in the company of others than alone",
                       "means over a batch or random numbers")  # fmt: skip


def _refuse_difference(what: str, value: Tensor, other: Tensor, when: str, cause: str) -> None:
    apart = float((value - other).abs().max())
    if apart > rounding_of(value):
        raise InputError(
            f"{what} gives a sample another value {when} (off by {apart:.3g}): it must act on "
            f"every sample by itself, without {cause}. Particles interact by an energy of kind "
            "interaction"
        )
