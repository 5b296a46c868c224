"""Runs of the philox stream are stored and resumed as what they are."""

from __future__ import annotations

import numpy as np
import pytest

import hpc_wgf as wgf

PROBLEM = wgf.Problem(
    [wgf.PotentialEnergy(wgf.Quadratic(2)), wgf.Entropy(1.0)], wgf.Gaussian(2, 1.0), until=0.1
)


def solved(path, until, *, stream="philox", resume=False):
    options = wgf.PWGFOptions(samples=128, step_size=0.05, stream=stream)
    wgf.solve(
        PROBLEM.replace(until=until), wgf.Affine(2), options, wgf.Output(path, every=0.05),
        resume=resume,
    )  # fmt: skip
    return wgf.open_run(path).column("theta")


def test_a_resumed_run_goes_on_with_the_same_bits_and_with_no_other_stream(tmp_path):
    whole = solved(tmp_path / "whole", 0.1)
    solved(tmp_path / "parts", 0.05)
    with pytest.raises(wgf.InputError, match="stream: stored .*philox.*, given None"):
        solved(tmp_path / "parts", 0.1, stream="numpy", resume=True)
    assert np.array_equal(solved(tmp_path / "parts", 0.1, resume=True), whole)
    assert not np.array_equal(solved(tmp_path / "other", 0.1, stream="numpy"), whole)
