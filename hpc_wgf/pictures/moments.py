"""Mean and covariance of the samples over time, beside the exact ones [PFPE Figs. 9–12, 15, 20]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .axes import largest_motion
from .figure import Panel
from .subject import Subject

_SHOWN = 4  # coordinates


@dataclass(frozen=True)
class Moments:
    """Of the shown samples at the stored times; of the exact images of the same samples, which
    have the same noise."""

    times: np.ndarray
    """(rows,)."""
    mean: np.ndarray
    """(rows, d)."""
    covariance: np.ndarray
    """(rows, d, d)."""
    exact_mean: np.ndarray | None
    """(rows, d); None where no exact map is known."""
    exact_covariance: np.ndarray | None
    """(rows, d, d)."""

    @classmethod
    def of(cls, subject: Subject) -> Moments:
        """Of a run."""
        times = np.asarray(subject.run.particle_times)
        computed = [_moments(subject.points(float(time))) for time in times]
        exact = [subject.exact_points(float(time)) for time in times]
        known = [_moments(points) for points in exact if points is not None]
        complete = len(known) == len(times)
        return cls(
            times,
            np.stack([mean for mean, _ in computed]),
            np.stack([covariance for _, covariance in computed]),
            np.stack([mean for mean, _ in known]) if complete else None,
            np.stack([covariance for _, covariance in known]) if complete else None,
        )

    def errors(self) -> tuple[np.ndarray, np.ndarray] | None:
        """|μ − μ_exact| and ‖Σ − Σ_exact‖_F, (rows,) each; None without an exact map."""
        if self.exact_mean is None or self.exact_covariance is None:
            return None
        apart = self.covariance - self.exact_covariance
        return (
            np.linalg.norm(self.mean - self.exact_mean, axis=1),
            np.linalg.norm(apart, axis=(1, 2)),
        )


def _moments(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return points.mean(0), np.atleast_2d(np.cov(points.T))


def moments(subject: Subject) -> list[Panel]:
    """Means and variances of the coordinates of largest motion, the way of the mean in the plane of
    two of them, and the errors of mean and covariance."""
    found = Moments.of(subject)
    axes = largest_motion(subject.run)[:_SHOWN]

    def means(plot: Any) -> None:
        _curves(plot, found.times, axes, found.mean, found.exact_mean, "")
        plot.set_title("means (exact: dashed)")

    def variances(plot: Any) -> None:
        own = found.covariance.diagonal(axis1=1, axis2=2)
        exact = found.exact_covariance
        known = None if exact is None else exact.diagonal(axis1=1, axis2=2)
        _curves(plot, found.times, axes, own, known, "Var ")
        plot.set_title("variances (exact: dashed)")

    def way(plot: Any) -> None:
        first, second = axes[:2]
        plot.plot(found.mean[:, first], found.mean[:, second], "o-", ms=3)
        if found.exact_mean is not None:
            plot.plot(found.exact_mean[:, first], found.exact_mean[:, second], "k--", lw=1)
        plot.set(xlabel=f"$x_{{{first + 1}}}$", ylabel=f"$x_{{{second + 1}}}$")
        plot.set_title("way of the mean (exact: dashed)")

    def errors(plot: Any) -> None:
        both = found.errors()
        assert both is not None
        for values, name in zip(both, ("|μ − exact|", "‖Σ − exact‖"), strict=True):
            plot.semilogy(found.times, np.where(values > 0, values, np.nan), "o-", ms=3, label=name)
        plot.set(title="errors of the moments", xlabel="t")
        plot.legend(fontsize=8)

    panels: list[Panel] = [means, variances]
    if len(axes) > 1:
        panels.append(way)
    if found.exact_mean is not None:
        panels.append(errors)
    return panels


def _curves(
    plot: Any, times: np.ndarray, axes: list[int], values: np.ndarray, exact: np.ndarray | None,
    name: str,
) -> None:  # fmt: skip
    for number, axis in enumerate(axes):
        color = f"C{number}"
        plot.plot(
            times, values[:, axis], "o-", ms=3, color=color, label=f"{name}$x_{{{axis + 1}}}$"
        )
        if exact is not None:
            plot.plot(times, exact[:, axis], "--", lw=1, color="black")
    plot.set_xlabel("t")
    plot.legend(fontsize=8)
