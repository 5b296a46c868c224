"""Where progress is a bar, and where it is lines."""

from __future__ import annotations

import io

import pytest

from hpc_wgf.observers.progress import ProgressBar, ProgressLines, progress


@pytest.mark.parametrize("widgets", [None, object()])
def test_in_a_notebook_it_is_a_bar_where_there_are_widgets(monkeypatch, widgets):
    """Without them rich would show nothing."""
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setitem(progress.__globals__, "find_spec", lambda name: widgets)
    monkeypatch.setattr("rich.progress.Progress.start", lambda self: None)
    shown = progress(0.0, 1.0)
    assert isinstance(shown, ProgressLines if widgets is None else ProgressBar)


def test_in_a_file_it_is_lines():
    assert isinstance(progress(0.0, 1.0, stream=io.StringIO()), ProgressLines)
