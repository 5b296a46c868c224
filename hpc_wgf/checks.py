"""What is tried before any work: the energy and the map at the start samples."""

from __future__ import annotations

import hashlib

import torch

from .errors import InputError
from .maps import PushForward
from .methods import PWGF, Form
from .parallel import Communicator, Purpose, SampleBlocks, describe
from .problems import Cloud, Problem

_VIRIAL_SAMPLES = 32768


def check_start(problem: Problem, runner: PWGF) -> None:
    """The energy at every sample that the first step will see, and the map's being the identity
    there, with a volume and products."""
    if runner.options.form is Form.FORCE:
        check_virial(problem)
    for reference in (*runner.samples(0).leaves, *runner.evaluation.samples.leaves):
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
    try:
        z = reference.z[:4]
        runner.map.transport(z, reference.score[:4])
        jacobian = runner.map.linearize(z)
        jacobian.vjp(jacobian.jvp(runner.map.get_theta()))
    except Exception as error:
        raise InputError(
            f"the map cannot be differentiated, as the method needs it: {describe(error)}"
        ) from error


def check_virial(problem: Problem) -> None:
    """Whether the start's score belongs to its density, where the energy depends on that.

    Stretched along an axis, x_j ↦ x_j + ε (x_j − c_j), the density-dependent energy changes by
    E[f_j (x_j − c_j)] = E[∂_jφ (x_j − c_j) − ∂φ/∂log ρ]. The left side misses what a jump holds,
    and is wrong for a wrong score. Both sides are sample means over one small sample.
    """
    parts = problem.energy.of_density
    if not parts:
        return
    blocks, start = SampleBlocks.automatic(_VIRIAL_SAMPLES), problem.start
    z = blocks.draw(start.sample, range(blocks.count), seed=0, purpose=Purpose.CHECK)
    log_density = start.log_density(z)
    cloud = Cloud(z, log_density, start.score(z))
    force = torch.stack([part.force(cloud) for part in parts]).sum(0)
    with torch.enable_grad():
        point, density = z.clone().requires_grad_(), log_density.clone().requires_grad_()
        value = problem.energy.density_integrand(point, density).sum()
        slopes = torch.autograd.grad(value, (point, density), materialize_grads=True)
    arm = z - z.mean(0)
    excess = (force - slopes[0]) * arm + slopes[1][:, None]
    off, noise = excess.mean(0).abs(), excess.std(0) / _VIRIAL_SAMPLES**0.5
    wrong = (off > 6 * noise) & (off > 0.02 * slopes[1].mean().abs())
    if bool(wrong.any()):
        j = int(wrong.nonzero()[0])
        share = float(off[j] / slopes[1].mean().abs())
        raise InputError(
            f"the score of the start density {start} does not belong to its density: along axis "
            f"{j} the virial of the force is off by {share:.0%}, {float(off[j] / noise[j]):.0f} "
            "standard errors. Either the score is wrong, or the density jumps, and the force "
            'misses the jump: smooth it, or use method.form = "energy"'
        )


def check_same_theta(map: PushForward, communicator: Communicator) -> None:
    digest = hashlib.sha256(map.get_theta().cpu().numpy().tobytes()).hexdigest()
    if len(set(communicator.gather(digest))) > 1:
        raise InputError(
            "the ranks start from different parameters: seed the random numbers that "
            "initialise the map, the same on every rank"
        )
