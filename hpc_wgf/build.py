"""From a checked run file to objects, by explicit tables of names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from . import config
from .errors import InputError
from .interactions import GaussianKernel, InteractionEnergy, Kernel, PowerLaw, UserKernel
from .maps import (
    Affine,
    BlockFlow,
    Composition,
    ModuleMap,
    PlanarFlow,
    PushForward,
    ResidualPerceptron,
)
from .methods.options import PWGFOptions
from .output import Output
from .problems import (
    Barenblatt,
    Box,
    Density,
    Energy,
    Entropy,
    Gaussian,
    GaussianMixture,
    InternalEnergy,
    Mixture,
    Paraboloid,
    Potential,
    PotentialEnergy,
    Problem,
    Quadratic,
    Rosenbrock,
    StyblinskiTang,
    SumOfPotentials,
    UserPotential,
)
from .problems.matrices import random_spd, spd_matrix
from .problems.potentials import load_object

DTYPES = {"float64": torch.float64, "float32": torch.float32}


class Objects(NamedTuple):
    """What a run file says to solve: pass them to `solve`."""

    problem: Problem
    map: PushForward
    method: PWGFOptions


def objects(run_file: config.RunFile) -> Objects:
    """Problem, map and method of a run file. Errors: `InputError` naming what does not fit."""
    return Objects(
        problem(run_file.problem),
        push_forward(run_file.map, run_file.problem.dimension),
        options(run_file.method),
    )


def output(table: config.OutputTable, path: Path | str | None) -> Output:
    """What is kept of a run, at `path`."""
    return Output(path, table.every, table.particles, table.shards)


def problem(table: config.ProblemTable) -> Problem:
    """The problem of a run file. Errors: `InputError` naming what does not fit."""
    potentials: list[tuple[float, Potential]] = []
    parts: list[Energy] = []
    for entry in table.energy:
        if type(entry) in _ENERGIES:
            parts.append(_ENERGIES[type(entry)](entry))
        else:
            built = _POTENTIALS[type(entry)](entry, table.dimension)
            potentials.append((_outer_factor(entry), built))
    if potentials:
        parts.insert(0, PotentialEnergy(_combined(potentials)))
    return Problem(
        parts,
        start(table.start, table.dimension),
        table.until,
        start_time=table.start_time,
        name=table.name,
    )


def _outer_factor(entry: Any) -> float:
    """The factor of a potential that does not take it in itself."""
    inner = (config.StyblinskiTangTable, config.RosenbrockTable, config.QuadraticTable)
    return 1.0 if isinstance(entry, inner) else float(entry.factor)


def _combined(potentials: list[tuple[float, Potential]]) -> Potential:
    if len(potentials) == 1 and potentials[0][0] == 1.0:
        return potentials[0][1]
    return SumOfPotentials(potentials)


def _random_quadratic(entry: config.RandomQuadraticTable, dimension: int) -> Quadratic:
    if entry.largest < entry.smallest:
        raise InputError(
            f"random-quadratic: largest = {entry.largest} is below smallest = {entry.smallest}"
        )
    precision = random_spd(dimension, entry.seed, entry.smallest, entry.largest)
    generator = torch.Generator().manual_seed(entry.seed + 1)
    centre = torch.randn(dimension, generator=generator, dtype=torch.float64)
    covariance = torch.linalg.inv(precision)
    return Quadratic(dimension, centre, 0.5 * (covariance + covariance.T))


def _gaussian_mixture(entry: config.GaussianMixtureTable, dimension: int) -> GaussianMixture:
    wrong = [k for k, mean in enumerate(entry.means) if len(mean) != dimension]
    if wrong:
        raise InputError(
            f"gaussian-mixture: mean {wrong[0]} has {len(entry.means[wrong[0]])} entries but the "
            f"dimension is {dimension}"
        )
    return GaussianMixture(entry.means, entry.variance, entry.weights)


def _interaction(e: config.InteractionTable) -> InteractionEnergy:
    return InteractionEnergy(
        _KERNELS[type(e.kernel)](e.kernel),
        e.factor,
        route=e.route,
        self_pairs=e.self_pairs,
        batch=e.batch,
    )


_KERNELS: dict[type, Callable[[Any], Kernel]] = {
    config.PowerLawTable: lambda e: PowerLaw(e.a, e.b),
    config.GaussianKernelTable: lambda e: GaussianKernel(e.amplitude, e.width),
    config.UserKernelTable: lambda e: UserKernel(load_object(e.function, "a kernel"), e.function),
}
_ENERGIES: dict[type, Callable[[Any], Energy]] = {
    config.EntropyTable: lambda e: Entropy(e.beta),
    config.InternalTable: lambda e: InternalEnergy(e.m, e.factor),
    config.InteractionTable: _interaction,
}
_POTENTIALS: dict[type, Callable[[Any, int], Potential]] = {
    config.QuadraticTable: lambda e, d: Quadratic(
        d, e.mean, spd_matrix(e.covariance, d, "the covariance of the quadratic") / e.factor
    ),
    config.RandomQuadraticTable: _random_quadratic,
    config.StyblinskiTangTable: lambda e, d: StyblinskiTang(e.factor),
    config.RosenbrockTable: lambda e, d: Rosenbrock(e.factor),
    config.GaussianMixtureTable: _gaussian_mixture,
    config.UserPotentialTable: lambda e, d: UserPotential.from_path(e.function),
}


def start(table: config.StartTable, dimension: int) -> Density:
    """The start density."""
    if isinstance(table, config.MixtureTable):
        parts = [start(component, dimension) for component in table.components]
        return Mixture(parts, table.weights)
    return _DENSITIES[type(table)](table, dimension)


_DENSITIES: dict[type, Callable[[Any, int], Density]] = {
    config.GaussianTable: lambda e, d: Gaussian(d, e.mean, e.covariance),
    config.BarenblattTable: lambda e, d: Barenblatt(d, e.m, e.time, e.centre),
    config.ParaboloidTable: lambda e, d: Paraboloid(d, e.centre, e.radius, e.exponent),
    config.BoxTable: lambda e, d: Box(d, e.low, e.high, e.ramp),
}


def push_forward(tables: list[config.MapTable], dimension: int) -> PushForward:
    """The map: one, or several composed in the order in which they act."""
    parts = [_MAPS[type(table)](table, dimension) for table in tables]
    return parts[0] if len(parts) == 1 else Composition(*parts)


def _features(e: config.TanhTable) -> dict[str, Any]:
    return e.model_dump(include={"features", "scale", "spread", "centre", "seed"})


def _module(entry: config.ModuleTable, dimension: int) -> ModuleMap:
    factory = load_object(entry.factory, "a module")
    torch.manual_seed(entry.seed)  # the same initial parameters on every rank
    try:
        module = factory(dimension)
    except TypeError as error:
        raise InputError(
            f"{entry.factory} could not be called with the dimension {dimension}: {error}"
        ) from error
    if not isinstance(module, nn.Module):
        raise InputError(
            f"{entry.factory} returned a {type(module).__name__}, expected a torch.nn.Module"
        )
    return ModuleMap(dimension, module, anchored=entry.anchored)


_MAPS: dict[type, Callable[[Any, int], PushForward]] = {
    config.AffineTable: lambda e, d: Affine(d),
    config.PlanarTable: lambda e, d: PlanarFlow(d, e.layers, **_features(e)),
    config.BlockTable: lambda e, d: BlockFlow(d, e.width, **_features(e)),
    config.PerceptronTable: lambda e, d: ResidualPerceptron(d, tuple(e.widths), **_features(e)),
    config.ModuleTable: _module,
}


def options(table: config.MethodTable) -> PWGFOptions:
    """The method's options."""
    return PWGFOptions(
        samples=table.samples,
        rtol=table.rtol,
        scheme=table.scheme,
        step_size=table.step,
        tolerance=None if table.tolerance == "none" else table.tolerance,
        form=table.form,
        max_products=table.max_products,
        dtype=DTYPES[table.dtype],
        seed=table.seed,
        block=table.block,
        solver=table.solver,
        preconditioner=table.preconditioner,
        shift=table.shift,
        validation=table.validation,
        cache_gib=table.cache_gib,
        tf32=table.tf32,
    )
