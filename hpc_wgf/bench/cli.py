"""The command `bench` with its subcommands: draws, product, solve, step, methods, rivals, ring,
store, output, device, scaling, recipe, jko, run."""

from __future__ import annotations

import typer

from ..allocator import keep_freed_memory
from .account_command import run_command
from .part_commands import (
    device_command,
    draws_command,
    product_command,
    ring_command,
    solve_command,
    store_command,
)
from .run_commands import (
    jko_command,
    methods_command,
    output_command,
    recipe_command,
    rivals_command,
    scaling_command,
    step_command,
)

bench = typer.Typer(
    no_args_is_help=True,
    help="Benchmarks: each compares in one run, in rounds A B A B …, on one core unless "
    "OMP_NUM_THREADS says otherwise.",
)


@bench.callback()
def _begun() -> None:
    keep_freed_memory()  # as runs do


bench.command("draws")(draws_command)
bench.command("product")(product_command)
bench.command("solve")(solve_command)
bench.command("step")(step_command)
bench.command("methods")(methods_command)
bench.command("rivals")(rivals_command)
bench.command("ring")(ring_command)
bench.command("store")(store_command)
bench.command("device")(device_command)
bench.command("output")(output_command)
bench.command("scaling")(scaling_command)
bench.command("recipe")(recipe_command)
bench.command("jko")(jko_command)
bench.command("run")(run_command)
