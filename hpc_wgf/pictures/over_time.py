"""Figures of a run over time: energy and its law, errors, what is left of the force, steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.integrate import cumulative_trapezoid

from ..report import Summary
from ..store import StoredRun
from .figure import Panel
from .subject import Subject

_NOISE = 1e-14  # of rounding, below which a figure is left out of a logarithmic picture


def energy(subject: Subject) -> list[Panel]:
    """F along the steps, and F(0) less what is dissipated: the energy law says that they agree."""
    run, summary = subject.run, subject.summary

    def panel(plot: Any) -> None:
        times, values = _along_steps(run, "energy")
        _, rate = _along_steps(run, "energy_rate")
        plot.plot(times, values, color="tab:blue", lw=1.5, label="F")
        plot.plot(summary.times, _floats(summary.energy), "o", ms=3, color="tab:blue")
        if len(times) > 1 and np.isfinite(rate).all():
            law = values[0] + cumulative_trapezoid(rate, times, initial=0)
            plot.plot(times, law, "--", color="black", lw=1, label="F(0) − dissipated")
        plot.set(title="energy and its law", xlabel="t")
        plot.legend(fontsize=8)

    return [panel]


def error(subject: Subject) -> list[Panel]:
    """The map's error, its estimate and its bound over the displacement; and what is left of the
    force."""
    summary = subject.summary
    over_displacement = {
        "error": (summary.map_error_relative, "s-"),
        "estimate": (summary.error_estimate_relative, "x:"),
        "bound": (summary.error_bound_relative, "--"),
    }
    divergences = {
        "KL to equilibrium": (summary.kl_divergence, "o-"),
        "symmetric KL": (summary.symmetric_kl, "x:"),
    }
    left = {
        "√(δ/E|f|²), fresh": (summary.projection_error_fresh_relative, "o-"),
        "on the step's samples": (summary.projection_error_relative, "x:"),
    }
    panels = [
        _logarithmic(summary, "over the displacement", over_displacement),
        _logarithmic(summary, "divergence", divergences),
        _logarithmic(summary, "share of the force left over", left),
    ]
    return [panel for panel in panels if panel is not None]


def delta(subject: Subject) -> list[Panel]:
    """δ = E|Jη + f|² on fresh samples, beside the median of |f|²."""
    summary = subject.summary
    curves = {
        "δ": (summary.projection_error_fresh, "o-"),
        "median |f|²": (summary.force_square_median, "x:"),
    }
    panel = _logarithmic(summary, "δ", curves)
    return [] if panel is None else [panel]


def steps(subject: Subject) -> list[Panel]:
    """Sizes of the steps, products in their solves, and the seconds of the parts of the run."""
    run = subject.run
    if not run.steps:
        return [_seconds(run, subject.summary)]

    def step_sizes(plot: Any) -> None:
        times, rejected = run.column("step_time"), run.column("step_rejected")
        sizes = run.column("step_size")
        plot.semilogy(times, sizes, ".-", ms=3, lw=0.8, label="step size")
        plot.set_ylim(sizes.min() / 1.5, sizes.max() * 1.5)  # equal ones differ by rounding
        again = np.nan_to_num(rejected) > 0
        if again.any():
            plot.plot(times[again], sizes[again], "rx", ms=5, label="after a "
                      "rejection")  # fmt: skip
        plot.set(title="step size", xlabel="t")
        plot.legend(fontsize=8)

    def products(plot: Any) -> None:
        with np.errstate(divide="ignore", invalid="ignore"):
            each = run.column("step_products") / run.column("step_solves")
        plot.plot(run.column("step_time"), each, ".-", ms=3, lw=0.8)
        plot.set(title="products a solve", xlabel="t")

    with_products = np.nansum(run.column("step_products")) > 0
    return [step_sizes, *([products] if with_products else []), _seconds(run, subject.summary)]


def seconds_of_parts(run: StoredRun, summary: Summary) -> dict[str, float]:
    """Seconds of the parts of a run, by name."""
    stepped = float(np.nansum(run.column("step_seconds")))
    bound, drawing = summary.seconds_bound or 0.0, summary.seconds_drawing or 0.0
    return {
        "samples": drawing,
        "error's estimate": bound,
        "steps, otherwise": max(0.0, stepped - drawing - bound),
        "rows and the rest": max(0.0, summary.wall_seconds - stepped),
    }


def _seconds(run: StoredRun, summary: Summary) -> Panel:
    def panel(plot: Any) -> None:
        parts = seconds_of_parts(run, summary)
        bars = plot.barh(list(parts), list(parts.values()), color="tab:blue")
        plot.bar_label(bars, fmt="%.2g", padding=2, fontsize=8)
        plot.margins(x=0.15)
        plot.invert_yaxis()
        plot.set(title="seconds", xlabel="s")

    return panel


def _along_steps(run: StoredRun, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Times and values where steps begin, and at the last row."""
    times = np.append(run.column("step_time"), run.column("time")[-1:])
    return times, np.append(run.column(f"step_{name}"), run.column(name)[-1:])


def _logarithmic(
    summary: Summary, title: str, curves: Mapping[str, tuple[Sequence[float | None] | None, str]]
) -> Panel | None:
    """Curves over the stored times, positive values alone; None where there are none."""
    known = {
        name: (values, style)
        for name, (each, style) in curves.items()
        if each is not None and ((values := _floats(each)) > _NOISE).any()
    }
    if not known:
        return None

    def panel(plot: Any) -> None:
        for name, (values, style) in known.items():
            positive = np.where(values > _NOISE, values, np.nan)
            plot.semilogy(summary.times, positive, style, ms=4, lw=1.2, label=name)
        plot.set(title=title, xlabel="t")
        plot.legend(fontsize=8)

    return panel


def _floats(values: Sequence[float | None]) -> np.ndarray:
    return np.array(values, dtype=float)
