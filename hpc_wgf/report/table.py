"""The summary as a table for a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..accounts import seconds_by_part
from ..streams import output_console
from .accuracy import accuracy_missed, of_accuracy
from .expectations import print_expectations
from .further import FEWEST_EFFECTIVE
from .summary import AT_REST, Column, Summary

# Warnings begin at these values.
_UNRESOLVED = 0.7  # relative projection error: the map then misses half of the dissipation
_OVERFIT = 0.5  # projection error on the samples of the step, over that on fresh ones
_UNEVEN = 10.0  # mean of |f|² over its median; 2.2 for the square of a normal variable
_FITTED = 0.01  # relative projection error on fresh samples, below which that does not matter
_GAP = 0.3  # gap in the energy law: named problems stay below 0.15, in parts of a run below 0.26
_RISE = 0.01  # rise of the energy in a step, over the scale of the energy law
_SMALL = 1e-2  # energies
_SHORTER = "Shorten method.step, or give method.tolerance, or a smaller one"
_PARTS, _LEAST_SHARE = 6, 0.01  # of the account that is told in one line
_NONLINEAR = 0.5  # nonlinear over linear motion in a step: theory of small steps then fails


def print_summary(summary: Summary, console: Console | None = None) -> None:
    """Print what was solved, a line of figures for each stored time, warnings, and the work."""
    console = console or output_console()
    console.print(
        f"[bold]{escape(summary.problem)}[/bold]  dimension {summary.dimension}, "
        f"{summary.samples} samples on {summary.ranks} rank(s), {summary.parameters} parameters"
        + _of_map(summary)
        + (f" in each of {summary.stages} stages" if summary.stages > 1 else "")
        + "".join(f", interaction by {route}" for route in summary.interaction_routes)
        + (f", preconditioner {summary.preconditioner}" if summary.preconditioner else "")
    )
    columns: dict[str, tuple[Column | None, str]] = {
        _of_energy(summary): (summary.energy, _form_of(summary.energy)),
        "KL to equilibrium": (summary.kl_divergence, ".4g"),
        "KL to exact flow": (summary.kl_exact, ".3g"),
        "its error": (summary.kl_exact_error, ".1g"),
        "map error": (summary.map_error, ".2e"),
        "map error / displacement": (summary.map_error_relative, ".2e"),
        "estimate": (summary.error_estimate_relative, ".1e"),
        "bound": (summary.error_bound_relative, ".1e"),
        "corrected": (_corrected(summary), ".1e"),
        "symmetric KL": (summary.symmetric_kl, ".1e"),
        "δ": (summary.projection_error_fresh, ".1e"),
        "median |f|²": (summary.force_square_median, ".1e"),
        "projection error": (summary.projection_error_fresh_relative, ".1e"),
    }
    shown = {name: pair for name, pair in columns.items() if pair[0] is not None}
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("t", *shown):
        table.add_column(name, overflow="fold")  # An ellipsis would stand for digits.
    for k, time in enumerate(summary.times):
        cells = [_cell(values[k] if values else None, form) for values, form in shown.values()]
        table.add_row(f"{time:.9g}", *cells)
    console.print(table)
    for warning in warnings_of(summary):
        console.print(f"[yellow]{warning}[/yellow]")
    if summary.accuracy is not None:
        console.print(of_accuracy(summary))
    if summary.log_z is not None and summary.log_z_error is not None:
        console.print(
            f"log Z = {summary.log_z:.5g} ± {summary.log_z_error:.1g} by importance weights of "
            f"{summary.effective_samples:.0f} effective samples{_of_weights(summary)}"
        )
    if summary.expectations is not None:
        print_expectations(summary.expectations, console)
    if (found := summary.corrected) is not None:
        before, after = found.second_moment_before[-1], found.second_moment[-1]
        if before is not None and after is not None:
            console.print(f"E|x|² = {before:.6g}, and {after:.6g} of samples moved by the estimate")
    if summary.bound_left_out is not None:
        console.print(f"no bound of the error: {summary.bound_left_out}")
    products = summary.products_per_solve
    tail = "" if products is None else f", {products:.1f} products a solve"
    residual = summary.worst_residual
    if residual is not None:
        tail += f", worst true residual {residual:.1e}"
    if summary.unconverged:
        tail += f", [yellow]{summary.unconverged} solves stopped short of rtol[/yellow]"
    if summary.stages > 1 and summary.seconds_drawing is not None and summary.wall_seconds:
        share = summary.seconds_drawing / summary.wall_seconds
        tail += f", {share:.0%} of the time for samples behind frozen stages"
    if summary.seconds_bound and summary.wall_seconds:
        tail += f", {summary.seconds_bound / summary.wall_seconds:.0%} for the error's estimate"
    if summary.account:
        console.print(_where_time_went(seconds_by_part(summary.account)))
    state = "finished" if summary.finished else f"not finished: runs until t = {summary.until:g}"
    rejected = "" if summary.rejected is None else f" ({summary.rejected} rejected)"
    console.print(f"{summary.steps} steps{rejected}{tail}, {summary.wall_seconds:.1f} s, {state}")


def _where_time_went(seconds: dict[str, float]) -> str:
    """The parts that took most of the time, with their shares."""
    total = sum(seconds.values())
    most = [(name, each / total) for name, each in seconds.items() if each > 0.0][:_PARTS]
    told = ", ".join(f"{name} {share:.0%}" for name, share in most if share >= _LEAST_SHARE)
    return f"where {total:.1f} s went: {told}"


def _corrected(summary: Summary) -> Column | None:
    return None if summary.corrected is None else summary.corrected.map_error_relative


def _of_energy(summary: Summary) -> str:
    """The head of the column of energies, which says what they are given without."""
    missing = summary.left_out_of_energy
    return f"energy − {missing}" if missing else "energy"


def _of_weights(summary: Summary) -> str:
    """A warning where a few samples have all the weight."""
    few = (summary.effective_samples or 0.0) < FEWEST_EFFECTIVE
    return ", so few that it cannot be trusted: the density is far from stationary" if few else ""


def _of_map(summary: Summary) -> str:
    """Which map, where it was chosen from the problem."""
    return f" of {summary.map}, chosen from the problem" if summary.map_chosen else ""


def warnings_of(summary: Summary) -> list[str]:
    """What a reader has to know before trusting the figures, a sentence or two each."""
    warnings = [*summary.start_warnings, *_against_the_energy_law(summary)]
    if summary.map_error is not None and None in summary.map_error:
        time = summary.times[summary.map_error.index(None)]
        warnings.append(
            f"the exact map could not be computed accurately at t = {time:g} and perhaps later: "
            "no map error is given there"
        )
    warnings += [f"KL to exact flow: {note}" for note in summary.kl_exact_notes]
    warnings += [*_of_the_projection(summary), *accuracy_missed(summary)]
    bent = summary.worst_nonlinearity
    if bent is not None and bent > _NONLINEAR:
        warnings.append(
            f"in one step the motion of the samples was off by {bent:.0%} from linear in θ: "
            f"steps are long for this map. {_SHORTER}"
        )
    if any(summary.folded):
        warnings.append(
            f"the map has folded at up to {max(summary.folded)} evaluation samples: their "
            "positions stand, their densities are not known"
        )
    if summary.left_out:
        warnings.append(
            f"at up to {summary.left_out} of {summary.samples} new samples of a step the map had "
            "folded already: they were left out of it"
        )
    return warnings


def _of_the_projection(summary: Summary) -> list[str]:
    """Warnings where the map leaves much of the force over, or follows it on the samples of the
    step alone."""
    pairs = zip(
        summary.projection_error_fresh_relative, summary.projection_error_relative,
        summary.energy_rate, summary.times, strict=True,
    )  # fmt: skip
    fastest = max((abs(rate) for rate in summary.energy_rate if rate is not None), default=0.0)
    # Near a steady state what is left of the force is noise.
    moving = [
        (fresh, own, time)
        for fresh, own, rate, time in pairs
        if fresh is not None and rate is not None and abs(rate) > AT_REST * fastest
    ]
    warnings = []
    if unresolved := [each for each in moving if each[0] > _UNRESOLVED]:
        worst, _, time = max(unresolved, key=lambda each: each[0])
        warnings.append(
            f"the map follows only part of the force: at t = {time:g}, {worst:.0%} of its root "
            "mean square is left over. Energies and fine structure are those of the map"
            + _of_few_samples(summary, worst, time)
        )
    fitted = [
        (fresh, own, time)
        for fresh, own, time in moving
        if own is not None and fresh > _FITTED and own < _OVERFIT * fresh
    ]
    if fitted:
        fresh, own, time = max(fitted, key=lambda each: each[0])
        warnings.append(
            f"the velocity fits the samples of its own step better than others: at t = {time:g} "
            f"it leaves {own:.2g} of the force over at these, and {fresh:.2g} at fresh ones. "
            f"{summary.samples} samples are too few for {summary.parameters} parameters, or for "
            "the field of an interaction: take more samples (method.samples), or a smaller map"
        )
    return warnings


def _of_few_samples(summary: Summary, left: float, time: float) -> str:
    """What is to be known of the share `left` of the force where a few samples make up its mean
    square, as do those at which the carried score is rough."""
    row = summary.times.index(time)
    error, medians = summary.projection_error_fresh[row], summary.force_square_median
    median = None if medians is None else medians[row]
    if error is None or not median or error < _UNEVEN * left**2 * median:
        return ""
    return (
        f". A few samples make up that mean, {error / (left**2 * median):.2g} times the median of "
        "|f|²: at the others the map may follow far more"
    )


def _against_the_energy_law(summary: Summary) -> list[str]:
    """A warning where the energy rises or does not fall by what is dissipated."""
    law = summary.energy_law
    if law is None:
        return []
    if law.rise > _RISE * law.whole.scale and not summary.energy_may_rise:
        return [
            f"the energy rose by {law.rise:.3g} in the step from t = {law.rise_time:g}, which a "
            f"gradient flow never does: do not trust what follows. {_SHORTER}; in the energy form, "
            "take more samples"
        ]
    for part in (law.whole, law.worst):
        if part is not None and part.gap > _GAP and part.is_sure:
            return [
                f"from t = {part.begun:.4g} to {part.ended:.4g} the energy fell by "
                f"{part.fall:.3g}, but the flow would have dissipated {part.dissipated:.3g}: steps "
                f"are too long, or samples too few. {_SHORTER}; in the energy form, take more "
                "samples"
            ]
    return []


def _form_of(energies: Column) -> str:
    """Six digits behind the point, for small energies behind that of their leading digit."""
    largest = max((abs(energy) for energy in energies if energy is not None), default=1.0)
    return ".6f" if largest >= _SMALL or largest == 0 else ".6e"


def _cell(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
