"""Checks of the map: it must begin as the identity, act on each sample alone, and be smooth."""

from __future__ import annotations

import torch
from torch import Tensor

from ..cloud import Cloud
from ..errors import InputError, describe
from ..maps import PushForward
from ..problems import PotentialEnergy, Problem
from .rounding import rounding_of

_FEW = 8  # number of samples on which the map is tested at perturbed parameters


def check_identity(map: PushForward, z: Tensor) -> None:
    """Errors: `InputError` unless T(z) = z exactly at the initial parameters, for z, (n, d)."""
    with torch.no_grad():
        x = map(z)
    if x.shape != z.shape:
        raise InputError(
            f"the map returned shape {tuple(x.shape)} for samples of shape {tuple(z.shape)}"
        )
    if not torch.equal(x, z):
        raise InputError(
            "the map is not the identity at its initial parameters (it moves a start sample "
            f"by {float((x - z).abs().max()):.3g}): make its last layer zero, or use "
            "it anchored, z + N_θ(z) − N_θ₀(z)"
        )


def check_differentiable(map: PushForward, cloud: Cloud) -> None:
    """Errors: `InputError` unless log|det ∇T|, the transported score, and the products Jv and Jᵀu
    with J = ∂T/∂θ can be computed at samples of `cloud`."""
    z, score = cloud.x[:4], cloud.score[:4]
    try:
        map.transport(z, score)
        jacobian = map.linearize(z)
        jacobian.vjp(jacobian.jvp(map.get_theta()))
    except Exception as error:
        raise InputError(
            f"the map cannot be differentiated, as the method needs it: {describe(error)}"
        ) from error


@torch.no_grad()
def check_each_alone(problem: Problem, map: PushForward, z: Tensor) -> None:
    """Errors: `InputError` if V or T at a sample depends on the other samples with which it is
    evaluated, as with batch normalisation or random numbers.

    The map is evaluated at slightly perturbed parameters, as it is the identity at its own. z:
    samples, (n, d), of which the first 8 are used."""
    z = z[:_FEW]
    for part in problem.energy.parts:
        if isinstance(part, PotentialEnergy):
            together, alone = part.potential(z), part.potential(z[:1])
            _refuse_coupling(f"the potential {part.potential}", together, alone)
    theta = map.get_theta()
    try:
        moved = map.at(theta + _noise(theta))
        _refuse_coupling("the map", moved(z), moved(z[:1]))
    finally:
        map.at(theta)


@torch.no_grad()
def check_smooth(problem: Problem, map: PushForward, z: Tensor) -> None:
    """Errors: `InputError` if the energy depends on the density and the map is piecewise linear, as
    with ReLU activations: the density then jumps where pieces meet, which the score does not show.

    The map is evaluated at slightly perturbed parameters. z: samples, (n, d), of which the first 8
    are used."""
    if not problem.energy.needs_density:
        return
    z = z[:_FEW]
    theta = map.get_theta()
    try:
        image = map.at(theta + _noise(theta)).transport(z, torch.zeros_like(z))
    finally:
        map.at(theta)
    pieces = image.score is not None and not image.score.any()
    varies = bool((image.log_det - image.log_det[0]).abs().max() > _rounding(z))
    if pieces and varies:
        raise InputError(
            "the map is made of linear pieces, as with ReLU: its density jumps where they meet, "
            "and the score does not see it. Take a smooth activation (tanh, softplus, SiLU, GELU)"
        )


def _noise(theta: Tensor) -> Tensor:
    """Samples of N(0, 0.01) of the shape of θ, the same on every rank."""
    return 0.1 * torch.randn(theta.shape, generator=torch.Generator().manual_seed(0)).to(theta)


def _rounding(z: Tensor) -> float:
    """Relative difference that rounding alone may cause: √ε of the precision of `z`."""
    return float(torch.finfo(z.dtype).eps ** 0.5)


def _refuse_coupling(what: str, together: Tensor, alone: Tensor) -> None:
    """Errors: `InputError` if the values of the first sample, evaluated with others and alone,
    differ."""
    apart = float((together[:1] - alone).abs().max())
    if apart > rounding_of(together):
        raise InputError(
            f"{what} gives a sample another value in the company of others than alone (off by "
            f"{apart:.3g}): it must act on every sample by itself, without means over a batch or "
            "random numbers. Particles interact by an energy of kind interaction"
        )
