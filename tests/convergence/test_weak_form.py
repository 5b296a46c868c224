"""The weak form where the force form is blind."""

from __future__ import annotations

import hpc_wgf as wgf


def test_a_plain_box_spreads_by_the_weak_form():
    """1.9e-2 of the displacement at t = 1, where the force moves nothing; the steps begin as short
    as faces of infinite speed ask for, and are few later."""
    coarse = ("method.tolerance=6e-2", "method.step=1e-3", "method.rtol=1e-3")
    spec = wgf.load_problem("porous-box-1d", *coarse)
    summary = wgf.solve(*spec, wgf.Output(every=0.5, bound=False)).summary
    assert summary.map_error_relative[-1] <= 3e-2
    assert summary.steps < 70
