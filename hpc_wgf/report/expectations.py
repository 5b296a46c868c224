"""Expectations of the stationary density as tables for a terminal."""

from __future__ import annotations

from itertools import islice

from rich.console import Console
from rich.table import Table

from .further import FEWEST_EFFECTIVE, LARGEST_TAIL_INDEX, Expectations

_MOST = 16  # coordinates, or modes, of which a line is printed


def print_expectations(found: Expectations, console: Console) -> None:
    """Print means, variances and shares by the samples themselves and by their weights."""
    console.print(
        f"stationary density, by the samples at t = {found.time:.9g} and their weights "
        f"({found.effective_samples:.0f} effective samples):"
    )
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("axis", "mean", "weighted", "variance", "weighted"):
        table.add_column(name)
    rows = zip(
        found.mean, found.mean_weighted, found.mean_error,
        found.variance, found.variance_weighted, found.variance_error, strict=True,
    )  # fmt: skip
    for axis, row in enumerate(islice(rows, _MOST), 1):
        mean, centre, its_error, variance, width, width_error = row
        table.add_row(
            str(axis), f"{mean:.5g}", f"{centre:.5g} ± {its_error:.1g}",
            f"{variance:.5g}", f"{width:.5g} ± {width_error:.1g}",
        )  # fmt: skip
    console.print(table)
    if (left := len(found.mean) - _MOST) > 0:
        console.print(f"and {left} more axes: see --json")
    if found.modes and found.shares and found.shares_weighted and found.shares_error:
        _print_shares(found.modes, found.shares, found.shares_weighted, found.shares_error, console)
    if found.degenerate:
        console.print(
            f"[yellow]these weights have {found.effective_samples:.3g} effective samples"
            + ("" if found.tail_index is None else f" and the tail index {found.tail_index:.2f}")
            + f", where {FEWEST_EFFECTIVE} and at most {LARGEST_TAIL_INDEX:g} can be trusted: few "
            "samples decide, and neither weighted figures nor log Z mean anything. Run to a later "
            "time, or with a richer map[/yellow]"
        )


def _print_shares(
    modes: list[list[float]], shares: list[float], weighted: list[float], errors: list[float],
    console: Console,
) -> None:  # fmt: skip
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("mode at", "share", "weighted"):
        table.add_column(name, overflow="fold")
    for mode, share, truer, error in list(zip(modes, shares, weighted, errors, strict=True))[
        :_MOST
    ]:
        place = ", ".join(f"{coordinate:.3g}" for coordinate in mode[:4])
        place += ", …" if len(mode) > 4 else ""
        table.add_row(f"({place})", f"{share:.4f}", f"{truer:.4f} ± {error:.1g}")
    console.print(table)
    if (left := len(modes) - _MOST) > 0:
        console.print(f"and {left} more modes: see --json")
