"""HTML of a run: a card for notebooks, and the pieces of a page."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape
from typing import Any

from ..pictures import LARGEST, Picture, Subject, chosen_axes, frames, picture
from ..report import Summary
from ..store import StoredRun


def image(drawn: Picture, words: str, dpi: int = 130) -> str:
    """A picture inside a page."""
    data = base64.b64encode(drawn.png(dpi)).decode()
    return f'<img alt="{escape(words)}" src="data:image/png;base64,{data}">'


def table(rows: Mapping[str, Any]) -> str:
    """Names and values, without those that are None."""
    cells = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>"
        for name, value in rows.items()
        if value is not None
    )
    return f"<table>{cells}</table>"


def figures(summary: Summary, run: StoredRun) -> dict[str, str | None]:
    """What is known of a run, in a few words each."""
    return {
        "dimension": str(summary.dimension),
        "time": f"{summary.times[0]:g} … {summary.times[-1]:g}" if summary.times else "no row yet",
        "state": "finished" if summary.finished else f"runs until {summary.until:g}",
        "map": f"{summary.map or 'map'}, {summary.parameters} parameters"
        + (f" in each of {summary.stages} stages" if summary.stages > 1 else ""),
        "samples": f"{summary.samples} a step",
        "energy": _first_and_last(summary.energy),
        "map error / displacement": _last(summary.map_error_relative),
        "its estimate": _last(summary.error_estimate_relative),
        "its bound": _last(summary.error_bound_relative),
        "KL to equilibrium": _first_and_last(summary.kl_divergence),
        "√(δ/E|f|²)": _last(summary.projection_error_fresh_relative),
        "steps": str(summary.steps)
        + ("" if summary.rejected is None else f" ({summary.rejected} rejected)"),
        "seconds": f"{summary.wall_seconds:.3g} on {summary.ranks} rank(s)",
        "store": str(run.path),
    }


def run_card(subject: Subject | None, run: StoredRun) -> str:
    """A table and a small picture of the last particles; `subject`: None for a run without rows."""
    summary = Summary.of_store(run)
    thumbnail = ""
    if subject is not None:
        last = Subject(run, None)  # no densities: a notebook shows a card at once
        axes = tuple(axis + 1 for axis in chosen_axes(run, LARGEST, 2))
        panels = frames(last, "clouds", last.default_times()[-1:], axes)
        thumbnail = image(picture(panels, side=2.6), "particles at the last time", dpi=90)
    return (
        f'<div style="display:flex;flex-wrap:wrap;gap:1em;align-items:center">'
        f"<div><b>{escape(summary.problem)}</b>{table(figures(summary, run))}</div>"
        f"{thumbnail}</div>"
    )


def _last(values: list[float | None] | None) -> str | None:
    """At the last stored time, if it is known there."""
    return None if not values or values[-1] is None else f"{values[-1]:.3g}"


def _first_and_last(values: list[float | None] | None) -> str | None:
    if not values or values[0] is None or values[-1] is None:
        return None
    return f"{values[0]:.5g} → {values[-1]:.5g}"
