"""The energy and the map at the start samples."""

from __future__ import annotations

import torch
from torch import Tensor

from ..choices import Form
from ..errors import InputError
from ..methods import PWGF
from ..parallel import describe
from ..problems import PotentialEnergy, Problem
from .density import check_mass, check_virial
from .units import check_units


def check_start(problem: Problem, runner: PWGF) -> None:
    """The energy at every sample that the first step will see, and the map's being the identity
    there, with a volume and products."""
    for part in problem.energy.interactions:
        part.check_particles(min(runner.options.samples, runner.evaluation.samples.total))
    for reference in (*runner.samples(0).chunks, *runner.evaluation.samples.chunks):
        problem.check(reference.z)
        with torch.no_grad():
            x = runner.map(reference.z)
        if x.shape != reference.z.shape:
            raise InputError(
                f"the map returned shape {tuple(x.shape)} for samples of shape "
                f"{tuple(reference.z.shape)}"
            )
        if not torch.equal(x, reference.z):
            raise InputError(
                "the map is not the identity at its initial parameters (it moves a start sample "
                f"by {float((x - reference.z).abs().max()):.3g}): make its last layer zero, or use "
                "it anchored, z + N_θ(z) − N_θ₀(z)"
            )
    check_units(runner)
    check_mass(problem)
    if runner.options.form is Form.FORCE:
        check_virial(problem, runner.options.samples)
    _check_each_alone(problem, runner, reference.z[:8])
    try:
        z = reference.z[:4]
        runner.map.transport(z, reference.score[:4])
        jacobian = runner.map.linearize(z)
        jacobian.vjp(jacobian.jvp(runner.map.get_theta()))
    except Exception as error:
        raise InputError(
            f"the map cannot be differentiated, as the method needs it: {describe(error)}"
        ) from error


@torch.no_grad()
def _check_each_alone(problem: Problem, runner: PWGF, z: Tensor) -> None:
    """Whether map and potential move each sample whatever the others are, and the map, where the
    density matters, is not made of linear pieces: its density jumps where they meet. The map is
    tried away from the identity."""
    rounding = torch.finfo(z.dtype).eps ** 0.5
    for part in problem.energy.parts:
        if isinstance(part, PotentialEnergy):
            together, alone = part.potential(z)[:1], part.potential(z[:1])
            _refuse_coupling(f"the potential {part.potential}", together, alone, rounding)
    theta = runner.map.get_theta()
    noise = torch.randn(theta.shape, generator=torch.Generator().manual_seed(0)).to(theta)
    try:
        runner.map.set_theta(theta + 0.1 * noise)
        _refuse_coupling("the map", runner.map(z)[:1], runner.map(z[:1]), rounding)
        image = runner.map.transport(z, torch.zeros_like(z))
    except InputError:
        raise
    except Exception:  # is named where the products are tried
        return
    finally:
        runner.map.set_theta(theta)
    pieces = image.score is not None and not image.score.any()
    varies = bool((image.log_det - image.log_det[0]).abs().max() > rounding)
    if problem.energy.needs_density and pieces and varies:
        raise InputError(
            "the map is made of linear pieces, as with ReLU: its density jumps where they meet, "
            "and the score does not see it. Take a smooth activation (tanh, softplus, SiLU, GELU)"
        )


def _refuse_coupling(what: str, together: Tensor, alone: Tensor, rounding: float) -> None:
    apart = float((together - alone).abs().max())
    if apart > rounding * (1.0 + float(alone.abs().max())):
        raise InputError(
            f"{what} gives a sample another value in the company of others than alone (off by "
            f"{apart:.3g}): it must act on every sample by itself, without means over a batch or "
            "random numbers. Particles interact by an energy of kind interaction"
        )
