"""Checks of the start density for energies that depend on it: its mass, score and samples."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..cloud import Cloud
from ..diagnostics import log_mass
from ..errors import InputError
from ..parallel import affordable, samples_to_check
from ..problems import Density, Gaussian, Problem, cloud_of, is_known, origin_of

VIRIAL_SAMPLES = 32768
"""Default number of samples on which `check_virial` tests the score."""
_MASS_SAMPLES = 4096
_WIDEST = 1000  # dimension up to which matrices are looked at
_FEWEST_CONTRIBUTING = 200  # contributing samples that a test of the mass requires
_MOST_NOISE = 0.5  # largest relative standard error of the force's virial on the samples of a step


def check_mass(problem: Problem) -> None:
    """Errors: `InputError` if energy or mobility depend on the density and the mass ∫λ of the start
    density λ differs from 1 by more than 6 standard errors and 2 %, or if λ is 0 or not finite at
    samples of its own.

    A wrong constant in λ would enter the force as its power m−1. The mass is found by comparison
    with the Gaussian of the same mean and covariance (see `log_mass`). It is not tested if the two
    hardly overlap, as for distant narrow modes or in more than 1000 dimensions, or if log λ cannot
    be evaluated outside of the support.
    """
    start = problem.start
    if not problem.needs_density or not is_known(start):
        return
    count = affordable(2 * _MASS_SAMPLES, start.dimension)
    fitted, own = samples_to_check(start.sample, max(2, count)).chunk(2)
    here = start.log_density(own)
    if not bool(here.isfinite().all()):
        raise InputError(
            f"the start density {start} is 0 or not finite at {int((~here.isfinite()).sum())} of "
            f"{len(own)} samples of its own: its samples have to come from its density"
        )
    if start.dimension > _WIDEST:
        return
    covariance = fitted.T.cov().reshape(start.dimension, start.dimension)
    try:
        gaussian = Gaussian(start.dimension, fitted.mean(0), covariance)
    except InputError:  # The samples lie on a plane, so that their covariance is singular.
        return
    other = samples_to_check(gaussian.sample, len(own), seed=1)
    try:
        # NaN stands for a density of 0: the logarithm of a formula that is negative there.
        there = start.log_density(other).nan_to_num(-math.inf, neginf=-math.inf)
    except (ValueError, ArithmeticError, RuntimeError):  # It is defined on its support only.
        return
    if problem.periods is not None:  # What lies elsewhere are images of what lies there.
        there = torch.where(problem.periods.contain(other), there, -math.inf)
    found = log_mass(here - gaussian.log_density(own), there - gaussian.log_density(other))
    if found.contributing_samples >= _FEWEST_CONTRIBUTING and abs(found.value) > max(
        6 * found.standard_error, 0.02
    ):
        raise InputError(
            f"the start density {start} has mass {math.exp(found.value):.4g}, not 1 (to "
            f"{found.standard_error:.1%}): its log_density lacks its constant, take "
            f"{found.value:.4g} from it; or it is not the density of its samples"
        )


def check_virial(
    problem: Problem, samples: int, tried: int = VIRIAL_SAMPLES, *, proposal: Density | None = None
) -> None:
    """E[f·a] = E[∂ₓφ·a − (∇·a) ∂φ/∂log ρ] for linear a(x): whether score and density agree.

    Both sides are the rate of change of the density-dependent energy E[φ] under x ↦ x + ε a(x), but
    only f contains the score. The identity fails if the score is wrong, or if part of the force is
    concentrated at a jump of the density. It is tested for shifts a = e_i and for the linear maps
    a = (x_j − E[x_j]) e_i, on `tried` samples or as many as take 128 MiB; in more than 1000
    dimensions for i = j alone, and for means over neighbouring axes. On circles a_j
    is a sine. Nothing is tested if the energy does not depend on the density. `proposal`: the
    density q from which the samples of a step are drawn, with weights λ/q; λ by default.

    Errors: `InputError` if the identity fails by more than 6 standard errors and 2 %, or if the
    standard error of E[f·a] on the `samples` samples of a step would exceed 50 %.
    """
    if not problem.energy.needs_density:
        return
    start = problem.start
    tried = affordable(tried, start.dimension)
    if proposal is None:
        cloud = cloud_of(start, samples_to_check(origin_of(start).sample, tried))
        z, log_density = cloud.x, cloud.log_density
        weights = torch.ones_like(z[:, :1])
    else:
        z = samples_to_check(proposal.sample, tried)
        log_density = start.log_density(z)
        weights = (log_density - proposal.log_density(z)).exp()[:, None]
        cloud = Cloud(z, log_density, start.score(z))
    force = problem.energy.density_force(cloud)
    with torch.enable_grad():
        point, density = z.clone().requires_grad_(), log_density.clone().requires_grad_()
        value = problem.energy.density_integrand(point, density).sum()
        velocities = torch.autograd.grad(value, (point, density), materialize_grads=True)
    arm, slope = z - (weights * z).mean(0), torch.ones_like(z)
    if (periods := problem.periods) is not None:
        arm[:, periods.circles], slope[:, periods.circles] = periods.rotations(z)
    work, pressure = weights * (force - velocities[0]), weights * velocities[1][:, None]
    scale = float(pressure.mean().abs())
    if scale == 0.0:  # The energy has the factor 0, and no force.
        return
    stretched = work * arm + pressure * slope
    # Of very many axes some would seem noisy by chance.
    typical = _group_means(stretched.var(0)) if start.dimension > _WIDEST else stretched.var(0)
    _refuse_poor_force(start, float(typical.max()) ** 0.5 / scale, samples)
    shifted = work * arm.std()
    if start.dimension <= _WIDEST:
        moment, noise = _of_pairs(work, arm, stretched, shifted)
    else:
        moment, noise = _of_groups(stretched, shifted)
    wrong = (moment.abs() > 6 * noise) & (moment.abs() > 0.02 * scale)
    if bool(wrong.any()):
        i, j = wrong.nonzero()[0].tolist()
        raise InputError(
            f"the score of the start density {start} does not belong to its density: under "
            f"{_motion(i, j, start.dimension)} the work of the force is off by "
            f"{float(moment[i, j].abs()) / scale:.0%} of the energy's change, "
            f"{float(moment[i, j].abs() / noise[i, j]):.0f} standard errors. Either the score is "
            "wrong, or the density jumps or is too steep at its edge, and the force misses what "
            'happens there: smooth it, or use method.form = "energy"'
        )


def _of_pairs(u: Tensor, arm: Tensor, stretched: Tensor, shifted: Tensor) -> tuple[Tensor, Tensor]:
    """What should be 0 and its standard error for all pairs of axes, (d, d + 1) each: entry (i, j)
    for the stretch (x_j − E[x_j]) e_i, and in the last column for the shifts."""
    moment, noise = _product_moments(u, arm)
    moment.diagonal().copy_(stretched.mean(0))
    noise.diagonal().copy_(stretched.std(0) / len(u) ** 0.5)
    rest = shifted.mean(0), shifted.std(0) / len(u) ** 0.5
    return torch.cat([moment, rest[0][:, None]], 1), torch.cat([noise, rest[1][:, None]], 1)


def _of_groups(stretched: Tensor, shifted: Tensor) -> tuple[Tensor, Tensor]:
    """The same for the stretches of axes along themselves, column 0, and for shifts, column 1:
    means over groups of neighbouring axes, at most 1000. Of single axes there would be more than
    so few samples can tell from their noise."""
    values = torch.stack([_group_means(stretched), _group_means(shifted)], -1)
    return values.mean(0), values.std(0) / len(values) ** 0.5


def _group_means(values: Tensor) -> Tensor:
    """Means over groups of neighbouring axes, (…, d) → (…, groups)."""
    parts = values.split(_group(values.shape[-1]), -1)
    return torch.stack([part.mean(-1) for part in parts], -1)


def _group(dimension: int) -> int:
    """How many axes a group has."""
    return -(-dimension // _WIDEST)


def _motion(i: int, j: int, dimension: int) -> str:
    """The motion of entry (i, j), in words."""
    if dimension <= _WIDEST:
        motion = "a shift" if j == dimension else f"a stretch with axis {j}"
        return f"{motion} of axis {i}"
    size = _group(dimension)
    axes = f"axes {i * size} to {min((i + 1) * size, dimension) - 1}"
    return f"a shift of {axes}" if j == 1 else f"stretches of {axes}"


def _product_moments(u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """E[u_i v_j] and its standard error, (d, e) each, from samples u, (n, d), and v, (n, e)."""
    mean = u.T @ v / len(u)
    square = (u * u).T @ (v * v) / len(u)
    return mean, ((square - mean * mean).clamp(min=0) / len(u)).sqrt()


def _refuse_poor_force(start: Density, deviation: float, samples: int) -> None:
    """Errors: `InputError` if `samples` samples are too few to estimate the virial of the force,
    whose relative standard deviation for a single sample is `deviation`."""
    noise = deviation / samples**0.5
    if noise > _MOST_NOISE:
        enough = math.ceil(samples * (noise / _MOST_NOISE) ** 2)
        raise InputError(
            f"{samples} samples do not tell the force of the density: from {start} the work of a "
            f"stretch would have a standard error of {noise:.0%}: take at least {enough} samples "
            "(method.samples), as too few sit where the density changes. A wider ramp of a box, or "
            'method.form = "energy", helps too'
        )
