"""The commands of benchmarks of single parts: draws, product, solve, ring, store, device."""

from __future__ import annotations

from typing import Annotated

import typer

from ..choices import Precision
from .cli_options import (
    AsJson,
    Comm,
    Device,
    Dtype,
    Folder,
    Out,
    Rounds,
    Samples,
    Settings,
    deliver,
)


def draws_command(
    context: typer.Context,
    case: Annotated[list[str] | None, typer.Option(help="may be repeated; all")] = None,
    dimension: Annotated[int, typer.Option(min=1)] = 15,
    samples: Annotated[int, typer.Option(min=1)] = 1_000_000,
    dtype: Dtype = Precision.FLOAT64,
    rounds: Rounds = 5,
    as_json: AsJson = False,
    out: Out = None,
) -> None:
    """Samples of a step with densities and scores, against what random numbers and memory allow.

    Example: `hpc-wgf bench draws --case gaussian --case barenblatt`
    """
    from . import draws

    names = case or list(draws.CASES)
    deliver(context, lambda on: draws.rows(names, dimension, samples, dtype, rounds))


def product_command(
    context: typer.Context,
    case: Annotated[list[str] | None, typer.Option(help="may be repeated; all")] = None,
    samples: Samples = None,
    dtype: Dtype = Precision.FLOAT64,
    rounds: Rounds = 5,
    device: Device = "cpu",
    comm: Comm = "auto",
    as_json: AsJson = False,
    out: Out = None,
) -> None:
    """The product with Ĝ against torch.func, double backward and the rate of matrix products.

    Example: `hpc-wgf bench product --case block-256-d30 --json`
    """
    from . import cases, product

    deliver(
        context,
        lambda on: product.rows(case or list(cases.CASES), samples, dtype, rounds, on.device),
    )


def solve_command(
    context: typer.Context,
    case: Annotated[list[str] | None, typer.Option(help="a named problem; repeat")] = None,
    samples: Samples = None,
    settings: Settings = None,
    rounds: Rounds = 3,
    device: Device = "cpu",
    comm: Comm = "auto",
    as_json: AsJson = False,
    out: Out = None,
) -> None:
    """One linear solve with and without preconditioner, to the same projection error.

    Example: `hpc-wgf bench solve --case porous-5d --samples 100000`
    """
    from . import solve

    names = case or list(solve.CASES)
    deliver(context, lambda on: solve.rows(names, samples, settings or [], rounds, on))


def ring_command(
    context: typer.Context,
    dimension: Annotated[list[int] | None, typer.Option(min=1, help="may be repeated")] = None,
    samples: Annotated[int, typer.Option(min=2)] = 16_384,
    dtype: Dtype = Precision.FLOAT64,
    rounds: Rounds = 5,
    device: Device = "cpu",
    comm: Comm = "auto",
    as_json: AsJson = False,
    out: Out = None,
) -> None:
    """Sums over pairs of particles: all pairs (on several ranks in a ring), moments, batches; by
    PyKeOps too where it is installed.

    Example: `torchrun --nproc-per-node 2 -m hpc_wgf bench ring --samples 20000`
    """
    from . import ring

    deliver(context, lambda on: ring.rows(dimension or [2, 10], samples, dtype, rounds, on))


def store_command(
    context: typer.Context,
    samples: Annotated[list[int] | None, typer.Option(min=1, help="may be repeated")] = None,
    dimension: Annotated[int, typer.Option(min=1)] = 10,
    parameters: Annotated[int, typer.Option(min=1)] = 5_000,
    folder: Folder = None,
    rounds: Rounds = 5,
    device: Device = "cpu",
    comm: Comm = "auto",
    as_json: AsJson = False,
    out: Out = None,
) -> None:
    """Committing a row of n particles against a plain save of the same bytes.

    Example: `hpc-wgf bench store --samples 1000000 --folder /scratch`
    """
    from . import store

    sizes = samples or [10_000, 300_000]
    deliver(context, lambda on: store.rows(sizes, dimension, parameters, rounds, folder))


def device_command(
    context: typer.Context,
    samples: Samples = None,
    dtype: Dtype = Precision.FLOAT64,
    rounds: Rounds = 5,
    device: Device = "auto",
    as_json: AsJson = False,
    out: Out = None,
) -> None:
    """What a step is made of, on one device, beside its ceilings and other ways to do it.

    Example: `hpc-wgf bench device --device cuda --out device.json`
    """
    from . import device as parts

    deliver(context, lambda on: parts.rows(samples, dtype, rounds, on.device))
