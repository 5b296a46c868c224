"""A notebook, executed: what a run shows there, and the notebook's own plots before and after."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import hpc_wgf

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

_OWN_PLOT = "plt.figure(figsize=(1, 1)); plt.plot([0, 1]); plt.show()"


def executed(*cells: str):
    """The outputs of the cells of a new notebook, by cell, computed by this package."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    places = [str(Path(hpc_wgf.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    client = nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3")
    client.execute(env={**os.environ, "PYTHONPATH": os.pathsep.join(places)})
    return [cell.outputs for cell in notebook.cells]


def test_a_notebook_shows_runs_and_pictures_and_keeps_its_own_plots_inline(ou):
    backend = "matplotlib.get_backend()"
    _, before, card, clouds, film, after, backends = executed(
        f"import matplotlib, matplotlib.pyplot as plt, hpc_wgf as wgf; was = {backend}",
        _OWN_PLOT,
        f"run = wgf.open_run({str(ou)!r}); run",
        "run.plot.clouds(times=[0.0, 0.2])",
        "run.plot.movie('film.gif', times=[0.0, 0.2])".replace("film", str(ou.parent / "film")),
        _OWN_PLOT,
        f"print(was == {backend}, 'inline' in was)",
    )
    for own in (before, after):
        assert [output.output_type for output in own] == ["display_data"]
        assert own[0].data["image/png"]
    (card,) = card
    assert card.data["text/plain"].startswith("<run of ou-2d, d = 2: t = 0 … 0.2")
    assert "map error / displacement" in card.data["text/html"]
    (picture,) = clouds  # shown once, though pyplot shows its own figures at the end of a cell
    assert picture.output_type == "execute_result"
    assert picture.data["image/png"]
    assert film == []
    assert backends[0].text.split() == ["True", "True"]
