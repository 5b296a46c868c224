"""One picture of a stored run: particles at some stored times, energy and error over time."""

from __future__ import annotations

from pathlib import Path

from ..store import StoredRun
from . import over_time
from .axes import LARGEST, Axes
from .figure import Panel, picture
from .kinds import frames
from .subject import Subject


def overview(run: StoredRun, axes: Axes = LARGEST) -> list[Panel]:
    """A run at a glance, from its figures and particles alone.

    The first panels show particles at the first, a middle and the last stored time, projected onto
    two `axes` (in one dimension as a histogram); the others show over time the energy, and the
    map's error, its estimate and its bound over the displacement, or what is known in their place.

    Errors: `InputError` where the run has no row yet.
    """
    subject = Subject(run, None)
    panels = frames(subject, "clouds", subject.default_times(), axes)
    return [*panels, *over_time.energy(subject), *over_time.error(subject)[:1]]


def draw(run: StoredRun, path: Path, *, axes: Axes = LARGEST) -> None:
    """Draw the `overview` of a run to the file `path`, in the format of its ending (.png, .pdf).

    Errors: `InputError` where the run has no row yet, or the file cannot be written."""
    panels = overview(run, axes)
    picture(panels, str(run.attributes["problem"]), columns=len(panels)).save(path)
