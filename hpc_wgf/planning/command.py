"""The work of `hpc-wgf plan`: print what a run will take, before it is started."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..choices import Metric
from ..config import build, load
from ..errors import InputError
from ..fields import local_path
from ..methods.pwgf import PWGFOptions
from ..parallel import one_thread
from ..report import Summary
from ..run.schedule import Schedule
from ..store import open_run
from . import PRODUCTS
from .calibration import calibrated
from .devices import Device, device_named
from .dry_run import Ran, dry_run
from .partition import Job
from .plan import Plan, Planner
from .seconds import Counts
from .table import print_plan, print_ran


def plan(
    name: str, settings: Sequence[str], *, nodes: int, per_node: int, device: str,
    products: float | None, like: Path | None, preconditioners: float | None,
    calibration: Path | None, execute: Callable[..., object] | None, weak: bool, as_json: bool,
    trust: bool = False,
) -> None:  # fmt: skip
    """Print the plan of a run on `nodes` with `per_node` ranks each, as a table or as JSON.

    `name`, `settings`: the run, as for `config.load`. `device`: a name in `DEVICES`. `products`:
    products with Ĝ in a solve; `like`: a store or a report of a run to take them from.
    `preconditioners`: made in a step. `calibration`: a record for `calibrated`. `execute`:
    `hpc_wgf.solve`, by which a step is also executed (see `dry_run`); None for a plan alone.
    `weak`: whether fewer ranks are planned with as many samples each, and not with as many in all.

    Errors: `InputError` for what does not fit.
    """
    ranks = _ranks(nodes, per_node)
    hardware = device_named(device)
    if calibration is not None:
        hardware = calibrated(hardware, calibration)
    found = _products(products, like)
    job = _job(name, settings, trust=trust)
    if job.options.solves_directly(job.map, coupled=job.problem.couples_coordinates):
        found = _Products(0.0, "the map is linear in its parameters, and solves are direct")
    counts = Counts(found.number, _preconditioners(preconditioners, job))
    job.partition(ranks, hardware.torch_device)  # raises, before any work, for too many ranks
    if "OMP_NUM_THREADS" not in os.environ:
        one_thread()
    # The dry run comes first: its peak of memory is that of the process.
    ran = None if execute is None else dry_run(job, ranks, hardware, execute)
    planner = Planner(job, hardware, per_node)
    planned = planner.plan(ranks, counts, weak=weak)
    beside = None if ran is None else _beside(ran, planner, hardware)
    if as_json:
        print(json.dumps(_rows(planned, found, hardware, ran, beside)))
        return
    print_plan(planned, found.source)
    if job.options.accuracy is not None:
        print(
            f"method.accuracy chooses the samples by pilot runs, before the run begins: planned "
            f"with method.samples = {job.options.samples:,}"
        )
    if ran is not None and beside is not None:
        print_ran(ran, *beside)


@dataclass(frozen=True)
class _Products:
    """Products with Ĝ in a solve."""

    number: float
    """How many."""
    source: str
    """Where the number comes from, in words."""


def _ranks(nodes: int, per_node: int) -> int:
    for given, name in ((nodes, "--nodes"), (per_node, "--gpus-per-node")):
        if given < 1:
            raise InputError(f"{name} must be at least 1, got {given}")
    return nodes * per_node


def _job(name: str, settings: Sequence[str], *, trust: bool) -> Job:
    run_file = load(name, settings)
    problem, map, options = build(run_file, trust=trust)
    if not isinstance(options, PWGFOptions):
        raise InputError(
            f"plans are of runs by the method pwgf, and {name} is solved by {options.kind}: its "
            "memory and seconds are not known. Run it with few samples, and read its report"
        )
    if options.tells_gradient_error or options.metric is not Metric.PULLBACK:
        raise InputError(
            "plans know products with the metric Ĝ, and neither those of gradients nor the flat "
            'flow: leave method.metric, form = "weak" and gradient_error out of a plan'
        )
    job = Job(problem, map, options, run_file.output)
    schedule = Schedule(problem.start_time, problem.until, job.every())
    schedule.check_step(options.step_size, fixed=options.tolerance is None)
    return job


def _preconditioners(given: float | None, job: Job) -> float:
    """Preconditioners made in a step, by default one for every stored row.

    A run makes more where a new one costs no more than the products that it saves: with very many
    samples, in the end in every solve.
    """
    if given is not None:
        if not 0 <= given < math.inf:
            raise InputError(
                f"--preconditioners must not be negative, got {given:g}: give a finite number"
            )
        return given
    return min(1.0, job.options.step_size / job.every())


def _products(number: float | None, like: Path | None) -> _Products:
    if number is not None and like is not None:
        raise InputError("--products and --like both say how many products: give one of them")
    if number is not None:
        if not 0 < number < math.inf:
            raise InputError(f"--products must be positive, got {number:g}: give a finite number")
        return _Products(number, "as given")
    if like is None:
        return _Products(PRODUCTS, "stated; --products or --like gives the problem's own")
    known = _recorded(like)
    if known is None:
        raise InputError(f"{like} tells no products per solve: give --products")
    return _Products(known, f"as in {like}")


def _recorded(path: Path) -> float | None:
    """Products of a solve in the run whose store, or report by --json, this is."""
    path = local_path(path)
    if path.is_dir() or not path.exists():
        return Summary.of_store(open_run(path)).products_per_solve
    try:
        number = json.loads(path.read_text(encoding="utf-8"))["products_per_solve"]
        return None if number is None or not 0 < number < math.inf else float(number)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path} is neither a store nor the output of hpc-wgf report --json: give one of them, "
            "or --products"
        ) from error


def _beside(ran: Ran, planner: Planner, hardware: Device) -> tuple[float, float]:
    """Memory in bytes and seconds that are planned for a dry run, on the device where it ran."""
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
    """The plan and all that it depends on, for JSON."""
    executed = None
    if ran is not None and beside is not None:
        executed = {**asdict(ran), "memory_planned": beside[0], "seconds_planned": beside[1]}
    return {
        **plan.as_rows(),
        "products_from": found.source,
        "constants": asdict(hardware),
        "dry_run": executed,
    }
