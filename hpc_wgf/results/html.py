"""HTML of a run: a card for notebooks, and the pieces of a page."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from ..errors import InputError, RunError
from ..pictures import LARGEST, Panel, Picture, Subject, chosen_axes, frames, picture
from ..report import Summary
from ..store import StoredRun

_STYLE = """
body{font:16px/1.45 system-ui,sans-serif;margin:0 auto;padding:0 1rem 2rem;color:#1a1a1a;
 max-width:1500px}
h1{font-size:1.6rem}h2{font-size:1.3rem;overflow-wrap:anywhere}h3{font-size:1.05rem}
table{border-collapse:collapse;font-size:.95rem}
th,td{text-align:left;padding:.15rem .7rem .15rem 0;vertical-align:top;overflow-wrap:anywhere}
th{font-weight:600}
img{width:100%;height:auto;display:block}
.wide{overflow-x:auto}.wide td:first-child{min-width:6.5rem}
.wide td:not(:first-child){white-space:nowrap;overflow-wrap:normal}
.runs{display:grid;gap:2rem;grid-template-columns:repeat(var(--runs),minmax(0,1fr))}
.pictures{display:grid;gap:.6rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,17rem),1fr))}
.warning{background:#fff3d6;padding:.4rem .7rem;border-left:4px solid #d9a300;margin:.4rem 0}
pre{overflow-x:auto;background:#f5f5f5;padding:.6rem;font-size:.85rem}
@media(max-width:900px){.runs{grid-template-columns:minmax(0,1fr)}}
"""


def document(title: str, body: str) -> str:
    """A page that refers to nothing outside of itself."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(title)}</h1>{body}</body></html>\n"
    )


def check_page(path: Path) -> None:
    """Errors: `InputError` where `path` cannot be a file of HTML."""
    if path.suffix not in (".html", ".htm") or path.is_dir():
        raise InputError(f"cannot write a page to {path}: give a file that ends in .html")
    if not path.parent.is_dir():
        raise InputError(f"cannot write a page to {path}: there is no folder {path.parent}")


def save_page(text: str, path: Path) -> None:
    """Write a page to a new or present file. Errors: `RunError` where it cannot be written."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunError(f"cannot write a page to {path}: {error.strerror}") from error


def pictures(title: str, panels: Sequence[Panel], dpi: int = 140) -> Iterator[str]:
    """Panels as pictures of their own, which a narrow page shows one below another."""
    if not panels:
        return
    images = "".join(image(picture([panel], side=3.4), title, dpi=dpi) for panel in panels)
    yield f'<h3>{escape(title)}</h3><div class="pictures">{images}</div>'


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
