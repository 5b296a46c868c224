"""What is tried before any work: the energy and the map at the start samples."""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor

from .errors import InputError
from .methods import PWGF, Form
from .parallel import Communicator, Purpose, SampleBlocks, describe
from .problems import Cloud, Density, PotentialEnergy, Problem
from .store import Checkpoint

VIRIAL_SAMPLES = 32768
_MOST_NOISE = 0.5  # relative standard error of the force's virial, on a run's own samples


def check_start(problem: Problem, runner: PWGF) -> None:
    """The energy at every sample that the first step will see, and the map's being the identity
    there, with a volume and products."""
    for part in problem.energy.interactions:
        part.check_particles(min(runner.options.samples, runner.evaluation.samples.total))
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


def check_virial(problem: Problem, samples: int, tried: int = VIRIAL_SAMPLES) -> None:
    """Whether the start's score belongs to its density, and whether so many samples tell the
    force, where the energy depends on the density.

    Moved along x ↦ x + ε a(x) the density-dependent energy changes by E[f·a] = E[∂ₓφ·a −
    (∇·a) ∂φ/∂log ρ]. Tried for all a that shift or stretch one axis along another, on one sample
    of `tried`. The left side misses what a jump holds, and is wrong for a wrong score.
    """
    if not problem.energy.needs_density:
        return
    blocks, start = SampleBlocks.automatic(tried), problem.start
    z = blocks.draw(start.sample, range(blocks.count), seed=0, purpose=Purpose.CHECK)
    log_density = start.log_density(z)
    cloud = Cloud(z, log_density, start.score(z))
    force = problem.energy.density_force(cloud)
    with torch.enable_grad():
        point, density = z.clone().requires_grad_(), log_density.clone().requires_grad_()
        value = problem.energy.density_integrand(point, density).sum()
        slopes = torch.autograd.grad(value, (point, density), materialize_grads=True)
    arm = z - z.mean(0)
    scale = float(slopes[1].mean().abs())
    if scale == 0.0:  # a factor of 0: there is nothing to tell
        return
    stretched = (force - slopes[0]) * arm + slopes[1][:, None]
    _refuse_poor_force(start, float(stretched.std(0).max()) / scale, samples)
    arms = torch.cat([arm, arm.std() * torch.ones_like(arm[:, :1])], 1)
    moment, noise = _product_moments(force - slopes[0], arms)
    moment.diagonal().copy_(stretched.mean(0))
    noise.diagonal().copy_(stretched.std(0) / tried**0.5)
    wrong = (moment.abs() > 6 * noise) & (moment.abs() > 0.02 * scale)
    if bool(wrong.any()):
        i, j = wrong.nonzero()[0].tolist()
        motion = "a shift" if j == start.dimension else f"a stretch with axis {j}"
        raise InputError(
            f"the score of the start density {start} does not belong to its density: under "
            f"{motion} of axis {i} the work of the force is off by "
            f"{float(moment[i, j].abs()) / scale:.0%} of the energy's change, "
            f"{float(moment[i, j].abs() / noise[i, j]):.0f} standard errors. Either the score is "
            "wrong, or the density jumps or is too steep at its edge, and the force misses what "
            'happens there: smooth it, or use method.form = "energy"'
        )


def _product_moments(u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """E[u_i v_j] and its standard error, (n, d), (n, e) → (d, e)."""
    mean = u.T @ v / len(u)
    square = (u * u).T @ (v * v) / len(u)
    return mean, ((square - mean * mean).clamp(min=0) / len(u)).sqrt()


def _refuse_poor_force(start: Density, deviation: float, samples: int) -> None:
    """`deviation`: of the virial of one sample, in units of its mean."""
    noise = deviation / samples**0.5
    if noise > _MOST_NOISE:
        enough = math.ceil(samples * (noise / _MOST_NOISE) ** 2)
        raise InputError(
            f"{samples} samples do not tell the force of the density: from {start} the work of a "
            f"stretch would have a standard error of {noise:.0%}: take at least {enough} samples "
            "(method.samples), as too few sit where the density changes. A wider ramp of a box, or "
            'method.form = "energy", helps too'
        )


def check_same_everywhere(
    theta: Tensor, checkpoint: Checkpoint | None, communicator: Communicator
) -> None:
    """The initial parameters, and the state that is taken up, are those of every rank."""
    initial, taken_up = hashlib.sha256(theta.cpu().numpy().tobytes()), hashlib.sha256()
    if checkpoint is not None:
        taken_up.update(repr((checkpoint.time, checkpoint.step, checkpoint.step_size)).encode())
        for array in (checkpoint.theta, *checkpoint.memory.values()):
            taken_up.update(array.tobytes())
    found = communicator.gather((initial.hexdigest(), taken_up.hexdigest()))
    if len({each for each, _ in found}) > 1:
        raise InputError(
            "the ranks start from different parameters: seed the random numbers that "
            "initialise the map, the same on every rank"
        )
    if len({each for _, each in found}) > 1:
        raise InputError(
            "the ranks do not find the same row or checkpoint in the store: the file system shows "
            "some of them an older state. Resume again"
        )
