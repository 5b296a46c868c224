"""`hpc-wgf plan`: what a run will take, before it is started."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import build, catalogue
from ..errors import InputError
from ..parallel import one_thread
from ..report import Summary
from ..store import open_run
from .calibration import calibrated
from .devices import DEVICES, Device, device_named
from .dry_run import Ran, dry_run
from .partition import Job
from .plan import Plan, Planner
from .seconds import Counts
from .table import print_plan, print_ran

_PRODUCTS = 20.0  # of a solve: the runs recorded under data/runs take 7 to 99


def plan_command(
    name: Annotated[
        str, typer.Argument(metavar="NAME|FILE.toml", help="a named problem, or a run file")
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="A.B=VALUE", help="change one value; may be repeated"),
    ] = None,
    nodes: Annotated[int, typer.Option(help="nodes of the job")] = 1,
    per_node: Annotated[
        int, typer.Option("--gpus-per-node", "--ranks-per-node", help="ranks on each of them")
    ] = 1,
    device: Annotated[str, typer.Option(help=", ".join(DEVICES))] = "cpu",
    products: Annotated[
        float | None, typer.Option(help=f"of a solve; depends on the problem [{_PRODUCTS:g}]")
    ] = None,
    like: Annotated[
        Path | None, typer.Option(help="a store, or a report by --json, to take them from")
    ] = None,
    preconditioners: Annotated[
        float | None, typer.Option(help="made in a step [one for every stored row]")
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="a record of `hpc-wgf bench scaling --over ranks --out`")
    ] = None,
    execute: Annotated[
        bool, typer.Option("--dry-run", help="also execute a step of rank 0 on a fake group")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object for machines")] = False,
) -> None:
    """Memory, traffic and seconds a step of a job, and the largest n that fits.

    Example: `hpc-wgf plan porous-15d --set method.samples=1000000 --nodes 64 --gpus-per-node 8
    --device h100`
    """
    ranks = _ranks(nodes, per_node)
    hardware = device_named(device)
    if calibration is not None:
        hardware = calibrated(hardware, calibration)
    found = _products(products, like)
    job = _job(name, settings or [])
    counts = Counts(found.number, _preconditioners(preconditioners, job))
    job.partition(ranks, hardware.torch_device)  # refuses more ranks than blocks before any work
    if "OMP_NUM_THREADS" not in os.environ:
        one_thread()
    # The dry run comes first: its peak of memory is that of the process.
    ran = dry_run(job, ranks, hardware) if execute else None
    planner = Planner(job, hardware, per_node)
    plan = planner.plan(ranks, counts)
    beside = None if ran is None else _beside(ran, planner, hardware)
    if as_json:
        print(json.dumps(_rows(plan, found, hardware, ran, beside)))
        return
    print_plan(plan, found.source)
    if ran is not None and beside is not None:
        print_ran(ran, *beside)


@dataclass(frozen=True)
class _Products:
    number: float
    source: str


def _ranks(nodes: int, per_node: int) -> int:
    for given, name in ((nodes, "--nodes"), (per_node, "--gpus-per-node")):
        if given < 1:
            raise InputError(f"{name} must be at least 1, got {given}")
    return nodes * per_node


def _job(name: str, settings: list[str]) -> Job:
    run_file = catalogue.load(name, settings)
    return Job(*build.objects(run_file), build.output(run_file.output, None))


def _preconditioners(given: float | None, job: Job) -> float:
    """Made in a step: one for every stored row. A run makes more of them where a new one costs no
    more than the products that it saves: with very many samples, in the end in every solve."""
    if given is not None:
        if not given >= 0:
            raise InputError(f"--preconditioners must not be negative, got {given:g}")
        return given
    return min(1.0, job.options.step_size / job.every())


def _products(number: float | None, like: Path | None) -> _Products:
    if number is not None and like is not None:
        raise InputError("--products and --like both say how many products: give one of them")
    if number is not None:
        if not number > 0:
            raise InputError(f"--products must be positive, got {number:g}")
        return _Products(number, "as given")
    if like is None:
        return _Products(_PRODUCTS, "stated; --products or --like gives the problem's own")
    known = _recorded(like)
    if known is None:
        raise InputError(f"{like} tells no products per solve: give --products")
    return _Products(known, f"as in {like}")


def _recorded(path: Path) -> float | None:
    if path.is_dir() or not path.exists():
        return Summary.of_store(open_run(path)).products_per_solve
    try:
        number = json.loads(path.read_text(encoding="utf-8"))["products_per_solve"]
        return None if number is None else float(number)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is neither a store nor the output of hpc-wgf report --json: give one of them, "
            "or --products"
        ) from error


def _beside(ran: Ran, planner: Planner, hardware: Device) -> tuple[float, float]:
    """Memory and seconds that the plan says of a dry run, on the device where it ran."""
    if hardware.is_gpu != ran.on_gpu:
        planner = Planner(planner.job, device_named("cpu"), ran.ranks)
    memory = planner.memory(ran.ranks, ran.counts).total
    parts = planner.seconds(ran.ranks, ran.counts)
    executed = (seconds for part, seconds in parts.items() if part != "all-reduces")
    return memory, sum(executed)


def _rows(
    plan: Plan, found: _Products, hardware: Device, ran: Ran | None,
    beside: tuple[float, float] | None,
) -> dict[str, Any]:  # fmt: skip
    executed = None
    if ran is not None and beside is not None:
        executed = {**asdict(ran), "memory_planned": beside[0], "seconds_planned": beside[1]}
    return {
        **plan.as_rows(),
        "products_from": found.source,
        "constants": asdict(hardware),
        "dry_run": executed,
    }
