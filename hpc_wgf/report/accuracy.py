"""What a report says of an accuracy that was asked for."""

from __future__ import annotations

import math

from .summary import Summary


def of_accuracy(summary: Summary) -> str:
    """What was chosen for it, and what the run's own estimate says."""
    asked = summary.accuracy or {}
    chosen = (
        f"accuracy {asked['wanted']:g} of the displacement asked for: {asked['samples']} samples, "
        f"tolerance {asked['tolerance']:.2g}, rtol {asked['rtol']:.2g}, scheme {asked['scheme']}"
    )
    if asked["deformation"] is not None:
        chosen += f", stages to a deformation of {asked['deformation']:.2g}"
    chosen += f", by {asked['pilots']} pilot run(s)"
    worst = _worst(summary)
    if worst is None:
        return f"{chosen}; the run itself has no estimate"
    value, _, known_by = worst
    return f"{chosen}; its {known_by} is {_size(value)} at most"


def accuracy_missed(summary: Summary) -> list[str]:
    """A warning where the run's own estimate, or without one that of its pilots, is above."""
    asked, worst = summary.accuracy, _worst(summary)
    if asked is None or (worst is not None and worst[0] <= asked["wanted"]):
        return []
    reached = ""
    if worst is not None:
        value, time, known_by = worst
        reached = f"the error's {known_by} is {_size(value)} of the displacement at t = {time:.9g}"
        if math.isfinite(value):
            reached += f", {value / asked['wanted']:.2g} times the accuracy"
        reached += f"; {asked['wanted']:g} was asked for. "
    note = asked["note"] or ("" if worst is None else "Ask for a smaller one")
    return [f"{reached}{note}".strip()] if reached or note else []


def _size(value: float) -> str:
    return f"{value:.2g}" if math.isfinite(value) else "more than the whole"


def _worst(summary: Summary) -> tuple[float, float, str] | None:
    """The largest estimate of the run, its time, and "estimate", or where the error is not followed
    the same of the bound; infinite where an estimate is above the displacement. None without."""
    known_by = "estimate" if summary.error_is_estimated else "bound"
    values = summary.error_estimate_relative if known_by == "estimate" else (
        summary.error_bound_relative
    )  # fmt: skip
    later = summary.times[1:]
    if values is None:
        some = known_by == "estimate" and later
        return (math.inf, later[0], known_by) if some else None
    pairs = zip(values[1:], later, strict=True)
    found = max(((math.inf if v is None else v, t) for v, t in pairs), default=None)
    return None if found is None else (*found, known_by)
