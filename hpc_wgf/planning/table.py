"""A plan and a dry run as tables in a terminal."""

from __future__ import annotations

from rich.table import Table

from ..streams import output_console
from .dry_run import Ran
from .plan import Plan

_COLUMNS = (
    "\nranks", "samples\na rank", "memory\na rank", "bytes a\nproduct", "sums\na step",
    "bytes\na step", "seconds\na step", "effi-\nciency",
)  # fmt: skip
_ODD_SUMS = (
    "Nothing is reduced there: rank 0's sums are multiplied by the number of ranks, its samples "
    "standing for all. The solution and its number of products mean nothing, memory and time do."
)


def print_plan(plan: Plan, source: str) -> None:
    """Print a plan; `source`: where the number of products of a solve comes from, in words."""
    console = output_console()
    console.print(
        f"{plan.problem} on {plan.device}: {plan.samples:,} samples"
        f"{' on all ranks' * plan.weak}, {plan.parameters:,} "
        f"parameters, {plan.counts.products_per_solve:g} products a solve ({source})"
        + f", a preconditioner {plan.counts.preconditioners:g} times a step"
        * plan.preconditioner,
        soft_wrap=True,
    )
    table = Table(*_COLUMNS, box=None, header_style="bold", pad_edge=False)
    for line in plan.lines:
        table.add_row(
            str(line.ranks),
            f"{line.samples:,}",
            amount(line.memory) + ("" if line.fits else " !"),
            f"{line.bytes_per_product:,.0f}",
            f"{line.all_reduces:.0f}",
            amount(line.bytes_per_step),
            f"{line.seconds:.3g}",
            f"{line.efficiency:.2f}",
        )
    console.print(table)
    if not all(line.fits for line in plan.lines):
        console.print(f"! more than the {amount(plan.memory_of_a_rank)} of a rank")
    last = plan.lines[-1]
    for text in (
        f"of {last.ranks} ranks each holds most in: {plan.phase} ({_shares(plan.held)})",
        f"seconds of a step on {last.ranks} ranks: {_seconds(last.seconds_by_part)}",
        f"every frozen stage of the map, where samples are drawn: {plan.seconds_of_stage:.2g} s",
        f"largest n that fits {last.ranks} ranks of {amount(plan.memory_of_a_rank)}: "
        f"{plan.largest_samples:,}",
    ):
        console.print(text, soft_wrap=True)


def print_ran(ran: Ran, memory: float, seconds: float) -> None:
    """Print the figures of a dry run beside the planned `memory` in bytes and `seconds`."""
    console = output_console()
    where = "GPU" if ran.on_gpu else "CPU"
    console.print(
        f"dry run of rank 0 of {ran.ranks:,} on this machine's {where}, {ran.samples:,} samples a "
        f"rank, {ran.counts.products_per_solve:g} products a solve",
        soft_wrap=True,
    )
    table = Table("", "measured", "planned", box=None, header_style="bold", pad_edge=False)
    table.add_row("peak memory", amount(ran.memory), amount(memory))
    table.add_row("seconds of a step", f"{ran.seconds:.3g}", f"{seconds:.3g}")
    console.print(table)
    console.print(_ODD_SUMS, soft_wrap=True)


def amount(nbytes: float) -> str:
    """Bytes in the unit, from B to TiB, that leaves one to three digits before the point."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if nbytes < 1000:
            return f"{nbytes:.3g} {unit}"
        nbytes /= 1024
    return f"{nbytes:.3g} TiB"


def _shares(held: object) -> str:
    """The four largest parts of the memory that is held."""
    assert isinstance(held, dict)
    largest = sorted(held.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {amount(size)}" for name, size in largest[:4])


def _seconds(parts: object) -> str:
    """The four longest parts of a step."""
    assert isinstance(parts, dict)
    largest = sorted(parts.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {seconds:.2g}" for name, seconds in largest[:4] if seconds > 0)
