"""`run.plot`: the pictures of a run, each of which a notebook shows as it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..fields import local_path
from ..pictures import LARGEST, Axes, Picture, Subject, drawn, movie


class Plots:
    """Pictures of a run.

    `times`: by default the first, the last and one between. `axes`: numbers from 1, as the labels
    have them, or "largest", those of largest motion. Exact densities are dashed. Errors:
    `InputError` for axes that do not exist and times outside of the run. `save(path)` of what is
    returned writes it to a file; it is a `matplotlib.figure.Figure`.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject

    def clouds(self, times: Sequence[float] | None = None, axes: Axes = LARGEST) -> Picture:
        """Samples in the plane of two axes, with level sets of computed and exact density."""
        return drawn(self._subject, "clouds", times, axes)

    def marginals(self, times: Sequence[float] | None = None, axes: Axes = LARGEST) -> Picture:
        """Densities of single coordinates, beside exact ones."""
        return drawn(self._subject, "marginals", times, axes)

    def pairs(self, time: float | None = None, axes: Axes = LARGEST) -> Picture:
        """All pairs of some axes, four by default, at one time, the last by default."""
        return drawn(self._subject, "pairs", None if time is None else [time], axes)

    def density(self, times: Sequence[float] | None = None, axes: Axes = LARGEST) -> Picture:
        """The computed density in colours with level sets of the exact one."""
        return drawn(self._subject, "density", times, axes)

    def psi(self, times: Sequence[float] | None = None, axes: Axes = LARGEST) -> Picture:
        """ψ at stored times: ∇ψ is the velocity with which the density moves."""
        return drawn(self._subject, "psi", times, axes)

    def moments(self) -> Picture:
        """Means and variances over time, and their errors where an exact map is known."""
        return drawn(self._subject, "moments")

    def energy(self) -> Picture:
        """F over time, and what the energy law says of it."""
        return drawn(self._subject, "energy")

    def error(self) -> Picture:
        """The error of the map, its estimate and its bound; what is left of the force."""
        return drawn(self._subject, "error")

    def delta(self) -> Picture:
        """δ = E|Jη + f|² on fresh samples."""
        return drawn(self._subject, "delta")

    def steps(self) -> Picture:
        """Sizes of the steps, products in their solves, seconds of the parts of the run."""
        return drawn(self._subject, "steps")

    def movie(
        self, path: Path | str, kind: str = "clouds", axes: Axes = LARGEST,
        times: Sequence[float] | None = None,
    ) -> None:  # fmt: skip
        """Write a film to `path`, .gif or .mp4. `times`: of its frames, by default 60."""
        movie(self._subject, local_path(path), kind, axes, times)
