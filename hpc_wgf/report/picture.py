"""A picture of a stored run: particles at some stored times, energy and error over time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..store import StoredRun
from .summary import Summary


def draw(
    run: StoredRun, path: Path, *, axes: tuple[int, int] = (0, 1), samples: int = 2000
) -> None:
    """Draw a run to the file `path`, in the format of its ending (.png, .pdf).

    The first panels show at most `samples` particles at the first, a middle and the last stored
    time, projected onto two `axes` numbered from 0 (in one dimension as a histogram); the last
    panel shows over time the energy, and the map's error, its estimate and its bound over the
    displacement.

    Errors: `InputError` where the run has no row yet, or the file cannot be written.
    """
    if path.is_dir():
        raise InputError(f"cannot draw to {path}, a folder: give a file that ends in .png or .pdf")
    import matplotlib  # It takes half a second, which only a picture is worth.

    matplotlib.use("Agg")
    from matplotlib import pyplot

    times = run.particle_times
    if not len(times):
        raise InputError(f"{run.path} has no committed row to draw")
    summary = Summary.of_store(run)
    shown = [axis for axis in axes if axis < summary.dimension]
    rows = sorted({0, (len(times) - 1) // 3, len(times) - 1})
    figure, panels = pyplot.subplots(
        1, len(rows) + 1, figsize=(3.2 * (len(rows) + 1), 3.2), layout="constrained"
    )
    kept = _of_density(run, samples)
    clouds = [run.particles(row, slice(len(kept)))[kept][:, shown] for row in rows]
    low, high = (f([f(cloud, axis=0) for cloud in clouds], axis=0) for f in (np.min, np.max))
    for panel, cloud, row in zip(panels, clouds, rows, strict=False):
        panel.set(title=f"t = {times[row]:g}", xlim=(low[0], high[0]))
        panel.set_xlabel(f"$x_{{{shown[0] + 1}}}$")
        if len(shown) == 1:
            panel.hist(cloud[:, 0], bins=50, density=True)
        else:
            panel.scatter(*cloud.T, s=2, linewidths=0, alpha=0.5)
            panel.set(ylim=(low[1], high[1]), aspect="equal", ylabel=f"$x_{{{shown[1] + 1}}}$")
    _over_time(panels[-1], summary)
    figure.suptitle(summary.problem, parse_math=False)
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot draw to {path}: {error}") from error
    finally:
        pyplot.close(figure)


def _of_density(run: StoredRun, samples: int) -> np.ndarray:
    """Which of the first particles to show, (…,) bool: all, or of those with importance weights w
    every one with probability w over the largest, which are then distributed as ρ."""
    log_weight = run.log_weight(slice(samples))
    if log_weight is None:
        return np.ones(min(samples, run.group["particles"].shape[1]), dtype=bool)
    chance = np.exp(log_weight - log_weight.max())
    return np.random.default_rng(0).random(len(chance)) < chance


def _over_time(panel: Any, summary: Summary) -> None:
    panel.plot(summary.times, summary.energy, "o-", ms=3, color="tab:blue")
    panel.set(title="energy", xlabel="t")
    panel.tick_params(axis="y", labelcolor="tab:blue")
    curves = {
        "error": (summary.map_error_relative, "s--"),
        "estimate": (summary.error_estimate_relative, "x:"),
        "bound": (summary.error_bound_relative, "-"),
    }
    shown = {name: curve for name, curve in curves.items() if curve[0] is not None}
    if not shown:
        return
    error = panel.twinx()
    for name, (values, style) in shown.items():
        numbers = np.array(values, dtype=float)[1:]
        error.semilogy(summary.times[1:], numbers, style, ms=3, color="tab:red", label=name)
    error.tick_params(axis="y", labelcolor="tab:red")
    error.legend(fontsize=7)
    panel.set_title("energy (blue), over the displacement (red)", fontsize=9)
