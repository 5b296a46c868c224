"""One map in place of a chain of maps, and how far it is from the chain.

The parameters of the map minimise E|T_θ(z) − T(z)|² over samples z of the start density, T the
chain. As both maps carry the same z, the misfit bounds the Wasserstein distance of the two images:
W₂(T_θ#λ, T#λ)² ≤ E|T_θ(z) − T(z)|².
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..checks import check_communicator, check_map, check_same_everywhere
from ..ensemble import Ensemble, Sampler
from ..errors import InputError
from ..kinds import check_kind, check_whole
from ..maps import MapState, PushForward
from ..methods.base import laid_out
from ..parallel import (
    Communicator,
    RandomStream,
    SampleBlocks,
    agreed,
    communicator_from_environment,
    tree_sum,
)
from ..problems import Density
from .least_squares import Target, fit

_LEAST_ROWS, _ROWS = 2, 8  # Numbers to be fitted, n·d, for every parameter: at least, by default.
_SAMPLES = 8192  # by default, where that is more


@dataclass(frozen=True)
class Consolidated:
    """One map in place of a chain T of maps."""

    map: PushForward
    """T_θ, at the parameters that were found, in the precision of the chain."""
    misfit: float
    """(E|T_θ(z) − T(z)|²)^½ in units of x, over samples z that the fit has not seen."""
    misfit_relative: float
    """The misfit over the displacement (E|T(z) − z|²)^½ of the chain; 0 where both are 0."""
    misfit_fitted: float
    """The same as `misfit` over the samples of the fit: far smaller where these are too few."""
    folded: int
    """At how many of the samples of `misfit` T_θ folds, det ∇T_θ ≤ 0: the density of its images is
    wrong there."""
    samples: int
    """How many samples were fitted, and as many others gave `misfit`."""
    iterations: int
    """Gauss–Newton steps."""
    converged: bool
    """Whether the misfit had stopped falling; False where the iterations were used up."""


def consolidate(
    chain: MapState,
    start: Density,
    map: PushForward,
    *,
    samples: int | None = None,
    seed: int = 0,
    max_iterations: int = 100,
    communicator: Communicator | None = None,
) -> Consolidated:
    """One map in place of a chain: θ = argmin E|T_θ(z) − T(z)|², z samples of the start density.

    `chain`: T, as `Solution.state` or `Trajectory.map(t)` gives it. `start`: the start density of
    its run, `problem.start`. `map`: the kind of map that is wanted, at its initial parameters; a
    copy of it is laid out for the start density as `solve` does it. Fitted in the precision of the
    chain, by Gauss–Newton steps with Levenberg–Marquardt damping. `samples`: n, of all ranks, by
    default 8192 or eight of the n·d numbers to be fitted for every parameter. `seed`: of the
    samples. `communicator`: as for `solve`; 1, 2, 4, … ranks give the same bits. Collective.

    Errors: `InputError` before any work for arguments of the wrong kind or dimension, for fewer
    than two of the n·d numbers for every parameter, and where T(z) is not finite.
    """
    communicator = communicator_from_environment() if communicator is None else communicator
    check_communicator(communicator)
    with agreed(communicator):
        _check(chain, start, map, samples, seed, max_iterations)
        device, dtype = communicator.device, chain.theta.dtype
        count = _count(samples, map)
        fitted = laid_out(map, start).to(device=device, dtype=dtype)
        chain = chain.on(device)
        sampler = Sampler(start, communicator, seed=seed, dtype=dtype)
        blocks = SampleBlocks.automatic(count)
        parts = sampler.parts(blocks, fitted.chunk_size())
    theta = torch.cat([chain.theta, fitted.get_theta()])
    check_same_everywhere(theta, None, communicator)

    def target(number: int) -> Target:
        drawn = sampler.draw(blocks, parts, RandomStream.CONSOLIDATION, number)
        return _target(chain, drawn)

    found = fit(fitted, target(0), max_iterations)
    misfit, displacement, folded = _judged(fitted, target(1))
    relative = misfit / displacement if displacement else float("inf") if misfit else 0.0
    return Consolidated(
        fitted, misfit, relative, found.misfit, folded, count, found.iterations, found.converged
    )


def _target(chain: MapState, ensemble: Ensemble) -> Target:
    """T at the samples of an ensemble; collective."""
    images = [chain(z) for z in ensemble.points]
    lost = [(~image.isfinite().all(1)).sum().double() for image in images]
    count = int(ensemble.communicator.sum(tree_sum(lost)[None])[0])
    if count:
        raise InputError(
            f"the chain gives positions that are not finite at {count} of {ensemble.total} "
            "samples of the start density: is it the density with which its run began?"
        )
    return Target(ensemble, images)


@torch.no_grad()
def _judged(map: PushForward, target: Target) -> tuple[float, float, int]:
    """(E|T_θ − T|²)^½, (E|T − z|²)^½ and the number of folds over all samples; collective."""
    ensemble = target.ensemble
    pushed = ensemble.push(map, density=True, score=False)
    sums = [
        torch.stack([
            ensemble.square(k, cloud.x - image),
            ensemble.square(k, image - chunk.x),
            (~cloud.unfolded).sum().double(),
        ])
        for k, (cloud, image, chunk) in enumerate(
            zip(pushed, target.images, ensemble.chunks, strict=True)
        )
    ]  # fmt: skip
    misfit, displacement, folded = ensemble.communicator.sum(tree_sum(sums)).tolist()
    return (misfit / ensemble.total) ** 0.5, (displacement / ensemble.total) ** 0.5, int(folded)


def _check(
    chain: object, start: Density, map: PushForward, samples: int | None, seed: int, most: int
) -> None:
    remedy = "give that of a run, Solution.state or Trajectory.map(t)"
    check_kind(chain, "chain of maps", ("stages", "map", "theta"), remedy)
    assert isinstance(chain, MapState)
    needs = ("dimension", "sample", "log_density", "score")
    check_kind(start, "start density", needs, "give that of the run, problem.start")
    check_map(map)
    if chain.map.dimension != map.dimension:
        raise InputError(
            f"the map acts in dimension {map.dimension} but the chain has dimension "
            f"{chain.map.dimension}"
        )
    for value, name, smallest in ((seed, "seed", 0), (most, "max_iterations", 1)):
        check_whole(value, name)
        if value < smallest:
            raise InputError(f"{name} must be at least {smallest}, got {value}")
    if samples is None:
        return
    check_whole(samples, "samples")
    least = -(-_LEAST_ROWS * map.parameter_count() // map.dimension)
    if samples < least:
        raise InputError(
            f"{samples} samples are too few for the {map.parameter_count()} parameters of the map "
            f"in dimension {map.dimension}: give at least {least}, or a smaller map"
        )


def _count(samples: int | None, map: PushForward) -> int:
    return samples or max(_SAMPLES, -(-_ROWS * map.parameter_count() // map.dimension))
