"""The kinds of pictures of a run."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ..errors import InputError, RunError, WgfWarning
from . import clouds, over_time, potential
from .axes import LARGEST, Axes, chosen_axes
from .figure import Panel, Picture, picture
from .moments import moments
from .subject import Subject

IN_SPACE = ("clouds", "marginals", "pairs", "density", "psi")
"""Those that show the run at chosen times."""
OVER_TIME: dict[str, Callable[[Subject], list[Panel]]] = {
    "energy": over_time.energy, "error": over_time.error, "delta": over_time.delta,
    "steps": over_time.steps, "moments": moments,
}  # fmt: skip
"""Those that show figures over time."""
KINDS = (*IN_SPACE, *OVER_TIME)
_MATRIX = 4  # axes of a matrix of pairs, by default
_FRAMES, _FRAMES_PER_SECOND = 60, 12


def drawn(
    subject: Subject, kind: str, times: Sequence[float] | None = None, axes: Axes = LARGEST
) -> Picture:
    """The picture of a kind.

    `times`: of those in space, by default the first, the last and one between; of `pairs` the last
    alone. `axes`: the two (of `marginals` three, of `pairs` four) of largest motion by default.
    Errors: `InputError` for another kind, for axes that do not exist, and times outside the run."""
    _check_kind(kind)
    if kind in OVER_TIME:
        if times is not None or axes != LARGEST:
            raise InputError(
                f"a picture of kind {kind} shows all times and no axes: leave both out"
            )
        panels = OVER_TIME[kind](subject)
        if not panels:
            raise InputError(f"{subject.run.path} has no figures for a picture of kind {kind}")
        return picture(panels, subject.summary.problem)
    _tell_what_is_missing(subject)
    columns, panels = None, list[Panel]()
    if kind == "pairs":
        (time,) = times if times is not None and len(times) == 1 else subject.default_times()[-1:]
        chosen = chosen_axes(subject.run, axes, _MATRIX)
        panels = [clouds.pair(subject, time, i, j) for i in chosen for j in chosen]
        columns = len(chosen)
    elif kind == "marginals":
        chosen = chosen_axes(subject.run, axes, 3)
        moments = subject.default_times() if times is None else times
        panels = [clouds.marginal(subject, time, axis) for axis in chosen for time in moments]
        columns = len(moments)
    else:
        panels = frames(subject, kind, times or subject.default_times(), axes)
    return picture(panels, subject.summary.problem, columns=columns)


def frames(subject: Subject, kind: str, times: Sequence[float], axes: Axes) -> list[Panel]:
    """One panel for each time, all with the same limits."""
    chosen = chosen_axes(subject.run, axes, 2)
    if len(chosen) > 2:
        raise InputError(f"{len(chosen)} axes were given for a picture of kind {kind}: give two")
    points = [subject.points(time) for time in times]
    limits = clouds.window(points, chosen)
    draw = {"clouds": clouds.cloud, "density": clouds.density, "psi": potential.psi}.get(kind)
    if draw is not None:
        return [draw(subject, time, chosen, limits) for time in times]
    return [clouds.marginal(subject, time, chosen[0], limits[:1]) for time in times]


def movie(
    subject: Subject, path: Path, kind: str = "clouds", axes: Axes = LARGEST,
    times: Sequence[float] | None = None,
) -> None:  # fmt: skip
    """Write a film of the run to `path`, .mp4 (by ffmpeg) or .gif; between stored times by the
    interpolated maps.

    `times`: of its frames, by default 60 from the first to the last. Errors: `InputError`, also
    where there is no ffmpeg; `RunError` where the file cannot be written."""
    from matplotlib.animation import FFMpegWriter, PillowWriter

    _check_kind(kind)
    if kind not in IN_SPACE or kind in ("pairs", "psi"):
        raise InputError(f"there is no film of kind {kind}: give clouds, marginals or density")
    if path.suffix not in (".mp4", ".gif"):
        raise InputError(f"cannot film to {path}: give a file that ends in .mp4 or .gif")
    if path.suffix == ".mp4" and not FFMpegWriter.isAvailable():
        raise InputError(f"{path} needs the program ffmpeg, which is not here: give a .gif")
    if times is None:
        stored = subject.run.particle_times
        times = stored.tolist()
        if subject.trajectory is not None:
            times = np.linspace(stored[0], stored[-1], _FRAMES).tolist()
    _tell_what_is_missing(subject)
    panels = frames(subject, kind, times, axes)
    writer = (FFMpegWriter if path.suffix == ".mp4" else PillowWriter)(fps=_FRAMES_PER_SECOND)
    figure = picture(panels[:1], side=5.0)
    try:
        with writer.saving(figure, str(path), dpi=100):
            for panel in panels:
                figure.clear()
                panel(figure.add_subplot())
                figure.suptitle(subject.summary.problem, parse_math=False)
                writer.grab_frame()
    except OSError as error:
        raise RunError(f"cannot film to {path}: {error}") from error


def _tell_what_is_missing(subject: Subject) -> None:
    if subject.trajectory is None and subject.why_not:
        warnings.warn(
            f"neither densities nor exact solutions are drawn: {subject.why_not}",
            WgfWarning,
            stacklevel=4,
        )


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise InputError(f"there is no picture of kind {kind!r:.40}: known are {', '.join(KINDS)}")
