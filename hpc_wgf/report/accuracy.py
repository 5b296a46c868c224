"""What a report says of an accuracy that was asked for."""

from __future__ import annotations

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
    return f"{chosen}; its estimate is {worst[0]:.2g} at most"


def accuracy_missed(summary: Summary) -> list[str]:
    """A warning where the run's own estimate, or without one that of its pilots, is above."""
    asked, worst = summary.accuracy, _worst(summary)
    if asked is None or (worst is not None and worst[0] <= asked["wanted"]):
        return []
    reached = ""
    if worst is not None:
        reached = (
            f"the error is estimated as {worst[0]:.2g} of the displacement at t = {worst[1]:.9g}, "
            f"{worst[0] / asked['wanted']:.2g} times the accuracy of {asked['wanted']:g} that was "
            "asked for. "
        )
    note = asked["note"] or ("" if worst is None else "Ask for a smaller one")
    return [f"{reached}{note}".strip()] if reached or note else []


def _worst(summary: Summary) -> tuple[float, float] | None:
    """The largest estimate of the run and its time, or where it has none bound and time; infinite
    where an estimate is above the displacement. None without."""
    values = summary.error_estimate_relative or summary.error_bound_relative
    if values is None:
        return None
    later = zip(values[1:], summary.times[1:], strict=True)
    return max(((float("inf") if v is None else v, t) for v, t in later), default=None)
