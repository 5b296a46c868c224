"""Samples and level sets in a plane of two axes; on the line the density."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import gaussian_kde

from ..errors import InputError
from .figure import Panel
from .subject import Mesh, Subject

COMPUTED, EXACT = "tab:blue", "black"
_SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)  # of the largest density, at which level sets are drawn
_CELLS = 60
_NARROW = 4.0  # a cloud so many times as long as it is wide is stretched


def window(points: list[np.ndarray], axes: list[int]) -> list[tuple[float, float]]:
    """Limits of the axes that hold all points, with a margin."""
    ends = [(min(p[:, a].min() for p in points), max(p[:, a].max() for p in points)) for a in axes]
    widths = [high - low for low, high in ends]
    if len(ends) == 2 and max(widths) < _NARROW * min(widths):  # a square, of one unit of length
        widths = [max(widths)] * 2
    pairs = zip(ends, widths, strict=True)
    return [(_middle(end) - 0.56 * width, _middle(end) + 0.56 * width) for end, width in pairs]


def _middle(ends: tuple[float, float]) -> float:
    return 0.5 * (ends[0] + ends[1])


def cloud(
    subject: Subject, time: float, axes: list[int], limits: list[tuple[float, float]] | None = None
) -> Panel:
    """Samples at a time with level sets of the computed (blue) and the exact density (dashed)."""
    if len(axes) == 1:
        return marginal(subject, time, axes[0], limits)

    def panel(plot: Any) -> None:
        points = subject.points(time)[:, axes]
        plot.scatter(*points.T, s=3, linewidths=0, alpha=0.35, color=COMPUTED, rasterized=True)
        edges = subject.edges(time, axes)
        if edges is not None:
            plot.plot(*edges[0].T, color=COMPUTED, lw=1)
            if edges[1] is not None:
                plot.plot(*edges[1].T, color=EXACT, lw=1, ls="--")
        _level_sets(plot, subject, time, axes)
        _label(plot, axes, limits)
        plot.set_title(f"t = {time:.4g}")

    return panel


def density(
    subject: Subject, time: float, axes: list[int], limits: list[tuple[float, float]] | None = None
) -> Panel:
    """The computed density in colours with level sets of the exact one (dashed); in more than two
    dimensions that of two coordinates, smoothed from samples."""
    if len(axes) == 1:
        return marginal(subject, time, axes[0], limits)

    def panel(plot: Any) -> None:
        computed, exact = _meshes(subject, time, axes)
        if computed is None:
            raise InputError(f"the samples at t = {time:g} lie on a line: there is no density")
        largest = np.nanmax(computed.density)
        shades = plot.pcolormesh(
            computed.x[..., 0], computed.x[..., 1],
            np.where(computed.density > 1e-4 * largest, computed.density, np.nan),
            shading="gouraud", cmap="viridis", rasterized=True,
        )  # fmt: skip
        plot.figure.colorbar(shades, ax=plot, shrink=0.75)
        if exact is not None:
            _contour(plot, exact, np.nanmax(exact.density), EXACT, "dashed")
        _label(plot, axes, limits)
        plot.set_title(f"density, t = {time:.4g}")

    return panel


def marginal(
    subject: Subject, time: float, axis: int, limits: list[tuple[float, float]] | None = None
) -> Panel:
    """The density of one coordinate: of the samples, and of the exact images of the same samples;
    on the line the densities themselves, too."""

    def panel(plot: Any) -> None:
        points, exact = subject.points(time)[:, axis], subject.exact_points(time)
        both = points if exact is None else np.concatenate([points, exact[:, axis]])
        bins = np.linspace(both.min(), both.max(), 41)
        plot.hist(points, bins=bins, density=True, color=COMPUTED, alpha=0.35, label="samples")
        computed, known = subject.mesh(time), subject.exact_mesh(time)
        if subject.dimension == 1 and computed is not None:
            plot.plot(computed.x[:, 0], computed.density, color=COMPUTED, lw=1.2, label="computed")
            if known is not None:
                plot.plot(known.x[:, 0], known.density, "--", color=EXACT, lw=1, label="exact")
        elif exact is not None:
            plot.hist(
                exact[:, axis], bins=bins, density=True, histtype="step", color=EXACT, ls="--",
                label="exact, same samples",
            )  # fmt: skip
        plot.set_xlabel(f"$x_{{{axis + 1}}}$")
        plot.set_xlim(*(window([both[:, None]], [0]) if limits is None else limits)[0])
        plot.set_title(f"t = {time:.4g}")
        plot.legend(fontsize=7)

    return panel


def pair(subject: Subject, time: float, first: int, second: int) -> Panel:
    """One panel of the matrix of pairs: samples of two coordinates, or the histogram of one."""
    if first == second:
        return marginal(subject, time, first)
    return cloud(subject, time, [first, second])


def _meshes(subject: Subject, time: float, axes: list[int]) -> tuple[Mesh | None, Mesh | None]:
    """Densities in the plane of two axes, computed and exact; None where they are not known."""
    computed = subject.mesh(time)
    if subject.dimension == 2 and computed is not None:
        exact = subject.exact_mesh(time)
        if axes == [1, 0]:
            computed = Mesh(computed.x[..., ::-1], computed.density)
            exact = None if exact is None else Mesh(exact.x[..., ::-1], exact.density)
        return computed, exact
    points, exact_points = subject.points(time)[:, axes], subject.exact_points(time)
    box = window([points], [0, 1])
    smooth = _smoothed(points, box)
    return smooth, None if exact_points is None else _smoothed(exact_points[:, axes], box)


def _smoothed(points: np.ndarray, box: list[tuple[float, float]]) -> Mesh | None:
    """The density of samples, (n, 2), by Gaussian kernels half as wide again as Scott's, on a
    grid; None for samples on a line."""
    along = [np.linspace(*ends, _CELLS) for ends in box]
    x = np.stack(np.meshgrid(*along, indexing="ij"), -1)
    values = gaussian_kde(points.T, lambda kernel: 1.5 * kernel.scotts_factor())(x.reshape(-1, 2).T)
    return Mesh(x, values.reshape(_CELLS, _CELLS))


def _level_sets(plot: Any, subject: Subject, time: float, axes: list[int]) -> None:
    if subject.trajectory is None:
        return
    computed, exact = _meshes(subject, time, axes)
    if computed is None:
        return
    largest = np.nanmax((exact or computed).density)
    _contour(plot, computed, largest, COMPUTED, "solid")
    if exact is not None:
        _contour(plot, exact, largest, EXACT, "dashed")


def _contour(plot: Any, mesh: Mesh, largest: float, color: str, style: str) -> None:
    plot.contour(
        mesh.x[..., 0], mesh.x[..., 1], np.nan_to_num(mesh.density),
        levels=[share * largest for share in _SHARES], colors=color, linestyles=style,
        linewidths=0.9,
    )  # fmt: skip


def _label(plot: Any, axes: list[int], limits: list[tuple[float, float]] | None) -> None:
    plot.set_xlabel(f"$x_{{{axes[0] + 1}}}$")
    plot.set_ylabel(f"$x_{{{axes[1] + 1}}}$")
    if limits is None:
        plot.set_aspect("equal", adjustable="datalim")
        return
    plot.set(xlim=limits[0], ylim=limits[1])
    first, second = (high - low for low, high in limits)
    plot.set_aspect("equal" if np.isclose(first, second) else "auto")
