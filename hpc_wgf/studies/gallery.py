"""A gallery: one page about many runs, and a picture of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from ..config import catalogue, parse
from ..config.run import with_whole_paths
from ..config.toml import with_settings
from ..errors import RunError
from ..pictures import draw, overview
from ..report import Summary
from ..results.html import document, figures, pictures, save_page, table
from ..store import open_run
from .folder import RunFiles, State
from .grid import Planned, fit

PAGE = "gallery.html"
"""The name of the page in the folder of the runs."""
_IN_SEVERAL = {"ou-scaling": [f"ou-scaling:problem.dimension={d}" for d in (2, 32)]}
_DPI = 100  # of pictures, of which a page holds hundreds


def named(item: str) -> Planned:
    """The run of "NAME" or "NAME:key=value", which is called NAME-value then.

    Errors: `InputError` for an unknown name, and for what is no setting of a run file."""
    name, colon, setting = item.partition(":")
    tables = with_settings(catalogue.tables_of(name), [setting] if colon else [])
    parse(tables)
    label = Path(name).stem + (f"-{fit(setting.partition('=')[2])}" if colon else "")
    return Planned(label, {}, {}, with_whole_paths(tables))


def default_items() -> list[str]:
    """The named problems that two cores solve in minutes, all but the networks of the papers; one
    that is about the dimension, in two of them."""
    names = [name for name in catalogue.names() if not name.endswith("-paper")]
    return [item for name in names for item in _IN_SEVERAL.get(name, [name])]


def draw_all(runs: Sequence[RunFiles], folder: Path) -> list[Path]:
    """Draw every finished run to NAME.png in a folder. Errors: `RunError` where that cannot be
    made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot draw to {folder}: {error.strerror}") from error
    drawn = []
    for files in runs:
        if files.progress().state is State.FINISHED:
            drawn.append(folder / f"{files.name}.png")
            draw(open_run(files.store), drawn[-1])
    return drawn


def write_gallery(runs: Sequence[tuple[Planned, RunFiles]], path: Path) -> None:
    """Write the page: a list of all runs, and of each what it is, its figures and pictures, or why
    it has none. Errors: `RunError` where it cannot be written."""
    listed = "".join(_listed(planned, files) for planned, files in runs)
    sections = "".join("".join(_section(planned, files)) for planned, files in runs)
    head = "<tr><th>problem</th><th>what it is</th><th>d</th><th>error, or KL</th></tr>"
    body = f'<div class="wide"><table>{head}{listed}</table></div>{sections}'
    save_page(document("Gallery", body), path)


def _title(planned: Planned) -> str:
    return str(planned.tables["problem"].get("title", ""))


def _listed(planned: Planned, files: RunFiles) -> str:
    progress = files.progress()
    result = str(progress.state)
    if progress.state is State.FINISHED:
        assert progress.summary is not None
        result = _result(progress.summary)
    link = f'<a href="#{escape(planned.name)}">{escape(planned.name)}</a>'
    cells = (_title(planned), str(planned.tables["problem"]["dimension"]), result)
    return f"<tr><td>{link}</td>" + "".join(f"<td>{escape(c)}</td>" for c in cells) + "</tr>"


def _result(summary: Summary) -> str:
    """The largest error of the map over the displacement, or where that is not known KL to
    equilibrium, first and last."""
    if summary.map_error_relative is not None:
        known = [value for value in summary.map_error_relative if value is not None]
        return f"{max(known):.1e}" if known else ""
    if summary.kl_divergence is not None:
        first, last = summary.kl_divergence[0], summary.kl_divergence[-1]
        return "" if first is None or last is None else f"KL {first:.2g} → {last:.2g}"
    return ""


def _section(planned: Planned, files: RunFiles) -> Iterator[str]:
    yield f'<section><h2 id="{escape(planned.name)}">{escape(planned.name)}</h2>'
    progress = files.progress()
    if progress.state is State.FINISHED and progress.summary is not None:
        run = open_run(files.store)
        yield from pictures(_title(planned), overview(run), dpi=_DPI)
        known = figures(progress.summary, run)
        yield table({name: value for name, value in known.items() if name != "store"})
    else:
        why = progress.reason or f"the run is {progress.state}"
        yield f'<div class="warning">{escape(why)}</div>'
    yield "</section>"
