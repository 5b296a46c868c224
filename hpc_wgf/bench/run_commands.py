"""The commands of benchmarks of steps and whole runs: step, methods, rivals, scaling, recipe,
output."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from .cli_options import (
    AsJson,
    Comm,
    Device,
    Folder,
    Out,
    Rounds,
    Samples,
    Settings,
    deliver,
    with_samples,
)

if TYPE_CHECKING:
    from ..parallel import Communicator
    from .record import Row


class Comparison(StrEnum):
    """What `bench step` compares."""

    SCHEMES = "schemes"
    """Runge–Kutta schemes (see `schemes`)."""
    PRECONDITIONER = "preconditioner"
    """Runs with and without preconditioner (see `preconditioned_runs`)."""
    SAMPLING = "sampling"
    """Independent samples and Sobol points (see `sampling`)."""
    PLANAR = "planar"
    """40 planar layers, with products by this package and by torch.func (see `planar_run`)."""
    BILEVEL = "bilevel"
    """[PFPE] Algorithm 1 beside PWGF in three metrics, on 60 planar layers (see `bilevel_run`)."""


class Over(StrEnum):
    """What `bench scaling` varies."""

    SAMPLES = "samples"
    """The number n of samples."""
    DIMENSION = "dimension"
    """The dimension d."""
    RANKS = "ranks"
    """The number of ranks, for the same n."""


class Flow(StrEnum):
    """The maps that `bench scaling --over dimension` compares."""

    BLOCK = "block"
    """U tanh(W x + b)."""
    NEURAL_ODE = "neural-ode"
    """Paths along a velocity of that form."""


def step_command(
    context: typer.Context,
    compare: Annotated[Comparison, typer.Option()] = Comparison.SCHEMES,
    problem: Annotated[list[str] | None, typer.Option(help="a named problem; repeat")] = None,
    scheme: Annotated[list[str] | None, typer.Option(help="may be repeated; all")] = None,
    tolerance: Annotated[
        float | None, typer.Option(help="of adaptive schemes, as in the run file")
    ] = None,
    samples: Samples = None,
    error: Annotated[
        float, typer.Option(help="over the displacement, to be reached with and without")
    ] = 1e-3,
    stored: Annotated[int, typer.Option(min=1, help="times at which errors are measured")] = 5,
    settings: Settings = None,
    rounds: Rounds = 3,
    device: Device = "cpu",
    comm: Comm = "auto",
    as_json: AsJson = False,
    out: Out = None,
) -> None:
    """Whole runs: schemes, samples, preconditioners, 40 planar layers against torch.func.

    Example: `hpc-wgf bench step --compare schemes --problem porous-2d --set problem.until=0.2`
    """
    from . import bilevel_run, planar_run, preconditioned_runs, sampling, schemes

    own = with_samples(settings, samples)

    def measure(on: Communicator) -> list[Row]:
        if compare is Comparison.PLANAR:
            return planar_run.rows(samples, tuple(settings or []), rounds, on)
        if compare is Comparison.BILEVEL:
            own_settings = tuple(settings or [])
            return [
                row
                for name in problem or ["ou-2d"]
                for row in bilevel_run.rows(name, samples, own_settings, on)
            ]
        if compare is Comparison.SAMPLING:
            numbers = [samples] if samples else []
            return sampling.rows(problem or [], numbers, settings or [], rounds, stored, on)
        if compare is Comparison.PRECONDITIONER:
            return preconditioned_runs.rows(problem or [], own, error, rounds, stored, on)
        return [
            row
            for name in problem or ["porous-2d"]
            for row in schemes.rows(name, scheme or [], tolerance, own, rounds, stored, on)
        ]

    deliver(context, measure)


def scaling_command(
    context: typer.Context,
    over: Annotated[Over, typer.Option()] = Over.SAMPLES,
    value: Annotated[list[int] | None, typer.Option(min=1, help="repeat: n, d or ranks")] = None,
    samples: Samples = None,
    width: Annotated[
        int | None, typer.Option(min=0, help="of the block; 0 for none, with --problem")
    ] = None,
    map: Annotated[
        list[Flow] | None, typer.Option(help="over dimension, to be compared: may be repeated")
    ] = None,
    problem: Annotated[
        str | None, typer.Option(help="a named one, over dimension, by an affine map and a block")
    ] = None,
    case: Annotated[str, typer.Option(help="whose products the ranks share")] = "block-448-d5",
    rounds: Rounds = 3,
    device: Device = "cpu",
    comm: Comm = "auto",
    as_json: AsJson = False,
    out: Out = None,
) -> None:
    """Seconds a step over samples or dimension, seconds a product over ranks.

    Example: `hpc-wgf bench scaling --over samples --value 10000 --value 1000000`

    Example: `hpc-wgf bench scaling --over dimension --problem ou-scaling --value 32 --value 128`
    """
    from . import rank_scaling, scaling

    def measure(on: Communicator) -> list[Row]:
        if over is Over.SAMPLES:
            return scaling.over_samples(
                value or [10_000, 30_000, 100_000], width or 448, rounds, on
            )
        if over is Over.DIMENSION:
            if problem is not None:
                wide = 32 if width is None else width
                return scaling.of_problem(problem, value or [32, 128], samples, wide, rounds, on)
            sizes = value or [30, 100, 300, 1000]
            maps = map or [Flow.BLOCK]
            return scaling.over_dimension(sizes, samples or 1000, width or 64, rounds, on, maps)
        return rank_scaling.rows(value or [1, 2], case, samples or 100_000, rounds, device)

    if over is Over.RANKS and comm == "mpi":
        raise InputError("over ranks torchrun launches them: leave --comm mpi out")
    if over is not Over.DIMENSION and map:
        raise InputError("maps are compared over dimension alone: leave --map out")
    if over is Over.SAMPLES and samples:
        raise InputError("over samples their numbers are the values: give --value, not --samples")
    if problem is not None and over is not Over.DIMENSION:
        raise InputError("a named problem is scaled over dimension: give --over dimension")
    if width == 0 and problem is None:
        raise InputError("only named problems go without a block: give --problem, or --width > 0")
    deliver(context, measure)


def methods_command(
    context: typer.Context,
    problem: Annotated[list[str] | None, typer.Argument(help="named problems or files")] = None,
    method: Annotated[list[str] | None, typer.Option(help="may be repeated; all")] = None,
    error: Annotated[
        float | None,
        typer.Option(help="to be reached; by default 5e-2 of the displacement, or see the rows"),
    ] = None,
    patience: Annotated[
        float, typer.Option(min=0, help="seconds after which a method is tried no further")
    ] = 120.0,
    settings: Settings = None,
    picture: Annotated[
        Path | None, typer.Option(help="a file for error against seconds, .png or .pdf")
    ] = None,
    device: Device = "cpu",
    comm: Comm = "auto",
    as_json: AsJson = False,
    out: Out = None,
) -> None:
    """Every method that can solve a problem, to the same error: seconds, samples, parameters.

    Example: `hpc-wgf bench methods ou-2d-aniso porous-2d --error 1e-2 --picture methods.png`
    """
    from . import methods, methods_picture

    kept: list[Row] = []

    def measure(on: Communicator) -> list[Row]:
        rows = methods.rows(problem or [], method or [], settings or [], error, patience, on)
        kept.extend(rows if on.rank == 0 else [])
        return rows

    if picture is not None:
        methods_picture.check_path(picture)
    deliver(context, measure)
    if picture is not None and kept:
        methods_picture.draw(kept, picture)


def rivals_command(
    context: typer.Context,
    problem: Annotated[list[str] | None, typer.Argument(help="named problems or files")] = None,
    rival: Annotated[list[str] | None, typer.Option(help="may be repeated; all")] = None,
    patience: Annotated[
        float, typer.Option(min=0, help="seconds that no level of a rival is to take longer than")
    ] = 10.0,
    seed: Annotated[int, typer.Option(min=0, help="of samples")] = 0,
    settings: Settings = None,
    as_json: AsJson = False,
    out: Out = None,
) -> None:
    """The same question to this solver and to grids, particles and paths: errors and seconds.

    On one process and its CPU, in seconds of the processor.

    Example: `hpc-wgf bench rivals ou-2d-aniso --rival grid --rival euler-maruyama`
    """
    from . import rivals

    def measure(on: Communicator) -> list[Row]:
        return rivals.rows(problem or [], rival or [], settings or [], patience, seed, on)

    deliver(context, measure)


def recipe_command(
    context: typer.Context,
    problem: Annotated[list[str] | None, typer.Option(help="may be repeated")] = None,
    steps: Annotated[int, typer.Option(min=1, help="of the recipe, timed in every round")] = 2,
    paper: Annotated[
        list[str] | None, typer.Option("--set-paper", metavar="A.B=VALUE", help="repeat")
    ] = None,
    settings: Settings = None,
    rounds: Rounds = 3,
    device: Device = "cpu",
    comm: Comm = "auto",
    as_json: AsJson = False,
    out: Out = None,
) -> None:
    """Time to an error of 1 % of the displacement: the papers' settings against cheaper ones.

    Example: `hpc-wgf bench recipe --set-paper method.dtype=float32`
    """
    from . import recipe

    names = problem or list(recipe.OURS)
    deliver(
        context,
        lambda on: recipe.rows(names, steps, paper or [], settings or [], rounds, on),
    )


def output_command(
    context: typer.Context,
    problem: Annotated[list[str] | None, typer.Option(help="a named problem; repeat")] = None,
    samples: Samples = None,
    settings: Settings = None,
    folder: Folder = None,
    rounds: Rounds = 5,
    device: Device = "cpu",
    comm: Comm = "auto",
    as_json: AsJson = False,
    out: Out = None,
) -> None:
    """Whole runs with and without a store: the share of their seconds that it takes.

    Example: `hpc-wgf bench output --problem ou-2d --samples 100000 --set output.every=0.07`
    """
    from . import output

    own = with_samples(settings, samples)
    deliver(context, lambda on: output.rows(problem or ["ou-2d"], own, rounds, folder, on))


def jko_command(
    context: typer.Context,
    problem: Annotated[
        list[str] | None, typer.Option(help="ou-scaling or porous-1d; repeat; both")
    ] = None,
    dimension: Annotated[
        list[int] | None, typer.Option(min=1, help="of ou-scaling; repeat")
    ] = None,
    seed: Annotated[list[int] | None, typer.Option(min=0, help="of its matrix; repeat")] = None,
    settings: Settings = None,
    device: Device = "cpu",
    comm: Comm = "auto",
    as_json: AsJson = False,
    out: Out = None,
) -> None:
    """The primal-dual method against exact JKO steps: its error, theirs, and the duality gap.

    Example: `hpc-wgf bench jko --problem ou-scaling --dimension 2 --set problem.until=0.1`
    """
    from . import jko

    def measure(on: Communicator) -> list[Row]:
        return jko.rows(problem or [], dimension or [2, 8], seed or [0], settings or [], on)

    deliver(context, measure)
