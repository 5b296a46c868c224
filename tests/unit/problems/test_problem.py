"""A problem does not change; another end makes another problem."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

import hpc_wgf as wgf
from hpc_wgf.problems import problem as module


def test_another_end_keeps_all_else(monkeypatch):
    problem = wgf.load_problem("styblinski-tang-2d").problem
    monkeypatch.setattr(module, "exact_map", lambda *_: pytest.fail("computed anew"))
    longer = problem.replace(until=9.0)
    assert longer.until == 9.0
    assert problem.until != 9.0
    for name in ("energy", "start", "exact", "start_time", "name", "dimension"):
        assert getattr(longer, name) is getattr(problem, name)
    with pytest.raises(wgf.InputError, match="raise problem.until"):
        problem.replace(until=problem.start_time)
    with pytest.raises(wgf.InputError, match="times must be finite"):
        problem.replace(until=float("nan"))


def test_a_problem_is_frozen():
    problem = wgf.load_problem("ou-2d").problem
    with pytest.raises(FrozenInstanceError):
        problem.until = 3.0
