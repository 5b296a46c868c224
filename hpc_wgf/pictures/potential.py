"""ψ, the potential of the velocity with which the density moves [PFPE Figs. 13–18, 26, 28]."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..analysis import velocity_potential
from ..errors import InputError
from .clouds import COMPUTED
from .figure import Panel
from .subject import Subject

_CELLS, _ARROWS, _POINTS = 61, 13, 200


def psi(subject: Subject, time: float, axes: list[int], limits: list[tuple[float, float]]) -> Panel:
    """Level sets of ψ and arrows of ∇ψ at a stored time in the plane of two axes, through the mean
    of the samples; on the line the curve of ψ.

    Errors: `InputError` where maps are not at hand, and those of `velocity_potential`."""
    if subject.trajectory is None:
        raise InputError(f"ψ asks for the maps of {subject.run.path}: {subject.why_not}")
    found = velocity_potential(subject.trajectory, time)
    mean = torch.from_numpy(subject.points(time).mean(0))

    def on(points: np.ndarray) -> torch.Tensor:
        x = mean.repeat(len(points), 1)
        x[:, axes] = torch.from_numpy(points)
        return x

    def line(plot: Any) -> None:
        along = np.linspace(*limits[0], _POINTS)
        plot.plot(along, found(on(along[:, None])).numpy(), color=COMPUTED)
        plot.set_xlabel(f"$x_{{{axes[0] + 1}}}$")
        plot.set_title(f"ψ, t = {time:.4g}")

    def plane(plot: Any) -> None:
        x, y = (np.linspace(*ends, _CELLS) for ends in limits)
        grid = np.stack(np.meshgrid(x, y, indexing="ij"), -1)
        values = found(on(grid.reshape(-1, 2))).numpy().reshape(_CELLS, _CELLS)
        shades = plot.contourf(grid[..., 0], grid[..., 1], values, levels=20, cmap="viridis")
        plot.figure.colorbar(shades, ax=plot, shrink=0.75)
        few = np.stack(np.meshgrid(x[:: _CELLS // _ARROWS], y[:: _CELLS // _ARROWS]), -1)
        few = few.reshape(-1, 2)
        arrows = found.gradient(on(few)).numpy()[:, axes]
        plot.quiver(*few.T, *arrows.T, color="white", width=0.004)
        plot.set(xlabel=f"$x_{{{axes[0] + 1}}}$", ylabel=f"$x_{{{axes[1] + 1}}}$")
        plot.set_title(f"ψ, t = {time:.4g}")

    return line if len(axes) == 1 else plane
